//! Server processes that end with the process that started them.
//!
//! Each server runs under a small shell script that reads a pipe, whose other end is held here.
//! The system closes that end however this process ends (return, panic, Ctrl-C, `kill -9`), and the
//! script ends the server. A second script, the sweeper, removes the data after the last server.

use std::{
    fs, io,
    io::{PipeWriter, Write as _},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    time::Duration,
};

use tokio::time::Instant;

use crate::{ProcessExit, StackError, StackPart, StopMode, part::EndedPart};

/// How often a process is asked whether it has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long a process may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// How much of a log is shown when something goes wrong.
const LOG_LINES: usize = 25;

/// Runs a command when this process and all other holders are gone.
#[derive(Debug)]
pub(crate) struct LeftoverSweeper {
    held: PipeWriter,
    shell: Child,
}

impl LeftoverSweeper {
    /// One that will run this command.
    pub(crate) fn start(command: &[&str]) -> Result<Self, StackError> {
        let what = "cannot start the process that cleans up";
        let (reader, held) = io::pipe().map_err(StackError::system(what))?;
        let shell = shell(include_str!("../../native/sweep.sh"))
            .args(command)
            .stdin(reader)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(StackError::system(what))?;
        Ok(Self { held, shell })
    }

    /// Lets go, and waits until it has done its work.
    pub(crate) async fn done(self) {
        let Self { held, mut shell } = self;
        drop(held);
        if exit_within(&mut shell, 3 * GRACE).await.is_none() {
            tracing::warn!("the clean-up of the stack takes too long; it goes on by itself");
        }
    }
}

/// A folder that lives as long as the servers that use it.
#[derive(Debug)]
pub(crate) struct ServerFolder {
    folder: PathBuf,
    /// Where logs are kept that stay; otherwise they go with the folder.
    logs: Option<PathBuf>,
    sweeper: LeftoverSweeper,
}

impl ServerFolder {
    pub(crate) fn new() -> Result<Self, StackError> {
        let what = "cannot make a folder for the servers' data";
        let folder = tempfile::Builder::new()
            .prefix("saga-devstack-")
            .tempdir()
            .map_err(StackError::system(what))?;
        // Postgres runs as another user than root, and must be able to pass through.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711))
            .map_err(StackError::system(what))?;
        let sweeper =
            LeftoverSweeper::start(&["rm", "-rf", "--", &folder.path().to_string_lossy()])?;
        Ok(Self { folder: folder.keep(), logs: None, sweeper })
    }

    /// One whose servers write their logs into another folder, which stays.
    pub(crate) fn logging_to(logs: Option<PathBuf>) -> Result<Self, StackError> {
        Ok(Self { logs, ..Self::new()? })
    }

    /// The log of the server that works in this folder.
    fn log(&self, folder: &Path) -> PathBuf {
        match (&self.logs, folder.file_name()) {
            (Some(logs), Some(name)) => logs.join(name).with_extension("log"),
            _ => folder.join("log"),
        }
    }

    /// The folder of one part.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, StackError> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).map_err(StackError::path("make", &folder))?;
        Ok(folder)
    }

    /// Waits until the folder is gone; all servers in it must have been let go.
    pub(crate) async fn swept(self) {
        self.sweeper.done().await;
    }
}

/// Everything that is needed to start a server, once or again.
#[derive(Clone, Debug)]
pub(crate) struct LaunchCommand {
    pub part: StackPart,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(&'static str, String)>,
    /// The working folder, with the log in it.
    pub folder: PathBuf,
    /// User and group, if not ours.
    pub user: Option<(u32, u32)>,
}

impl LaunchCommand {
    /// As our own user, in our own environment.
    pub(crate) fn new(
        part: StackPart,
        program: &Path,
        arguments: Vec<String>,
        folder: &Path,
    ) -> Self {
        let (program, folder) = (program.to_owned(), folder.to_owned());
        Self { part, program, arguments, environment: Vec::new(), folder, user: None }
    }
}

#[derive(Debug)]
pub(crate) struct ServerProcess {
    part: StackPart,
    supervisor: Child,
    leash: Option<ChildStdin>,
    log: PathBuf,
}

impl ServerProcess {
    /// Starts it; it does not answer yet.
    pub(crate) fn start(
        launch: &LaunchCommand,
        workspace: &ServerFolder,
    ) -> Result<Self, StackError> {
        let what = || format!("cannot start the {}", launch.part);
        let log = workspace.log(&launch.folder);
        let written = fs::File::options().create(true).append(true).open(&log);
        let written = written.map_err(StackError::path("write", &log))?;
        let held = workspace.sweeper.held.try_clone().map_err(StackError::system(what()))?;
        let mut command = shell(include_str!("../../native/supervise.sh"));
        command
            .arg(last_signal(launch.part))
            .arg(GRACE.as_secs().to_string())
            .arg(&launch.program)
            .args(&launch.arguments)
            .envs(launch.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&launch.folder)
            .stdin(Stdio::piped())
            .stdout(held)
            // Opened here: a server that runs as another user may not reach the folder.
            .stderr(written);
        if let Some((user, group)) = launch.user {
            command.uid(user).gid(group);
        }
        let mut supervisor = command.spawn().map_err(StackError::system(what()))?;
        let leash = supervisor.stdin.take();
        Ok(Self { part: launch.part, supervisor, leash, log })
    }

