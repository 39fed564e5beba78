//! How fast single items are published: from the walk's end until most of those who should hold them do.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::Options;
use crate::{
    bench::svg::{Chart, Ours},
    sim::{
        lookups::{Item, look_up},
        member::Publication,
        network::Network,
        report::{Cell, Report, Sheet, count, number, text},
    },
    stats::Samples,
};

/// Round trips between knowing the nodes and having told them, with what the clock of the simulation adds.
const TELLING: f64 = 1.1;

/// Publishes single items, over connections that are open and over ones that are not, and lets others find them.
pub(super) async fn publishes(network: &Network, options: &Options, report: &mut Report) -> Result<()> {
    let mut sheet = Sheet::new(
        "From a publish until three of four holders hold it; times in round trips",
        &[
            "connections",
            "publishes",
            "walk p50",
            "then told p50",
            "then told p75",
            "then told p95",
            "whole p50",
            "whole p95",
            "copies",
            "found at once %",
            "lag ms",
        ],
    );
    let mut chart =
        Chart::new("From knowing the holders to having told them, in round trips (less is better)");
    for connections in ["warm", "cold"] {
        if connections == "cold" {
            sleep(options.rest).await;
        }
        network.internet.clock.take_worst_lag();
        let members = network.alive(connections);
        let (mut done, mut items) = (Vec::new(), Vec::new());
        for (number, publisher) in members.iter().take(options.publishes).enumerate() {
            let key = network.seed.key(connections, number as u64);
            done.push(publisher.announce(vec![key]).await?);
            items.push(Item { key, provider: publisher.host.peer });
        }
        let seekers: Vec<_> = members.iter().rev().take(items.len()).cloned().collect();
        let found = look_up(&seekers, &items, network).await?;
        let of = |time: &dyn Fn(&Publication) -> Option<Duration>| -> Samples {
            done.iter().filter_map(time).map(|time| network.round_trips(time)).collect()
        };
        let walk = of(&|done| done.chosen);
        let told = of(&|done| Some(done.ended.saturating_sub(done.chosen?)));
        let whole = of(&|done| Some(done.ended));
        let acknowledged: Samples = done.iter().map(|done| done.acknowledged as f64).collect();
        sheet.row([
            text(connections),
            count(done.len()),
            number(walk.percentile(50), 2),
            number(told.percentile(50), 2),
            number(told.percentile(75), 2),
            number(told.percentile(95), 2),
            number(whole.percentile(50), 2),
            number(whole.percentile(95), 2),
            number(acknowledged.mean(), 1),
            Cell::Number(found.percent(), 1),
            number(network.internet.clock.take_worst_lag().as_secs_f64() * 1e3, 0),
        ]);
        chart.bar(connections, told.values(), Ours::Yes);
        report.goal(
            format!(
                "with {connections} connections, three of four holders hold it {:.2} round trips after the walk \
                 at p50, {:.2} at p95, at most 1",
                told.percentile(50),
                told.percentile(95)
            ),
            told.percentile(95) <= TELLING && found.found == found.asked,
        );
    }
    report.sheets.push(sheet);
    report.charts.push(chart);
    Ok(())
}
