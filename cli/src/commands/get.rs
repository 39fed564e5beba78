//! `shoal get`: fetch content by its name, verified, from everyone who has it.

use std::{path::PathBuf, time::Duration};

use shoal_gateway::json::{self, Event, Fetched, Replace, Waiting};
use shoal_node::{Kind, Link};

use crate::{
    Context, WithoutReader,
    args::{Globs, NodeArgs, Patience, globs, link_text},
    client::Answer,
    failure::{Failure, interrupted, usage},
    output::{count, elapsed, size},
    places::absolute_text,
    progress::Drawing,
    session::{self, Session, Whose},
};

const EXAMPLES: &str = "\
Examples:
  shoal get bafkr4i…
  shoal get shoal1… -o ~/Downloads
  shoal get bafyr4i… --include '*.jpg' --include 'docs/**'
  shoal get bafkr4i… -o - | tar x";

/// Fetch content by its name
///
/// Every byte is verified against the name, whoever sends it. A get that was cut off goes on where it was. The path of
/// what was fetched is printed at the end. It is shared with others from then on, for as long as a node runs on this
/// home, unless --no-seed says otherwise.
///
/// Without -o it is saved in the current directory: under the name that the ticket gives, else the one under which this
/// node shares it or the first provider to answer offers it, else its CID. Where it is there already with the right
/// bytes, also behind a symlink, nothing is fetched.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// A CID in any of its forms, the digest that b3sum prints, or a ticket
    #[arg(value_name = "CID|TICKET", value_parser = link_text)]
    link: String,
    /// Save as this file or directory, inside it where it is an existing directory; - prints a file to stdout
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Fetch only files of a directory whose path matches, like '*.jpg' or 'docs/**'; repeatable
    #[arg(long, value_name = "GLOB", value_parser = globs)]
    include: Vec<Globs>,
    /// List the files of a directory and fetch none
    #[arg(long, conflicts_with_all = ["output", "include", "overwrite", "rename", "no_seed"])]
    list: bool,
    /// Replace an existing target that holds something else; a folder keeps its other files
    #[arg(long, conflicts_with = "rename", default_value_if("rename", "true", "false"))]
    overwrite: bool,
    /// Save under a free name where the target exists and holds something else, unless it was before
    #[arg(long, default_value_if("overwrite", "true", "false"))]
    rename: bool,
    /// Do not share it afterwards
    #[arg(long)]
    no_seed: bool,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    node: NodeArgs,
}

pub(crate) async fn run(cx: &Context, args: &Args) -> Result<(), Failure> {
    let to_stdout = args.output.as_ref().is_some_and(|output| output.as_os_str() == "-");
    if to_stdout {
        refuse_for_stdout(cx, args)?;
        cx.without_reader.set(WithoutReader::IsDone);
    }
    let is_file = args.link.parse::<Link>().is_ok_and(|link| link.cid().kind() == Kind::File);
    if is_file && !args.include.is_empty() {
        return Err(usage("--include chooses among the files of a directory, and this is one file"));
    }
    let to = absolute_text(args.output.as_deref().unwrap_or(".".as_ref()))?;
    session::with_node(cx, &args.node, Whose::Any, async |session| {
        let work = async {
            match (args.list, to_stdout) {
                (true, _) => list(cx, args, session).await,
                (_, true) => cat(cx, args, session).await,
                _ => get(cx, args, to.clone(), session).await,
            }
        };
        tokio::select! {
            biased;
            () = session.stopping(cx) => Err(interrupted()),
            result = work => result,
        }
    })
    .await
}

fn refuse_for_stdout(cx: &Context, args: &Args) -> Result<(), Failure> {
    if cx.printer.json() {
        return Err(
            usage("--json and -o - would both write to stdout").hint("save to a file, or leave out --json")
        );
    }
    let senseless =
        [("--include", !args.include.is_empty()), ("--overwrite", args.overwrite), ("--rename", args.rename)];
    match senseless.into_iter().find(|(_, given)| *given) {
        Some((option, _)) => Err(usage(format!("{option} makes no sense with -o -"))),
        None => Ok(()),
    }
}

