//! `shoal publish`: share files and directories where they are.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use futures::StreamExt;
use shoal_gateway::json::{self, Announced, Event, Published};
use shoal_node::Link;

use crate::{
    Context, WithoutReader,
    args::{NodeArgs, share_name},
    client::Answer,
    failure::{Failure, interrupted, usage},
    output::{cause, count, elapsed, rate, size},
    places::{absolute, absolute_text},
    progress::Drawing,
    session::{self, Session, Whose},
};

/// How long a command waits for the network to be told, when a node goes on telling it anyway.
const ANNOUNCE_PATIENCE: Duration = Duration::from_secs(3);

/// Work shorter than this has no rate worth telling.
const MEASURABLE: Duration = Duration::from_millis(100);

const EXAMPLES: &str = "\
Examples:
  shoal publish photos/
  shoal publish --lan disk.img       a ticket that works on this local network without any lookup
  shoal publish -n *.iso > NAMES     names only, as `b3sum *.iso` would";

/// Share files and directories where they are
///
/// Nothing is copied: the files are hashed and served from their place. Prints the name of each on a line of its own,
/// `CID  PATH`; the digest in a file's name is what `b3sum` prints. With a node running (`shoal start`) that node
/// serves them, and this command ends. With none, this command serves them until Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Files and directories
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print the names that they would have, and share nothing
    #[arg(short = 'n', long, conflicts_with_all = ["wait", "lan"])]
    only_hash: bool,
    /// Wait until other nodes know of them, however long that takes
    #[arg(long)]
    wait: bool,
    /// Offer it under this name instead of its own; with one PATH only
    #[arg(long, value_parser = share_name)]
    name: Option<String>,
    /// Put private addresses into the tickets, for getters on the same local network
    #[arg(long)]
    lan: bool,
    #[command(flatten)]
    node: NodeArgs,
}

pub(crate) async fn run(cx: &Context, args: &Args) -> Result<(), Failure> {
    if args.name.is_some() && args.paths.len() > 1 {
        return Err(usage("--name names one PATH, and there are several").hint("publish them one by one"));
    }
    refuse_links(&args.paths)?;
    if args.only_hash {
        return only_hash(cx, args).await;
    }
    let paths = args.paths.iter().map(|path| absolute_text(path)).collect::<Result<Vec<_>, _>>()?;
    session::with_node(cx, &args.node, Whose::Any, async |session| {
        tokio::select! {
            biased;
            never = session.warn_of_unreached(cx) => match never {},
            result = publish(cx, args, &paths, session) => result,
        }
    })
    .await
}

/// Says what to do with the name of content that somebody else publishes.
fn refuse_links(paths: &[PathBuf]) -> Result<(), Failure> {
    let is_link = |text: &str| text.parse::<Link>().is_ok();
    let gone = paths.iter().filter(|path| path.symlink_metadata().is_err());
    match gone.filter_map(|path| path.to_str()).find(|text| is_link(text)) {
        Some(link) => Err(usage(format!("{link} names content and is no path here"))
            .hint(format!("`shoal get {link}` fetches it; what is fetched is shared from then on"))),
        None => Ok(()),
    }
}

async fn publish(cx: &Context, args: &Args, paths: &[String], session: &Session) -> Result<(), Failure> {
    let serves = session.own.is_some();
    let unknown = session.running.as_ref().and_then(|running| args.node.unknown_peers(running));
    if let Some(message) = unknown {
        session::warn(cx, message);
    }
    if serves {
        cx.without_reader.set(WithoutReader::GoesOn);
    }
    let patient = args.wait || serves;
    let request = json::Publish {
        paths: paths.to_vec(),
        name: args.name.clone(),
        lan: args.lan,
        wait_ms: (!patient).then(|| ANNOUNCE_PATIENCE.as_millis().try_into().unwrap_or(u64::MAX)),
    };
    let mut answer = cx.unless_stopped(session.client.post(&request)).await?;
    let mut watched =
        Watched { cx, drawing: Drawing::new(&cx.printer), paths: &args.paths, published: 0, announced: 0 };
    tokio::select! {
        biased;
        () = session.stopping(cx) => {
            // What is durable and served so far was the work; the rest of the announcing is not lost by stopping.
            let done = watched.published == paths.len() && (serves || cx.unread.get());
            return if done { Ok(()) } else { Err(interrupted()) };
        }
        ended = watched.follow(&mut answer, session.own.is_some()) => ended?,
    }
    if session.own.is_some() {
        session.stopping(cx).await;
    }
    Ok(())
}

