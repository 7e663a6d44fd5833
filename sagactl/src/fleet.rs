//! The four services and the gateway as processes, beside a stack.
//!
//! **Architecture invariant:** what is started here does not outlive whoever started it, and each
//! process can be killed and started again where it was, which is how crashes are tried.

use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use devstack::{Limit, Ports, Urls};
use nix::sys::signal::Signal;
use shared::kafka::{self, Security};
use tempfile::TempDir;

pub use self::audited::AuditExpectation;
use self::{databases::Databases, process::Process};
use crate::{client, screen::Board};

mod audited;
pub mod beside;
mod databases;
mod process;
mod security;

/// A member of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// The gateway simulator.
    Gateway,
    /// order-service.
    Orders,
    /// inventory-service.
    Inventory,
    /// payment-service.
    Payments,
    /// notify-service.
    Notify,
}

impl Member {
    /// All of them, in the order in which they are started.
    pub const ALL: [Self; 5] =
        [Self::Gateway, Self::Inventory, Self::Orders, Self::Payments, Self::Notify];

    /// The services: all but the gateway, which is another firm's.
    pub const SERVICES: [Self; 4] = [Self::Orders, Self::Inventory, Self::Payments, Self::Notify];

    /// The name of its program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Gateway => "gateway-simulator",
            Self::Orders => "order-service",
            Self::Inventory => "inventory-service",
            Self::Payments => "payment-service",
            Self::Notify => "notify-service",
        }
    }

    /// The name of its database; the gateway has none.
    pub fn database(self) -> Option<&'static str> {
        match self {
            Self::Gateway => None,
            Self::Orders => Some("orders"),
            Self::Inventory => Some("inventory"),
            Self::Payments => Some("payments"),
            Self::Notify => Some("notify"),
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.program())
    }
}

/// How a fleet is set up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Stands before topics and groups, and behind database names: several fleets, one stack.
    pub prefix: String,
    /// Products for a load, beside those of the demo.
    pub products: u32,
    /// How connections to the broker are protected.
    pub security: Security,
    /// Settings beside the usual ones, for all services.
    pub environment: Vec<(String, String)>,
}

/// Where one member answers. A port that was claimed stays so while its member is away, so that it is
/// found free when the member comes back.
#[derive(Debug)]
pub struct Place {
    http: SocketAddr,
    admin: SocketAddr,
    _ports: Option<Ports>,
}

impl Place {
    /// Where somebody else has put it.
    pub fn given(http: SocketAddr, admin: SocketAddr) -> Self {
        Self { http, admin, _ports: None }
    }

    fn claim() -> Self {
        let ports = Ports::claim();
        let [http, admin] = ports.numbers.map(|it| (Ipv4Addr::LOCALHOST, it).into());
        Self { http, admin, _ports: Some(ports) }
    }
}

/// The members and where they are.
#[derive(Debug)]
pub struct Fleet {
    urls: Urls,
    options: Options,
    databases: Databases,
    places: BTreeMap<Member, Place>,
    processes: BTreeMap<Member, Process>,
    folder: TempDir,
    programs: PathBuf,
    http: reqwest::Client,
}

/// A service that says the same for so long does not become ready any more.
const READY_LIMIT: Duration = Duration::from_mins(2);

/// How often it is asked.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What is started here may stand still with its machine while it stops, and that is no fault of its.
const SHUTDOWN_GRACE: &str = "1m";

impl Fleet {
    /// Makes the databases, starts every member, waits until all are ready.
    pub async fn start(urls: &Urls, options: Options, board: &Board) -> anyhow::Result<Self> {
        let databases = Databases::create(&urls.postgres, &options.prefix).await?;
        let places = Member::ALL.into_iter().map(|member| (member, Place::claim())).collect();
        let mut fleet = Self {
            urls: urls.clone(),
            options,
            databases,
            places,
            processes: BTreeMap::new(),
            folder: tempfile::Builder::new().prefix("sagactl-").tempdir()?,
            programs: programs()?,
            http: client::http()?,
        };
        for member in Member::ALL {
            board.set(member.program(), "starting");
            fleet.launch(member)?;
        }
        for member in Member::ALL {
            fleet.ready(member).await?;
            board.end(member.program(), &format!("ready at {}", fleet.url(member)));
        }
        Ok(fleet)
    }