async fn get(cx: &Context, args: &Args, to: String, session: &Session) -> Result<(), Failure> {
    let replace = match (args.overwrite, args.rename) {
        (true, _) => Replace::Overwrite,
        (_, true) => Replace::Rename,
        _ => Replace::Never,
    };
    let request = json::Get {
        link: args.link.clone(),
        to,
        include: args.include.iter().flat_map(|globs| globs.0.clone()).collect(),
        replace,
        seed: !args.no_seed,
        timeout_ms: args.patience.millis(),
        peers: args.node.peers(),
        down: args.node.down(),
    };
    let mut answer = session.client.post(&request).await?;
    let mut drawing = Drawing::new(&cx.printer);
    while let Some(event) = answer.next().await? {
        cx.printer.event(&event);
        show(cx, &mut drawing, &event);
    }
    Ok(())
}

async fn cat(cx: &Context, args: &Args, session: &Session) -> Result<(), Failure> {
    let request = json::Cat {
        link: args.link.clone(),
        timeout_ms: args.patience.millis(),
        peers: args.node.peers(),
        down: args.node.down(),
    };
    let mut answer = session.client.post(&request).await?;
    let mut drawing = Drawing::new(&cx.printer);
    while let Some(event) = answer.next().await? {
        match event {
            Event::Bytes(_) => {
                if copy(cx, &mut answer).await? == Copied::Unwanted {
                    return Ok(());
                }
            }
            event => show(cx, &mut drawing, &event),
        }
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
enum Copied {
    All,
    /// The reader of stdout has enough.
    Unwanted,
}

async fn copy(cx: &Context, answer: &mut Answer) -> Result<Copied, Failure> {
    while let Some(bytes) = answer.content().await? {
        if !cx.printer.content(&bytes)? {
            return Ok(Copied::Unwanted);
        }
    }
    Ok(Copied::All)
}

async fn list(cx: &Context, args: &Args, session: &Session) -> Result<(), Failure> {
    let request = json::Contents {
        link: args.link.clone(),
        timeout_ms: args.patience.millis(),
        peers: args.node.peers(),
    };
    let mut answer = session.client.post(&request).await?;
    let (mut files, mut bytes) = (0_u64, 0_u64);
    while let Some(event) = answer.next().await? {
        cx.printer.event(&event);
        if let Event::Warning(warning) = &event {
            cx.printer.warning(&warning.message);
        }
        if let Event::Entry(entry) = &event {
            files += 1;
            bytes = bytes.saturating_add(entry.size);
            if cx.printer.quiet() {
                cx.printer.result(&entry.path);
            } else {
                cx.printer.result(&format!("{}  {:>8}  {}", entry.cid, size(entry.size), entry.path));
            }
        }
    }
    cx.printer.note(&format!("{}, {}", count(files, "file"), size(bytes)));
    Ok(())
}

fn show(cx: &Context, drawing: &mut Drawing<'_>, event: &Event) {
    match event {
        Event::Progress(progress) => drawing.show(progress),
        Event::Dropped(dropped) => cx.printer.note(&format!("dropped {}: {}", dropped.peer, dropped.reason)),
        Event::Warning(warning) => cx.printer.warning(&warning.message),
        Event::Waiting(waiting) => cx.printer.note(&waiting_for(waiting)),
        Event::Fetched(fetched) => {
            drawing.clear();
            show_fetched(cx, fetched);
        }
        _ => {}
    }
}

fn waiting_for(Waiting { path, cid, pid }: &Waiting) -> String {
    let pid = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
    let who = match cid {
        Some(cid) => format!("another get of this node{pid} is saving {cid}"),
        None => format!("another node{pid} is saving"),
    };
    format!("{who} to {path}; waiting for it to end")
}

fn show_fetched(cx: &Context, fetched: &Fetched) {
    if let Some(path) = &fetched.path {
        cx.printer.path_result("", path.as_ref());
    }
    let senders = fetched.sources.iter().filter(|source| source.bytes > 0).count();
    let time = elapsed(Duration::from_millis(fetched.elapsed_ms));
    let text = match (fetched.already_there, senders) {
        (true, _) => format!("already there: {}, verified", size(fetched.size)),
        (false, 0) => format!("{} in {time} from this node's own files, verified", size(fetched.size)),
        (false, senders) => {
            let peers = count(senders.try_into().unwrap_or(u64::MAX), "peer");
            format!("{} in {time} from {peers}, verified", size(fetched.size))
        }
    };
    cx.printer.note(&text);
    if fetched.merged {
        cx.printer.note("merged into the folder that was there: its other files stay, and are not shared");
    }
    for peer in &fetched.silent {
        cx.printer.note(&format!("{peer} was asked and sent nothing"));
    }
}
