//! The parts of a stack: which are wanted, from where, in which form, and where they answer.

use std::{fmt, path::PathBuf};

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
    pub(crate) ports: Vec<(StackPart, u16)>,
    pub(crate) logs: Option<PathBuf>,
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
            ports: Vec::new(),
            logs: None,
        }
    }

    /// The same parts at these ports where they are free. Without this, and where they are not, a
    /// free port is chosen.
    #[must_use]
    pub fn near(self, ports: &[(StackPart, u16)]) -> Self {
        Self { ports: ports.to_vec(), ..self }
    }

    /// The same parts, where local processes write their logs into this folder, which stays. It has
    /// to be there.
    #[must_use]
    pub fn logging_to(self, folder: PathBuf) -> Self {
        Self { logs: Some(folder), ..self }
    }

    /// The port at which a part is wanted.
    pub(crate) fn port(&self, part: StackPart) -> Option<u16> {
        self.ports.iter().find(|(of, _)| *of == part).map(|(_, port)| *port)
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

/// A part that answers at another port than the one at which it was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedPart {
    pub part: StackPart,
    /// The port that was taken.
    pub taken: u16,
    /// Where the part answers instead.
    pub address: String,
}

/// A server that has ended without being told to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedPart {
    pub part: StackPart,
    /// How it ended.
    pub status: String,
    /// The file with all that it wrote.
    pub log: PathBuf,
    /// The last lines of that file.
    pub last_lines: String,
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

/// The port in an address, with or without scheme and path.
pub(crate) fn port_of(address: &str) -> Option<u16> {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let server = rest.split('/').next()?;
    server.rsplit_once(':')?.1.parse().ok()
}

/// The `host:port` in a Postgres URL.
pub(crate) fn server_of(postgres: &str) -> &str {
    let rest = postgres.rsplit_once('@').map_or(postgres, |(_, rest)| rest);
    rest.split_once('/').map_or(rest, |(server, _)| server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_in_every_form_of_address() {
        for address in ["127.0.0.1:81", "http://127.0.0.1:81", "http://localhost:81/apis/v7"] {
            assert_eq!(port_of(address), Some(81), "{address}");
        }
        assert_eq!(port_of("nowhere"), None);
    }
}
