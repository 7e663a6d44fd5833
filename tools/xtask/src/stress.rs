//! `xtask stress-tests`: repeats every test on a machine that is busy with other work.
//!
//! One program burns a core and one keeps the disk's queue full, as neighbours on a shared machine
//! do. A test that fails here once in many rounds fails in CI some day, for a reason that is not in
//! the change: fix the cause, do not raise the limit.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Instant,
};

use anyhow::Context as _;
use clap::Args;
use devstack::{ServerSource, ServerStack, SilentProgress, WantedParts};
use sagactl::screen::say;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::{cargo, verify::tools};

/// What is run, and how often.
#[derive(Debug, Args)]
pub struct StressOptions {
    /// Number of runs of each test.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Tests to run, as a nextest filter expression.
    #[arg(long, default_value = "not binary(models)")]
    filter: String,
    /// Adds no load of its own to the machine.
    #[arg(long)]
    idle: bool,
    /// Directory for the output of each round.
    #[arg(long, default_value = "target/stress-tests")]
    logs: PathBuf,
}

/// Ends with the process that started it.
const BURN_A_CORE: &str = r#"
while kill -0 "$PPID" 2>/dev/null; do
  i=0
  while [ $i -lt 100000 ]; do i=$((i + 1)); done
done
"#;
/// The same. The file stays small; each write waits until the disk has it.
const FILL_THE_DISK_QUEUE: &str = r#"
while kill -0 "$PPID" 2>/dev/null; do
  dd if=/dev/zero of="$0" bs=1M count=64 conv=fsync status=none
done
"#;

/// How often a test passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct TestCount {
    passed: u32,
    failed: u32,
}

type TestCounts = BTreeMap<String, TestCount>;

/// Runs all rounds and says which tests failed how often.
pub async fn run(options: StressOptions) -> anyhow::Result<ExitCode> {
    fs::create_dir_all(&options.logs)?;
    let scratch = TempDir::new()?;
    let stack =
        ServerStack::start(ServerSource::Native, WantedParts::all().forgetful(), &SilentProgress)
            .await?;
    let _neighbours = if options.idle { vec![] } else { neighbours(scratch.path())? };
    let mut counts = TestCounts::new();
    for n in 1..=options.rounds {
        let began = Instant::now();
        let before = failures(&counts);
        round(&options, n, &stack, &mut counts).await?;
        let (new, seconds) = (failures(&counts) - before, began.elapsed().as_secs());
        say(format_args!("round {n} of {}: {new} failures, {seconds} s", options.rounds));
    }
    stack.stop().await;
    Ok(report(&counts, &options.logs))
}

fn neighbours(scratch: &Path) -> anyhow::Result<Vec<Child>> {
    let file = scratch.join("zeroes");
    [BURN_A_CORE, FILL_THE_DISK_QUEUE]
        .into_iter()
        .map(|script| {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", script]).arg(&file).stdin(Stdio::null()).kill_on_drop(true);
            shell.spawn().context("/bin/sh cannot be started")
        })
        .collect()
}

/// Runs every test once; what was printed is kept.
async fn round(
    options: &StressOptions,
    n: u32,
    stack: &ServerStack,
    counts: &mut TestCounts,
) -> anyhow::Result<()> {
    let log = fs::File::create(options.logs.join(format!("round-{n}.log")))?;
    let mut command = cargo::command(&tools::program("cargo-nextest").await?.to_string_lossy());
    command
        .args(["nextest", "run", "--workspace", "--locked", "--no-fail-fast"])
        .args(["--message-format", "libtest-json", "-E", &options.filter])
        .env("NEXTEST_EXPERIMENTAL_LIBTEST_JSON", "1")
        .envs(stack.exports())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    let mut nextest = command.spawn().context("cargo-nextest cannot be run")?;
    let output = nextest.stdout.take().context("cargo-nextest has no output")?;
    let mut lines = BufReader::new(output).lines();
    let mut tests = 0;
    while let Some(line) = lines.next_line().await? {
        tests += u32::from(note(&line, counts));
    }
    let status = nextest.wait().await?;
    anyhow::ensure!(tests > 0, "no test was run ({status}): see {}", options.logs.display());
    Ok(())
}

/// Counts what a line of nextest's output says of a test; whether it says how one ended.
fn note(line: &str, counts: &mut TestCounts) -> bool {
    let event: Value = serde_json::from_str(line).unwrap_or_default();
    let (Some("test"), Some(name)) = (event["type"].as_str(), event["name"].as_str()) else {
        return false;
    };
    let (passed, failed) = match event["event"].as_str() {
        Some("ok") => (1, 0),
        Some("failed" | "timeout") => (0, 1),
        Some(_) | None => return false,
    };
    let count = counts.entry(name.to_owned()).or_default();
    count.passed += passed;
    count.failed += failed;
    true
}

fn failures(counts: &TestCounts) -> u32 {
    counts.values().map(|count| count.failed).sum()
}

fn report(counts: &TestCounts, logs: &Path) -> ExitCode {
    let failed = failures(counts);
    for (name, count) in counts.iter().filter(|(_, count)| count.failed > 0) {
        say(format_args!("  failed {} of {}: {name}", count.failed, count.failed + count.passed));
    }
    let passed: u32 = counts.values().map(|test_count| test_count.passed).sum();
    if failed > 0 {
        say(format_args!("output of each round: {}", logs.display()));
    }
    say(format_args!("{passed} passed, {failed} failed"));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_and_failed_tests_are_counted_by_name_and_other_lines_are_not() {
        let mut counts = TestCounts::new();
        let lines = [
            r#"{"type":"suite","event":"started","test_count":2}"#,
            r#"{"type":"test","event":"started","name":"a::it$x"}"#,
            r#"{"type":"test","event":"ok","name":"a::it$x","exec_time":0.1}"#,
            r#"{"type":"test","event":"failed","name":"a::it$x","stdout":"no"}"#,
            r#"{"type":"test","event":"ok","name":"b$y"}"#,
            "not of nextest",
        ];
        assert_eq!(lines.into_iter().filter(|line| note(line, &mut counts)).count(), 3);
        assert_eq!(counts["a::it$x"], TestCount { passed: 1, failed: 1 });
        assert_eq!(counts["b$y"], TestCount { passed: 1, failed: 0 });
        assert_eq!(failures(&counts), 1);
    }
}
