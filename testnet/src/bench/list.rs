//! The benchmarks, their names and their usual sizes.

use anyhow::Result;
use clap::ValueEnum;

use super::{
    Run, growth, links, publish, record::Record, report::Report, seek, small_files, sources, swarm, transfer,
};

/// The benchmarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Name {
    /// One large file from one source over loopback
    Transfer,
    /// A directory of many small files from one source over loopback
    SmallFiles,
    /// Publishing a large file and very many small ones, the first time and again
    Publish,
    /// How long until the first byte, idle and beside a large transfer
    Seek,
    /// One file from several sources with limited uplinks, and one of them killed midway
    Sources,
    /// One seed and eight who want the same file at once
    Swarm,
    /// One file over 500 Mbit/s and 50 ms, under cubic; needs root
    Links,
    /// One file over 200 Mbit/s and 80 ms with one packet in a hundred lost, under bbr; needs root
    LinksLossy,
    /// How long until the first byte over 500 Mbit/s and 50 ms, idle and beside a large transfer; needs root
    LinksSeek,
    /// How cost grows with sizes and counts
    Growth,
    /// All of them, one after the other; those that need root only as root
    All,
}

impl Name {
    /// Whether only root can run it.
    pub(super) fn needs_root(self) -> bool {
        matches!(self, Self::Links | Self::LinksLossy | Self::LinksSeek)
    }
}

/// What a benchmark needs besides the code: sizes that take minutes, and sizes that take seconds.
pub(super) struct Bench {
    pub(super) name: Name,
    pub(super) word: &'static str,
    pub(super) settings: &'static [(&'static str, u64, u64)],
    pub(super) measure: fn(&mut Run<'_>) -> Result<()>,
    pub(super) report: fn(&Record) -> Report,
}

/// All, in the order in which `all` runs them.
pub(super) const ALL: &[Bench] = &[
    Bench {
        name: Name::Transfer,
        word: "transfer",
        settings: &[("size", 1 << 30, 8 << 20)],
        measure: transfer::measure,
        report: transfer::report,
    },
    Bench {
        name: Name::SmallFiles,
        word: "small-files",
        settings: &[("files", 10_000, 50)],
        measure: small_files::measure,
        report: small_files::report,
    },
    Bench {
        name: Name::Publish,
        word: "publish",
        settings: &[("size", 2 << 30, 8 << 20), ("files", 100_000, 50)],
        measure: publish::measure,
        report: publish::report,
    },
    Bench {
        name: Name::Seek,
        word: "seek",
        settings: &[("size", 2 << 30, 256 << 20)],
        measure: seek::measure,
        report: seek::report,
    },
    Bench {
        name: Name::Sources,
        word: "sources",
        settings: &[("size", 256 << 20, 8 << 20)],
        measure: sources::measure,
        report: sources::report,
    },
    Bench {
        name: Name::Swarm,
        word: "swarm",
        settings: &[("size", 256 << 20, 4 << 20), ("files", 1, 1), ("receivers", 8, 2)],
        measure: swarm::measure,
        report: swarm::report,
    },
    Bench {
        name: Name::Links,
        word: "links",
        settings: &[
            ("size", 256 << 20, 8 << 20),
            ("rate", 500_000_000 / 8, 500_000_000 / 8),
            ("round trip ms", 50, 50),
            ("lost ppm", 0, 0),
        ],
        measure: links::measure_long,
        report: links::report,
    },
    Bench {
        name: Name::LinksLossy,
        word: "links-lossy",
        settings: &[
            ("size", 128 << 20, 4 << 20),
            ("rate", 200_000_000 / 8, 200_000_000 / 8),
            ("round trip ms", 80, 80),
            ("lost ppm", 10_000, 10_000),
        ],
        measure: links::measure_lossy,
        report: links::report,
    },
    Bench {
        name: Name::LinksSeek,
        word: "links-seek",
        settings: &[
            ("size", 512 << 20, 32 << 20),
            ("rate", 500_000_000 / 8, 500_000_000 / 8),
            ("round trip ms", 50, 50),
            ("lost ppm", 0, 0),
        ],
        measure: seek::measure_far,
        report: seek::report,
    },
    Bench {
        name: Name::Growth,
        word: "growth",
        settings: &[("size", 64 << 20, 64 << 10), ("files", 100, 1)],
        measure: growth::measure,
        report: growth::report,
    },
];
