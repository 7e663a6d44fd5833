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
pub(crate) use supervisor::Sweeper;
pub(crate) use ui::Ui;

use self::{
    authority::Secured, cache::Cache, registry::Storage, server::Server, supervisor::Workspace,
};
use crate::{
    Durability, Error, Halt, Part, Parts, Progress, State, Urls,
    part::{Form, server_of},
};

/// The servers that were started, and the folder in which they work.
#[derive(Debug)]
pub(crate) struct Native {
    // Dropped first, which lets the servers go; the workspace is swept after the last of them.
    servers: Vec<(Part, Server)>,
    workspace: Workspace,
    secured: Option<Secured>,
}

impl Native {
    /// Installs what is missing and starts the wanted parts, side by side.
    pub(crate) async fn start(
        parts: &Parts,
        progress: &dyn Progress,
    ) -> Result<(Urls, Self), Error> {
        let workspace = Workspace::new()?;
        let secured = match parts.form {
            Form::Secured => Some(Secured::new(&workspace)?),
            Form::Plain | Form::Cluster => None,
        };
        let starter = Starter {
            cache: Cache::open(progress)?,
            workspace,
            secured,
            durability: parts.durability,
            progress,
        };
        let (kafka, stores, mail) = tokio::try_join!(
            async {
                if parts.has(Part::Kafka) {
                    starter.kafka(parts.form).await.map(Some)
                } else {
                    Ok(None)
                }
            },
            starter.stores(parts),
            async { if parts.has(Part::Mail) { starter.mail().await.map(Some) } else { Ok(None) } },
        )?;
        let mut urls = Urls::default();
        let mut servers = Vec::new();
        if let Some((brokers, address)) = kafka {
            urls.brokers = address;
            servers.extend(brokers.into_iter().map(|it| (Part::Kafka, it)));
        }
        urls.postgres = stores.postgres.unwrap_or_default();
        urls.registry = stores.registry.unwrap_or_default();
        servers.extend(stores.servers);
        if let Some(mail) = mail {
            (urls.smtp, urls.mail_api) = (mail.smtp, mail.api);
            servers.push((Part::Mail, mail.server));
        }
        Ok((urls, Self { servers, workspace: starter.workspace, secured: starter.secured }))
    }

    /// Ends all servers and waits until their data is gone.
    pub(crate) async fn stop(self) {
        drop(self.servers);
        self.workspace.swept().await;
    }

    pub(crate) async fn roots(&self) -> Vec<(Part, u32)> {
        let mut roots = Vec::new();
        for (part, server) in &self.servers {
            roots.extend(server.root().await.map(|root| (*part, root)));
        }
        roots
    }

    pub(crate) fn secured(&self) -> Option<&Secured> {
        self.secured.as_ref()
    }

    pub(crate) async fn stop_part(&self, part: Part, how: Halt) -> Result<(), Error> {
        self.stop_nth(part, 0, how).await
    }

    pub(crate) async fn start_part(&self, part: Part) -> Result<(), Error> {
        self.start_nth(part, 0).await
    }

    /// Stops one of several servers of a part.
    pub(crate) async fn stop_nth(&self, part: Part, n: usize, how: Halt) -> Result<(), Error> {
        self.server(part, n)?.stop(how).await
    }

    /// Starts one of several servers of a part again.
    pub(crate) async fn start_nth(&self, part: Part, n: usize) -> Result<(), Error> {
        self.server(part, n)?.resume(&self.workspace).await
    }

    /// Stops the broker, if it runs, and empties its data folder.
    pub(crate) async fn forget_kafka(&self) -> Result<(), Error> {
        let server = self.server(Part::Kafka, 0)?;
        server.stop(Halt::Kill).await?;
        kafka::forget(server.folder())
    }

    fn server(&self, part: Part, n: usize) -> Result<&Server, Error> {
        let mut found = self.servers.iter().filter(|(its, _)| *its == part);
        found.nth(n).map(|(_, server)| server).ok_or(Error::NotOurs(part))
    }
}

