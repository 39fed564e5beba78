//! Shares a path from one node and fetches it with another, in one program: `cargo run --example embed -- PATH`.

use std::{error::Error, path::PathBuf};

use futures::StreamExt;
use shoal_node::{Cid, Multiaddr, Node};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path: PathBuf = std::env::args_os().nth(1).ok_or("which path?")?.into();
    let place = std::env::temp_dir().join(format!("shoal-embed-{}", std::process::id()));

    let giver = Node::builder()
        .home(place.join("giver"))
        .network("embed".parse()?)
        .listen("/ip4/127.0.0.1/tcp/0".parse()?)
        .mdns(false)
        .start()
        .await?;
    let shared = giver.publish(&path).await?;
    report(&format!("{}  {}", shared.cid(), shared.path().display()));

    let fetched = fetch(shared.cid(), giver.addresses(), place.join("taker"), place.join("out")).await?;
    report(&format!("fetched into {}", fetched.display()));
    giver.stop().await?;
    Ok(())
}

async fn fetch(
    cid: Cid,
    peers: Vec<Multiaddr>,
    home: PathBuf,
    out: PathBuf,
) -> Result<PathBuf, Box<dyn Error>> {
    let mut builder = Node::builder().home(home).network("embed".parse()?).mdns(false);
    for peer in peers {
        builder = builder.peer(peer);
    }
    let taker = builder.start().await?;
    let mut get = taker.get(cid).to(out.join("content")).start();
    while let Some(progress) = get.next().await {
        report(&format!("{}: {} of {:?} bytes", progress.stage.word(), progress.verified, progress.total));
    }
    let fetched = get.await?;
    taker.stop().await?;
    Ok(fetched.path)
}

#[expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]
fn report(line: &str) {
    println!("{line}");
}
