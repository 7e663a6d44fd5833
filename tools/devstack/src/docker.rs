//! The stack as containers, by the same images that are shipped with.
//!
//! testcontainers removes a container when its handle is dropped, which a killed process never does.
//! So the sweeper removes them, by a label that is this stack's own, and the handles are forgotten.
//!
//! **Architecture invariant:** the engine is this machine's, and a container is asked for at its
//! published port on loopback. testcontainers would answer with the bridge's gateway wherever a file
//! `/.dockerenv` lies about, which it does on machines that were once unpacked from an image; an
//! engine that publishes on loopback alone is out of reach there. Kafka says loopback of itself in
//! any case.

use std::time::Duration;

use testcontainers_modules::{
    kafka::apache::{KAFKA_PORT, Kafka},
    postgres::Postgres,
    testcontainers::{
        ContainerAsync, ContainerRequest, GenericImage, Image, ImageExt as _,
        core::{ContainerPort, client::docker_client_instance},
        runners::AsyncRunner as _,
    },
};

use crate::{
    PartState, StackError, StackPart, StackUrls, StartProgress, StorageDurability, WantedParts,
    native::{
        LeftoverSweeper, POSTGRES_SETTINGS, REGISTRY_PATH, REGISTRY_SUBJECTS, last_lines,
        ports::PortPair, tool::on_path,
    },
    prefix::unique_prefix,
    probe::{PATIENCE, ServerProbe},
};