/// A publish as its user sees it. Paths are published, and then announced, in their order.
struct Watched<'a> {
    cx: &'a Context,
    drawing: Drawing<'a>,
    paths: &'a [PathBuf],
    published: usize,
    announced: usize,
}

impl Watched<'_> {
    async fn follow(&mut self, answer: &mut Answer, serving: bool) -> Result<(), Failure> {
        while let Some(event) = answer.next().await? {
            self.cx.printer.event(&event);
            match &event {
                Event::Progress(progress) => self.drawing.show(progress),
                Event::Published(published) => {
                    self.drawing.clear();
                    self.published(published);
                    if serving && self.published == self.paths.len() {
                        let text = "serving it from here until Ctrl-C; `shoal start` runs a node for good";
                        self.cx.printer.note(text);
                    }
                }
                Event::Announced(announced) => self.announced(announced),
                other => show_common(self.cx, other),
            }
        }
        Ok(())
    }

    fn published(&mut self, published: &Published) {
        if let Some(path) = self.paths.get(self.published) {
            show_published(self.cx, published, path);
        }
        self.published += 1;
        let link = published.ticket.as_ref().unwrap_or(&published.cid);
        self.cx.printer.note(&format!("shoal get {link}"));
    }

    fn announced(&mut self, announced: &Announced) {
        let what = match self.paths {
            [_] => String::new(),
            paths => {
                paths.get(self.announced).map(|path| format!("{}: ", path.display())).unwrap_or_default()
            }
        };
        self.announced += 1;
        let time = elapsed(Duration::from_millis(announced.elapsed_ms));
        let Announced { acknowledged, asked, .. } = announced;
        if *asked == 0 {
            return self.cx.printer.note(&format!("{what}not announced"));
        }
        self.cx
            .printer
            .note(&format!("{what}announced to {acknowledged} of {} in {time}", count(*asked, "node")));
    }
}

async fn only_hash(cx: &Context, args: &Args) -> Result<(), Failure> {
    for path in &args.paths {
        let start = Instant::now();
        let mut naming = shoal_node::name_of(absolute(path)?);
        let mut drawing = Drawing::new(&cx.printer);
        let named = cx
            .unless_stopped(async {
                while let Some(progress) = naming.next().await {
                    drawing.show(&progress.into());
                }
                Ok(naming.await?)
            })
            .await?;
        drop(drawing);
        let events = json::events_of_naming(&named, start.elapsed());
        for event in events {
            cx.printer.event(&event);
            match &event {
                Event::Published(published) => show_published(cx, published, path),
                other => show_common(cx, other),
            }
        }
    }
    Ok(())
}

/// Shows what publishing and hashing have in common.
fn show_common(cx: &Context, event: &Event) {
    match event {
        Event::Skipped(skipped) => {
            let reason: Vec<_> = skipped.reason.split(": ").map(cause).collect();
            cx.printer.note(&format!("skipped {}: {}", skipped.path, reason.join(": ")));
        }
        Event::Warning(warning) => cx.printer.warning(&warning.message),
        _ => {}
    }
}

/// Shows a result as `b3sum` would, with the path as it was given.
fn show_published(cx: &Context, published: &Published, path: &Path) {
    if cx.printer.quiet() {
        return cx.printer.result(&published.cid);
    }
    cx.printer.path_result(&format!("{}  ", published.cid), path);
    let time = Duration::from_millis(published.elapsed_ms);
    let mut text = format!("{}, {}", count(published.files, "file"), size(published.size));
    match (published.hashed, published.unchanged) {
        (0, 1..) => text.push_str(", unchanged since the last time"),
        // Nobody can tell a rate from a moment.
        (_, 0) if time < MEASURABLE => {}
        (hashed, 0) => text.push_str(&format!(" in {} ({})", elapsed(time), rate(hashed, time))),
        (hashed, _) => text.push_str(&format!(", {} of it new, in {}", size(hashed), elapsed(time))),
    }
    if published.skipped > 0 {
        text.push_str(&format!(", {} skipped", published.skipped));
    }
    cx.printer.note(&text);
}
