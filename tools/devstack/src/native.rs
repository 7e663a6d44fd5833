//! The stack as local processes, each got by an ordinary package client and kept in a cache folder.

pub(crate) mod authority;
mod cache;
pub(crate) mod go;
mod java;
mod kafka;
mod mail;
pub(crate) mod pooler;
pub(crate) mod ports;
mod postgres;
pub(crate) mod prometheus;
pub(crate) mod python;
mod registry;
pub(crate) mod server;
mod supervisor;
pub(crate) mod tool;
mod ui;

use std::iter::repeat_with;

pub(crate) use postgres::SETTINGS as POSTGRES_SETTINGS;
pub(crate) use registry::{PATH as REGISTRY_PATH, SUBJECTS as REGISTRY_SUBJECTS};
pub(crate) use supervisor::{LeftoverSweeper, last_lines};
pub(crate) use ui::KafkaUi;

use self::{
    authority::SecuredServers, cache::InstallCache, java::ClassSharing, registry::RegistryStorage,
    server::NativeServer, supervisor::ServerFolder,
};
use crate::{
    PartState, StackError, StackPart, StackUrls, StartProgress, StopMode, StorageDurability,
    WantedParts,
    part::{EndedPart, ServerForm, server_of},
};

/// The servers that were started, and the folder in which they work.
#[derive(Debug)]
pub(crate) struct NativeServers {
    // Dropped first, which lets the servers go; the workspace is swept after the last of them.
    servers: Vec<(StackPart, NativeServer)>,
    workspace: ServerFolder,
    secured: Option<SecuredServers>,
}

impl NativeServers {
    /// Installs what is missing and starts the wanted parts, side by side.
    pub(crate) async fn start(
        parts: &WantedParts,
        progress: &dyn StartProgress,
    ) -> Result<(StackUrls, Self), StackError> {
        let workspace = ServerFolder::logging_to(parts.logs.clone())?;
        let secured = match parts.form {
            ServerForm::Secured => Some(SecuredServers::new(&workspace)?),
            ServerForm::Plain | ServerForm::Cluster => None,
        };
        let starter = NativeStarter {
            cache: InstallCache::open(progress)?,
            workspace,
            secured,
            parts,
            progress,
        };
        let (kafka, stores, mail) = tokio::try_join!(
            if_wanted(parts, StackPart::Kafka, starter.kafka()),
            starter.stores(),
            if_wanted(parts, StackPart::Mail, starter.mail()),
        )?;
        let (mut urls, mut servers) = (StackUrls::default(), Vec::new());
        if let Some((brokers, address)) = kafka {
            urls.brokers = address;
            servers.extend(brokers.into_iter().map(|broker| (StackPart::Kafka, broker)));
        }
        let (postgres, registry) = stores;
        if let Some((server, url)) = postgres {
            urls.postgres = url;
            servers.push((StackPart::Postgres, server));
        }
        if let Some((server, url)) = registry {
            urls.registry = url;
            servers.push((StackPart::Registry, server));
        }
        if let Some(mail) = mail {
            (urls.smtp, urls.mail_api) = (mail.smtp, mail.api);
            servers.push((StackPart::Mail, mail.server));
        }
        Ok((urls, Self { servers, workspace: starter.workspace, secured: starter.secured }))
    }

    /// Ends all servers and waits until their data is gone.
    pub(crate) async fn stop_all(self) {
        drop(self.servers);
        self.workspace.swept().await;
    }

    pub(crate) async fn roots(&self) -> Vec<(StackPart, u32)> {
        let mut roots = Vec::new();
        for (part, server) in &self.servers {
            roots.extend(server.root().await.map(|root| (*part, root)));
        }
        roots
    }

    /// The servers that have ended without being told to.
    pub(crate) async fn ended(&self) -> Vec<EndedPart> {
        let mut ended = Vec::new();
        for (_, server) in &self.servers {
            ended.extend(server.ended().await);
        }
        ended
    }

    pub(crate) fn secured(&self) -> Option<&SecuredServers> {
        self.secured.as_ref()
    }

    /// Stops a server: of several of a part, the one of this number.
    pub(crate) async fn stop(
        &self,
        part: StackPart,
        n: usize,
        how: StopMode,
    ) -> Result<(), StackError> {
        self.server(part, n)?.stop(how).await
    }

    /// Starts a stopped server again.
    pub(crate) async fn resume(&self, part: StackPart, n: usize) -> Result<(), StackError> {
        self.server(part, n)?.resume(&self.workspace).await
    }

    /// Stops the broker, if it runs, and empties its data folder.
    pub(crate) async fn forget_kafka(&self) -> Result<(), StackError> {
        let server = self.server(StackPart::Kafka, 0)?;
        server.stop(StopMode::Kill).await?;
        kafka::forget(server.folder())
    }

