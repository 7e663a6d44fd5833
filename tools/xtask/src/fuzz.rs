//! `xtask fuzz`: requests that are generated from the OpenAPI documents.
//!
//! Every operation of the four services is called with values that its description allows, with
//! values just beyond them and with others; each answer has to be one that the description names,
//! in the described form, and none may be a server error. A 503 that is described, in the form and
//! for a reason that is described, is no error; but no operation may answer every request so. The
//! same seed generates the same requests. At the end every invariant is checked from outside, as
//! after a load.

use std::{
    fs,
    path::Path,
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use sagactl::{http_client::http_client, screen::say};
use serde_json::Value;

use crate::{
    cargo,
    cluster::{self, AuditExpectation, ProcessName, ServiceCluster},
    load::open_work,
    source::StackSource,
};

/// How much is asked.
#[derive(Clone, Debug, Args)]
pub struct FuzzOptions {
    /// Maximum number of generated requests per operation, besides those at its values' limits.
    #[arg(long, default_value_t = 25)]
    pub examples: u32,
    /// Seed of the generated requests.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Source of broker, database, registry and mail sink.
    #[arg(long, value_enum, default_value_t)]
    pub from: StackSource,
}

/// Pinned to the last of what it needs: the same seed is to make up the same requests everywhere.
const REQUIREMENTS: &str = include_str!("../fuzz/requirements.txt");

/// What is no fault although its status says so, and a note of what was answered.
const HOOKS: &str = include_str!("../fuzz/hooks.py");

/// The file of that note.
const ANSWERED: &str = "answered";

/// One call may take this long, in seconds: far longer than a service may take.
const CALL_SECONDS: &str = "120";

/// Of the orders that were placed by chance, the next one has to end within this time.
const END_LIMIT: Duration = Duration::from_mins(5);

/// Starts everything, asks, and says what was answered wrongly.
pub async fn run(options: FuzzOptions) -> anyhow::Result<ExitCode> {
    let wheels = devstack::wheels("schemathesis-4.32.5", REQUIREMENTS).await?;
    let (stack, cluster) = cluster::with_stack(options.from, 0).await?;
    let mut faults = Vec::new();
    for member in ProcessName::SERVICES {
        say(format_args!("\n==> {member}"));
        faults.extend(ask(&wheels, &cluster, member, &options).await?);
    }
    open_work::wait_for_ends(&cluster, END_LIMIT, |_| ()).await?;
    faults.extend(cluster.audit(AuditExpectation::default()).await?.faults());
    faults.extend(cluster.stop().await?);
    stack.stop().await;
    say(if faults.is_empty() { "\nEvery answer was one that is described." } else { "" });
    for fault in &faults {
        say(format_args!("  ✘ {fault}"));
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks one service, whose own description says what can be asked; answers what is wrong with it.
async fn ask(
    wheels: &Path,
    cluster: &ServiceCluster,
    member: ProcessName,
    options: &FuzzOptions,
) -> anyhow::Result<Vec<String>> {
    let description = format!("{}/openapi.json", cluster.url(member));
    // It keeps what it found in the folder where it runs.
    let folder = tempfile::tempdir()?;
    let hooks = folder.path().join("hooks.py");
    fs::write(&hooks, HOOKS)?;
    let mut command = cargo::command("python3");
    command.args(["-m", "schemathesis.cli", "run", &description]);
    // Not that everything in the right form is accepted: a product may be unknown, a key be used.
    command.args(["--checks", "all", "--exclude-checks", "positive_data_acceptance"]);
    command.args(["--phases", "examples,coverage,fuzzing", "--no-color"]);
    command.args(["--suppress-health-check", "all", "--generation-deterministic"]);
    command.args(["--seed", &options.seed.to_string()]);
    command.args(["--max-examples", &options.examples.to_string()]);
    // A connection that was just being closed is no answer, and another one is asked on.
    command.args(["--request-timeout", CALL_SECONDS, "--request-retries", "3"]);
    command.env("SCHEMATHESIS_HOOKS", &hooks);
    command.env("PYTHONPATH", wheels).env("PYTHONDONTWRITEBYTECODE", "1");
    let status = command.current_dir(folder.path()).stdin(Stdio::null()).status().await;
    let mut faults = Vec::new();
    if !status.context("python3 cannot be run")?.success() {
        faults.push(format!("{member} answered wrongly: see above"));
    }
    let answered = fs::read_to_string(folder.path().join(ANSWERED)).unwrap_or_default();
    let asked = http_client()?.get(&description).send().await?.error_for_status()?;
    let silent = unanswered(&asked.json().await?, &answered);
    faults.extend(silent.into_iter().map(|text| format!("{member} never answered {text}")));
    Ok(faults)
}

/// The operations of a description that told everybody to come back later.
fn unanswered(description: &Value, answered: &str) -> Vec<String> {
    let paths = description["paths"].as_object().into_iter().flatten();
    let operations = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().into_iter().flatten();
        methods.map(move |(method, _)| format!("{} {path}", method.to_uppercase()))
    });
    operations.filter(|operation| !answered.lines().any(|text| text == operation)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_operation_that_answered_nobody_is_found() {
        let description =
            json!({ "paths": { "/a": { "get": {}, "post": {} }, "/b": { "get": {} } } });
        let missing = |answered| unanswered(&description, answered);
        assert_eq!(missing("GET /a\nPOST /a\nGET /b\n"), [""; 0]);
        assert_eq!(missing("GET /a\nGET /b\n"), ["POST /a"]);
        assert_eq!(missing("").len(), 3);
    }
}