    /// The process under which the server and all its own processes run.
    pub(crate) fn root(&self) -> u32 {
        self.supervisor.id()
    }

    /// The file into which it writes.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended and its last lines, if it has ended without being told to.
    pub(crate) fn ended_part(&mut self) -> Option<EndedPart> {
        let status = self.ended()?;
        Some(EndedPart {
            part: self.part,
            status: ProcessExit::of(status).to_string(),
            log: self.log.clone(),
            last_lines: self.log_tail(),
        })
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.supervisor.try_wait().ok().flatten()
    }

    /// The error to give if it has ended.
    pub(crate) fn must_live(&mut self) -> Result<(), StackError> {
        match self.ended() {
            None => Ok(()),
            Some(status) => {
                let status = ProcessExit::of(status).to_string();
                Err(StackError::Ended { part: self.part, status, log: self.log_tail() })
            }
        }
    }

    /// Ends it this way, and waits until it has ended.
    pub(crate) async fn stop(mut self, how: StopMode) -> Result<(), StackError> {
        let signal = match how {
            StopMode::Ask => polite_signal(self.part),
            StopMode::Kill => "KILL",
        };
        if let Some(leash) = &mut self.leash {
            // A pipe that is broken has no process at its end: that is what we want.
            writeln!(leash, "{signal}").ok();
        }
        match exit_within(&mut self.supervisor, 3 * GRACE).await {
            Some(_) => Ok(()),
            None => Err(self.too_slow("end", 3 * GRACE)),
        }
    }

    /// The error to give when it does not do this in time.
    pub(crate) fn too_slow(&self, what: &'static str, limit: Duration) -> StackError {
        let seconds = limit.as_secs();
        StackError::TooSlow { part: self.part, what, seconds, log: self.log_tail() }
    }

    fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        last_lines(&String::from_utf8_lossy(&log), LOG_LINES)
    }
}

/// The last lines of a text.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// The signal that stops a server in good order. On TERM, Postgres would wait for its clients.
fn polite_signal(part: StackPart) -> &'static str {
    if part == StackPart::Postgres { "INT" } else { "TERM" }
}

/// The signal that ends a server for good. A killed Postgres would leave shared memory behind.
fn last_signal(part: StackPart) -> &'static str {
    match part {
        StackPart::Postgres => "QUIT",
        StackPart::Kafka
        | StackPart::Registry
        | StackPart::Mail
        | StackPart::Prometheus
        | StackPart::Pooler => "KILL",
        // It has children of its own, one per open tab.
        StackPart::Ui => "TERM",
    }
}

/// A shell in a process group of its own, so that Ctrl-C in a terminal reaches us and not it.
fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, "devstack"]).process_group(0);
    command
}

async fn exit_within(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => tokio::time::sleep(LOOK_AGAIN).await,
            Ok(None) | Err(_) => return None,
        }
    }
}

/// Lets everybody read what is below `folder`.
pub(crate) fn open_to_all(folder: &Path) -> Result<(), StackError> {
    let status = Command::new("chmod").args(["-R", "a+rX"]).arg(folder).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(StackError::Command {
            command: format!("chmod -R a+rX {}", folder.display()),
            output: ProcessExit::of(status).to_string(),
        }),
        Err(source) => Err(StackError::System { what: "cannot run chmod".to_owned(), source }),
    }
}
