//! The command line.

use std::{net::SocketAddr, path::PathBuf};

/// A payment gateway with faults. Its log is the witness of every charge.
#[derive(Debug, clap::Parser)]
#[command(version)]
pub struct ProgramArguments {
    /// Where to listen; port 0 takes a free one and prints it.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// The log: JSON lines, appended to, replayed at start.
    #[arg(long)]
    pub log: PathBuf,
    /// Asks the gateway that listens there whether it is alive, and ends: with success if it is.
    /// For health checks in images that have no shell.
    #[arg(long)]
    pub health: bool,
}
