//! The developers' command line.

use std::process::ExitCode;

use sagactl::program;
use xtask::cli::CommandLine;

fn main() -> ExitCode {
    program::run(env!("CARGO_PKG_NAME"), CommandLine::run)
}
