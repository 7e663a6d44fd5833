//! Apache Kafka as one local process, broker and controller in one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use super::{
    cache::{Cache, Recipe},
    guard::Guard,
    java::{self, Lesson},
    ports::Ports,
    server::Server,
    supervisor::{Launch, Workspace},
    tool,
};
use crate::{Durability, Error, Halt, Part, probe::Probe};

const POM: &str = include_str!("../../native/kafka/pom.xml");
const LOGGING: &str = include_str!("../../native/kafka/log4j2.properties");
const SETTINGS: &str = include_str!("../../native/kafka/server.properties");
/// Any id will do: no cluster is ever joined.
const CLUSTER: &str = "5L6g3nShT-eMCtK--X86sw";
/// What a freshly formatted data folder consists of.
const FORMATTED: [&str; 2] = ["meta.properties", "bootstrap.checkpoint"];

/// The heap of a broker that is alone, and of one of several.
const HEAP: &str = "-Xmx512m";
const HEAP_OF_MANY: &str = "-Xmx256m";
/// Copies of what the brokers of a cluster keep for themselves, and how soon one that was killed is
/// done without.
const OF_MANY: &str = "
offsets.topic.replication.factor=3
default.replication.factor=3
min.insync.replicas=2
broker.session.timeout.ms=6000
";

/// Where the broker is installed, and the Java that runs it.
#[derive(Clone, Debug)]
pub(crate) struct Installed {
    pub home: PathBuf,
    pub java: PathBuf,
}

/// How a broker is started.
#[derive(Clone, Copy)]
struct How<'g> {
    durability: Durability,
    lesson: Lesson,
    guard: Option<&'g Guard>,
}

/// Fetches the broker, formats an empty data folder to be copied for each start, and learns a start.
pub(crate) async fn install(cache: &Cache<'_>, java: &Path) -> Result<Installed, Error> {
    let inputs = [POM, LOGGING, SETTINGS, java::REQUIREMENTS];
    let recipe = Recipe { part: Some(Part::Kafka), name: "kafka-4.3.1", inputs: &inputs };
    let home = cache
        .folder(&recipe, async |home| {
            let lib = format!("-DoutputDirectory={}", home.join("lib").display());
            let goal = "dependency:copy-dependencies";
            tool::maven(home, POM, &[goal, "-DincludeScope=runtime", &lib]).await?;
            write(&home.join("log4j2.properties"), LOGGING)?;
            let unlearnt = Installed { home: home.to_owned(), java: java.to_owned() };
            let settings = home.join("format.properties");
            write(&settings, &settings_for([1, 2], &home.join("formatted")))?;
            unlearnt.format(&settings, &[]).await?;
            if let Err(error) = unlearnt.learn().await {
                tracing::warn!(%error, "Kafka's start could not be learnt; it will take longer");
            }
            Ok(())
        })
        .await?;
    Ok(Installed { home, java: java.to_owned() })
}

impl Installed {
    /// Makes a data folder of the one that these settings name.
    async fn format(&self, settings: &Path, more: &[&str]) -> Result<(), Error> {
        let mut command = Command::new(&self.java);
        command.arg("-cp").arg(self.classpath());
        command.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c"]).arg(settings);
        command.args(more);
        tool::run(command).await.map(drop)
    }

    async fn learn(&self) -> Result<(), Error> {
        let workspace = Workspace::new()?;
        let how = How { durability: Durability::Forgetful, lesson: Lesson::Learn, guard: None };
        let (server, _) = self.run(&workspace, how).await?;
        server.stop(Halt::Ask).await?;
        workspace.swept().await;
        Ok(())
    }

    /// Starts a broker with an empty data folder and waits until it answers.
    pub(crate) async fn start(
        &self,
        workspace: &Workspace,
        durability: Durability,
        guard: Option<&Guard>,
    ) -> Result<(Server, String), Error> {
        self.run(workspace, How { durability, lesson: Lesson::Use, guard }).await
    }

