//! The operator's command line.

use std::process::ExitCode;

use sagactl::{
    cli::{self, CommandLine},
    screen, signal,
};

fn main() -> ExitCode {
    let cli = CommandLine::read();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cli::failed(&error.into()),
    };
    runtime.block_on(async {
        // Ctrl-C ends the work by dropping it: every process that was started goes with it.
        let outcome = tokio::select! {
            outcome = cli.run() => outcome,
            () = signal::interrupted() => Ok(ExitCode::from(130)),
            () = screen::lost() => Ok(ExitCode::FAILURE),
        };
        let code = outcome.unwrap_or_else(|error| cli::failed(&error));
        screen::finish().unwrap_or(code)
    })
}
