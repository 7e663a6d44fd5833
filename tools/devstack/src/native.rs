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
mod server;
mod supervisor;
pub(crate) mod tool;
mod ui;

use std::iter::repeat_with;

pub(crate) use postgres::SETTINGS as POSTGRES_SETTINGS;
pub(crate) use registry::{PATH as REGISTRY_PATH, SUBJECTS as REGISTRY_SUBJECTS};
pub(crate) use supervisor::LeftoverSweeper;
pub(crate) use ui::KafkaUi;

use self::{
    authority::SecuredServers, cache::InstallCache, registry::RegistryStorage,
    server::NativeServer, supervisor::ServerFolder,
};
use crate::{
    PartState, StackError, StackPart, StackUrls, StartProgress, StopMode, StorageDurability,
    WantedParts,
    part::{ServerForm, server_of},
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
        let workspace = ServerFolder::new()?;
        let secured = match parts.form {
            ServerForm::Secured => Some(SecuredServers::new(&workspace)?),
            ServerForm::Plain | ServerForm::Cluster => None,
        };
        let starter = NativeStarter {
            cache: InstallCache::open(progress)?,
            workspace,
            secured,
            durability: parts.durability,
            progress,
        };
        let (kafka, stores, mail) = tokio::try_join!(
            async {
                if parts.has(StackPart::Kafka) {
                    starter.kafka(parts.form).await.map(Some)
                } else {
                    Ok(None)
                }
            },
            starter.stores(parts),
            async {
                if parts.has(StackPart::Mail) { starter.mail().await.map(Some) } else { Ok(None) }
            },
        )?;
        let mut urls = StackUrls::default();
        let mut servers = Vec::new();
        if let Some((brokers, address)) = kafka {
            urls.brokers = address;
            servers
                .extend(brokers.into_iter().map(|native_server| (StackPart::Kafka, native_server)));
        }
        urls.postgres = stores.postgres.unwrap_or_default();
        urls.registry = stores.registry.unwrap_or_default();
        servers.extend(stores.servers);
        if let Some(mail) = mail {
            (urls.smtp, urls.mail_api) = (mail.smtp, mail.api);
            servers.push((StackPart::Mail, mail.server));
        }
        Ok((urls, Self { servers, workspace: starter.workspace, secured: starter.secured }))
    }

    /// Ends all servers and waits until their data is gone.
    pub(crate) async fn stop(self) {
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

    pub(crate) fn secured(&self) -> Option<&SecuredServers> {
        self.secured.as_ref()
    }

    pub(crate) async fn stop_part(&self, part: StackPart, how: StopMode) -> Result<(), StackError> {
        self.stop_nth(part, 0, how).await
    }

    pub(crate) async fn start_part(&self, part: StackPart) -> Result<(), StackError> {
        self.start_nth(part, 0).await
    }

    /// Stops one of several servers of a part.
    pub(crate) async fn stop_nth(
        &self,
        part: StackPart,
        n: usize,
        how: StopMode,
    ) -> Result<(), StackError> {
        self.server(part, n)?.stop(how).await
    }

    /// Starts one of several servers of a part again.
    pub(crate) async fn start_nth(&self, part: StackPart, n: usize) -> Result<(), StackError> {
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
    durability: StorageDurability,
    progress: &'a dyn StartProgress,
}

/// Postgres and what is kept in it.
#[derive(Default)]
struct PostgresUsers {
    servers: Vec<(StackPart, NativeServer)>,
    postgres: Option<String>,
    registry: Option<String>,
}

impl NativeStarter<'_> {
    fn ready(&self, part: StackPart, address: &str) {
        self.progress.state(part, &PartState::Ready(address.to_owned()));
    }

    async fn kafka(&self, form: ServerForm) -> Result<(Vec<NativeServer>, String), StackError> {
        let java = java::install(&self.cache, StackPart::Kafka).await?;
        let installed = kafka::install(&self.cache, &java).await?;
        self.progress.state(StackPart::Kafka, &PartState::Starting);
        let (workspace, durability) = (&self.workspace, self.durability);
        let (servers, brokers) = match (form, &self.secured) {
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
                let (server, brokers) = installed.start(workspace, durability).await?;
                (vec![server], brokers)
            }
        };
        self.ready(StackPart::Kafka, &brokers);
        Ok((servers, brokers))
    }

    /// The registry waits for Postgres only if it keeps its schemas there.
    async fn stores(&self, parts: &WantedParts) -> Result<PostgresUsers, StackError> {
        let mut stores = PostgresUsers::default();
        let durable = parts.durability == StorageDurability::Durable
            && parts.form != ServerForm::Secured
            && parts.has(StackPart::Postgres);
        let postgres = async {
            if parts.has(StackPart::Postgres) { self.postgres().await.map(Some) } else { Ok(None) }
        };
        let registry = async |storage| {
            if parts.has(StackPart::Registry) {
                self.registry(storage).await.map(Some)
            } else {
                Ok(None)
            }
        };
        let (postgres, registry) = if durable {
            let postgres = postgres.await?;
            let storage =
                postgres.as_ref().map(|server| RegistryStorage::Postgres(server.url.clone()));
            let registry = registry(storage.unwrap_or(RegistryStorage::Memory)).await?;
            (postgres, registry)
        } else {
            tokio::try_join!(postgres, registry(RegistryStorage::Memory))?
        };
        if let Some(postgres) = postgres {
            stores.postgres = Some(postgres.url);
            stores.servers.push((StackPart::Postgres, postgres.server));
        }
        if let Some((server, url)) = registry {
            stores.registry = Some(url);
            stores.servers.push((StackPart::Registry, server));
        }
        Ok(stores)
    }

    async fn postgres(&self) -> Result<postgres::StartedPostgres, StackError> {
        let home = postgres::install(&self.cache).await?;
        self.progress.state(StackPart::Postgres, &PartState::Starting);
        let started =
            postgres::start(&home, &self.workspace, self.durability, self.secured.as_ref()).await?;
        self.ready(StackPart::Postgres, server_of(&started.url));
        Ok(started)
    }

    async fn registry(
        &self,
        storage: RegistryStorage,
    ) -> Result<(NativeServer, String), StackError> {
        let java = java::install(&self.cache, StackPart::Registry).await?;
        let installed = registry::install(&self.cache, &java).await?;
        self.progress.state(StackPart::Registry, &PartState::Starting);
        let (server, url) = installed.start(&self.workspace, &storage).await?;
        self.ready(StackPart::Registry, &url);
        Ok((server, url))
    }

    async fn mail(&self) -> Result<mail::StartedMail, StackError> {
        let program = mail::install(&self.cache).await?;
        self.progress.state(StackPart::Mail, &PartState::Starting);
        let started = mail::start(&program, &self.workspace).await?;
        self.ready(StackPart::Mail, &started.api);
        Ok(started)
    }
}

/// A password for a server that lives as long as this process.
fn password() -> String {
    repeat_with(fastrand::alphanumeric).take(24).collect()
}
