//! The package clients that fetch the servers, and how a missing client is installed.
//!
//! The clients are needed once per machine; installed servers run without them.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use tokio::{process::Command, sync::Mutex, time::timeout};

use super::supervisor::last_lines;
use crate::{ProcessExit, StackError, config};

/// How long one installer may take: some compile, and some machines are slow.
const PATIENCE: Duration = Duration::from_mins(15);
/// How much of what an installer said is kept when it fails.
const OUTPUT_LINES: usize = 15;

/// One installation of tools at a time.
static INSTALLING: Mutex<()> = Mutex::const_new(());

/// A program that must be on the machine to install something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstallTool {
    Maven,
    /// Fetches wheels, and unpacks archives.
    Python,
}

impl InstallTool {
    /// The Debian packages that bring it.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Maven => &["maven"],
            Self::Python => &["python3", "python3-pip"],
        }
    }

    fn question(self) -> Command {
        let (program, arguments): (_, &[&str]) = match self {
            Self::Maven => ("mvn", &["-v"]),
            Self::Python => ("python3", &["-m", "pip", "--version"]),
        };
        let mut command = Command::new(program);
        command.args(arguments);
        command
    }

    /// Whether the tool is installed and works.
    pub async fn works(self) -> bool {
        run(self.question()).await.is_ok()
    }

    /// Ensures that the tool is installed: installs it if possible, else says what to do.
    pub(crate) async fn ensure(self) -> Result<(), StackError> {
        let _one_at_a_time = INSTALLING.lock().await;
        if self.works().await {
            return Ok(());
        }
        let packages = self.packages();
        if !nix::unistd::geteuid().is_root() || on_path("apt-get").is_none() {
            return Err(StackError::Missing {
                missing: packages.join(", "),
                command: format!(
                    "sudo apt-get install --no-install-recommends {}",
                    packages.join(" ")
                ),
            });
        }
        run(apt(&["update"])).await?;
        let mut install = apt(&["install", "--yes", "--no-install-recommends"]);
        install.args(packages);
        run(install).await.map(drop)
    }
}

/// Fetches a Debian package into this folder, without installing it.
pub(crate) async fn download(package: &str, folder: &Path) -> Result<(), StackError> {
    let _one_at_a_time = INSTALLING.lock().await;
    if on_path("apt-get").is_none() {
        return Err(StackError::Missing {
            missing: package.to_owned(),
            command: format!("apt-get install {package}"),
        });
    }
    let fetch = || {
        let mut fetch = apt(&["download", package]);
        fetch.current_dir(folder);
        fetch
    };
    if run(fetch()).await.is_ok() {
        return Ok(());
    }
    // The lists of packages may be missing or old; only root can fetch them.
    run(apt(&["update"])).await?;
    run(fetch()).await.map(drop)
}

/// Unpacks the Debian packages that lie in this folder into it, and removes them.
pub(crate) async fn unpack_packages(folder: &Path) -> Result<(), StackError> {
    for archive in packages_in(folder)? {
        let mut command = Command::new("dpkg-deb");
        command.arg("-x").arg(&archive).arg(folder);
        run(command).await?;
        std::fs::remove_file(&archive).map_err(StackError::path("remove", &archive))?;
    }
    Ok(())
}

/// What the Debian packages in this folder depend on, each by its name.
pub(crate) async fn dependencies(folder: &Path) -> Result<Vec<String>, StackError> {
    let mut all = Vec::new();
    for archive in packages_in(folder)? {
        let mut command = Command::new("dpkg-deb");
        command.arg("-f").arg(&archive).arg("Depends");
        let said = run(command).await?.stdout;
        let said = String::from_utf8_lossy(&said).into_owned();
        let names = said.split(',').filter_map(|text| text.split_whitespace().next());
        all.extend(names.map(str::to_owned));
    }
    Ok(all)
}

fn packages_in(folder: &Path) -> Result<Vec<PathBuf>, StackError> {
    let entries = std::fs::read_dir(folder).map_err(StackError::path("read", folder))?;
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    Ok(paths.filter(|path| path.extension().is_some_and(|name| name == "deb")).collect())
}

fn apt(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    let patience = ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"];
    command.arg("-qq").args(patience).args(arguments);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Where a program is, if it is anywhere.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    config::program_folders()
        .into_iter()
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// Runs Maven on this project in this folder.
pub(crate) async fn maven(folder: &Path, pom: &str, arguments: &[&str]) -> Result<(), StackError> {
    InstallTool::Maven.ensure().await?;
    let file = folder.join("pom.xml");
    std::fs::write(&file, pom).map_err(StackError::path("write", &file))?;
    let mut command = Command::new("mvn");
    command.args(["-q", "-B", "-f"]).arg(&file).args(arguments).current_dir(folder);
    run(command).await.map(drop)
}

/// Installs wheels into a folder, not a virtual environment: a folder can be renamed.
pub(crate) async fn pip(
    target: &Path,
    requirements: &str,
    arguments: &[&str],
) -> Result<(), StackError> {
    InstallTool::Python.ensure().await?;
    std::fs::create_dir_all(target).map_err(StackError::path("make", target))?;
    let file = target.join("requirements.txt");
    std::fs::write(&file, requirements).map_err(StackError::path("write", &file))?;
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
    command.args(["--root-user-action=ignore"]).args(arguments);
    command.arg("--target").arg(target).arg("-r").arg(&file);
    run(command).await.map(drop)
}

/// Unpacks an archive: `zipfile` or `tarfile`. Python does it on machines without `unzip` or `xz`.
pub(crate) async fn unpack(kind: &str, archive: &Path, into: &Path) -> Result<(), StackError> {
    InstallTool::Python.ensure().await?;
    let mut command = Command::new("python3");
    command.args(["-m", kind, "-e"]).arg(archive).arg(into);
    run(command).await.map(drop)
}

/// Runs a command to its end; the error has the last of what it said.
pub(crate) async fn run(mut command: Command) -> Result<Output, StackError> {
    let line = command_line(&command);
    let failed = |output: String| StackError::Command { command: line.clone(), output };
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output())
        .await
        .map_err(|_elapsed| failed(format!("no end after {} s", PATIENCE.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(output);
    }
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    let exit = ProcessExit::of(output.status);
    Err(failed(format!("{exit}\n{}", last_lines(&said, OUTPUT_LINES))))
}

fn command_line(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