    async fn run(&self, workspace: &Workspace, how: How<'_>) -> Result<(Server, String), Error> {
        let folder = workspace.folder("kafka")?;
        let data = workspace.folder("kafka/data")?;
        let text = |ports| {
            settings_for(ports, &data) + &how.guard.map(|it| it.settings(ports)).unwrap_or_default()
        };
        if let Some(guard) = how.guard {
            let settings = folder.join("format.properties");
            write(&settings, &text([1, 2]))?;
            self.format(&settings, &["--add-scram", &guard.credentials()]).await?;
        } else {
            for file in FORMATTED {
                let (from, to) = (self.home.join("formatted").join(file), data.join(file));
                fs::copy(&from, &to).map_err(Error::path("copy", &from))?;
            }
        }
        let (server, [port, _]) = Server::start(workspace, |ports| {
            write(&folder.join("server.properties"), &text(ports))?;
            let arguments = self.arguments(&folder, how.durability, how.lesson, HEAP);
            Ok((
                self.launch(&folder, arguments),
                Probe::Kafka { brokers: address(ports[0]), copies: 1 },
            ))
        })
        .await?;
        Ok((server, address(port)))
    }

    /// Starts one of several brokers, which all know the ports of each other.
    pub(crate) async fn join(
        &self,
        workspace: &Workspace,
        all: &[[u16; 2]],
        (index, ports): (usize, Ports),
    ) -> Result<Server, Error> {
        let node = index + 1;
        let folder = workspace.folder(&format!("kafka-{node}"))?;
        let data = workspace.folder(&format!("kafka-{node}/data"))?;
        let settings = folder.join("server.properties");
        let voters: Vec<String> = (1..)
            .zip(all)
            .map(|(id, [_, controller])| format!("{id}@{}", address(*controller)))
            .collect();
        let own = format!("node.id={node}\ncontroller.quorum.voters={}\n", voters.join(","));
        write(&settings, &(settings_for(ports.numbers, &data) + OF_MANY + &own))?;
        self.format(&settings, &[]).await?;
        let arguments = self.arguments(&folder, Durability::Forgetful, Lesson::Use, HEAP_OF_MANY);
        let probe = Probe::Kafka { brokers: address(ports.numbers[0]), copies: 1 };
        Server::start_at(ports, (self.launch(&folder, arguments), probe), workspace).await
    }

    fn launch(&self, folder: &Path, arguments: Vec<String>) -> Launch {
        Launch {
            part: Part::Kafka,
            program: self.java.clone(),
            arguments,
            environment: Vec::new(),
            folder: folder.to_owned(),
            user: None,
        }
    }

    fn arguments(
        &self,
        folder: &Path,
        durability: Durability,
        lesson: Lesson,
        heap: &str,
    ) -> Vec<String> {
        let mut arguments = java::flags(&self.home, folder, lesson);
        arguments.push(heap.to_owned());
        if durability == Durability::Forgetful && lesson == Lesson::Use {
            // A broker that lives for seconds never earns back what better code costs.
            arguments.push("-XX:TieredStopAtLevel=1".to_owned());
        }
        let logging = self.home.join("log4j2.properties");
        arguments.push(format!("-Dlog4j2.configurationFile={}", logging.display()));
        arguments.extend(["-cp".to_owned(), self.classpath(), "kafka.Kafka".to_owned()]);
        arguments.push("server.properties".to_owned());
        arguments
    }

    fn classpath(&self) -> String {
        format!("{}/lib/*", self.home.display())
    }
}

fn settings_for([port, controller_port]: [u16; 2], data: &Path) -> String {
    SETTINGS
        .replace("@port@", &port.to_string())
        .replace("@controller_port@", &controller_port.to_string())
        .replace("@data@", &data.to_string_lossy())
}

/// Where a broker is.
pub(super) fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::path("write", path))
}
