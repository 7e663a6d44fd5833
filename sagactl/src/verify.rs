//! `cargo verify`: every check of this repository, in the order that fails fastest.
//!
//! One stack is started for all tests; the demo and the fuzzing start one of their own, as a person
//! would. What ran and how long it took is printed at the end: nothing is skipped in silence.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use devstack::{Parts, Source, Stack};

use crate::{
    cargo, compose,
    screen::{self, Board},
};

/// Which checks to run.
#[derive(Debug, Args)]
pub struct Options {
    /// Only the checks whose name contains this.
    #[arg(long)]
    only: Option<String>,
}

/// Where the parts that a check needs come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    /// It needs none, or starts its own.
    Nothing,
    /// Local processes.
    Native,
    /// Containers.
    Docker,
    /// It starts its own, in containers.
    OwnDocker,
    /// It needs none, but tools that come by Go.
    Go,
}

struct Check {
    name: &'static str,
    command: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    beside: Beside,
    /// How often it may be tried. Twice where only a compiler runs: the same sources give the same
    /// outcome, so a second one that is better tells of a tool that crashed, not of luck in a test.
    attempts: usize,
}

const fn check(name: &'static str, command: &'static [&'static str]) -> Check {
    Check { name, command, environment: &[], beside: Beside::Nothing, attempts: 1 }
}

/// A check in which nothing runs but a compiler.
const fn compile(name: &'static str, command: &'static [&'static str]) -> Check {
    Check { attempts: 2, ..check(name, command) }
}

/// The checks. `--workspace` in all of them: one set of features, one build of each dependency.
const CHECKS: [Check; 11] = [
    check("format", &["cargo", "fmt", "--all", "--check"]),
    check("dependencies", &["cargo", "deny", "check", "bans", "licenses", "sources"]),
    compile(
        "lints",
        &["cargo", "clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
    ),
    Check {
        environment: &[("RUSTDOCFLAGS", "-D warnings")],
        ..compile(
            "documents",
            &["cargo", "doc", "--workspace", "--no-deps", "--document-private-items", "--locked"],
        )
    },
    Check {
        beside: Beside::Go,
        ..check("manifests", &["cargo", "run", "--bin", "sagactl", "--", "manifests"])
    },
    compile("build", &["cargo", "build", "--workspace", "--all-targets", "--locked"]),
    Check {
        beside: Beside::Native,
        ..check("tests", &["cargo", "test", "--workspace", "--locked", "--no-fail-fast"])
    },
    check(
        "demo",
        &["cargo", "run", "--bin", "sagactl", "--", "demo", "--once", "--from", "native"],
    ),
    check("fuzz", &["cargo", "run", "--bin", "sagactl", "--", "fuzz", "--from", "native"]),
    Check {
        beside: Beside::Docker,
        ..check("tests in Docker", &["cargo", "test", "--workspace", "--locked", "--no-fail-fast"])
    },
    Check {
        beside: Beside::OwnDocker,
        ..check("compose", &["cargo", "run", "--bin", "sagactl", "--", "compose-test"])
    },
];

/// How the outcome of a check begins that has failed.
const FAILED: &str = "FAILED";

/// Runs them all, one after the other, and ends at the first that fails.
pub async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let mut report = Vec::new();
    for check in &CHECKS {
        if options.only.as_ref().is_some_and(|only| !check.name.contains(only.as_str())) {
            continue;
        }
        if let Some(reason) = obstacle(check).await {
            report.push((check.name, format!("not run: {reason}")));
            continue;
        }
        screen::say(format_args!("\n==> {}: {}", check.name, check.command.join(" ")));
        let outcome = tried(check).await?;
        let failed = outcome.starts_with(FAILED);
        report.push((check.name, outcome));
        if failed {
            break;
        }
    }
    screen::say("\nWhat ran:");
    for (name, outcome) in &report {
        screen::say(format_args!("  {name:<16} {outcome}"));
    }
    let failed = report.iter().any(|(_, outcome)| outcome.starts_with(FAILED));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Performs a check as often as it may be tried, and says how that ended.
async fn tried(check: &Check) -> anyhow::Result<String> {
    let began = Instant::now();
    for attempt in 1..=check.attempts {
        if perform(check).await? {
            let again = if attempt > 1 { ", at the second attempt" } else { "" };
            return Ok(format!("passed in {}{again}", seconds(began.elapsed())));
        }
        if attempt < check.attempts {
            screen::say(format_args!(
                "\n==> {}: once more, to tell a tool that crashed from code that is wrong",
                check.name
            ));
        }
    }
    Ok(format!("{FAILED} in {}", seconds(began.elapsed())))
}

/// Why a check cannot be run here.
async fn obstacle(check: &Check) -> Option<String> {
    match check.beside {
        Beside::Nothing | Beside::Native => None,
        Beside::Go => (!devstack::go_answers().await).then(|| "Go is not here".to_owned()),
        Beside::Docker | Beside::OwnDocker if !devstack::docker_answers().await => {
            Some("no Docker engine answers here".to_owned())
        }
        Beside::Docker | Beside::OwnDocker => {
            let image = compose::image_out_of_reach().await?;
            Some(format!("{image} is not here and cannot be fetched"))
        }
    }
}

async fn perform(check: &Check) -> anyhow::Result<bool> {
    let source = match check.beside {
        Beside::Nothing | Beside::OwnDocker | Beside::Go => return execute(check, &[]).await,
        Beside::Native => Source::Native,
        Beside::Docker => Source::Docker,
    };
    let stack = Stack::start(source, Parts::all().forgetful(), &Board::new()).await?;
    let outcome = execute(check, &stack.exports()).await;
    stack.stop().await;
    outcome
}

async fn execute(check: &Check, stack: &[(&'static str, String)]) -> anyhow::Result<bool> {
    if check.command.starts_with(&["cargo", "deny"]) {
        provide_cargo_deny().await?;
    }
    let status = cargo::command(check.command[0])
        .args(&check.command[1..])
        .envs(check.environment.iter().copied())
        .envs(stack.iter().map(|(name, value)| (*name, value.as_str())))
        .status()
        .await
        .with_context(|| format!("{} cannot be run", check.command[0]))?;
    Ok(status.success())
}

/// The one tool that a toolchain does not bring along. Its version is pinned: rules change.
async fn provide_cargo_deny() -> anyhow::Result<()> {
    let known = cargo::command("cargo").args(["deny", "--version"]).output().await?;
    if known.status.success() {
        return Ok(());
    }
    screen::say("installing cargo-deny, once per machine");
    let status = cargo::command("cargo")
        .args(["install", "--locked", "--quiet", "cargo-deny@0.20.2"])
        .status()
        .await?;
    anyhow::ensure!(status.success(), "cargo-deny cannot be installed");
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{}.{} s", time.as_secs(), time.subsec_millis() / 100)
}
