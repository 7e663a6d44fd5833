//! A payment gateway with faults, as a process of its own: the independent witness of every charge.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
};

use clap::Parser as _;
use gateway_simulator::{
    arguments::Arguments,
    question,
    server::{self, Settings},
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.health {
        return Ok(question::ask(arguments.listen)?);
    }
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
