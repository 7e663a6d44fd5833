//! Holds one stack for as long as a command runs: `devstack cargo test`.

use std::process::ExitCode;

use clap::Parser as _;
use devstack::cli::CommandLine;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    CommandLine::parse().run().await
}
