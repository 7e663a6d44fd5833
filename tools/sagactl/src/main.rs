//! The operator's command line.

use std::process::ExitCode;

use sagactl::cli::CommandLine;

fn main() -> ExitCode {
    sagactl::program::run(env!("CARGO_PKG_NAME"), CommandLine::run)
}
