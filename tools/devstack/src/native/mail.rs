//! Mailpit as a local process: takes every mail, delivers none, and shows them over its API.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use super::{
    cache::{InstallCache, InstallRecipe},
    server::NativeServer,
    supervisor::{LaunchCommand, ServerFolder},
    tool,
};
use crate::{StackError, StackPart, probe::ServerProbe};

const MODULE: &str = "github.com/axllent/mailpit@v1.30.5";
/// The Go toolchain as a wheel.
const TOOLCHAIN: &str = include_str!("../../native/mail/requirements.txt");
/// The oldest Go, 1.x, that compiles it.
const OLDEST_GO: u32 = 25;
/// How many mails are kept; older ones go.
const KEPT: &str = "100000";

/// Compiles the server; with a Go of our own if the machine has none that is new enough.
pub(crate) async fn install(cache: &InstallCache<'_>) -> Result<PathBuf, StackError> {
    let recipe =
        InstallRecipe { part: Some(StackPart::Mail), name: "mailpit-1.30.5", inputs: &[MODULE] };
    let folder = cache
        .folder(&recipe, async |folder| {
            let toolchain = folder.join("go");
            let go = if let Some(go) = new_enough_go().await {
                go
            } else {
                tool::pip(&toolchain, TOOLCHAIN, &["--no-deps"]).await?;
                toolchain.join("go/bin/go")
            };
            let mut command = Command::new(go);
            command.args(["install", "-trimpath", "-ldflags", "-s -w", MODULE]);
            command.env("GOBIN", folder).env("CGO_ENABLED", "0").current_dir(folder);
            tool::run(command).await?;
            if toolchain.exists() {
                fs::remove_dir_all(&toolchain).map_err(StackError::path("remove", &toolchain))?;
            }
            Ok(())
        })
        .await?;
    Ok(folder.join("mailpit"))
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
