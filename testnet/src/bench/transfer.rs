//! One large file from one source over loopback.

use anyhow::Result;

use super::{
    Run,
    contender::as_f64,
    race,
    record::Record,
    report::{Bound, Goal, Report},
    rivals::{ALL, FULL},
    scene::{Original, Place, Scene},
};
use crate::{sample, table};

/// What one side may have in memory at once, in MiB, whatever the size of the file.
const PEAK_MIB: f64 = 80.0;

pub(crate) fn measure(run: &mut Run<'_>) -> Result<()> {
    let path = run.dir.join("original/large.bin");
    sample::write_file(&path, run.seed, run.record.setting("size"))?;
    let original = Original::file(&path)?;
    let scene = Scene::set(run.launcher, run.shoal, Place::loopback(), original, run.dir)?;
    let contenders = race::start(run, &scene, &ALL.iter().collect::<Vec<_>>())?;
    race::race(run, &scene, contenders)
}

pub(crate) fn report(record: &Record) -> Report {
    let peak = |side: &str| -> Vec<f64> {
        record.samples.of(&format!("shoal {side} peak")).iter().map(|bytes| bytes / as_f64(1 << 20)).collect()
    };
    let goals = [
        race::speed_goal(record, "G1", FULL, 0.75),
        race::speed_goal(record, "G1", "curl https", 1.0),
        race::speed_goal(record, "G1", "sendme", 4.0),
        race::speed_goal(record, "G1", "rqbit", 2.0),
        race::cpu_goal(record, "G2", FULL, 1.3),
        race::cpu_goal(record, "G2", "sendme", 0.3),
        Goal::new("G15 peak memory of the sender, MiB", &peak("send"), Bound::AtMost(PEAK_MIB)),
        Goal::new("G15 peak memory of the receiver, MiB", &peak("receive"), Bound::AtMost(PEAK_MIB)),
    ];
    let size = table::size(record.setting("size"));
    Report {
        title: format!("transfer: one file of {size} from one source over loopback"),
        tables: vec![race::table(record)],
        goals: goals.into_iter().flatten().collect(),
        charts: race::charts(record, &format!("one file of {size}, loopback")),
    }
}
