//! The compose file under a name and at ports of its own, so that it can be tried beside a stack
//! that somebody uses.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use anyhow::Context as _;
use devstack::PortPair;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::process::Command;

/// Its containers, networks and volumes are called by this name. Fixed, so that what a killed run
/// left behind goes at the next.
const NAME: &str = "saga-test";

/// The compose file of a repository, as a running project.
#[derive(Debug)]
pub(super) struct ComposeProject {
    folder: PathBuf,
    /// The file's variables: ports, how programs are built, how many products.
    variables: BTreeMap<String, String>,
    /// Where the file publishes unless told otherwise, and where it does here.
    moved: Vec<(String, String)>,
    _claims: Vec<PortPair>,
    /// More compose files, each of which changes the ones before it.
    overrides: Vec<NamedTempFile>,
}

impl ComposeProject {
    /// The project of the repository in this folder, each of its ports moved to a free one.
    pub(super) fn of(folder: &Path, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let file = folder.join("docker-compose.yml");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("{} cannot be read", file.display()))?;
        let (mut variables, mut moved, mut claims) = (BTreeMap::new(), Vec::new(), Vec::new());
        let published: Vec<_> = port_variables(&text).into_iter().collect();
        for pair in published.chunks(2) {
            let ports = PortPair::claim();
            for ((name, default), port) in pair.iter().zip(ports.numbers) {
                variables.insert(name.clone(), port.to_string());
                moved.push((format!("127.0.0.1:{default}"), format!("127.0.0.1:{port}")));
            }
            claims.push(ports);
        }
        let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        variables.extend(settings);
        Ok(Self { folder: folder.to_owned(), variables, moved, _claims: claims, overrides: vec![] })
    }

    /// The port of this machine under which a service is published.
    pub(super) fn port(&self, variable: &str) -> anyhow::Result<u16> {
        let port = self.variables.get(variable).with_context(|| format!("no port {variable}"))?;
        Ok(port.parse()?)
    }

    /// From now on these services are not part of it.
    pub(super) fn put_aside(&mut self, services: &[String]) -> anyhow::Result<()> {
        self.change(services, &json!({ "profiles": ["put-aside"] }))
    }

    /// From now on these services are also what this says.
    pub(super) fn change(&mut self, services: &[String], change: &Value) -> anyhow::Result<()> {
        if services.is_empty() {
            return Ok(());
        }
        let services: BTreeMap<_, _> = services.iter().map(|name| (name, change)).collect();
        let mut file = NamedTempFile::with_suffix(".json")?;
        file.write_all(json!({ "services": services }).to_string().as_bytes())?;
        self.overrides.push(file);
        Ok(())
    }

    /// `docker compose` with these words; what it printed if it went well.
    pub(super) async fn compose(&self, words: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new("docker");
        command.arg("compose").args(words);
        self.perform(command).await
    }

    /// What a document tells a person to type, word for word but for the ports; what it printed if
    /// it went well.
    pub(super) async fn shell(&self, line: &str) -> anyhow::Result<String> {
        let here =
            self.moved.iter().fold(line.to_owned(), |text, (from, to)| text.replace(from, to));
        let mut command = Command::new("sh");
        command.args(["-c", &here]);
        self.perform(command).await
    }

    /// `docker` with these words.
    pub(super) async fn docker(&self, words: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new("docker");
        command.args(words);
        self.perform(command).await
    }

    /// Removes one volume of the project, as the compose file calls it, and what is in it.
    pub(super) async fn remove_volume(&self, volume: &str) -> anyhow::Result<()> {
        self.docker(&["volume", "rm", &format!("{NAME}_{volume}")]).await.map(drop)
    }

    /// What the engine knows of each container of the project that runs.
    pub(super) async fn containers(&self) -> anyhow::Result<Vec<Value>> {
        let ids = self.compose(&["ps", "--quiet"]).await?;
        let ids: Vec<&str> = ids.split_whitespace().collect();
        anyhow::ensure!(!ids.is_empty(), "no container runs");
        let known = self.docker(&[&["inspect"], &ids[..]].concat()).await?;
        serde_json::from_str(&known).context("docker inspect cannot be read")
    }

    /// The file with its variables filled in, and the operators' containers.
    pub(super) async fn described(&self) -> anyhow::Result<Value> {
        let operators = ["--profile", "audit", "--profile", "sagactl"];
        let config = [&operators[..], &["config", "--format", "json"]].concat();
        let text = self.compose(&config).await?;
        serde_json::from_str(&text).context("docker compose config cannot be read")
    }

    /// The environment that makes `docker compose` use this project.
    fn environment(&self) -> BTreeMap<String, String> {
        let own = self.folder.join("docker-compose.yml");
        let overrides = self.overrides.iter().map(NamedTempFile::path);
        let files: Vec<_> =
            std::iter::once(own.as_path()).chain(overrides).map(Path::to_string_lossy).collect();
        let mut environment = self.variables.clone();
        environment.extend(
            [
                ("COMPOSE_PROJECT_NAME", NAME),
                ("COMPOSE_FILE", &files.join(":")),
                ("COMPOSE_PATH_SEPARATOR", ":"),
                ("COMPOSE_PROGRESS", "plain"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        environment
    }

    async fn perform(&self, mut command: Command) -> anyhow::Result<String> {
        command
            .current_dir(&self.folder)
            .envs(self.environment())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = command.output().await.context("docker cannot be run")?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        anyhow::bail!("{:?}: {}\n{}", command.as_std(), output.status, ending(&output))
    }
}

impl Drop for ComposeProject {
    /// Nothing of it stays, however the test ends.
    fn drop(&mut self) {
        let mut command = std::process::Command::new("docker");
        command.args(["compose", "down", "--volumes", "--remove-orphans", "--timeout", "5"]);
        command.current_dir(&self.folder).envs(self.environment());
        // Whatever is left is removed when the test begins again.
        drop(command.stdin(Stdio::null()).output());
    }
}

/// The variables that say at which port of this machine something is published, and their defaults.
fn port_variables(file: &str) -> BTreeMap<String, String> {
    let variables = file.split("${").skip(1).filter_map(|text| text.split_once('}'));
    let ports = variables
        .filter_map(|(text, _)| text.split_once(":-"))
        .filter(|(name, _)| name.ends_with("_PORT"));
    ports.map(|(name, default)| (name.to_owned(), default.to_owned())).collect()
}

/// The last lines of what a command complained of.
fn ending(output: &Output) -> String {
    let said =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat();
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_has_a_variable_and_is_found_once() {
        let file = "ports: [\"127.0.0.1:${B_PORT:-1}:1\"]\nx: ${A_PORT:-2} ${B_PORT:-1} ${C:-3}";
        let ports =
            [("A_PORT", "2"), ("B_PORT", "1")].map(|(name, text)| (name.into(), text.into()));
        assert_eq!(port_variables(file), BTreeMap::from(ports));
    }

    #[test]
    fn each_address_of_the_readme_is_one_of_the_compose_file() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let read = |name: &str| std::fs::read_to_string(format!("{root}/{name}")).unwrap();
        let (readme, file) = (read("README.md"), read("docker-compose.yml"));
        let published: Vec<String> = port_variables(&file).into_values().collect();
        let named = readme.split("127.0.0.1:").skip(1).map(|text| {
            text.split(|letter: char| !letter.is_ascii_digit())
                .next()
                .unwrap_or_default()
                .to_owned()
        });
        let named: Vec<String> = named.collect();
        assert!(named.contains(&"8001".to_owned()));
        assert!(named.iter().all(|port| published.contains(port)), "{named:?}");
    }
}
