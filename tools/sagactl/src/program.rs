//! How a command-line program of this project runs and ends.

use std::process::ExitCode;

use clap::Parser;
use shared::config;

use crate::{screen, signal};

/// Reads the command line of the program `name`, does what it asks and returns the exit code.
/// Ctrl-C and SIGTERM end the work by dropping it, unless it ends itself in order: every process that
/// it started goes with it. An error is printed here and nowhere else.
pub fn run<C, W>(name: &str, work: impl FnOnce(C) -> W) -> ExitCode
where
    C: Parser,
    W: Future<Output = anyhow::Result<ExitCode>>,
{
    let work = work(read());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(name, &error.into()),
    };
    runtime.block_on(async {
        let outcome = tokio::select! {
            outcome = work => outcome,
            code = signal::ends_at_once() => Ok(ExitCode::from(code)),
            () = screen::lost() => Ok(ExitCode::FAILURE),
        };
        let code = outcome.unwrap_or_else(|error| failed(name, &error));
        screen::finish(name).unwrap_or(code)
    })
}

/// Reads the command line and the environment; on an error, prints it and exits.
fn read<C: Parser>() -> C {
    let matches = config::ignore_empty(C::command()).try_get_matches();
    matches.and_then(|matches| C::from_arg_matches(&matches)).unwrap_or_else(|error| {
        if error.use_stderr() && screen::is_watched() {
            // As clap writes it, but broken between words.
            screen::complain(error.render().to_string().trim_end());
            std::process::exit(error.exit_code());
        }
        error.exit()
    })
}

fn failed(name: &str, error: &anyhow::Error) -> ExitCode {
    screen::complain(format_args!("{name}: {error:#}"));
    ExitCode::FAILURE
}