/// Marks the containers of one stack.
const LABEL: &str = "saga.devstack";
const POSTGRES_PORT: ContainerPort = ContainerPort::Tcp(5432);
const REGISTRY_PORT: ContainerPort = ContainerPort::Tcp(8080);
const SMTP_PORT: ContainerPort = ContainerPort::Tcp(1025);
const MAIL_API_PORT: ContainerPort = ContainerPort::Tcp(8025);
/// Start limit of testcontainers: long, because it counts a busy machine's seconds as well. Whether
/// a server is on its way is judged by its probe, which counts what moves.
const START_MAX: Duration = Duration::from_mins(10);
/// Lines of a container's log that are shown when it does not come up.
const LOG_LINES: usize = 20;
/// What the shipped broker is told beyond what the module tells it, as in `server.properties`.
const KAFKA_SETTINGS: [(&str, &str); 8] = [
    ("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false"),
    ("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
    ("KAFKA_NUM_PARTITIONS", "6"),
    ("KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS", "4"),
    ("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
    ("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1"),
    ("KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR", "1"),
    ("KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR", "1"),
];

/// Whether a Docker engine answers.
pub async fn docker_answers() -> bool {
    let Ok(client) = docker_client_instance().await else { return false };
    client.ping().await.is_ok()
}

/// The containers of one stack.
#[derive(Debug)]
pub(crate) struct StackContainers {
    sweeper: LeftoverSweeper,
}

impl StackContainers {
    /// Starts the wanted parts, side by side.
    pub(crate) async fn start(
        parts: &WantedParts,
        progress: &dyn StartProgress,
    ) -> Result<(StackUrls, Self), StackError> {
        if !docker_answers().await {
            return Err(StackError::NoDocker);
        }
        if on_path("docker").is_none() {
            return Err(StackError::Missing {
                missing: "the docker command, which removes the containers".to_owned(),
                command: "apt-get install docker-cli".to_owned(),
            });
        }
        let label = format!("{}{}", unique_prefix(), std::process::id());
        let found = format!("docker ps --all --quiet --filter label={LABEL}={label}");
        let remove = format!("{found} | xargs -r docker rm --force --volumes");
        let containers = Self { sweeper: LeftoverSweeper::start(&["/bin/sh", "-c", &remove])? };
        let starter = ContainerStarter { label, parts, progress };
        let (brokers, postgres, registry, mail) = tokio::try_join!(
            starter.if_wanted(StackPart::Kafka, starter.kafka()),
            starter.if_wanted(StackPart::Postgres, starter.postgres()),
            starter.if_wanted(StackPart::Registry, starter.registry()),
            starter.if_wanted(StackPart::Mail, starter.mail()),
        )?;
        let (smtp, mail_api) = mail.unwrap_or_default();
        let urls = StackUrls {
            brokers: brokers.unwrap_or_default(),
            postgres: postgres.unwrap_or_default(),
            registry: registry.unwrap_or_default(),
            smtp,
            mail_api,
        };
        Ok((urls, containers))
    }

    /// Removes them and waits until they are gone.
    pub(crate) async fn stop(self) {
        self.sweeper.done().await;
    }
}

struct ContainerStarter<'a> {
    label: String,
    parts: &'a WantedParts,
    progress: &'a dyn StartProgress,
}

impl ContainerStarter<'_> {
    async fn kafka(&self) -> Result<String, StackError> {
        let mut request =
            Kafka::default().with_jvm_image().with_tag("4.3.1").with_label(LABEL, &self.label);
        for (name, value) in KAFKA_SETTINGS {
            request = request.with_env_var(name, value);
        }
        let request = self.placed(StackPart::Kafka, request, &[KAFKA_PORT]);
        let container = RunningContainer::start(StackPart::Kafka, request).await?;
        let brokers = container.address(KAFKA_PORT).await?;
        let probe = ServerProbe::Kafka { brokers: brokers.clone(), client: vec![] };
        self.answers(container, &probe, &brokers).await?;
        Ok(brokers)
    }

    async fn postgres(&self) -> Result<String, StackError> {
        let mut image = Postgres::default();
        if self.parts.durability == StorageDurability::Durable {
            image = image.with_fsync_enabled();
        }
        let mut command: Vec<_> =
            image.cmd().into_iter().map(|word| word.into().into_owned()).collect();
        command.extend(
            POSTGRES_SETTINGS.into_iter().flat_map(|text| ["-c".to_owned(), text.to_owned()]),
        );
        let request = image
            .with_tag("18.6-alpine3.24")
            .with_cmd(command)
            .with_ready_conditions(vec![])
            .with_label(LABEL, &self.label);
        let request = self.placed(StackPart::Postgres, request, &[POSTGRES_PORT]);
        let container = RunningContainer::start(StackPart::Postgres, request).await?;
        let server = container.address(POSTGRES_PORT).await?;
        let url = format!("postgres://postgres:postgres@{server}/postgres");
        self.answers(container, &ServerProbe::Postgres { url: url.clone() }, &server).await?;
        Ok(url)
    }

    async fn registry(&self) -> Result<String, StackError> {
        // It keeps its schemas in memory.
        let request = GenericImage::new("apicurio/apicurio-registry", "3.3.3")
            .with_exposed_port(REGISTRY_PORT)
            .with_env_var("APICURIO_RULES_GLOBAL_COMPATIBILITY", "FULL_TRANSITIVE")
            .with_label(LABEL, &self.label);
        let request = self.placed(StackPart::Registry, request, &[REGISTRY_PORT]);
        let container = RunningContainer::start(StackPart::Registry, request).await?;
        let address = container.address(REGISTRY_PORT).await?;
        let url = format!("http://{address}{REGISTRY_PATH}");
        let probe = ServerProbe::Http { address, path: REGISTRY_SUBJECTS };
        self.answers(container, &probe, &url).await?;
        Ok(url)
    }

    async fn mail(&self) -> Result<(String, String), StackError> {
        let request = GenericImage::new("axllent/mailpit", "v1.30.5")
            .with_exposed_port(SMTP_PORT)
            .with_exposed_port(MAIL_API_PORT)
            .with_env_var("MP_SMTP_AUTH_ACCEPT_ANY", "1")
            .with_env_var("MP_SMTP_AUTH_ALLOW_INSECURE", "1")
            .with_label(LABEL, &self.label);
        let request = self.placed(StackPart::Mail, request, &[MAIL_API_PORT, SMTP_PORT]);
        let container = RunningContainer::start(StackPart::Mail, request).await?;
        let smtp = container.address(SMTP_PORT).await?;
        let address = container.address(MAIL_API_PORT).await?;
        let api = format!("http://{address}");
        self.answers(container, &ServerProbe::Http { address, path: "/readyz" }, &api).await?;
        Ok((smtp, api))
    }

    /// The request with the first of these ports where the part is wanted, if that is free.
    fn placed<I: Image>(
        &self,
        part: StackPart,
        request: ContainerRequest<I>,
        inside: &[ContainerPort],
    ) -> ContainerRequest<I> {
        let wanted = self.parts.port(part);
        let Some(free) =
            wanted.filter(|port| PortPair::claim_near([wanted, None]).numbers[0] == *port)
        else {
            return request;
        };
        // Where one port is chosen, the engine publishes no other by itself: 0 is any.
        let numbers = std::iter::once(free).chain(std::iter::repeat(0));
        inside
            .iter()
            .zip(numbers)
            .fold(request, |request, (inside, outside)| request.with_mapped_port(outside, *inside))
    }

    /// What `starting` gives, if the part is wanted.
    async fn if_wanted<T>(
        &self,
        part: StackPart,
        starting: impl Future<Output = Result<T, StackError>>,
    ) -> Result<Option<T>, StackError> {
        if !self.parts.has(part) {
            return Ok(None);
        }
        self.progress.state(part, &PartState::Starting);
        starting.await.map(Some)
    }

    async fn answers<I: Image>(
        &self,
        running: RunningContainer<I>,
        probe: &ServerProbe,
        shown: &str,
    ) -> Result<(), StackError> {
        let part = running.part;
        if !probe.answered(|| running.signs()).await? {
            return Err(running.too_slow().await);
        }
        self.progress.state(part, &PartState::Ready(shown.to_owned()));
        // From here on the sweeper answers for it; see the top of this file.
        std::mem::forget(running.container);
        Ok(())
    }
}

