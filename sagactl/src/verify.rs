//! `cargo verify`: every check of this repository, in the order that fails fastest.
//!
//! One stack is started for all tests, while the compiler is still at work; the demo, the fuzzing and
//! the compose test start one of their own, as a person would. [`table::CHECKS`] says what is run and
//! how long it may take. What ran, how long it took and what was left out is printed at the end:
//! nothing is skipped in silence.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::{Args, builder::PossibleValuesParser};
use devstack::{Parts, Silent, Source, Stack};
use shared::clock::Clock;
use tokio::task::JoinSet;

use self::{
    inputs::{Inputs, PASSED},
    table::{BEFORE_BUDGET, CHECKS, Check, Needs, TOTAL_BUDGET, When},
};
use crate::{cargo, compose, screen::say};

mod inputs;
mod table;
pub(crate) mod tools;

/// Which checks to run.
#[derive(Debug, Args)]
pub struct Options {
    /// Only this check.
    #[arg(long, value_parser = PossibleValuesParser::new(CHECKS.iter().map(|it| it.name)))]
    only: Option<String>,
    /// Also what takes long and shows little more.
    #[arg(long)]
    all: bool,
    /// Fails if a check cannot be run here.
    #[arg(long)]
    strict: bool,
    /// When the run began that this is a part of, in seconds since 1970: what came before is then in
    /// the table, too.
    #[arg(long, env = "VERIFY_BEGAN_AT")]
    began_at: Option<i64>,
}

/// How a check ended.
enum Outcome {
    Passed { attempts: u32 },
    Failed,
    NotRun(String),
}

/// A line of the table at the end.
struct Row {
    name: &'static str,
    budget: Duration,
    took: Duration,
    outcome: Outcome,
}

/// Runs them, one after the other, and ends at the first that fails.
pub async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let inputs = Inputs::read()?;
    let (chosen, left_out) = chosen(&options, &inputs)?;
    let mut rows: Vec<Row> = before(&options).into_iter().collect();
    let mut native = Native::begin(&chosen);
    for (n, check) in chosen.iter().enumerate() {
        let row = row(check, &mut native).await?;
        if matches!(row.outcome, Outcome::Passed { .. }) && inputs.record(check)? {
            say(format_args!("{PASSED} has another line: commit it, and this check rests"));
        }
        let failed = is_fault(&row.outcome, options.strict);
        rows.push(row);
        if failed {
            break;
        }
        if !Native::is_needed_by(&chosen[n + 1..]) {
            native.stop().await;
        }
    }
    native.stop().await;
    report(&rows, &left_out);
    let failed = rows.iter().any(|it| is_fault(&it.outcome, options.strict));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn is_fault(outcome: &Outcome, strict: bool) -> bool {
    match outcome {
        Outcome::Passed { .. } => false,
        Outcome::Failed => true,
        Outcome::NotRun(_) => strict,
    }
}

/// Which checks are run, and which only by `--all`.
fn chosen(
    options: &Options,
    inputs: &Inputs,
) -> anyhow::Result<(Vec<&'static Check>, Vec<&'static Check>)> {
    let (mut chosen, mut left_out) = (Vec::new(), Vec::new());
    for check in &CHECKS {
        if let Some(only) = &options.only {
            chosen.extend((check.name == only).then_some(check));
            continue;
        }
        let wanted = match check.when {
            When::Always => true,
            When::All => options.all,
            When::Changed(_) => options.all || inputs.have_changed(check)?,
        };
        if wanted { &mut chosen } else { &mut left_out }.push(check);
    }
    Ok((chosen, left_out))
}

/// The line of what was done before this program was there: its own build, and the containers'.
fn before(options: &Options) -> Option<Row> {
    let took = Clock::System.now().unix_timestamp() - options.began_at?;
    Some(Row {
        name: "before",
        budget: BEFORE_BUDGET,
        took: Duration::from_secs(took.try_into().unwrap_or(0)),
        outcome: Outcome::Passed { attempts: 1 },
    })
}

