//! Programs and files that come as Go modules and are no part of a stack.

use std::path::PathBuf;

use serde_json::Value;
use tokio::process::Command;

use super::{
    cache::{InstallCache, InstallRecipe},
    tool,
};
use crate::{SilentProgress, StackError};

/// Whether Go is here. Debian's is too old for most modules, so it is not installed.
pub async fn go_answers() -> bool {
    tool::run(go(&["version"])).await.is_ok()
}

/// A program, built once per machine: the last part of its package's path without the version names
/// it.
pub async fn go_program(package: &str, version: &str) -> Result<PathBuf, StackError> {
    let name = package.split('/').rfind(|part| !is_version(part)).unwrap_or(package);
    let folder = format!("{name}-{version}");
    let recipe = InstallRecipe { part: None, name: &folder, inputs: &[package, version] };
    let build = async |home: &std::path::Path| {
        let mut command = go(&["install", "-trimpath", &format!("{package}@{version}")]);
        command.env("GOBIN", home);
        tool::run(command).await.map(drop)
    };
    Ok(InstallCache::open(&SilentProgress)?.folder(&recipe, build).await?.join(name))
}

/// The folder of a module's files, in Go's own cache.
pub async fn go_module(module: &str, version: &str) -> Result<PathBuf, StackError> {
    let wanted = format!("{module}@{version}");
    let said = tool::run(go(&["mod", "download", "-json", &wanted])).await?.stdout;
    let told: Value = serde_json::from_slice(&said).unwrap_or_default();
    told["Dir"].as_str().map(PathBuf::from).ok_or_else(|| StackError::Command {
        command: format!("go mod download -json {wanted}"),
        output: String::from_utf8_lossy(&said).into_owned(),
    })
}

/// Outside of any module that we may stand in.
fn go(arguments: &[&str]) -> Command {
    let mut command = Command::new("go");
    command.args(arguments).current_dir("/");
    command
}

fn is_version(part: &str) -> bool {
    part.strip_prefix('v').is_some_and(|text| text.parse::<u32>().is_ok())
}
