//! A payment gateway with faults, as a process of its own: the independent witness of every charge.

use std::{
    io::{self, Write},
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
    // What cannot be formatted would be complained of on standard error, and a complaint that nobody
    // takes is a panic.
    tracing_subscriber::fmt().with_writer(|| Log).log_internal_errors(false).init();
    let settings = Settings { listen: arguments.listen, log: arguments.log };
    let stop = server::stop_on_signal()?;
    server::serve(settings, stop, announce).await?;
    Ok(())
}

/// Whoever started the process reads this line to learn the port. With a port of its own choice it
/// need not.
fn announce(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    drop(writeln!(out, "listening on http://{address}").and_then(|()| out.flush()));
    Ok(())
}

/// Standard error, as a log: the gateway goes on where nobody takes its lines. It is the journal that
/// is the witness.
struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        drop(io::stderr().write_all(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
