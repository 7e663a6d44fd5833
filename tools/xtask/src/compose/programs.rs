//! Images of programs that cargo has built already: minutes less than a build inside of the image, by
//! the same Dockerfile but for its stage `compiled`.
//!
//! A program that was linked on another distribution may want a newer C library than the image has:
//! then the image's own build is the way (`compose-test --complete`).

use std::{fs, path::Path, process::Stdio};

use anyhow::Context as _;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use super::project::ComposeProject;
use crate::cluster::{self, ProcessName};

const DOCKERFILE: &str = "deploy/Dockerfile";

/// Copies the programs beside this one, and has the project's images made of them. Answers the
/// folder that holds them, for as long as images are built.
pub(super) async fn give(
    project: &mut ComposeProject,
    repository: &Path,
) -> anyhow::Result<TempDir> {
    let (beside, context) = (cluster::programs()?, TempDir::new()?);
    let folder = context.path().join("programs");
    fs::create_dir(&folder)?;
    for name in ProcessName::ALL.map(ProcessName::program).into_iter().chain(["sagactl", "xtask"]) {
        strip(&beside.join(name), &folder.join(name)).await?;
    }
    fs::create_dir(context.path().join("deploy"))?;
    fs::copy(repository.join(DOCKERFILE), context.path().join(DOCKERFILE)).context(DOCKERFILE)?;
    let described = project.described().await?;
    let services = described["services"].as_object().context("a compose file without services")?;
    let ours = services.iter().filter(|(_, service)| service.get("build").is_some());
    let ours: Vec<String> = ours.map(|(name, _)| name.clone()).collect();
    let build = json!({ "context": context.path(), "args": { "PROGRAMS": "given" } });
    project.change(&ours, &json!({ "build": build }))?;
    Ok(context)
}

/// Copies a program without what only a debugger reads: most of its size.
async fn strip(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("strip");
    command.args(["--strip-debug", "-o"]).arg(to).arg(from).stdin(Stdio::null());
    let status = command.status().await.context("strip cannot be run")?;
    anyhow::ensure!(status.success(), "strip {}: {status}", from.display());
    Ok(())
}
