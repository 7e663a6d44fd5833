//! The command line of `devstack`: holds one stack for as long as a command runs.

use std::{
    ffi::OsString,
    io::{ErrorKind, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser;

use crate::{
    PartState, ServerSource, ServerStack, StackError, StackPart, StartProgress, WantedParts,
};

/// Exit code of a program that SIGPIPE ended, as a shell says it.
const NOBODY_READS: i32 = 141;

const ENVIRONMENT: &str = "\
Environment:
  SAGA_STACK            `native` (default: local processes) or `docker`
  SAGA_STACK_BROKERS, SAGA_STACK_POSTGRES, SAGA_STACK_REGISTRY,
  SAGA_STACK_SMTP, SAGA_STACK_MAIL_API
                        addresses of servers that run already; if all are set,
                        nothing is started
  SAGA_STACK_CACHE      where servers are installed, once per machine
The command finds the addresses in the same variables.

Exit code: that of the command.

Examples:
  devstack cargo test -p shared
  devstack psql -c 'SELECT 1'";

/// Runs a command beside a real Kafka, PostgreSQL, schema registry and mail sink.
///
/// The servers are started for it, and removed with their data when it ends.
#[derive(Debug, Parser)]
#[command(version, after_help = ENVIRONMENT)]
pub struct CommandLine {
    /// The command and its arguments. Without one, `export` lines with the addresses are printed, and
    /// the servers stay up until Ctrl-C.
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

struct ProgressLines;

impl StartProgress for ProgressLines {
    fn state(&self, part: StackPart, state: &PartState) {
        // The stack is there, whether or not anybody reads that it is.
        drop(writeln!(std::io::stderr(), "{part:>15}: {state}"));
    }
}

impl CommandLine {
    /// Starts the stack, runs the command, ends the stack.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let parts = WantedParts::all().forgetful();
        let stack = ServerStack::start(ServerSource::Auto, parts, &ProgressLines).await?;
        let status = if let Some((program, arguments)) = self.command.split_first() {
            let mut command = tokio::process::Command::new(program);
            command.args(arguments).envs(stack.exports());
            let status = command.status().await;
            status.with_context(|| format!("cannot run {}", program.display()))?.code()
        } else if say(&stack)? {
            tokio::signal::ctrl_c().await?;
            Some(0)
        } else {
            Some(NOBODY_READS)
        };
        stack.stop().await;
        let code = status.and_then(|code| u8::try_from(code).ok());
        Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
    }
}

/// Says where everything is; whether anybody reads it.
fn say(stack: &ServerStack) -> Result<bool, StackError> {
    let line = |(name, value)| format!("export {name}='{value}'\n");
    let lines: String = stack.exports().into_iter().map(line).collect();
    match std::io::stdout().write_all(lines.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => {
            written.map_err(StackError::system("the addresses cannot be written"))?;
            Ok(true)
        }
    }
}
