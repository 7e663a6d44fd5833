//! A payment gateway with faults, as a process of its own: the independent witness of every charge.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
};

use clap::Parser;
use gateway_simulator::server::{self, Settings};

/// A payment gateway with faults. Its log is the witness of every charge.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; port 0 takes a free one and prints it.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The log: JSON lines, appended to, replayed at start.
    #[arg(long)]
    log: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let settings = Settings { listen: arguments.listen, log: arguments.log };
    let stop = server::stop_on_signal()?;
    server::serve(settings, stop, announce).await?;
    Ok(())
}

/// Whoever started the process reads this line to learn the port.
fn announce(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on http://{address}")?;
    out.flush()
}