struct Starter<'a> {
    cache: Cache<'a>,
    workspace: Workspace,
    secured: Option<Secured>,
    durability: Durability,
    progress: &'a dyn Progress,
}

/// Postgres and what is kept in it.
#[derive(Default)]
struct Stores {
    servers: Vec<(Part, Server)>,
    postgres: Option<String>,
    registry: Option<String>,
}

impl Starter<'_> {
    fn ready(&self, part: Part, address: &str) {
        self.progress.state(part, &State::Ready(address.to_owned()));
    }

    async fn kafka(&self, form: Form) -> Result<(Vec<Server>, String), Error> {
        let java = java::install(&self.cache, Part::Kafka).await?;
        let installed = kafka::install(&self.cache, &java).await?;
        self.progress.state(Part::Kafka, &State::Starting);
        let (workspace, durability) = (&self.workspace, self.durability);
        let (servers, brokers) = match (form, &self.secured) {
            (Form::Cluster, _) => {
                let starting = Box::pin(installed.start_cluster(workspace, durability));
                let (servers, brokers) = starting.await?;
                (servers.into(), brokers)
            }
            (Form::Secured, Some(secured)) => {
                let started = installed.start_secured(workspace, durability, secured).await?;
                (vec![started.0], started.1)
            }
            (Form::Plain | Form::Secured, _) => {
                let (server, brokers) = installed.start(workspace, durability).await?;
                (vec![server], brokers)
            }
        };
        self.ready(Part::Kafka, &brokers);
        Ok((servers, brokers))
    }

    /// The registry waits for Postgres only if it keeps its schemas there.
    async fn stores(&self, parts: &Parts) -> Result<Stores, Error> {
        let mut stores = Stores::default();
        let durable = parts.durability == Durability::Durable
            && parts.form != Form::Secured
            && parts.has(Part::Postgres);
        let postgres = async {
            if parts.has(Part::Postgres) { self.postgres().await.map(Some) } else { Ok(None) }
        };
        let registry = async |storage| {
            if parts.has(Part::Registry) {
                self.registry(storage).await.map(Some)
            } else {
                Ok(None)
            }
        };
        let (postgres, registry) = if durable {
            let postgres = postgres.await?;
            let storage = postgres.as_ref().map(|it| Storage::Postgres(it.url.clone()));
            let registry = registry(storage.unwrap_or(Storage::Memory)).await?;
            (postgres, registry)
        } else {
            tokio::try_join!(postgres, registry(Storage::Memory))?
        };
        if let Some(postgres) = postgres {
            stores.postgres = Some(postgres.url);
            stores.servers.push((Part::Postgres, postgres.server));
        }
        if let Some((server, url)) = registry {
            stores.registry = Some(url);
            stores.servers.push((Part::Registry, server));
        }
        Ok(stores)
    }

    async fn postgres(&self) -> Result<postgres::Started, Error> {
        let home = postgres::install(&self.cache).await?;
        self.progress.state(Part::Postgres, &State::Starting);
        let started =
            postgres::start(&home, &self.workspace, self.durability, self.secured.as_ref()).await?;
        self.ready(Part::Postgres, server_of(&started.url));
        Ok(started)
    }

    async fn registry(&self, storage: Storage) -> Result<(Server, String), Error> {
        let java = java::install(&self.cache, Part::Registry).await?;
        let installed = registry::install(&self.cache, &java).await?;
        self.progress.state(Part::Registry, &State::Starting);
        let (server, url) = installed.start(&self.workspace, &storage).await?;
        self.ready(Part::Registry, &url);
        Ok((server, url))
    }

    async fn mail(&self) -> Result<mail::Started, Error> {
        let program = mail::install(&self.cache).await?;
        self.progress.state(Part::Mail, &State::Starting);
        let started = mail::start(&program, &self.workspace).await?;
        self.ready(Part::Mail, &started.api);
        Ok(started)
    }
}

/// A password for a server that lives as long as this process.
fn password() -> String {
    repeat_with(fastrand::alphanumeric).take(24).collect()
}
