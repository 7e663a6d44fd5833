//! The stack: four addresses, and the power over what was started to have them.

use std::fmt;

use tokio::sync::Mutex;

use crate::{
    Error, Progress, State, config,
    docker::Containers,
    native::{Native, Ui, authority::Secured},
};

/// A server that the system is built upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The broker.
    Kafka,
    /// The database server.
    Postgres,
    /// The schema registry.
    Registry,
    /// The mail server that keeps what it is sent.
    Mail,
    /// The Kafka UI in the browser; never part of a start, only on demand.
    Ui,
    /// What scrapes numbers; never part of a start, only on demand.
    Prometheus,
    /// A pooler before the database server; never part of a start, only on demand.
    Pooler,
}

impl fmt::Display for Part {
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

/// Does what was stored survive the machine's crash, or does it only have to be fast?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// As in production: each commit reaches the disk, the broker's code is fully optimised, and a
    /// local registry keeps its schemas in Postgres.
    Durable,
    /// For tests: nothing is flushed, schemas are kept in memory, servers start as fast as they can.
    Forgetful,
}

/// Which parts are wanted, and how durable.
#[derive(Clone, Debug)]
pub struct Parts {
    pub(crate) wanted: Vec<Part>,
    pub(crate) durability: Durability,
    pub(crate) form: Form,
}

/// In which form broker and database are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they come.
    #[default]
    Plain,
    /// With certificates and, at the broker, a password.
    Secured,
    /// As they come, with three brokers.
    Cluster,
}

impl Parts {
    /// All four, durable.
    pub fn all() -> Self {
        Self::of(&[Part::Kafka, Part::Postgres, Part::Registry, Part::Mail])
    }

    /// These only, durable. The addresses of the others will be empty.
    pub fn of(wanted: &[Part]) -> Self {
        Self { wanted: wanted.to_vec(), durability: Durability::Durable, form: Form::Plain }
    }

    /// The same parts, for tests.
    #[must_use]
    pub fn forgetful(self) -> Self {
        Self { durability: Durability::Forgetful, ..self }
    }

    /// The same parts, where the broker and the database show certificates and speak to nobody in
    /// plain text, and the broker asks for a password. A registry keeps its schemas in memory. Local
    /// processes only.
    #[must_use]
    pub fn secured(self) -> Self {
        Self { form: Form::Secured, ..self }
    }

    /// The same parts with three brokers, on which everything is kept three times and confirmed when
    /// two have it. Local processes only.
    #[must_use]
    pub fn three_brokers(self) -> Self {
        Self { form: Form::Cluster, ..self }
    }

    pub(crate) fn has(&self, part: Part) -> bool {
        self.wanted.contains(&part)
    }
}

/// Where a stack comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The environment if it names a stack; else what `SAGA_STACK` says; else local processes, so
    /// that a run does not depend on what happens to run on the machine.
    Auto,
    /// Addresses in the environment.
    Environment,
    /// Containers.
    Docker,
    /// Local processes.
    Native,
}

/// Where the parts answer. The address of a part that was not wanted is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Urls {
    /// Kafka's `host:port`.
    pub brokers: String,
    /// A superuser's URL, with the database `postgres`.
    pub postgres: String,
    /// The registry's base URL, with its path.
    pub registry: String,
    /// The mail server's `host:port`.
    pub smtp: String,
    /// Mailpit's base URL.
    pub mail_api: String,
}

/// How a part is made to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// It is asked to, and may tidy up.
    Ask,
    /// It is killed, as by a crash.
    Kill,
}

/// A running stack. Dropping it ends what it started.
#[derive(Debug)]
pub struct Stack {
    urls: Urls,
    origin: Origin,
    ui: Mutex<Option<Ui>>,
}

#[derive(Debug)]
enum Origin {
    Given,
    Docker(Containers),
    Native(Box<Native>),
}

impl Stack {
    /// Has the wanted parts up and answering, or says why not. What was started is ended again if
    /// this fails or is given up.
    pub async fn start(
        choice: Source,
        parts: Parts,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let resolved = resolve(choice)?;
        if parts.form != Form::Plain && !matches!(resolved, Resolved::Native) {
            return Err(Error::NativeOnly);
        }
        match resolved {
            Resolved::Given => given(&parts, progress),
            Resolved::Docker => {
                let (urls, containers) = Box::pin(Containers::start(&parts, progress)).await?;
                Ok(Self::new(urls, Origin::Docker(containers)))
            }
            Resolved::Native => {
                let (urls, native) = Box::pin(Native::start(&parts, progress)).await?;
                Ok(Self::new(urls, Origin::Native(Box::new(native))))
            }
        }
    }

    fn new(urls: Urls, origin: Origin) -> Self {
        Self { urls, origin, ui: Mutex::new(None) }
    }

    /// Where the parts answer.
    pub fn urls(&self) -> &Urls {
        &self.urls
    }

