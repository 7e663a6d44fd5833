//! `xtask readme-test`: the README's commands for local processes, pasted by a program.
//!
//! Each is run word for word in the README's order, in the root of the repository, and has to print
//! the lines that the README shows. Only where a port was taken, the address that the demo has
//! instead is put in. `docs/tour.http` is sent request by request while the demo
//! stands. At the end the demo is ended by Ctrl-C, as a person would, and has to have nothing to
//! complain of. `xtask compose-test` does the same with the commands for containers.

use std::{
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use sagactl::{http_client::http_client, screen::say};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::Child,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    cargo,
    documents::{CommandBlock, DocumentedStack, MovedAddresses, command_blocks, missing_lines},
    http_collection,
};

/// Which documents are tried.
#[derive(Debug, Args)]
pub struct ReadmeOptions {
    /// The root of the repository.
    #[arg(long, default_value = ".")]
    repository: PathBuf,
}

/// A command that shows no end of its own may print nothing for so long.
const SILENCE_LIMIT: Duration = Duration::from_mins(5);
/// What a command shows has to have come about within this, on a busy machine.
const OUTPUT_LIMIT: Duration = Duration::from_secs(90);
/// A command that was interrupted has to end within this.
const END_LIMIT: Duration = Duration::from_mins(1);
/// How often an output is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Runs the commands; fails at the first that is not as the README says.
pub async fn run(options: ReadmeOptions) -> anyhow::Result<ExitCode> {
    let root = options.repository.canonicalize().context("there is no such repository")?;
    let text = std::fs::read_to_string(root.join("README.md")).context("README.md")?;
    let blocks = command_blocks(&text, DocumentedStack::Native)?;
    anyhow::ensure!(blocks.iter().any(|block| block.stays), "the README starts nothing");
    let (mut running, mut moved) = (Vec::new(), MovedAddresses::default());
    for block in &blocks {
        let began = Instant::now();
        if block.stays {
            running.push(StayingCommand::start(&root, block).await?);
            moved = MovedAddresses::of_newest_demo();
        } else {
            let command = moved.put_into(block.command);
            run_until_shown(&root, &CommandBlock { command: &command, ..*block }).await?;
        }
        done(began, block.command);
    }
    let began = Instant::now();
    let tour = std::fs::read_to_string(root.join("docs/tour.http")).context("docs/tour.http")?;
    let sent = http_collection::send_all(&http_client()?, &moved.put_into(&tour)).await?;
    done(began, &format!("docs/tour.http: {sent} requests are answered as it says"));
    for command in running {
        command.interrupt().await?;
    }
    Ok(ExitCode::SUCCESS)
}

fn done(began: Instant, what: &str) {
    let what = what.lines().next().unwrap_or_default();
    say(format_args!("  ✔ {what} ({:.1} s)", began.elapsed().as_secs_f64()));
}

/// Repeats a command until it prints what is shown: what it looks at may be on its way.
async fn run_until_shown(root: &Path, block: &CommandBlock<'_>) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let output = shell(root, block.command).stdin(Stdio::null()).output().await?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let missing = missing_lines(block.shown.unwrap_or_default(), &printed);
        if output.status.success() && missing.is_empty() {
            return Ok(());
        }
        anyhow::ensure!(
            began.elapsed() < OUTPUT_LIMIT,
            "{}\n{}\nprinted\n{printed}{}\nand not\n{}",
            block.command,
            output.status,
            String::from_utf8_lossy(&output.stderr),
            missing.join("\n")
        );
        sleep(LOOK_AGAIN).await;
    }
}

fn shell(root: &Path, command: &str) -> tokio::process::Command {
    let mut shell = cargo::command("sh");
    shell.args(["-c", command]).current_dir(root);
    shell
}

/// A command that runs until Ctrl-C.
#[derive(Debug)]
struct StayingCommand {
    child: Child,
    name: String,
    _readers: JoinSet<()>,
}

impl StayingCommand {
    /// Starts it and waits until it has printed what is shown.
    async fn start(root: &Path, block: &CommandBlock<'_>) -> anyhow::Result<Self> {
        let shown = block.shown.context("a command that stays has to show when it is ready")?;
        // In place of the shell: one that waits for a command dies of Ctrl-C itself.
        let mut shell = shell(root, &format!("exec {}", block.command));
        // A group of its own, as a terminal gives it: Ctrl-C goes to all of it and to nobody else.
        shell.process_group(0).stdin(Stdio::null());
        let mut child = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let printed = Arc::new(Mutex::new(String::new()));
        let mut readers = JoinSet::new();
        readers.spawn(keep(child.stdout.take().context("no output")?, Arc::clone(&printed)));
        readers.spawn(keep(child.stderr.take().context("no output")?, Arc::clone(&printed)));
        let name = block.command.to_owned();
        let mut command = Self { child, name, _readers: readers };
        let (mut length, mut heard) = (0, Instant::now());
        loop {
            let text = printed.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let missing = missing_lines(shown, &text);
            if missing.is_empty() {
                return Ok(command);
            }
            if text.len() > length {
                (length, heard) = (text.len(), Instant::now());
            }
            let missing = missing.join("\n");
            if let Some(status) = command.child.try_wait()? {
                anyhow::bail!("{} ended ({status}) and did not print\n{missing}", block.command);
            }
            anyhow::ensure!(
                heard.elapsed() < SILENCE_LIMIT,
                "{} does not print\n{missing}",
                block.command
            );
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Ctrl-C; it has to end well.
    async fn interrupt(mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        self.signal(Signal::SIGINT)?;
        let status = timeout(END_LIMIT, self.child.wait()).await;
        let status =
            status.with_context(|| format!("{} does not end after Ctrl-C", self.name))??;
        anyhow::ensure!(status.success(), "{} after Ctrl-C: {status}", self.name);
        done(began, &format!("{} ends after Ctrl-C", self.name));
        Ok(())
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.child.id().with_context(|| format!("{} has ended by itself", self.name))?;
        Ok(killpg(Pid::from_raw(i32::try_from(id)?), signal)?)
    }
}

impl Drop for StayingCommand {
    /// Nothing goes on, however the test ends. Its group has ended by then, or is told to.
    fn drop(&mut self) {
        if self.signal(Signal::SIGTERM).is_ok() {
            say(format_args!("  {} is told to end", self.name));
        }
    }
}

/// Prints what a command prints, and keeps it.
async fn keep(output: impl AsyncRead + Unpin, printed: Arc<Mutex<String>>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        say(&line);
        let mut printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
        printed.push_str(&line);
        printed.push('\n');
    }
}
