//! A payment gateway with faults, as a process of its own: the independent witness of every charge.

use clap::Parser as _;
use gateway_simulator::{
    arguments::ProgramArguments,
    output, question,
    server::{self, GatewaySettings},
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = ProgramArguments::parse();
    if arguments.health {
        return Ok(question::ask(arguments.listen)?);
    }
    // A log line that cannot be formatted would be reported on standard error, and a failed report
    // is a panic.
    tracing_subscriber::fmt().with_writer(|| output::StderrLog).log_internal_errors(false).init();
    let settings = GatewaySettings { listen: arguments.listen, log: arguments.log };
    let stop = server::stop_on_signal()?;
    server::serve(settings, stop, output::announce).await?;
    Ok(())
}
