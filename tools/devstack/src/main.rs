//! Holds one stack for as long as a command runs: `devstack cargo test`. Without a command, it says
//! what to put into the environment, and holds the stack until Ctrl-C.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use devstack::{PartState, ServerSource, ServerStack, StackPart, StartProgress, WantedParts};

struct ProgressLines;

impl StartProgress for ProgressLines {
    fn state(&self, part: StackPart, state: &PartState) {
        // The stack is there, whether or not anybody reads that it is.
        drop(writeln!(std::io::stderr(), "{part:>15}: {state}"));
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    let parts = WantedParts::all().forgetful();
    let stack = ServerStack::start(ServerSource::Auto, parts, &ProgressLines).await?;
    let status = if let Some(program) = words.next() {
        let mut command = tokio::process::Command::new(&program);
        command.args(words).envs(stack.exports());
        command.status().await.with_context(|| format!("cannot run {}", program.display()))?.code()
    } else {
        say(&stack)?;
        tokio::signal::ctrl_c().await?;
        Some(0)
    };
    stack.stop().await;
    Ok(status.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn say(stack: &ServerStack) -> std::io::Result<()> {
    let line = |(name, value)| format!("export {name}='{value}'\n");
    let lines: String = stack.exports().into_iter().map(line).collect();
    std::io::stdout().write_all(lines.as_bytes())
}