/// A container, and the part that it plays.
struct RunningContainer<I: Image> {
    part: StackPart,
    container: ContainerAsync<I>,
}

impl<I: Image> RunningContainer<I> {
    async fn start(part: StackPart, request: ContainerRequest<I>) -> Result<Self, StackError> {
        match request.with_startup_timeout(START_MAX).start().await {
            Ok(container) => Ok(Self { part, container }),
            Err(source) => Err(StackError::Docker { part, source: Box::new(source) }),
        }
    }

    /// What can be seen of it while it starts: how much it has written. Its end is an error.
    async fn signs(&self) -> Result<usize, StackError> {
        let log = self.log().await;
        match self.container.exit_code().await {
            Ok(None) => Ok(log.len()),
            Ok(Some(code)) => Err(StackError::Ended {
                part: self.part,
                status: format!("exit code {code}"),
                log: last_lines(&String::from_utf8_lossy(&log), LOG_LINES),
            }),
            Err(source) => Err(self.failed(source)),
        }
    }

    async fn address(&self, inside: ContainerPort) -> Result<String, StackError> {
        let port = self.container.get_host_port_ipv4(inside).await;
        Ok(format!("127.0.0.1:{}", port.map_err(|source| self.failed(source))?))
    }

    fn failed<E>(&self, source: E) -> StackError
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        StackError::Docker { part: self.part, source: Box::new(source) }
    }

    async fn too_slow(&self) -> StackError {
        StackError::TooSlow {
            part: self.part,
            what: "answer, nor show that it is on its way,",
            seconds: PATIENCE.as_secs(),
            log: last_lines(&String::from_utf8_lossy(&self.log().await), LOG_LINES),
        }
    }

    async fn log(&self) -> Vec<u8> {
        let mut log = self.container.stdout_to_vec().await.unwrap_or_default();
        log.extend(self.container.stderr_to_vec().await.unwrap_or_default());
        log
    }
}