    fn server(&self, part: StackPart, n: usize) -> Result<&NativeServer, StackError> {
        let mut found = self.servers.iter().filter(|(its, _)| *its == part);
        found.nth(n).map(|(_, server)| server).ok_or(StackError::NotOurs(part))
    }
}

struct NativeStarter<'a> {
    cache: InstallCache<'a>,
    workspace: ServerFolder,
    secured: Option<SecuredServers>,
    parts: &'a WantedParts,
    progress: &'a dyn StartProgress,
}

/// A server, and where it answers.
type StartedServer = (NativeServer, String);

/// What `starting` gives, if the part is wanted.
async fn if_wanted<T>(
    parts: &WantedParts,
    part: StackPart,
    starting: impl Future<Output = Result<T, StackError>>,
) -> Result<Option<T>, StackError> {
    if parts.has(part) { starting.await.map(Some) } else { Ok(None) }
}

impl NativeStarter<'_> {
    fn ready(&self, part: StackPart, address: &str) {
        self.progress.state(part, &PartState::Ready(address.to_owned()));
    }

    async fn kafka(&self) -> Result<(Vec<NativeServer>, String), StackError> {
        let java = java::install(&self.cache, StackPart::Kafka).await?;
        let installed = kafka::install(&self.cache, &java).await?;
        self.progress.state(StackPart::Kafka, &PartState::Starting);
        let (workspace, durability) = (&self.workspace, self.parts.durability);
        let (servers, brokers) = match (self.parts.form, &self.secured) {
            (ServerForm::Cluster, _) => {
                let starting = Box::pin(installed.start_cluster(workspace, durability));
                let (servers, brokers) = starting.await?;
                (servers.into(), brokers)
            }
            (ServerForm::Secured, Some(secured)) => {
                let started = installed.start_secured(workspace, durability, secured).await?;
                (vec![started.0], started.1)
            }
            (ServerForm::Plain | ServerForm::Secured, _) => {
                let port = self.parts.port(StackPart::Kafka);
                let started = installed.start(port, workspace, durability, ClassSharing::Use);
                let (server, brokers) = started.await?;
                (vec![server], brokers)
            }
        };
        self.ready(StackPart::Kafka, &brokers);
        Ok((servers, brokers))
    }

    /// The registry waits for Postgres only if it keeps its schemas there.
    async fn stores(&self) -> Result<(Option<StartedServer>, Option<StartedServer>), StackError> {
        let parts = self.parts;
        let durable = parts.durability == StorageDurability::Durable
            && parts.form != ServerForm::Secured
            && parts.has(StackPart::Postgres);
        let postgres = if_wanted(parts, StackPart::Postgres, self.postgres());
        let registry = |storage| if_wanted(parts, StackPart::Registry, self.registry(storage));
        if !durable {
            return tokio::try_join!(postgres, registry(RegistryStorage::Memory));
        }
        let postgres = postgres.await?;
        let storage = postgres.as_ref().map(|(_, url)| RegistryStorage::Postgres(url.clone()));
        let registry = registry(storage.unwrap_or(RegistryStorage::Memory)).await?;
        Ok((postgres, registry))
    }

    async fn postgres(&self) -> Result<StartedServer, StackError> {
        let home = postgres::install(&self.cache).await?;
        self.progress.state(StackPart::Postgres, &PartState::Starting);
        let (server, url) =
            postgres::start(&home, &self.workspace, self.parts, self.secured.as_ref()).await?;
        self.ready(StackPart::Postgres, server_of(&url));
        Ok((server, url))
    }

    async fn registry(&self, storage: RegistryStorage) -> Result<StartedServer, StackError> {
        let java = java::install(&self.cache, StackPart::Registry).await?;
        let installed = registry::install(&self.cache, &java).await?;
        self.progress.state(StackPart::Registry, &PartState::Starting);
        let port = self.parts.port(StackPart::Registry);
        let started = installed.start(port, &self.workspace, &storage, ClassSharing::Use);
        let (server, url) = started.await?;
        self.ready(StackPart::Registry, &url);
        Ok((server, url))
    }

    async fn mail(&self) -> Result<mail::StartedMail, StackError> {
        let program = mail::install(&self.cache).await?;
        self.progress.state(StackPart::Mail, &PartState::Starting);
        let port = self.parts.port(StackPart::Mail);
        let started = mail::start(&program, port, &self.workspace).await?;
        self.ready(StackPart::Mail, &started.api);
        Ok(started)
    }
}

/// A password for a server that lives as long as this process.
fn password() -> String {
    repeat_with(fastrand::alphanumeric).take(24).collect()
}