    /// A fleet that others run: it can be asked and audited, not started or ended.
    pub fn elsewhere(
        urls: Urls,
        options: Options,
        places: impl IntoIterator<Item = (Member, Place)>,
        databases: BTreeMap<Member, String>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            urls,
            options,
            databases: Databases::given(databases),
            places: places.into_iter().collect(),
            processes: BTreeMap::new(),
            folder: tempfile::Builder::new().prefix("sagactl-").tempdir()?,
            programs: PathBuf::new(),
            http: client::http()?,
        })
    }

    /// The base URL of a member's API.
    pub fn url(&self, member: Member) -> String {
        format!("http://{}", self.places[&member].http)
    }

    /// The base URL of a service's admin port.
    pub fn admin(&self, member: Member) -> String {
        match member {
            Member::Gateway => self.url(member),
            Member::Orders | Member::Inventory | Member::Payments | Member::Notify => {
                format!("http://{}", self.places[&member].admin)
            }
        }
    }

    /// The URL of a service's database.
    pub fn database(&self, member: Member) -> Option<&str> {
        self.databases.url(member)
    }

    /// The stack beside it.
    pub fn stack(&self) -> &Urls {
        &self.urls
    }

    /// How the broker is spoken to.
    pub fn broker(&self) -> kafka::Settings {
        kafka::Settings {
            brokers: self.urls.brokers.clone(),
            prefix: self.options.prefix.clone(),
            client_id: "sagactl".to_owned(),
            security: self.options.security.clone().into(),
            member: None,
        }
    }

    /// What stands before its topics.
    pub fn prefix(&self) -> &str {
        &self.options.prefix
    }

    /// Products for a load, beside those of the demo.
    pub fn products(&self) -> u32 {
        self.options.products
    }

    /// Process ids of those that run.
    pub fn pids(&self) -> BTreeMap<String, u32> {
        self.processes.iter().map(|(member, it)| (member.to_string(), it.pid())).collect()
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
    pub async fn end(&mut self, member: Member, signal: Signal) -> anyhow::Result<Option<i32>> {
        let process =
            self.processes.remove(&member).with_context(|| format!("{member} is not running"))?;
        process.end(signal).await
    }

    /// Waits until a member has ended by itself; answers its exit code.
    pub async fn ended(&mut self, member: Member) -> anyhow::Result<Option<i32>> {
        let process =
            self.processes.remove(&member).with_context(|| format!("{member} is not running"))?;
        process.ended().await
    }

    /// Starts a member again where it was, with its data.
    pub async fn restart(&mut self, member: Member) -> anyhow::Result<()> {
        self.launch(member)?;
        self.ready(member).await
    }

    /// What each part of a member that runs says of itself, and whether all are ready. Nothing is
    /// said before it listens.
    pub async fn health(&mut self, member: Member) -> anyhow::Result<Option<(bool, String)>> {
        self.asked(member, "readyz?verbose").await
    }

    async fn asked(
        &mut self,
        member: Member,
        path: &str,
    ) -> anyhow::Result<Option<(bool, String)>> {
        let ended = self.processes.get_mut(&member).is_none_or(Process::has_ended);
        anyhow::ensure!(!ended, "{member} ended:\n{}", self.log(member));
        let url = format!("{}/{path}", self.admin(member));
        let Ok(answer) = self.http.get(url).send().await else { return Ok(None) };
        let is_well = answer.status().is_success();
        // An answer that breaks off is none.
        Ok(answer.text().await.ok().map(|report| (is_well, report)))
    }

    /// Ends all members in good order; answers those that did not end well.
    pub async fn stop(mut self) -> anyhow::Result<Vec<String>> {
        let mut unwell = Vec::new();
        for member in Member::ALL.into_iter().rev() {
            if self.processes.contains_key(&member) {
                match self.end(member, Signal::SIGTERM).await? {
                    Some(0) => (),
                    code => unwell.push(format!("{member} ended with {code:?}")),
                }
            }
        }
        Ok(unwell)
    }

    /// The end of a member's log, for when something went wrong.
    pub fn log(&self, member: Member) -> String {
        process::tail(&self.log_file(member))
    }

    /// Where a member's log is.
    pub fn log_file(&self, member: Member) -> PathBuf {
        self.folder.path().join(member.program())
    }

    /// Starts a member and does not wait until it is ready.
    pub fn launch(&mut self, member: Member) -> anyhow::Result<()> {
        let log = self.log_file(member);
        let program = self.programs.join(member.program());
        let process =
            Process::start(&program, &self.arguments(member), &self.environment(member), &log)?;
        self.processes.insert(member, process);
        Ok(())
    }

    fn arguments(&self, member: Member) -> Vec<String> {
        match member {
            Member::Gateway => vec![
                "--listen".to_owned(),
                self.places[&member].http.to_string(),
                "--log".to_owned(),
                self.gateway_log().to_string_lossy().into_owned(),
            ],
            Member::Orders | Member::Inventory | Member::Payments | Member::Notify => vec![],
        }
    }

    /// The gateway's own log: the witness of every charge.
    pub fn gateway_log(&self) -> PathBuf {
        self.folder.path().join("gateway.jsonl")
    }

    fn environment(&self, member: Member) -> Vec<(String, String)> {
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
            Member::Inventory => {
                settings.push(("SEED", "demo".to_owned()));
                settings.push(("SEED_PRODUCTS", self.options.products.to_string()));
            }
            Member::Payments => settings.push(("GATEWAY_URL", self.url(Member::Gateway))),
            Member::Notify => settings.push(("SMTP_URL", format!("smtp://{}", self.urls.smtp))),
            Member::Gateway | Member::Orders => (),
        }
        let own = settings.into_iter().map(|(name, value)| (name.to_owned(), value));
        own.chain(self.options.environment.iter().cloned()).collect()
    }

    /// Waits until a member is ready.
    pub async fn ready(&mut self, member: Member) -> anyhow::Result<()> {
        let path = if member == Member::Gateway { "livez" } else { "readyz?verbose" };
        let mut limit = Limit::new(format!("{member} is ready"), READY_LIMIT, LOOK_AGAIN);
        loop {
            let seen = match self.asked(member, path).await? {
                Some((true, _)) => return Ok(()),
                Some((false, report)) => report,
                None => "nobody listens".to_owned(),
            };
            let waiting = limit.look_again(seen).await;
            waiting.with_context(|| format!("the end of its log:\n{}", self.log(member)))?;
        }
    }
}

/// Where the programs are: beside this one. Tests stand one folder deeper.
pub fn programs() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("this program has no path")?;
    let beside = own.parent().unwrap_or_else(|| Path::new("."));
    let folder = if beside.ends_with("deps") { beside.parent().unwrap_or(beside) } else { beside };
    for member in Member::ALL {
        let program = folder.join(member.program());
        anyhow::ensure!(
            program.exists(),
            "{} is missing: build it with `cargo build --workspace`",
            program.display()
        );
    }
    Ok(folder.to_owned())
}
