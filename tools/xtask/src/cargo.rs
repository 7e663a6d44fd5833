//! Cargo, called from a program that cargo has started.
//!
//! `cargo run` tells a program about its package through the environment. Build scripts of
//! dependencies watch some of these variables, so a child cargo that inherited them would
//! rebuild half of the workspace, and the next parent run again. This module removes the variables.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use sagactl::screen::{ProgressBoard, say};
use tokio::process::Command;

/// What cargo tells a program that it runs; everything else (registries, target folder) stays.
const TOLD: [&str; 5] =
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];

/// A command that ends with us, in the environment that a person's shell would give it.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        let told = name.to_str().is_some_and(|name| TOLD.iter().any(|text| name.starts_with(text)));
        if told {
            command.env_remove(name);
        }
    }
    command
}

/// The services' programs stand beside this one; cargo knows whether they are up to date.
pub(crate) async fn build_services() -> anyhow::Result<()> {
    let release = cfg!(not(debug_assertions));
    let mut cargo = command("cargo");
    // Not quiet: on a machine that has built nothing, this takes minutes.
    cargo.args(["build", "--workspace", "--bins", "--locked"]);
    if release {
        cargo.arg("--release");
    }
    say("Building the services");
    let board = ProgressBoard::new();
    let building = async {
        if !std::io::stderr().is_terminal() {
            // A terminal sees cargo's own progress.
            board.set("services", "being built");
        }
        cargo.status().await
    };
    let status = board.while_shown(building).await.context("cargo cannot be run")?;
    anyhow::ensure!(status.success(), "the services do not build");
    Ok(())
}
