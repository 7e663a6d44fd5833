//! The result of a load in files: JSON, and logs of HDR histograms.

use std::{
    fs,
    io::BufWriter,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use hdrhistogram::serialization::{V2DeflateSerializer, interval_log};
use shared::clock::Clock;

use super::{
    LoadOptions, load_plots,
    order_times::{LatencyKind, by_second},
    report::LoadReport,
};

/// Latencies in a log are written in microseconds, and their greatest in milliseconds.
const MICROS_IN_MILLI: f64 = 1_000.0;

/// Writes the files that the options ask for.
pub fn write(report: &LoadReport, options: &LoadOptions) -> anyhow::Result<()> {
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(report)?;
        fs::write(file, text + "\n")
            .with_context(|| format!("{} is not written", file.display()))?;
    }
    if let Some(folder) = &options.hdr {
        make(folder)?;
        for kind in LatencyKind::ALL {
            write_log(report, kind, &folder.join(format!("{}.hlog", kind.tag())))?;
        }
    }
    if let Some(folder) = &options.svg {
        make(folder)?;
        for (name, svg) in load_plots::all(report)? {
            let file = folder.join(name);
            fs::write(&file, svg).with_context(|| format!("{} is not written", file.display()))?;
        }
    }
    Ok(())
}

fn make(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))
}

/// One interval for each second, in microseconds.
fn write_log(report: &LoadReport, kind: LatencyKind, file: &Path) -> anyhow::Result<()> {
    let seconds = by_second(&report.orders, kind)?;
    let mut out = BufWriter::new(fs::File::create(file)?);
    let mut serializer = V2DeflateSerializer::new();
    let started = SystemTime::from(Clock::System.now());
    let mut log = interval_log::IntervalLogWriterBuilder::new()
        .add_comment(kind.name())
        .with_start_time(started)
        .with_base_time(started)
        .with_max_value_divisor(MICROS_IN_MILLI)
        .begin_log_with(&mut out, &mut serializer)?;
    let tag = interval_log::Tag::new(kind.tag());
    let second = Duration::from_secs(1);
    for (n, histogram) in (0..).zip(&seconds) {
        let start = second * n;
        let written = log.write_histogram(histogram, start, second, tag);
        written.map_err(|error| anyhow::anyhow!("an interval cannot be written: {error:?}"))?;
    }
    Ok(())
}
