//! Prometheus, which scrapes what the services tell of themselves, and its tool that tries rules.
//!
//! Debian's own package is unpacked and not installed: installing would start a server of its own.
//! Where both programs are on the path already, those are taken.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{
    cache::{InstallCache, InstallRecipe},
    server::NativeServer,
    supervisor::{LaunchCommand, ServerFolder},
    tool,
};
use crate::{SilentProgress, StackError, StackPart, probe::ServerProbe};

const PACKAGE: &str = "prometheus";

/// A running server. It ends when this is dropped.
#[derive(Debug)]
pub struct RunningPrometheus {
    url: String,
    // Dropped first; see `Native`.
    _server: NativeServer,
    _workspace: ServerFolder,
}

impl RunningPrometheus {
    /// Starts one that scrapes these every second, each by its job and `host:port`, and evaluates
    /// these files of rules.
    pub async fn start(targets: &[(&str, String)], rules: &[PathBuf]) -> Result<Self, StackError> {
        let (program, _) = install().await?;
        let workspace = ServerFolder::new()?;
        let folder = workspace.folder(PACKAGE)?;
        let config = folder.join("prometheus.yaml");
        fs::write(&config, configuration(targets, rules))
            .map_err(StackError::path("write", &config))?;
        let (server, [port, _]) = NativeServer::start(&workspace, |[port, _]| {
            let address = format!("127.0.0.1:{port}");
            let arguments = vec![
                format!("--config.file={}", config.display()),
                format!("--storage.tsdb.path={}", folder.join("data").display()),
                format!("--web.listen-address={address}"),
            ];
            let launch = LaunchCommand::new(StackPart::Prometheus, &program, arguments, &folder);
            Ok((launch, ServerProbe::Http { address, path: "/-/ready" }))
        })
        .await?;
        let url = format!("http://127.0.0.1:{port}");
        Ok(Self { url, _server: server, _workspace: workspace })
    }

    /// The base URL of its API.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Where `promtool` is.
pub async fn promtool() -> Result<PathBuf, StackError> {
    Ok(install().await?.1)
}

/// The paths of the server and of `promtool`.
async fn install() -> Result<(PathBuf, PathBuf), StackError> {
    if let (Some(server), Some(tool)) = (tool::on_path("prometheus"), tool::on_path("promtool")) {
        return Ok((server, tool));
    }
    let recipe = InstallRecipe { part: None, name: "prometheus-debian", inputs: &[PACKAGE] };
    let home = InstallCache::open(&SilentProgress)?.folder(&recipe, unpack).await?;
    let program = |name| home.join("usr/bin").join(name);
    Ok((program("prometheus"), program("promtool")))
}

async fn unpack(home: &Path) -> Result<(), StackError> {
    tool::download(PACKAGE, home).await?;
    tool::unpack_packages(home).await
}

/// JSON, which is YAML.
fn configuration(targets: &[(&str, String)], rules: &[PathBuf]) -> String {
    let scrapes: Vec<_> = targets
        .iter()
        .map(|(job, address)| {
            json!({ "job_name": job, "static_configs": [{ "targets": [address] }] })
        })
        .collect();
    json!({
        "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
        "rule_files": rules,
        "scrape_configs": scrapes,
    })
    .to_string()
}
