//! The four services and the gateway as processes, beside a stack.
//!
//! **Architecture invariant:** a process started here does not outlive the process that started it,
//! and each can be killed and started again with its ports and data, as tests of crashes do.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use devstack::{ServerStack, StackUrls, WaitLimit, WantedParts};
use nix::sys::signal::Signal;
use sagactl::{http_client::http_client, screen::ProgressBoard};
use shared::kafka::{self, ConnectionSecurity};
use tempfile::TempDir;

use self::process::ServiceProcess;
pub use self::{
    address::{MovedProcess, PortChoice, ProcessAddress},
    audited::AuditExpectation,
    ending::EndedProcess,
    process_name::ProcessName,
};
use crate::{cargo, source::StackSource, stack_progress::StackProgress};

mod address;
mod audited;
pub mod beside;
mod databases;
mod ending;
mod process;
mod process_name;
mod security;
mod system_addresses;

/// How a cluster is set up.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// Prefix of topics and groups, suffix of database names: several clusters share one stack.
    pub prefix: String,
    /// Products for a load, beside those of the demo.
    pub products: u32,
    /// How connections to the broker are protected.
    pub security: ConnectionSecurity,
    /// Settings beside the usual ones, for all services.
    pub environment: Vec<(String, String)>,
    pub ports: PortChoice,
    /// The folder in which logs are kept; without one, they go with the cluster.
    pub logs: Option<PathBuf>,
}

/// The members and where they are.
#[derive(Debug)]
pub struct ServiceCluster {
    urls: StackUrls,
    options: ClusterOptions,
    /// The URLs of the services' databases.
    databases: BTreeMap<ProcessName, String>,
    places: BTreeMap<ProcessName, ProcessAddress>,
    processes: BTreeMap<ProcessName, ServiceProcess>,
    folder: TempDir,
    programs: PathBuf,
    http: reqwest::Client,
}

/// A service whose health has not changed for this long is not expected to become ready.
const READY_LIMIT: Duration = Duration::from_mins(2);

/// How often it is asked.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Long, because the machine may stand still while a process stops.
const SHUTDOWN_GRACE: &str = "1m";

impl ServiceCluster {
    /// Makes the databases, starts every member, waits until all are ready.
    pub async fn start(
        urls: &StackUrls,
        options: ClusterOptions,
        board: &ProgressBoard,
    ) -> anyhow::Result<Self> {
        let databases = databases::create(&urls.postgres, &options.prefix).await?;
        let place = |member| (member, ProcessAddress::chosen(member, options.ports));
        let places = ProcessName::ALL.into_iter().map(place).collect();
        let mut cluster = Self {
            urls: urls.clone(),
            options,
            databases,
            places,
            processes: BTreeMap::new(),
            folder: tempfile::Builder::new().prefix("xtask-").tempdir()?,
            programs: programs()?,
            http: http_client()?,
        };
        for member in ProcessName::ALL {
            board.set(member.program(), "starting");
            cluster.launch(member)?;
        }
        for member in ProcessName::ALL {
            cluster.ready(member).await?;
            board.end(member.program(), &format!("ready at {}", cluster.url(member)));
        }
        Ok(cluster)
    }

