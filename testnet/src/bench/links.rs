//! One file over links as the internet has them: slow, long, and with losses. Needs root.

mod forward;
mod frame;
mod shaper;
mod tally;
mod wire;

use std::{env, time::Duration};

use anyhow::{Context, Result, ensure};

pub(crate) use self::forward::{Args as WireArgs, run as run_wire};
use self::{shaper::Quality, tally::Tally, wire::Wire};
use super::{
    Run,
    contender::{Check, as_f64},
    floor::Kind,
    race,
    record::Record,
    report::{Bound, Goal, Report, median, with_spread},
    rivals::{self, ALL, OVER_QUIC, SHOAL},
    scene::{Original, Scene, Server},
    svg::{Chart, Ours},
};
use crate::{
    sample,
    table::{self, Table},
};

/// The floor that only sends.
const RAW: &str = "floor raw";

/// Who takes part: those who can be told of each other by address.
const CONTENDERS: [&str; 6] = [SHOAL, OVER_QUIC, RAW, "curl https", "sendme", "rqbit"];

/// What a link's speed and delay may differ from what they should be.
const TOLERANCE: f64 = 0.1;

/// What its losses may differ: chance alone makes it a twentieth for the fewest packets that are measured.
const LOSS_TOLERANCE: f64 = 0.2;

/// What plain TCP leaves of a link: headers, and that a process carries it. Where it is less, the link is another one.
const FILLED: f64 = 0.9;

/// Connects that are timed before anything is measured; the fastest is the round trip.
const CONNECTS: usize = 5;

const MIB: f64 = 1_048_576.0;

/// 500 Mbit/s, 50 ms there and back.
pub(crate) fn measure_long(run: &mut Run<'_>) -> Result<()> {
    measure(run, "cubic")
}

/// 200 Mbit/s, 80 ms, and one packet in a hundred is lost. Under cubic that is a hundredth of the link for everyone.
pub(crate) fn measure_lossy(run: &mut Run<'_>) -> Result<()> {
    measure(run, "bbr")
}

fn measure(run: &mut Run<'_>, usual: &str) -> Result<()> {
    let path = run.dir.join("original/large.bin");
    sample::write_file(&path, run.seed, run.record.setting("size"))?;
    let link = Link::lay(run, usual, Original::file(&path)?)?;
    let entries: Vec<_> = ALL.iter().filter(|entry| CONTENDERS.contains(&entry.name)).collect();
    let contenders = race::start(run, &link.scene, &entries)?;
    link.gate(run)?;
    let before = link.tally();
    race::race(run, &link.scene, contenders)?;
    let Tally { packets, lost, dropped, late, latest } = link.tally().since(before);
    run.record.note(format!(
        "of {packets} packets to the client, {lost} were lost and {dropped} found no room; the link itself was more than \
         1 ms late with {late}, and at most {:.1} ms",
        as_f64(latest) / 1e3
    ));
    Ok(())
}

/// Two hosts and the link between them, as the settings of the run want it. Dropping it removes all of it.
pub(super) struct Link {
    /// What runs on the two hosts.
    pub(super) scene: Scene,
    quality: Quality,
    carrier: Server,
    _wire: Wire,
}

