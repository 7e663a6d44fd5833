//! The parts of a stack: which are wanted, from where, in which form, and where they answer.

use std::fmt;

/// A server that the system is built upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StackPart {
    Kafka,
    Postgres,
    Registry,
    /// The mail server that keeps what it is sent.
    Mail,
    /// The Kafka UI in the browser; never part of a start, only on demand.
    Ui,
    /// Prometheus, which scrapes metrics; never part of a start, only on demand.
    Prometheus,
    /// A pooler before the database server; never part of a start, only on demand.
    Pooler,
}

impl fmt::Display for StackPart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Kafka => "Kafka",
            Self::Postgres => "Postgres",
            Self::Registry => "schema registry",
            Self::Mail => "mail server",
            Self::Ui => "Kafka UI",
            Self::Prometheus => "Prometheus",
            Self::Pooler => "connection pooler",
        })
    }
}

/// Whether stored data survives a crash of the machine, or servers only have to be fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageDurability {
    /// As in production: each commit reaches the disk, the broker's code is fully optimised, and a
    /// local registry keeps its schemas in Postgres.
    Durable,
    /// For tests: no flush to disk, schemas in memory, the fastest start of servers.
    Forgetful,
}

/// Which parts are wanted, and how durable.
#[derive(Clone, Debug)]
pub struct WantedParts {
    pub(crate) wanted: Vec<StackPart>,
    pub(crate) durability: StorageDurability,
    pub(crate) form: ServerForm,
}

/// In which form broker and database are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ServerForm {
    #[default]
    Plain,
    /// With certificates and, at the broker, a password.
    Secured,
    /// As they come, with three brokers.
    Cluster,
}

impl WantedParts {
    pub fn all() -> Self {
        Self::of(&[StackPart::Kafka, StackPart::Postgres, StackPart::Registry, StackPart::Mail])
    }

    /// These only, durable. The addresses of the others will be empty.
    pub fn of(wanted: &[StackPart]) -> Self {
        Self {
            wanted: wanted.to_vec(),
            durability: StorageDurability::Durable,
            form: ServerForm::Plain,
        }
    }

    /// The same parts, for tests.
    #[must_use]
    pub fn forgetful(self) -> Self {
        Self { durability: StorageDurability::Forgetful, ..self }
    }

    /// The same parts, where the broker and the database show certificates and speak to nobody in
    /// plain text, and the broker asks for a password. A registry keeps its schemas in memory.
    /// Local processes only.
    #[must_use]
    pub fn secured(self) -> Self {
        Self { form: ServerForm::Secured, ..self }
    }

    /// The same parts with three brokers, on which everything is kept three times and confirmed
    /// when two have it. Local processes only.
    #[must_use]
    pub fn three_brokers(self) -> Self {
        Self { form: ServerForm::Cluster, ..self }
    }

    pub(crate) fn has(&self, part: StackPart) -> bool {
        self.wanted.contains(&part)
    }
}

/// Where a stack comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerSource {
    /// The environment if it names a stack; else what `SAGA_STACK` says; else local processes, so
    /// that a run does not depend on what happens to run on the machine.
    Auto,
    /// Addresses in the environment.
    Environment,
    Docker,
    Native,
}

/// The addresses of the parts. The address of a part that was not wanted is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StackUrls {
    /// Kafka's `host:port`.
    pub brokers: String,
    /// A superuser's URL, with the database `postgres`.
    pub postgres: String,
    /// The registry's base URL, with its path.
    pub registry: String,
    /// The mail server's `host:port`.
    pub smtp: String,
    pub mail_api: String,
}

/// How a part is made to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// It is asked to, and may tidy up.
    Ask,
    /// It is killed, as by a crash.
    Kill,
}

impl StackUrls {
    /// The displayed address of a part; for Postgres, whose URL holds a password, the server only.
    pub(crate) fn of(&self, part: StackPart) -> &str {
        match part {
            StackPart::Kafka => &self.brokers,
            StackPart::Postgres => server_of(&self.postgres),
            StackPart::Registry => &self.registry,
            StackPart::Mail => &self.mail_api,
            StackPart::Ui | StackPart::Prometheus | StackPart::Pooler => "",
        }
    }
}

/// The `host:port` in a Postgres URL.
pub(crate) fn server_of(postgres: &str) -> &str {
    let rest = postgres.rsplit_once('@').map_or(postgres, |(_, rest)| rest);
    rest.split_once('/').map_or(rest, |(server, _)| server)
}