    /// A cluster that others run: it can be asked and audited, not started or ended.
    pub fn elsewhere(
        urls: StackUrls,
        options: ClusterOptions,
        places: impl IntoIterator<Item = (ProcessName, ProcessAddress)>,
        databases: BTreeMap<ProcessName, String>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            urls,
            options,
            databases,
            places: places.into_iter().collect(),
            processes: BTreeMap::new(),
            folder: tempfile::Builder::new().prefix("xtask-").tempdir()?,
            programs: PathBuf::new(),
            http: http_client()?,
        })
    }

    /// The base URL of a member's API.
    pub fn url(&self, member: ProcessName) -> String {
        format!("http://{}", self.places[&member].http)
    }

    /// The members that do not answer where the documents say.
    pub fn moved(&self) -> Vec<MovedProcess> {
        if self.options.ports == PortChoice::Free {
            return vec![];
        }
        self.places.iter().flat_map(|(member, place)| place.moved(*member)).collect()
    }

    /// The base URL of a service's admin port.
    pub fn admin(&self, member: ProcessName) -> String {
        if member == ProcessName::Gateway {
            return self.url(member);
        }
        format!("http://{}", self.places[&member].admin)
    }

    /// The URL of a service's database.
    pub fn database(&self, member: ProcessName) -> Option<&str> {
        self.databases.get(&member).map(String::as_str)
    }

    /// The stack beside it.
    pub fn stack(&self) -> &StackUrls {
        &self.urls
    }

    /// Security of connections to the broker.
    pub fn broker(&self) -> kafka::KafkaSettings {
        kafka::KafkaSettings {
            brokers: self.urls.brokers.clone(),
            prefix: self.options.prefix.clone(),
            client_id: "xtask".to_owned(),
            security: self.options.security.clone().into(),
            member: None,
        }
    }

    /// The prefix of its topics.
    pub fn prefix(&self) -> &str {
        &self.options.prefix
    }

    /// Products for a load, beside those of the demo.
    pub fn products(&self) -> u32 {
        self.options.products
    }

    /// Process ids of those that run.
    pub fn pids(&self) -> BTreeMap<String, u32> {
        self.processes
            .iter()
            .map(|(member, service_process)| (member.to_string(), service_process.pid()))
            .collect()
    }

    /// A setting for all who are started from here on; what was said of it before is forgotten.
    pub fn set(&mut self, name: &str, value: &str) {
        self.unset(name);
        self.options.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Takes back what was [set](Self::set).
    pub fn unset(&mut self, name: &str) {
        self.options.environment.retain(|(known, _)| known != name);
    }

    /// Sends a signal and waits until the member has ended; answers its exit code, if it had one.
    pub async fn end(
        &mut self,
        member: ProcessName,
        signal: Signal,
    ) -> anyhow::Result<Option<i32>> {
        self.taken(member)?.end(signal).await
    }

    /// Waits until a member has ended by itself; answers its exit code.
    pub async fn ended(&mut self, member: ProcessName) -> anyhow::Result<Option<i32>> {
        self.taken(member)?.ended().await
    }

    fn taken(&mut self, member: ProcessName) -> anyhow::Result<ServiceProcess> {
        self.processes.remove(&member).with_context(|| format!("{member} is not running"))
    }

    /// Starts a member again where it was, with its data.
    pub async fn restart(&mut self, member: ProcessName) -> anyhow::Result<()> {
        self.launch(member)?;
        self.ready(member).await
    }

    /// What each part of a member that runs says of itself, and whether all are ready. Nothing is
    /// said before it listens.
    pub async fn health(&mut self, member: ProcessName) -> anyhow::Result<Option<(bool, String)>> {
        self.asked(member, "readyz?verbose").await
    }

    async fn asked(
        &mut self,
        member: ProcessName,
        path: &str,
    ) -> anyhow::Result<Option<(bool, String)>> {
        let ended = self.processes.get_mut(&member).is_none_or(ServiceProcess::has_ended);
        anyhow::ensure!(!ended, "{member} ended:\n{}", self.log(member));
        let url = format!("{}/{path}", self.admin(member));
        Ok(report(&self.http, url).await)
    }

    /// The end of a member's log, for when something went wrong.
    pub fn log(&self, member: ProcessName) -> String {
        process::tail(&self.log_file(member))
    }

    /// The path of a member's log.
    pub fn log_file(&self, member: ProcessName) -> PathBuf {
        match &self.options.logs {
            Some(folder) => folder.join(format!("{member}.log")),
            None => self.folder.path().join(member.program()),
        }
    }

    /// Starts a member and does not wait until it is ready.
    pub fn launch(&mut self, member: ProcessName) -> anyhow::Result<()> {
        let log = self.log_file(member);
        let program = self.programs.join(member.program());
        let process = ServiceProcess::start(
            &program,
            &self.arguments(member),
            &self.environment(member),
            &log,
        )?;
        self.processes.insert(member, process);
        Ok(())
    }

    fn arguments(&self, member: ProcessName) -> Vec<String> {
        if member != ProcessName::Gateway {
            return vec![];
        }
        let listen = self.places[&member].http.to_string();
        let log = self.gateway_log().to_string_lossy().into_owned();
        vec!["--listen".to_owned(), listen, "--log".to_owned(), log]
    }

    /// The gateway's own log: the witness of every charge.
    pub fn gateway_log(&self) -> PathBuf {
        self.folder.path().join("gateway.jsonl")
    }

    fn environment(&self, member: ProcessName) -> Vec<(String, String)> {
        let place = &self.places[&member];
        let mut settings = vec![
            ("KAFKA_BROKERS", self.urls.brokers.clone()),
            ("KAFKA_TOPIC_PREFIX", self.options.prefix.clone()),
            ("SCHEMA_REGISTRY_URL", self.urls.registry.clone()),
            ("HTTP_LISTEN", place.http.to_string()),
            ("ADMIN_LISTEN", place.admin.to_string()),
            ("LOG_FORMAT", "json".to_owned()),
            ("SHUTDOWN_GRACE", SHUTDOWN_GRACE.to_owned()),
        ];
        settings.extend(security::settings(&self.options.security));
        settings.extend(self.database(member).map(|url| ("DATABASE_URL", url.to_owned())));
        match member {
            ProcessName::Inventory => {
                settings.push(("SEED", "demo".to_owned()));
                settings.push(("SEED_PRODUCTS", self.options.products.to_string()));
            }
            ProcessName::Payments => settings.push(("GATEWAY_URL", self.url(ProcessName::Gateway))),
            ProcessName::Notify => {
                settings.push(("SMTP_URL", format!("smtp://{}", self.urls.smtp)));
            }
            ProcessName::Gateway | ProcessName::Orders => (),
        }
        let own = settings.into_iter().map(|(name, value)| (name.to_owned(), value));
        own.chain(self.options.environment.iter().cloned()).collect()
    }

    /// Waits until a member is ready.
    pub async fn ready(&mut self, member: ProcessName) -> anyhow::Result<()> {
        let path = if member == ProcessName::Gateway { "livez" } else { "readyz?verbose" };
        let log = self.log_file(member);
        until_ready(&member.to_string(), &log, async || self.asked(member, path).await).await
    }
}