impl Link {
    /// Makes them, for those who fetch `original`. The hosts react to loss as the run says, or as is `usual`.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub(super) fn lay(run: &mut Run<'_>, usual: &str, original: Original) -> Result<Self> {
        let congestion = run.congestion.unwrap_or(usual);
        run.record.note(format!("congestion control of both hosts: {congestion}"));
        let round_trip = Duration::from_millis(run.record.setting("round trip ms"));
        let quality = Quality {
            rate: run.record.setting("rate"),
            delay: round_trip / 2,
            queue: round_trip,
            lost_ppm: u32::try_from(run.record.setting("lost ppm"))?,
        };
        let wire = Wire::lay(congestion)?;
        let scene = Scene::set(run.launcher, run.shoal, wire.place(), original, run.dir)?;
        let carrier = wire.carry(&scene, quality, run.seed)?;
        Ok(Self { scene, quality, carrier, _wire: wire })
    }

    /// What has happened so far to the packets that the client is sent.
    fn tally(&self) -> Tally {
        Tally::last_printed(0, &self.carrier.printed())
    }

    /// Checks that the link is what it should be, with nothing on it but connects and plain TCP.
    ///
    /// # Errors
    ///
    /// It is another one.
    pub(super) fn gate(&self, run: &mut Run<'_>) -> Result<()> {
        let (scene, quality) = (&self.scene, self.quality);
        let (_server, address) = rivals::serve_floor(scene, Kind::Raw)?;
        let mut fastest = f64::MAX;
        for _ in 0..CONNECTS {
            let mut connect = scene.on_client(env::current_exe()?);
            let output = connect.args([rivals::FLOOR, "connect", &address.to_string()]).output()?;
            let printed = String::from_utf8_lossy(&output.stdout);
            fastest = fastest.min(printed.trim().parse().context("connecting over the link")?);
        }
        let (found, nominal) = (fastest / 1e3, quality.delay.as_secs_f64() * 2e3);
        run.record.note(format!("a connect takes {found:.1} ms"));
        ensure!((found / nominal - 1.0).abs() < TOLERANCE, "a connect takes {found:.1} ms, not {nominal} ms");
        let raw = ALL.iter().find(|entry| entry.name == RAW).context("there is no raw floor")?;
        let before = self.tally();
        let cost = raw.start(scene)?.fetch(scene, Check::Nothing)?;
        let Tally { packets, lost, .. } = self.tally().since(before);
        if quality.lost_ppm > 0 {
            let (found, nominal) = (as_f64(lost) / as_f64(packets), f64::from(quality.lost_ppm) / 1e6);
            run.record.note(format!("of {packets} packets {lost} were lost"));
            ensure!((found / nominal - 1.0).abs() < LOSS_TOLERANCE, "of {packets} packets {lost} were lost");
        } else if let Some(rate) = cost.late_rate() {
            // What is over sooner says nothing about the link.
            let share = rate / as_f64(quality.rate);
            run.record.note(format!("plain TCP fills {:.1} % of the link", share * 100.0));
            ensure!((FILLED..=1.0).contains(&share), "plain TCP fills {:.1} % of the link", share * 100.0);
        }
        Ok(())
    }
}

pub(crate) fn report(record: &Record) -> Report {
    let (rate, size) = (as_f64(record.setting("rate")), as_f64(record.setting("size")));
    let lossy = record.setting("lost ppm") > 0;
    let samples = &record.samples;
    let shares = |name: &str| -> Vec<f64> {
        samples.of(&format!("{name} wall")).iter().map(|wall| size / wall / rate).collect()
    };
    let late_shares = |name: &str| -> Vec<f64> {
        samples.of(&format!("{name} late rate")).iter().map(|late| late / rate).collect()
    };
    let mut table = Table::new(&[
        "contender",
        "bytes are",
        "seconds",
        "MiB/s",
        "of the link, start to end",
        "of the link, after 3 s",
        "shoal is",
    ]);
    let mut chart = Chart::new("share of the link from start to end (longer is better)");
    for name in race::measured(samples) {
        let rates: Vec<f64> = shares(name).iter().map(|share| share * rate / MIB).collect();
        table.row([
            name.to_owned(),
            rivals::does(name).to_owned(),
            with_spread(samples.of(&format!("{name} wall"))),
            median(&rates),
            with_spread(&shares(name)),
            with_spread(&late_shares(name)),
            format!("{} × as fast", with_spread(&race::speed_by(samples, name))),
        ]);
        let ours = if name == SHOAL { Ours::Yes } else { Ours::No };
        chart.bar(format!("{name} ({})", rivals::does(name)), &shares(name), ours);
    }
    let goals = if lossy {
        [
            Goal::new("G2b share of the link, start to end", &shares(SHOAL), Bound::AtLeast(0.5)),
            race::speed_goal(record, "G2b", "curl https", 1.0),
        ]
    } else {
        [
            Goal::new("G2b share of the link after 3 s", &late_shares(SHOAL), Bound::AtLeast(0.93)),
            race::speed_goal(record, "G2b", "sendme", 2.0),
        ]
    };
    Report {
        title: format!(
            "links: {} over {} Mbit/s, round trip {} ms, {} packets of a million lost",
            table::size(record.setting("size")),
            record.setting("rate") * 8 / 1_000_000,
            record.setting("round trip ms"),
            record.setting("lost ppm")
        ),
        tables: vec![table],
        goals: goals.into_iter().flatten().collect(),
        charts: vec![chart],
    }
}
