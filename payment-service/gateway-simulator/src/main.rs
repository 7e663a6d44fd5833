//! A payment gateway with faults, as a process of its own: the independent witness of every charge.

use clap::Parser as _;
use gateway_simulator::{
    arguments::Arguments,
    output, question,
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
    tracing_subscriber::fmt().with_writer(|| output::Log).log_internal_errors(false).init();
    let settings = Settings { listen: arguments.listen, log: arguments.log };
    let stop = server::stop_on_signal()?;
    server::serve(settings, stop, output::announce).await?;
    Ok(())
}
