//! Apache Kafka as local processes, each broker and controller in one.

mod cluster;
mod secured;

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use super::{
    cache::{InstallCache, InstallRecipe},
    java::{self, ClassSharing},
    server::NativeServer,
    supervisor::{LaunchCommand, ServerFolder},
    tool,
};
use crate::{StackError, StackPart, StopMode, StorageDurability, probe::ServerProbe};

const POM: &str = include_str!("../../native/kafka/pom.xml");
const LOGGING: &str = include_str!("../../native/kafka/log4j2.properties");
const SETTINGS: &str = include_str!("../../native/kafka/server.properties");
/// Any id will do: no other cluster is in reach.
const CLUSTER: &str = "5L6g3nShT-eMCtK--X86sw";
/// What a freshly formatted data folder consists of.
const FORMATTED: [&str; 2] = ["meta.properties", "bootstrap.checkpoint"];

/// Where the broker is installed, and the Java that runs it.
#[derive(Clone, Debug)]
pub(crate) struct InstalledKafka {
    pub home: PathBuf,
    pub java: PathBuf,
}

/// Fetches the broker, formats an empty data folder to be copied for each start, and learns a start.
pub(crate) async fn install(
    cache: &InstallCache<'_>,
    java: &Path,
) -> Result<InstalledKafka, StackError> {
    let inputs = [POM, LOGGING, SETTINGS, java::REQUIREMENTS];
    let recipe =
        InstallRecipe { part: Some(StackPart::Kafka), name: "kafka-4.3.1", inputs: &inputs };
    let home = cache
        .folder(&recipe, async |home| {
            let lib = format!("-DoutputDirectory={}", home.join("lib").display());
            let goal = "dependency:copy-dependencies";
            tool::maven(home, POM, &[goal, "-DincludeScope=runtime", &lib]).await?;
            write(&home.join("log4j2.properties"), LOGGING)?;
            let unlearnt = InstalledKafka { home: home.to_owned(), java: java.to_owned() };
            unlearnt.format().await?;
            if let Err(error) = unlearnt.learn().await {
                tracing::warn!(%error, "Kafka's start could not be learnt; it will take longer");
            }
            Ok(())
        })
        .await?;
    Ok(InstalledKafka { home, java: java.to_owned() })
}

impl InstalledKafka {
    async fn format(&self) -> Result<(), StackError> {
        let formatted = self.home.join("formatted");
        let settings = self.home.join("format.properties");
        write(&settings, &filled_in(SETTINGS, [1, 2], &formatted))?;
        self.format_as(&settings, &[]).await
    }

    /// Formats the data folder that these settings name.
    async fn format_as(&self, settings: &Path, more: &[String]) -> Result<(), StackError> {
        let mut command = Command::new(&self.java);
        command.arg("-cp").arg(self.classpath());
        command.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c"]).arg(settings);
        command.args(more);
        tool::run(command).await.map(drop)
    }

    async fn learn(&self) -> Result<(), StackError> {
        let workspace = ServerFolder::new()?;
        let started =
            self.start(None, &workspace, StorageDurability::Forgetful, ClassSharing::Learn);
        let (server, _) = started.await?;
        server.stop(StopMode::Ask).await?;
        workspace.swept().await;
        Ok(())
    }

    /// Starts a broker with an empty data folder and waits until it answers.
    pub(crate) async fn start(
        &self,
        preferred: Option<u16>,
        workspace: &ServerFolder,
        durability: StorageDurability,
        lesson: ClassSharing,
    ) -> Result<(NativeServer, String), StackError> {
        let folder = workspace.folder("kafka")?;
        let data = workspace.folder("kafka/data")?;
        for file in FORMATTED {
            let (from, to) = (self.home.join("formatted").join(file), data.join(file));
            fs::copy(&from, &to).map_err(StackError::path("copy", &from))?;
        }
        let (server, [port, _]) = NativeServer::start_near(preferred, workspace, |ports| {
            let settings = folder.join("server.properties");
            write(&settings, &filled_in(SETTINGS, ports, &data))?;
            let probe = ServerProbe::Kafka { brokers: address(ports[0]), client: vec![] };
            Ok((self.launch(&folder, durability, lesson), probe))
        })
        .await?;
        Ok((server, address(port)))
    }

    /// How a broker is started whose settings stand in `folder`.
    fn launch(
        &self,
        folder: &Path,
        durability: StorageDurability,
        lesson: ClassSharing,
    ) -> LaunchCommand {
        let mut arguments = java::flags(&self.home, folder, lesson);
        arguments.push("-Xmx512m".to_owned());
        if durability == StorageDurability::Forgetful && lesson == ClassSharing::Use {
            // A broker that lives for seconds never earns back what better code costs.
            arguments.push("-XX:TieredStopAtLevel=1".to_owned());
        }
        let logging = self.home.join("log4j2.properties");
        arguments.push(format!("-Dlog4j2.configurationFile={}", logging.display()));
        arguments.extend(["-cp".to_owned(), self.classpath(), "kafka.Kafka".to_owned()]);
        arguments.push("server.properties".to_owned());
        LaunchCommand::new(StackPart::Kafka, &self.java, arguments, folder)
    }

    fn classpath(&self) -> String {
        format!("{}/lib/*", self.home.display())
    }
}

/// Empties the data folder of a stopped broker that works in `folder`: what is left is freshly formatted.
pub(crate) fn forget(folder: &Path) -> Result<(), StackError> {
    let data = folder.join("data");
    for entry in fs::read_dir(&data).map_err(StackError::path("read", &data))? {
        let path = entry.map_err(StackError::path("read", &data))?.path();
        if FORMATTED.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(StackError::path("remove", &path))?;
    }
    Ok(())
}

/// Settings of a broker on these ports.
fn filled_in(settings: &str, [port, controller_port]: [u16; 2], data: &Path) -> String {
    settings
        .replace("@port@", &port.to_string())
        .replace("@controller_port@", &controller_port.to_string())
        .replace("@data@", &data.to_string_lossy())
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn write(path: &Path, text: &str) -> Result<(), StackError> {
    fs::write(path, text).map_err(StackError::path("write", path))
}
