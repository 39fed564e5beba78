//! How long until the first byte: from a connected peer when nothing else goes on and beside a transfer that takes
//! all there is, and from the start of a process.

mod api;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use shoal_gateway::json::{Event, Peer};

use super::{
    Run,
    contender::as_f64,
    links::Link,
    meter,
    record::Record,
    report::{Bound, Goal, Report, with_spread},
    scene::{Original, Place},
    stats,
    svg::{Chart, Ours},
};
use crate::{
    sample,
    shoal::{Daemon, Running, Shoal},
    table::Table,
};

/// Small gets in each block, of which the median counts.
const GETS: usize = 9;

/// The size of a small file.
const SMALL: u64 = 1024;

const MIB: f64 = 1_048_576.0;

/// What a new process needs before it may ask for a byte: two for TCP and TLS, one for the question.
const ROUND_TRIPS_COLD: u64 = 3;

/// What a new process may need beside that, in milliseconds: most of it is the first handshake's.
const COLD_BEYOND_MS: f64 = 50.0;

/// Where the two sides live.
struct Hosts {
    provider: Shoal,
    provider_options: Vec<String>,
    getter: Shoal,
    getter_options: Vec<String>,
    /// What the large get must have before it counts as one that takes all there is.
    warmed_up: u64,
}

pub(crate) fn measure(run: &mut Run<'_>) -> Result<()> {
    let large = large_file(run)?;
    let hosts = Hosts {
        provider: run.shoal.clone(),
        provider_options: run.shoal.on_loopback(),
        getter: run.shoal.clone(),
        getter_options: run.shoal.on_loopback(),
        warmed_up: 1,
    };
    measure_between(run, &hosts, &large)
}

/// The same with a long link between the two.
pub(crate) fn measure_far(run: &mut Run<'_>) -> Result<()> {
    let large = large_file(run)?;
    let link = Link::lay(run, "cubic", Original::file(&large)?)?;
    link.gate(run)?;
    let Place { server, client, address } = &link.scene.place;
    let under = |words: &[String]| run.shoal.under(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let options = |address: &str| -> Vec<String> {
        let listen = format!("/ip4/{address}/tcp/0");
        ["--network", run.shoal.network(), "--no-mdns", "--listen", &listen].map(str::to_owned).into()
    };
    let hosts = Hosts {
        provider: under(server),
        provider_options: options(&address.to_string()),
        getter: under(client),
        getter_options: options("0.0.0.0"),
        // By then the link is full.
        warmed_up: run.record.setting("size") / 4,
    };
    measure_between(run, &hosts, &large)
}

fn large_file(run: &Run<'_>) -> Result<PathBuf> {
    let large = run.dir.join("large.bin");
    sample::write_file(&large, run.seed, run.record.setting("size"))?;
    sample::make_old(&large)?;
    Ok(large)
}

fn measure_between(run: &mut Run<'_>, hosts: &Hosts, large: &Path) -> Result<()> {
    for block in 0..=run.blocks {
        let dir = run.dir.join("block");
        let measured = measure_block(run, hosts, &dir, large, block)?;
        fs::remove_dir_all(&dir)?;
        if block > 0 {
            for (quantity, value) in measured {
                run.record.samples.push(quantity, value);
            }
        }
        run.tell_block(block)?;
    }
    Ok(())
}

fn measure_block(
    run: &Run<'_>,
    hosts: &Hosts,
    dir: &Path,
    large: &Path,
    block: u32,
) -> Result<Vec<(&'static str, f64)>> {
    let provider = Daemon::start(&hosts.provider, &dir.join("provider"), &hosts.provider_options)?;
    let mut options = hosts.getter_options.clone();
    options.extend(["--peer".to_owned(), provider.address()?]);

    let start = Instant::now();
    let getter = Daemon::start(&hosts.getter, &dir.join("getter"), &options)?;
    let ready = millis(start.elapsed());
    let idle_memory = as_f64(meter::memory(getter.ready().pid)?);
    let large = provider.publish(large)?;
    let mut small = Vec::new();
    for number in 0..GETS * 2 + 1 {
        let file = dir.join(format!("small-{number}.bin"));
        sample::write_file(&file, run.seed.wrapping_add(1000 * u64::from(block) + number as u64 + 1), SMALL)?;
        sample::make_old(&file)?;
        small.push(provider.publish(&file)?);
    }
    let round_trip = round_trip(&getter)?;
    let mut names = small.into_iter().enumerate();
    let mut first_bytes = |count: usize| -> Result<f64> {
        let mut times = Vec::new();
        for (number, cid) in names.by_ref().take(count) {
            let target = dir.join(format!("got-{number}.bin"));
            times.push(millis(api::first_byte(Path::new(&getter.ready().socket), &cid, &target)?));
        }
        Ok(stats::spread(&times).context("there is no small file left")?.median)
    };
    let idle = first_bytes(GETS)?;

    let target = dir.join("large.got").display().to_string();
    let transfer = hosts.getter.start(&dir.join("getter"), &["get", &large, "-o", &target])?;
    wait_for_bytes(&transfer, hosts.warmed_up)?;
    let busy = first_bytes(GETS)?;
    let still_busy = !has_ended(&transfer)?;
    if !still_busy {
        bail!("the large file was there before the small ones: it has to be larger");
    }
    drop(transfer);

    let cid = names.next().context("there is no small file left")?.1;
    let start = Instant::now();
    let mut args = vec!["get".to_owned(), cid, "-o".to_owned(), dir.join("cold.bin").display().to_string()];
    args.extend(options);
    let get = hosts.getter.start(&dir.join("cold"), &args)?;
    wait_for_source(&get)?;
    let cold = millis(start.elapsed());
    get.finish()?;
    let cold_all = millis(start.elapsed());
    Ok(vec![
        ("start to ready", ready),
        ("idle memory", idle_memory),
        ("round trip", round_trip),
        ("first byte idle", idle),
        ("first byte busy", busy),
        ("first byte cold", cold),
        ("get cold", cold_all),
    ])
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// What a connected peer takes to answer a ping, in milliseconds.
fn round_trip(daemon: &Daemon) -> Result<f64> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        let known = daemon.run(&["peers"])?.into_iter().find_map(|event| match event {
            Event::Peer(Peer { round_trip_us: Some(micros), .. }) => Some(micros),
            _ => None,
        });
        if let Some(micros) = known {
            return Ok(millis(Duration::from_micros(micros)));
        }
    }
    bail!("no peer answered a ping")
}

