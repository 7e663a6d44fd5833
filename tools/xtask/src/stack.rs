//! `xtask stack -- COMMAND`: runs a command with a real broker, database, registry, mail sink.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use devstack::{ServerStack, WantedParts};
use sagactl::{screen::ProgressBoard, signal};

use crate::{cargo, source::StackSource, stack_progress::StackProgress};

/// What to run, and beside what.
#[derive(Debug, Args)]
pub struct StackOptions {
    /// Source of broker, database, registry and mail sink.
    #[arg(long, value_enum, default_value_t)]
    from: StackSource,
    /// The command and its arguments; without one, the stack stays up until Ctrl-C.
    #[arg(last = true)]
    command: Vec<String>,
}

/// Starts the stack, runs the command, ends the stack.
pub async fn run(options: StackOptions) -> anyhow::Result<ExitCode> {
    let board = ProgressBoard::new();
    let stack =
        ServerStack::start(options.from.source(), WantedParts::all(), &StackProgress(&board))
            .await?;
    for (name, value) in stack.exports() {
        board.note(format!("export {name}={value}"));
    }
    let code = if let Some((program, arguments)) = options.command.split_first() {
        command(&stack, program, arguments).await?
    } else {
        signal::interrupted().await;
        ExitCode::SUCCESS
    };
    stack.stop().await;
    Ok(code)
}

async fn command(
    stack: &ServerStack,
    program: &str,
    arguments: &[String],
) -> anyhow::Result<ExitCode> {
    let status = cargo::command(program)
        .args(arguments)
        .envs(stack.exports())
        .status()
        .await
        .with_context(|| format!("{program} cannot be run"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
