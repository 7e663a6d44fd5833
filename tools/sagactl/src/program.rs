//! How a command-line program of this project runs and ends.

use std::process::ExitCode;

use crate::{screen, signal};

/// Runs the work of the program `name` and returns its exit code. Ctrl-C ends the work by dropping
/// it: every process that it started goes with it. An error is printed here and nowhere else.
pub fn run(name: &str, work: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(name, &error.into()),
    };
    runtime.block_on(async {
        let outcome = tokio::select! {
            outcome = work => outcome,
            () = signal::interrupted() => Ok(ExitCode::from(130)),
            () = screen::lost() => Ok(ExitCode::FAILURE),
        };
        let code = outcome.unwrap_or_else(|error| failed(name, &error));
        screen::finish(name).unwrap_or(code)
    })
}

fn failed(name: &str, error: &anyhow::Error) -> ExitCode {
    screen::complain(format_args!("{name}: {error:#}"));
    ExitCode::FAILURE
}
