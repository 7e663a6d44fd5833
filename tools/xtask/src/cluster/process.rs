//! One process that ends when its parent process ends, however the parent ends.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use devstack::{ProcessExit, WaitLimit};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Tells the process's id, passes its exit code on, and ends it when the other end of standard
/// input is gone: first politely, then not.
const LEASH: &str = r#"
log=$1; shift
exec 3<&0
"$@" </dev/null >>"$log" 2>&1 3<&- &
server=$!
echo "$server"
( cat <&3 >/dev/null; kill "$server"; sleep 10; kill -KILL "$server" ) >/dev/null 2>&1 &
leash=$!
wait "$server"
status=$?
kill "$leash"
exit "$status"
"#;

/// A process may take this long to end, however long it is given.
const END_LIMIT: Duration = Duration::from_mins(3);

/// How often it is asked whether it has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Lines of a log that are shown.
const LOG_LINES: usize = 20;

#[derive(Debug)]
pub(super) struct ServiceProcess {
    shell: Child,
    _leash: Option<ChildStdin>,
    pid: u32,
}

impl ServiceProcess {
    pub(super) fn start(
        program: &Path,
        arguments: &[String],
        environment: &[(String, String)],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", LEASH, "leash"])
            .arg(log)
            .arg(program)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            // Ctrl-C in a terminal is for us; we end what we started in our own order.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let leash = shell.stdin.take();
        let mut line = String::new();
        if let Some(told) = shell.stdout.take() {
            BufReader::new(told).read_line(&mut line)?;
        }
        let pid = line.trim().parse().context("the shell did not tell the process's id")?;
        Ok(Self { shell, _leash: leash, pid })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.shell.try_wait(), Ok(None))
    }

    /// How it ended, if it has.
    pub(super) fn exit(&mut self) -> Option<ProcessExit> {
        self.shell.try_wait().ok().flatten().map(ProcessExit::of)
    }

    /// Sends the signal and waits; answers the exit code, if it was not the signal that ended it.
    pub(super) async fn end(self, signal: Signal) -> anyhow::Result<Option<i32>> {
        let pid = Pid::from_raw(self.pid.cast_signed());
        kill(pid, signal).with_context(|| format!("process {pid} is gone"))?;
        // One that was stopped by SIGSTOP would not see the signal until it is continued. Between the two
        // it may have ended.
        kill(pid, Signal::SIGCONT).ok();
        self.ended().await.with_context(|| format!("after {signal}"))
    }

    /// Waits until it has ended; answers the exit code, if it was not a signal that ended it.
    pub(super) async fn ended(mut self) -> anyhow::Result<Option<i32>> {
        let pid = self.pid;
        let mut limit = WaitLimit::new(format!("process {pid} ends"), END_LIMIT, LOOK_AGAIN);
        loop {
            if let Some(status) = self.shell.try_wait()? {
                return Ok(match ProcessExit::of(status) {
                    ProcessExit::Code(code) => Some(code),
                    ProcessExit::Signal(_) => None,
                });
            }
            limit.look_again("it runs").await?;
        }
    }
}

/// The last lines of a log.
pub(super) fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
