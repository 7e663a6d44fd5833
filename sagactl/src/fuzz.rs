//! `sagactl fuzz`: requests that nobody thought of, made up from the descriptions of the APIs.
//!
//! Every operation of the four services is asked with values that its description allows, with values
//! just beyond them and with others; each answer has to be one that the description names and in the
//! form that it says, and none may be our fault. The same seed makes up the same requests. At the end
//! every promise is checked from outside, as after a load.

use std::{
    path::Path,
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use devstack::{Parts, Stack};
use tokio::time::Instant;

use crate::{
    audit::{self, Expected},
    cargo, cli, demo,
    fleet::{self, Fleet, Member},
    load::report,
    screen::{Board, say},
};

/// How much is asked.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Requests of each operation that are made up, at most, beside those at the limits of its values.
    #[arg(long, default_value_t = 25)]
    pub examples: u32,
    /// Another seed makes up other requests.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where broker, database, registry and mail sink come from.
    #[arg(long, value_enum, default_value_t)]
    pub from: cli::From,
}

/// Pinned to the last of what it needs: the same seed is to make up the same requests everywhere.
const REQUIREMENTS: &str = include_str!("../fuzz/requirements.txt");

/// Orders that were placed by chance have to end within this time.
const END_LIMIT: Duration = Duration::from_mins(5);

/// How often the number of open orders is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Starts everything, asks, and says what was answered wrongly.
pub async fn run(options: Options) -> anyhow::Result<ExitCode> {
    demo::build().await?;
    let wheels = devstack::wheels("schemathesis-4.32.5", REQUIREMENTS).await?;
    let board = Board::new();
    let stack = Stack::start(options.from.source(), Parts::all(), &board).await?;
    let fleet = Fleet::start(stack.urls(), fleet::Options::default(), &board).await?;
    let mut faults = Vec::new();
    for member in Member::SERVICES {
        say(format_args!("\n==> {member}"));
        if !ask(&wheels, &fleet.url(member), &options).await? {
            faults.push(format!("{member} answered wrongly: see above"));
        }
    }
    all_end(&fleet).await?;
    faults.extend(audit::audit(&fleet, Expected::default()).await?.faults());
    faults.extend(fleet.stop().await?);
    stack.stop().await;
    say(if faults.is_empty() { "\nEvery answer was one that is described." } else { "" });
    for fault in &faults {
        say(format_args!("  ✘ {fault}"));
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks one service, whose own description says what can be asked.
async fn ask(wheels: &Path, url: &str, options: &Options) -> anyhow::Result<bool> {
    // It keeps what it found in the folder where it runs.
    let folder = tempfile::tempdir()?;
    let mut command = cargo::command("python3");
    command.args(["-m", "schemathesis.cli", "run", &format!("{url}/openapi.json")]);
    // Not that everything in the right form is accepted: a product may be unknown, a key be used.
    command.args(["--checks", "all", "--exclude-checks", "positive_data_acceptance"]);
    command.args(["--phases", "examples,coverage,fuzzing", "--no-color"]);
    command.args(["--suppress-health-check", "all", "--generation-deterministic"]);
    command.args(["--seed", &options.seed.to_string()]);
    command.args(["--max-examples", &options.examples.to_string()]);
    command.env("PYTHONPATH", wheels).env("PYTHONDONTWRITEBYTECODE", "1");
    let status = command.current_dir(folder.path()).stdin(Stdio::null()).status().await;
    Ok(status.context("python3 cannot be run")?.success())
}

async fn all_end(fleet: &Fleet) -> anyhow::Result<()> {
    let until = Instant::now() + END_LIMIT;
    loop {
        let open = report::open(fleet).await?;
        if open.is_nothing() {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < until, "not everything ends: {open:?}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