    /// The environment under which another process uses this stack instead of starting its own.
    pub fn exports(&self) -> Vec<(&'static str, String)> {
        let urls = &self.urls;
        [
            (config::BROKERS, &urls.brokers),
            (config::POSTGRES, &urls.postgres),
            (config::REGISTRY, &urls.registry),
            (config::SMTP, &urls.smtp),
            (config::MAIL_API, &urls.mail_api),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name, value.clone()))
        .collect()
    }

    /// Ends what was started, and waits until it is gone, its data included.
    pub async fn stop(self) {
        drop(self.ui);
        match self.origin {
            Origin::Given => {}
            Origin::Docker(containers) => containers.stop().await,
            Origin::Native(native) => native.stop().await,
        }
    }

    /// Shows Kafka in the browser; gives the address. Started once, for the life of the stack.
    pub async fn start_ui(&self, progress: &dyn Progress) -> Result<String, Error> {
        let mut ui = self.ui.lock().await;
        let ui = match &mut *ui {
            Some(ui) => ui,
            none => none.insert(Ui::start(&self.urls, progress).await?),
        };
        Ok(ui.url().to_owned())
    }

    /// What is needed to be let in, if the stack is secured.
    pub fn secured(&self) -> Option<&Secured> {
        match &self.origin {
            Origin::Native(native) => native.secured(),
            Origin::Given | Origin::Docker(_) => None,
        }
    }

    /// The process under which each part runs, with all below it. None for parts that are not local
    /// processes.
    pub async fn process_trees(&self) -> Vec<(Part, u32)> {
        match &self.origin {
            Origin::Native(native) => native.roots().await,
            Origin::Given | Origin::Docker(_) => vec![],
        }
    }

    /// Stops one part, which keeps its data and its address.
    pub async fn stop_part(&self, part: Part, how: Halt) -> Result<(), Error> {
        self.native(part)?.stop_part(part, how).await
    }

    /// Starts a stopped part again and waits until it answers.
    pub async fn start_part(&self, part: Part) -> Result<(), Error> {
        self.native(part)?.start_part(part).await
    }

    /// Stops one of several brokers, which are counted from 0.
    pub async fn stop_broker(&self, n: usize, how: Halt) -> Result<(), Error> {
        self.native(Part::Kafka)?.stop_nth(Part::Kafka, n, how).await
    }

    /// Starts a stopped broker of several again and waits until it answers.
    pub async fn start_broker(&self, n: usize) -> Result<(), Error> {
        self.native(Part::Kafka)?.start_nth(Part::Kafka, n).await
    }

    /// Stops the broker, which keeps its messages and its address.
    pub async fn stop_kafka(&self, how: Halt) -> Result<(), Error> {
        self.stop_part(Part::Kafka, how).await
    }

    /// Starts the stopped broker again and waits until it answers.
    pub async fn start_kafka(&self) -> Result<(), Error> {
        self.start_part(Part::Kafka).await
    }

    /// Throws away all that the stopped broker keeps: topics, messages, offsets of groups. It comes back
    /// as one that was just made, at the same address. Not for a secured one, whose user goes, too.
    pub async fn forget_kafka(&self) -> Result<(), Error> {
        self.native(Part::Kafka)?.forget_kafka().await
    }

    fn native(&self, part: Part) -> Result<&Native, Error> {
        match &self.origin {
            Origin::Native(native) => Ok(native),
            Origin::Given | Origin::Docker(_) => Err(Error::NotOurs(part)),
        }
    }
}

enum Resolved {
    Given,
    Docker,
    Native,
}

fn resolve(choice: Source) -> Result<Resolved, Error> {
    Ok(match choice {
        Source::Environment => Resolved::Given,
        Source::Docker => Resolved::Docker,
        Source::Native => Resolved::Native,
        Source::Auto if config::names_a_stack() => Resolved::Given,
        Source::Auto => match config::choice()? {
            config::Choice::Native => Resolved::Native,
            config::Choice::Docker => Resolved::Docker,
        },
    })
}

fn given(parts: &Parts, progress: &dyn Progress) -> Result<Stack, Error> {
    let urls = config::urls(&parts.wanted)?;
    for part in &parts.wanted {
        progress.state(*part, &State::Ready(urls.of(*part).to_owned()));
    }
    Ok(Stack::new(urls, Origin::Given))
}

impl Urls {
    /// What to show as the address of a part. That of Postgres holds a password: its server is shown.
    pub(crate) fn of(&self, part: Part) -> &str {
        match part {
            Part::Kafka => &self.brokers,
            Part::Postgres => server_of(&self.postgres),
            Part::Registry => &self.registry,
            Part::Mail => &self.mail_api,
            Part::Ui | Part::Prometheus | Part::Pooler => "",
        }
    }
}

/// The `host:port` in a Postgres URL.
pub(crate) fn server_of(postgres: &str) -> &str {
    let rest = postgres.rsplit_once('@').map_or(postgres, |(_, rest)| rest);
    rest.split_once('/').map_or(rest, |(server, _)| server)
}