async fn row(check: &'static Check, native: &mut Native) -> anyhow::Result<Row> {
    let began = Instant::now();
    let outcome = if let Some(reason) = obstacle(check).await {
        Outcome::NotRun(reason)
    } else {
        say(format_args!("\n==> {}: {}", check.name, check.command.join(" ")));
        attempt(check, native).await?
    };
    Ok(Row { name: check.name, budget: check.budget, took: began.elapsed(), outcome })
}

/// Why a check cannot be run here.
async fn obstacle(check: &Check) -> Option<String> {
    let compiler = match check.needs {
        Needs::Nothing | Needs::NativeStack => return None,
        Needs::Go => {
            return (!devstack::go_answers().await).then(|| "Go is not installed".to_owned());
        }
        Needs::Docker | Needs::DockerStack => false,
        Needs::DockerCompiler => true,
    };
    if !devstack::docker_answers().await {
        return Some("no Docker engine answers here".to_owned());
    }
    let image = compose::image_out_of_reach(compiler).await?;
    Some(format!("{image} is not here and cannot be fetched"))
}

/// Runs a check as often as it may be tried.
async fn attempt(check: &Check, native: &mut Native) -> anyhow::Result<Outcome> {
    for attempts in 1..=check.attempts {
        if perform(check, native).await? {
            return Ok(Outcome::Passed { attempts });
        }
        if attempts < check.attempts {
            say(format_args!(
                "\n==> {}: once more, to tell a tool that crashed from code that is wrong",
                check.name
            ));
        }
    }
    Ok(Outcome::Failed)
}

async fn perform(check: &Check, native: &mut Native) -> anyhow::Result<bool> {
    match check.needs {
        Needs::Nothing | Needs::Docker | Needs::DockerCompiler | Needs::Go => {
            execute(check, &[]).await
        }
        Needs::NativeStack => execute(check, &native.exports().await?).await,
        Needs::DockerStack => {
            let parts = Parts::all().forgetful();
            let stack = Stack::start(Source::Docker, parts, &Silent).await?;
            let outcome = execute(check, &stack.exports()).await;
            stack.stop().await;
            outcome
        }
    }
}

async fn execute(check: &Check, stack: &[(&'static str, String)]) -> anyhow::Result<bool> {
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
struct Native {
    starting: JoinSet<Result<Stack, devstack::Error>>,
    stack: Option<Stack>,
}

impl Native {
    fn begin(chosen: &[&Check]) -> Self {
        let mut starting = JoinSet::new();
        if Self::is_needed_by(chosen) {
            starting.spawn(Stack::start(Source::Native, Parts::all().forgetful(), &Silent));
        }
        Self { starting, stack: None }
    }

    fn is_needed_by(checks: &[&Check]) -> bool {
        checks.iter().any(|it| it.needs == Needs::NativeStack)
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

fn report(rows: &[Row], left_out: &[&Check]) {
    say("\nWhat ran                    seconds   budget");
    for row in rows {
        let (took, budget) = (row.took.as_secs_f64(), row.budget.as_secs());
        match &row.outcome {
            Outcome::NotRun(reason) => {
                say(format_args!("  {:<24} not run: {reason}", row.name));
            }
            Outcome::Failed => {
                say(format_args!("  {:<24} {took:>8.1} {budget:>8}  FAILED", row.name));
            }
            Outcome::Passed { attempts } => {
                let again = if *attempts > 1 { ", at the second attempt" } else { "" };
                let over = if row.took > row.budget { ", OVER ITS BUDGET" } else { "" };
                say(format_args!(
                    "  {:<24} {took:>8.1} {budget:>8}  passed{again}{over}",
                    row.name
                ));
            }
        }
    }
    let all: Duration = rows.iter().map(|it| it.took).sum();
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
