//! `shoal stop`: stop the running node.

use shoal_gateway::json;

use crate::{Context, failure::Failure, session};

/// Stop the running node
///
/// Returns once it has stopped and another one can start.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(cx: &Context, _: &Args) -> Result<(), Failure> {
    let client = session::running(cx).await?;
    cx.unless_stopped(async {
        let mut answer = client.post(&json::Stop {}).await?;
        while answer.next().await?.is_some() {}
        Ok(())
    })
    .await?;
    session::freed(cx).await
}
