//! A directory of many small files from one source over loopback.

use anyhow::Result;

use super::{
    Run,
    contender::as_f64,
    race,
    record::Record,
    report::{Bound, Goal, Report, with_spread},
    rivals::ALL,
    scene::{Original, Place, Scene},
    stats,
};
use crate::{sample, table::Table};

/// The size of each file.
pub(crate) const EACH: u64 = 1024;

pub(crate) fn measure(run: &mut Run<'_>) -> Result<()> {
    let path = run.dir.join("original/many");
    let files = run.record.setting("files");
    sample::write_equal(&path, run.seed, files, EACH)?;
    let original = Original::directory(&path, files * EACH)?;
    let scene = Scene::set(run.launcher, run.shoal, Place::loopback(), original, run.dir)?;
    let entries: Vec<_> = ALL.iter().filter(|entry| entry.takes_directories()).collect();
    let contenders = race::start(run, &scene, &entries)?;
    race::race(run, &scene, contenders)
}

pub(crate) fn report(record: &Record) -> Report {
    let files = record.setting("files");
    let mut table = Table::new(&["contender", "files/s", "CPU-s send + receive"]);
    for name in race::measured(&record.samples) {
        let of = |quantity: &str| record.samples.of(&format!("{name} {quantity}"));
        let rates: Vec<f64> = of("wall").iter().map(|wall| as_f64(files) / wall).collect();
        let cpu = format!("{} + {}", with_spread(of("send cpu")), with_spread(of("receive cpu")));
        table.row([name.to_owned(), with_spread(&rates), cpu]);
    }
    let by_rsync = stats::ratios(record.samples.of("shoal wall"), record.samples.of("rsync daemon wall"));
    let mut record = record.clone();
    record.settings.insert("size".to_owned(), files * EACH);
    Report {
        title: format!("small-files: {files} files of {EACH} bytes from one source over loopback"),
        tables: vec![race::table(&record), table],
        goals: Goal::new("G10 time, by that of rsync daemon", &by_rsync, Bound::AtMost(3.0))
            .into_iter()
            .collect(),
        charts: race::charts(&record, &format!("{files} files of {EACH} bytes, loopback")),
    }
}