/// What a member says of its parts at this URL, and whether all are ready.
async fn report(http: &reqwest::Client, url: String) -> Option<(bool, String)> {
    let answer = http.get(url).send().await.ok()?;
    let is_ready = answer.status().is_success();
    // An answer that breaks off is none.
    answer.text().await.ok().map(|report| (is_ready, report))
}

/// Asks until the answer is that all is ready; on an error, shows the end of the log.
async fn until_ready(
    name: &str,
    log: &Path,
    mut ask: impl AsyncFnMut() -> anyhow::Result<Option<(bool, String)>>,
) -> anyhow::Result<()> {
    let mut limit = WaitLimit::new(format!("{name} is ready"), READY_LIMIT, LOOK_AGAIN);
    loop {
        let seen = match ask().await? {
            Some((true, _)) => return Ok(()),
            Some((false, report)) => report,
            None => "nobody listens".to_owned(),
        };
        let waiting = limit.look_again(seen).await;
        waiting.with_context(|| format!("the end of its log:\n{}", process::tail(log)))?;
    }
}

/// Builds the services and starts them, with this number of products for a load, beside servers
/// from this source.
pub(crate) async fn with_stack(
    from: StackSource,
    products: u32,
) -> anyhow::Result<(ServerStack, ServiceCluster)> {
    cargo::build_services().await?;
    let board = ProgressBoard::new();
    let progress = StackProgress(&board);
    let stack = ServerStack::start(from.source(), WantedParts::all(), &progress).await?;
    let options = ClusterOptions { products, ..ClusterOptions::default() };
    let cluster = ServiceCluster::start(stack.urls(), options, &board).await?;
    Ok((stack, cluster))
}

/// Where the programs are: beside this one. Tests stand one folder deeper.
pub fn programs() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("this program has no path")?;
    let beside = own.parent().unwrap_or_else(|| Path::new("."));
    let folder = if beside.ends_with("deps") { beside.parent().unwrap_or(beside) } else { beside };
    for member in ProcessName::ALL {
        let program = folder.join(member.program());
        anyhow::ensure!(
            program.exists(),
            "{} is missing: build it with `cargo build --workspace`",
            program.display()
        );
    }
    Ok(folder.to_owned())
}
