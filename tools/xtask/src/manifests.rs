//! `xtask manifests`: renders the manifests for Kubernetes with kustomize and validates them
//! strictly against schemas.
//!
//! Kubernetes' schemas come as a Python wheel, `CloudNativePG`'s with its Go module. Strimzi's are
//! in no package: a caller that has them gives their folder; otherwise Strimzi's kinds are counted
//! and reported as not validated.

use std::{
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
};

use anyhow::Context as _;
use clap::Args;
use sagactl::screen::say;
use tokio::io::AsyncWriteExt as _;

use crate::cargo;

/// Which manifests.
#[derive(Debug, Args)]
pub struct ManifestOptions {
    /// The folder that has `base` and `kind` in it.
    #[arg(long, default_value = "deploy/k8s")]
    folder: PathBuf,
    /// Definitions of more custom resources, such as those of Strimzi.
    #[arg(long)]
    definitions: Vec<PathBuf>,
}

const KUBERNETES: &str = "1.37";
const KUSTOMIZE: (&str, &str) = ("sigs.k8s.io/kustomize/kustomize/v5", "v5.7.1");
const CLOUD_NATIVE_PG: (&str, &str) = ("github.com/cloudnative-pg/cloudnative-pg", "v1.30.0");

/// Pinned to the last of what it needs: the same schemas everywhere.
const REQUIREMENTS: &str = include_str!("../manifests/requirements.txt");
const VALIDATE: &str = include_str!("../manifests/validate.py");

/// Renders and checks all of them.
pub async fn run(options: ManifestOptions) -> anyhow::Result<ExitCode> {
    let kustomize = devstack::go_program(KUSTOMIZE.0, KUSTOMIZE.1).await?;
    let module = devstack::go_module(CLOUD_NATIVE_PG.0, CLOUD_NATIVE_PG.1).await?;
    let wheels = devstack::wheels("kubernetes-validate-1.37.0", REQUIREMENTS).await?;
    let mut definitions = vec![module.join("config/crd/bases")];
    definitions.extend(options.definitions);
    let mut valid = true;
    for overlay in ["base", "kind"] {
        say(overlay);
        let mut command = cargo::command(&kustomize.to_string_lossy());
        let rendered = command.arg("build").arg(options.folder.join(overlay)).output().await?;
        let said = String::from_utf8_lossy(&rendered.stderr);
        anyhow::ensure!(rendered.status.success(), "{overlay} cannot be rendered: {said}");
        valid &= is_valid(&wheels, &definitions, &rendered.stdout).await?;
    }
    Ok(if valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether what was rendered is as schemas want it; what is not is printed.
async fn is_valid(wheels: &Path, definitions: &[PathBuf], rendered: &[u8]) -> anyhow::Result<bool> {
    let mut command = cargo::command("python3");
    command.args(["-c", VALIDATE, KUBERNETES]).args(definitions);
    command.env("PYTHONPATH", wheels).env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUTF8", "1");
    let mut python = command.stdin(Stdio::piped()).spawn().context("python3 cannot be run")?;
    let mut input = python.stdin.take().context("python3 takes no input")?;
    input.write_all(rendered).await?;
    drop(input);
    Ok(python.wait().await?.success())
}
