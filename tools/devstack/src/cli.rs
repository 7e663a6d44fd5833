//! The command line of `devstack`: holds one stack for as long as a command runs.

use std::{ffi::OsString, io::Write as _, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;

use crate::{
    PartState, ServerSource, ServerStack, StackError, StackPart, StartProgress, WantedParts,
};

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
        } else {
            say(&stack)?;
            tokio::signal::ctrl_c().await?;
            Some(0)
        };
        stack.stop().await;
        let code = status.and_then(|code| u8::try_from(code).ok());
        Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
    }
}

fn say(stack: &ServerStack) -> Result<(), StackError> {
    let line = |(name, value)| format!("export {name}='{value}'\n");
    let lines: String = stack.exports().into_iter().map(line).collect();
    let written = std::io::stdout().write_all(lines.as_bytes());
    written.map_err(StackError::system("the addresses cannot be written"))
}
