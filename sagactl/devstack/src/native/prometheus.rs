//! Prometheus, which scrapes what the services tell of themselves, and its tool that tries rules.
//!
//! Debian's own package is unpacked and not installed: installing would start a server of its own.
//! Where both programs are on the path already, those are taken.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    cache::{Cache, Recipe},
    server::Server,
    supervisor::{Launch, Workspace},
    tool,
};
use crate::{Error, Part, Silent, probe::Probe};

const PACKAGE: &str = "prometheus";

/// The programs.
#[derive(Clone, Debug)]
struct Programs {
    server: PathBuf,
    tool: PathBuf,
}

/// A running server. It ends when this is dropped.
#[derive(Debug)]
pub struct Prometheus {
    url: String,
    // Dropped first; see `Native`.
    _server: Server,
    _workspace: Workspace,
}

impl Prometheus {
    /// Starts one that scrapes these every second, each by its job and `host:port`, and evaluates
    /// these files of rules.
    pub async fn start(targets: &[(&str, String)], rules: &[PathBuf]) -> Result<Self, Error> {
        let Programs { server: program, .. } = install().await?;
        let workspace = Workspace::new()?;
        let folder = workspace.folder(PACKAGE)?;
        let config = folder.join("prometheus.yaml");
        fs::write(&config, configuration(targets, rules)).map_err(Error::path("write", &config))?;
        let (server, [port, _]) = Server::start(&workspace, |[port, _]| {
            let address = format!("127.0.0.1:{port}");
            let launch = Launch {
                part: Part::Prometheus,
                program: program.clone(),
                arguments: vec![
                    format!("--config.file={}", config.display()),
                    format!("--storage.tsdb.path={}", folder.join("data").display()),
                    format!("--web.listen-address={address}"),
                ],
                environment: vec![],
                folder: folder.clone(),
                user: None,
            };
            Ok((launch, Probe::Http { address, path: "/-/ready" }))
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
pub async fn promtool() -> Result<PathBuf, Error> {
    Ok(install().await?.tool)
}

async fn install() -> Result<Programs, Error> {
    if let (Some(server), Some(tool)) = (tool::on_path("prometheus"), tool::on_path("promtool")) {
        return Ok(Programs { server, tool });
    }
    let recipe = Recipe { part: None, name: "prometheus-debian", inputs: &[PACKAGE] };
    let home = Cache::open(&Silent)?.folder(&recipe, unpack).await?;
    let program = |name| home.join("usr/bin").join(name);
    Ok(Programs { server: program("prometheus"), tool: program("promtool") })
}

async fn unpack(home: &Path) -> Result<(), Error> {
    tool::download(PACKAGE, home).await?;
    tool::unpack_packages(home).await
}

/// JSON, which is YAML.
fn configuration(targets: &[(&str, String)], rules: &[PathBuf]) -> String {
    let scrapes = targets.iter().map(|(job, address)| {
        format!(r#"{{"job_name": "{job}", "static_configs": [{{"targets": ["{address}"]}}]}}"#)
    });
    let rules = rules.iter().map(|it| format!("{:?}", it.display().to_string()));
    format!(
        r#"{{"global": {{"scrape_interval": "1s", "evaluation_interval": "1s"}}, "rule_files": [{}], "scrape_configs": [{}]}}"#,
        rules.collect::<Vec<_>>().join(", "),
        scrapes.collect::<Vec<_>>().join(", ")
    )
}
