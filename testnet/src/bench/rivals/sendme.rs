//! Sendme from iroh, with its relays and its discovery off.

use std::fs;

use anyhow::{Context, Result};

use super::{Contender, Scene};

/// A sender whose ticket holds its address. Importing the original is not part of a fetch.
pub(super) fn start(name: &'static str, scene: &Scene) -> Result<Contender> {
    let work = scene.dir.join("sendme");
    fs::create_dir_all(&work)?;
    let mut command = scene.on_server(name);
    command.current_dir(&work).args([
        "send",
        "--relay",
        "disabled",
        "--no-progress",
        "--ticket-type",
        "addresses",
    ]);
    command.arg(format!("--magic-ipv4-addr={}:0", scene.place.address)).arg(&scene.original.path);
    let server = scene.serve(name, command)?;
    let ticket = server.wait_for_line(|line| line.strip_prefix("sendme receive ").map(str::to_owned))?;
    let ticket = ticket.split_whitespace().next().context("sendme printed no ticket")?.to_owned();
    let scene = scene.clone();
    let from =
        if scene.place.client.is_empty() { scene.place.address.to_string() } else { "0.0.0.0".to_owned() };
    Ok(Contender::new(name, server, move |folder| {
        let mut command = scene.on_client(name);
        command.current_dir(folder).args(["receive", "--relay", "disabled", "--no-progress"]);
        command.arg(format!("--magic-ipv4-addr={from}:0")).arg(&ticket);
        Ok(command)
    }))
}
