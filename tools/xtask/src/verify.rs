//! `cargo verify`: every check of this repository, in the order that fails fastest.
//!
//! One stack is started for all tests, while the compiler is still at work; the demo, the fuzzing
//! and the compose test start one of their own, as a person would. [`table::CHECKS`] says what is
//! run and how long it may take. At the end the checks that ran, their times and the checks that
//! were left out are printed: no check is skipped without a message.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::{Args, builder::PossibleValuesParser};
use devstack::{ServerSource, ServerStack, SilentProgress, WantedParts};
use sagactl::screen::say;
use shared::clock::Clock;
use tokio::task::JoinSet;

use self::{
    inputs::{CheckInputs, PASSED},
    table::{BEFORE_BUDGET, CHECKS, CheckNeeds, CheckTime, TOTAL_BUDGET, VerifyCheck},
};
use crate::{cargo, compose};

mod inputs;
mod table;
pub(crate) mod tools;

/// Which checks to run.
#[derive(Debug, Args)]
pub struct VerifyOptions {
    /// Runs only this check.
    #[arg(long, value_parser = PossibleValuesParser::new(CHECKS.iter().map(|check| check.name)))]
    only: Option<String>,
    /// Also runs the long checks that find little more.
    #[arg(long)]
    all: bool,
    /// Fails if a check cannot run on this machine.
    #[arg(long)]
    strict: bool,
    /// When the run began that this is a part of, in seconds since 1970: what came before is then in
    /// the table, too.
    #[arg(long, env = "VERIFY_BEGAN_AT")]
    began_at: Option<i64>,
}

/// How a check ended.
enum CheckOutcome {
    Passed { attempts: u32 },
    Failed,
    NotRun(String),
}

/// A line of the table at the end.
struct CheckRow {
    name: &'static str,
    budget: Duration,
    took: Duration,
    outcome: CheckOutcome,
}