fn wait_for_bytes(get: &Running, bytes: u64) -> Result<()> {
    loop {
        match get.next()? {
            Event::Progress(progress) if progress.bytes >= bytes => return Ok(()),
            Event::Done(done) => bail!("the get ended too soon: {done:?}"),
            _ => {}
        }
    }
}

fn wait_for_source(get: &Running) -> Result<()> {
    loop {
        match get.next()? {
            Event::Source(_) | Event::Fetched(_) => return Ok(()),
            Event::Done(done) => bail!("the get failed: {done:?}"),
            _ => {}
        }
    }
}

/// Whether a get has told by now that it is done.
fn has_ended(get: &Running) -> Result<bool> {
    use crate::process::Heard;
    loop {
        match get.process().hear(Instant::now())? {
            Heard::Event(Event::Fetched(_) | Event::Done(_)) | Heard::End => return Ok(true),
            Heard::Event(_) => {}
            Heard::Nothing => return Ok(false),
        }
    }
}

pub(crate) fn report(record: &Record) -> Report {
    let of = |quantity: &str| record.samples.of(quantity);
    let minus = |of_this: &str, that: &str| -> Vec<f64> {
        of(of_this).iter().zip(of(that)).map(|(this, that)| this - that).collect()
    };
    let mut table = Table::new(&["", "ms"]);
    let mut chart = Chart::new("milliseconds until the first byte (shorter is better)");
    for (quantity, name) in [
        ("round trip", "round trip as the node measures it"),
        ("first byte idle", "first byte of 1 KiB, connected, idle"),
        ("first byte busy", "the same beside a large get from the same peer"),
        ("start to ready", "`shoal start` until it serves"),
        ("first byte cold", "`shoal get` of 1 KiB in a new process until the first byte"),
        ("get cold", "the same until the process has ended"),
    ] {
        table.row([name.to_owned(), with_spread(of(quantity))]);
        if quantity != "round trip" {
            chart.bar(quantity, of(quantity), Ours::Yes);
        }
    }
    let idle = Goal::new(
        "G11 idle: ms beyond one round trip",
        &minus("first byte idle", "round trip"),
        Bound::AtMost(5.0),
    );
    let busy = Goal::new(
        "G11 busy: ms more than idle",
        &minus("first byte busy", "first byte idle"),
        Bound::AtMost(10.0),
    );
    let far = record.setting("round trip ms");
    let beyond_start = minus("first byte cold", "start to ready");
    if far > 0 {
        let dial_and_ask = f64::from(u32::try_from(ROUND_TRIPS_COLD * far).unwrap_or(u32::MAX));
        let beyond: Vec<f64> = beyond_start.iter().map(|took| took - dial_and_ask).collect();
        let cold = Goal::new(
            "G12 cold: ms beyond `start` and three round trips",
            &beyond,
            Bound::AtMost(COLD_BEYOND_MS),
        );
        return Report {
            title: format!(
                "links-seek: how long until the first byte, {} Mbit/s, round trip {far} ms",
                record.setting("rate") * 8 / 1_000_000
            ),
            tables: vec![table],
            goals: [idle, busy, cold].into_iter().flatten().collect(),
            charts: vec![chart],
        };
    }
    let memory: Vec<f64> = of("idle memory").iter().map(|bytes| bytes / MIB).collect();
    let goals = [
        idle,
        busy,
        Goal::new(
            "G12 cold: ms beyond `start`, to dial and ask",
            &beyond_start,
            Bound::AtMost(COLD_BEYOND_MS),
        ),
        Goal::new("G13 `start` until it serves, ms", of("start to ready"), Bound::AtMost(100.0)),
        Goal::new("G14 idle memory, MiB", &memory, Bound::AtMost(20.0)),
    ];
    Report {
        title: "seek: how long until the first byte".to_owned(),
        tables: vec![table],
        goals: goals.into_iter().flatten().collect(),
        charts: vec![chart],
    }
}
