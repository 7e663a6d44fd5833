//! Three brokers that copy from each other, to be killed one at a time.

use futures_util::future::try_join_all;

use super::{cache::Cache, java, kafka, ports::Ports, server::Server, supervisor::Workspace};
use crate::{Error, Halt, Part, Progress, State, probe::Probe};

/// How many brokers there are, each of them a controller, too.
pub const BROKERS: usize = 3;

/// A cluster of local processes. Dropping it ends them.
#[derive(Debug)]
pub struct Cluster {
    // Dropped first, as in a stack.
    servers: Vec<Server>,
    addresses: Vec<String>,
    workspace: Workspace,
}

impl Cluster {
    /// Installs what is missing, and starts all of them.
    pub async fn start(progress: &dyn Progress) -> Result<Self, Error> {
        let cache = Cache::open(progress)?;
        let java = java::install(&cache, Part::Kafka).await?;
        let installed = kafka::install(&cache, &java).await?;
        progress.state(Part::Kafka, &State::Starting);
        let workspace = Workspace::new()?;
        let ports: Vec<Ports> = (0..BROKERS).map(|_| Ports::claim()).collect();
        let numbers: Vec<[u16; 2]> = ports.iter().map(|it| it.numbers).collect();
        let starting = ports
            .into_iter()
            .enumerate()
            .map(async |(index, ports)| installed.join(&workspace, &numbers, (index, ports)).await);
        let servers = try_join_all(starting).await?;
        let addresses: Vec<String> =
            numbers.iter().map(|[port, _]| kafka::address(*port)).collect();
        let probe = Probe::Kafka { brokers: addresses[0].clone(), copies: 3 };
        if !probe.answered(|| Ok(())).await? {
            return Err(Error::NoCluster);
        }
        progress.state(Part::Kafka, &State::Ready(addresses.join(",")));
        Ok(Self { servers, addresses, workspace })
    }

    /// Where they are.
    pub fn brokers(&self) -> String {
        self.addresses.join(",")
    }

    /// Stops one, by its place; its data stays.
    pub async fn stop_one(&self, place: usize, how: Halt) -> Result<(), Error> {
        self.servers[place].stop(how).await
    }

    /// Starts one again where it was. Waits until it answers, which it does once a majority is there.
    pub async fn start_one(&self, place: usize) -> Result<(), Error> {
        self.servers[place].resume(&self.workspace).await
    }

    /// Ends all, and waits until their data is gone.
    pub async fn stop(self) {
        drop(self.servers);
        self.workspace.swept().await;
    }
}