/// Runs them, one after the other, and ends at the first that fails.
pub async fn run(options: VerifyOptions) -> anyhow::Result<ExitCode> {
    let inputs = CheckInputs::read()?;
    let (chosen, left_out) = chosen(&options, &inputs)?;
    let mut rows: Vec<CheckRow> = before(&options).into_iter().collect();
    let mut native = NativeStack::begin(&chosen);
    for (n, check) in chosen.iter().enumerate() {
        let row = row(check, &mut native).await?;
        if matches!(row.outcome, CheckOutcome::Passed { .. }) && inputs.record(check)? {
            say(format_args!("{PASSED} has another line: commit it, and this check rests"));
        }
        let failed = is_fault(&row.outcome, options.strict);
        rows.push(row);
        if failed {
            break;
        }
        if !NativeStack::is_needed_by(&chosen[n + 1..]) {
            native.stop().await;
        }
    }
    native.stop().await;
    report(&rows, &left_out);
    let failed = rows.iter().any(|row| is_fault(&row.outcome, options.strict));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn is_fault(outcome: &CheckOutcome, strict: bool) -> bool {
    match outcome {
        CheckOutcome::Passed { .. } => false,
        CheckOutcome::Failed => true,
        CheckOutcome::NotRun(_) => strict,
    }
}

/// Which checks are run, and which only by `--all`.
fn chosen(
    options: &VerifyOptions,
    inputs: &CheckInputs,
) -> anyhow::Result<(Vec<&'static VerifyCheck>, Vec<&'static VerifyCheck>)> {
    let (mut chosen, mut left_out) = (Vec::new(), Vec::new());
    for check in &CHECKS {
        if let Some(only) = &options.only {
            chosen.extend((check.name == only).then_some(check));
            continue;
        }
        let wanted = match check.when {
            CheckTime::Always => true,
            CheckTime::All => options.all,
            CheckTime::Changed(_) => options.all || inputs.have_changed(check)?,
        };
        if wanted { &mut chosen } else { &mut left_out }.push(check);
    }
    Ok((chosen, left_out))
}

/// The line of what was done before this program was there: its own build, and the containers'.
fn before(options: &VerifyOptions) -> Option<CheckRow> {
    let took = Clock::System.now().unix_timestamp() - options.began_at?;
    Some(CheckRow {
        name: "before",
        budget: BEFORE_BUDGET,
        took: Duration::from_secs(took.try_into().unwrap_or(0)),
        outcome: CheckOutcome::Passed { attempts: 1 },
    })
}

async fn row(check: &'static VerifyCheck, native: &mut NativeStack) -> anyhow::Result<CheckRow> {
    let began = Instant::now();
    let outcome = if let Some(reason) = obstacle(check).await {
        CheckOutcome::NotRun(reason)
    } else {
        say(format_args!("\n==> {}: {}", check.name, check.command.join(" ")));
        attempt(check, native).await?
    };
    Ok(CheckRow { name: check.name, budget: check.budget, took: began.elapsed(), outcome })
}

/// Why a check cannot be run here.
async fn obstacle(check: &VerifyCheck) -> Option<String> {
    let compiler = match check.needs {
        CheckNeeds::Nothing | CheckNeeds::NativeStack => return None,
        CheckNeeds::Go => {
            return (!devstack::go_answers().await).then(|| "Go is not installed".to_owned());
        }
        CheckNeeds::Docker | CheckNeeds::DockerStack => false,
        CheckNeeds::DockerCompiler => true,
    };
    if !devstack::docker_answers().await {
        return Some("no Docker engine answers here".to_owned());
    }
    let image = compose::image_out_of_reach(compiler).await?;
    Some(format!("{image} is not here and cannot be fetched"))
}

/// Runs a check as often as it may be tried.
async fn attempt(check: &VerifyCheck, native: &mut NativeStack) -> anyhow::Result<CheckOutcome> {
    for attempts in 1..=check.attempts {
        if perform(check, native).await? {
            return Ok(CheckOutcome::Passed { attempts });
        }
        if attempts < check.attempts {
            say(format_args!(
                "\n==> {}: once more, to tell a tool that crashed from code that is wrong",
                check.name
            ));
        }
    }
    Ok(CheckOutcome::Failed)
}

async fn perform(check: &VerifyCheck, native: &mut NativeStack) -> anyhow::Result<bool> {
    match check.needs {
        CheckNeeds::Nothing | CheckNeeds::Docker | CheckNeeds::DockerCompiler | CheckNeeds::Go => {
            execute(check, &[]).await
        }
        CheckNeeds::NativeStack => execute(check, &native.exports().await?).await,
        CheckNeeds::DockerStack => {
            let parts = WantedParts::all().forgetful();
            let stack = ServerStack::start(ServerSource::Docker, parts, &SilentProgress).await?;
            let outcome = execute(check, &stack.exports()).await;
            stack.stop().await;
            outcome
        }
    }
}

async fn execute(check: &VerifyCheck, stack: &[(&'static str, String)]) -> anyhow::Result<bool> {
    let program = tools::program(check.command[0]).await?;
    let status = cargo::command(&program.to_string_lossy())
        .args(&check.command[1..])
        .envs(check.environment.iter().copied())
        .envs(stack.iter().map(|(name, value)| (*name, value.as_str())))
        .status()
        .await
        .with_context(|| format!("{} cannot be run", program.display()))?;
    Ok(status.success())
}

/// The stack of local processes for all checks that need one. Its servers are fetched and started
/// while the compiler works.
struct NativeStack {
    starting: JoinSet<Result<ServerStack, devstack::StackError>>,
    stack: Option<ServerStack>,
}

impl NativeStack {
    fn begin(chosen: &[&VerifyCheck]) -> Self {
        let mut starting = JoinSet::new();
        if Self::is_needed_by(chosen) {
            starting.spawn(ServerStack::start(
                ServerSource::Native,
                WantedParts::all().forgetful(),
                &SilentProgress,
            ));
        }
        Self { starting, stack: None }
    }

    fn is_needed_by(checks: &[&VerifyCheck]) -> bool {
        checks.iter().any(|check| check.needs == CheckNeeds::NativeStack)
    }

    async fn exports(&mut self) -> anyhow::Result<Vec<(&'static str, String)>> {
        if let Some(started) = self.starting.join_next().await {
            self.stack = Some(started??);
        }
        Ok(self.stack.as_ref().context("no stack was started")?.exports())
    }

    async fn stop(&mut self) {
        self.starting.shutdown().await;
        if let Some(stack) = self.stack.take() {
            stack.stop().await;
        }
    }
}

fn report(rows: &[CheckRow], left_out: &[&VerifyCheck]) {
    say("\nWhat ran                    seconds   budget");
    for row in rows {
        let (took, budget) = (row.took.as_secs_f64(), row.budget.as_secs());
        match &row.outcome {
            CheckOutcome::NotRun(reason) => {
                say(format_args!("  {:<24} not run: {reason}", row.name));
            }
            CheckOutcome::Failed => {
                say(format_args!("  {:<24} {took:>8.1} {budget:>8}  FAILED", row.name));
            }
            CheckOutcome::Passed { attempts } => {
                let again = if *attempts > 1 { ", at the second attempt" } else { "" };
                let over = if row.took > row.budget { ", OVER ITS BUDGET" } else { "" };
                say(format_args!(
                    "  {:<24} {took:>8.1} {budget:>8}  passed{again}{over}",
                    row.name
                ));
            }
        }
    }
    let all: Duration = rows.iter().map(|row| row.took).sum();
    let over = if all > TOTAL_BUDGET { ", OVER THE BUDGET" } else { "" };
    let (all, budget) = (all.as_secs_f64(), TOTAL_BUDGET.as_secs());
    say(format_args!("  {:<24} {all:>8.1} {budget:>8}{over}", "all"));
    if !left_out.is_empty() {
        say("\n`cargo verify --all` also runs");
        for check in left_out {
            say(format_args!("  {:<24} {}", check.name, check.adds()));
        }
    }
}
