//! Programs that come as Python wheels and are no part of a stack.

use std::path::PathBuf;

use tokio::process::Command;

use super::{
    cache::{InstallCache, InstallRecipe},
    tool,
};
use crate::{SilentProgress, StackError};

/// The folder of these wheels, for `PYTHONPATH`; installed once per machine. `name` has the version
/// in it.
pub async fn wheels(name: &str, requirements: &str) -> Result<PathBuf, StackError> {
    let version = version().await?;
    let recipe = InstallRecipe { part: None, name, inputs: &[requirements, version.as_str()] };
    InstallCache::open(&SilentProgress)?
        .folder(&recipe, async |home| tool::pip(home, requirements, &[]).await)
        .await
}

/// Which Python there is: some wheels are compiled for one and no other.
pub(crate) async fn version() -> Result<String, StackError> {
    tool::InstallTool::Python.ensure().await?;
    let mut version = Command::new("python3");
    version.arg("--version");
    let said = tool::run(version).await?.stdout;
    Ok(String::from_utf8_lossy(&said).trim().to_owned())
}
