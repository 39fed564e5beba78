//! `shoal limit`: how fast the running node moves content.

use shoal_gateway::json::{self, Event, Rates};

use crate::{Context, args::Speed, failure::Failure, output::size, session};

const EXAMPLES: &str = "\
Examples:
  shoal limit
  shoal limit --up 500k --down 2M
  shoal limit --up none";

/// Show or change how fast the running node moves content
///
/// Without options it shows the limits. A change holds at once, for what is under way too, until the node stops; put
/// up = "500k" into config.toml for those that come later.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Send no more than this per second, like 500k, 2M or 1GiB; none for no limit
    #[arg(long, value_name = "RATE")]
    up: Option<Speed>,
    /// Receive no more than this per second
    #[arg(long, value_name = "RATE")]
    down: Option<Speed>,
    /// Send no more than this per second to each peer
    #[arg(long, value_name = "RATE")]
    up_per_peer: Option<Speed>,
    /// Receive no more than this per second from each peer
    #[arg(long, value_name = "RATE")]
    down_per_peer: Option<Speed>,
}

pub(crate) async fn run(cx: &Context, args: &Args) -> Result<(), Failure> {
    let client = session::running(cx).await?;
    let wanted = json::SetRates {
        up: args.up.map(Speed::bytes),
        down: args.down.map(Speed::bytes),
        up_per_peer: args.up_per_peer.map(Speed::bytes),
        down_per_peer: args.down_per_peer.map(Speed::bytes),
    };
    let asked = async {
        if wanted == json::SetRates::default() {
            client.get_one(json::RATES).await
        } else {
            client.post_one(&wanted).await
        }
    };
    let event = cx.unless_stopped(asked).await?;
    if let Event::Rates(rates) = &event {
        for (name, limit) in rows(rates) {
            cx.printer.result(&format!("{name:<14} {limit}"));
        }
    }
    cx.printer.event(&event);
    Ok(())
}

fn rows(rates: &Rates) -> [(&'static str, String); 4] {
    [
        ("up", words(rates.up)),
        ("down", words(rates.down)),
        ("up per peer", words(rates.up_per_peer)),
        ("down per peer", words(rates.down_per_peer)),
    ]
}

/// The limits that there are, on one line.
pub(super) fn line(rates: &Rates) -> String {
    let limited = [rates.up, rates.down, rates.up_per_peer, rates.down_per_peer].map(|rate| rate.is_some());
    let shown = rows(rates).into_iter().zip(limited).filter(|(_, limited)| *limited);
    let shown: Vec<String> = shown.map(|((name, limit), _)| format!("{name} {limit}")).collect();
    if shown.is_empty() { "no limit".to_owned() } else { shown.join(", ") }
}

fn words(rate: Option<u64>) -> String {
    rate.map_or_else(|| "no limit".to_owned(), |bytes| format!("{}/s", size(bytes)))
}
