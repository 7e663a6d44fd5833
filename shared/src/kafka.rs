//! The settings of all Kafka clients, in one place.
//!
//! Harmful defaults (silent loss, reordering, half-minute stalls) are overridden here and nowhere
//! else; each line gives the reason.

use std::{sync::Arc, time::Duration};

use rdkafka::ClientConfig;

pub(crate) use self::client_errors::ClientErrors;
pub use self::security::{
    ClientCertificate, ConnectionSecurity, SaslLogin, SaslMechanism, TlsSettings,
};

mod client_errors;
mod security;

/// `max.poll.interval.ms`: a member of a group that does not poll for this long has left it.
pub(crate) const POLL_INTERVAL_MAX: Duration = Duration::from_mins(2);

/// The address of the brokers and the names of this deployment there.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// `host:port,host:port`.
    pub brokers: String,
    /// The prefix of each topic and group: one cluster can serve several deployments.
    pub prefix: String,
    /// Names the client in the broker's logs.
    pub client_id: String,
    /// How connections are protected, and who we are.
    pub security: Arc<ConnectionSecurity>,
    /// The name under which a member keeps its place in its group while it is away for a moment.
    /// None: it gives its partitions up when it goes.
    pub member: Option<String>,
}

impl KafkaSettings {
    /// A topic's name at the broker.
    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A topic's name without the deployment's prefix.
    pub fn strip<'t>(&self, topic: &'t str) -> &'t str {
        topic.strip_prefix(self.prefix.as_str()).unwrap_or(topic)
    }

    /// The settings of every client.
    pub fn client(&self) -> ClientConfig {
        // By default OpenSSL frees its state in an exit handler (`atexit`). Threads of a client
        // that is still closing would then crash. This initialises OpenSSL without the handler, and
        // before the client does: only the first initialisation decides.
        openssl_sys::init();
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", &self.client_id)
            // A half-open connection is noticed.
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "2000")
            // Topics are created on purpose, with their partitions and retention.
            .set("allow.auto.create.topics", "false");
        self.security.apply(&mut config);
        config
    }

    /// The settings of the relay's producer: see [`crate::relay`] for the reasons.
    pub fn producer(&self, batch_max: usize) -> ClientConfig {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // A message that times out lets later ones of its key overtake it: never.
            .set("message.timeout.ms", "0")
            // A message that is refused lets later ones of its key overtake it: never.
            .set("enable.gapless.guarantee", "true")
            // With two requests in flight, a success of the second would be taken for the first's.
            .set("max.in.flight.requests.per.connection", "1")
            // The same key goes to the same partition from every client.
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("linger.ms", "1")
            .set("queue.buffering.max.messages", (2 * batch_max).to_string())
            // A topic that is missing is found missing soon: it is held, and the others go on. One
            // that was made a moment ago is tried again.
            .set("topic.metadata.propagation.max.ms", "2000");
        config
    }

    /// The settings of a consumer of the group: see [`crate::consumer`] for the reasons.
    pub fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", format!("{}{group}", self.prefix))
            // Offsets are stored after the commit, and sent to the broker in the background.
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            .set("enable.auto.offset.store", "false")
            // A group that is new or lost its offsets reads all; the inbox detects repeats.
            .set("auto.offset.reset", "earliest")
            // Eager: a rebalance gives everything up, so a batch in hand is either ours whole or
            // not. Partition n of every topic goes to the same member: one order, one process.
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "3000")
            .set("max.poll.interval.ms", "120000")
            // The time after which the group assigns partitions that were added to a topic.
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set("queued.max.messages.kbytes", "16384")
            .set("queued.min.messages", "10000")
            .set("fetch.queue.backoff.ms", "20")
            .set("fetch.wait.max.ms", "500")
            .set("check.crcs", "true");
        config
    }

    /// What one that joins the group needs: a [consumer](Self::consumer) that may have a name.
    pub fn member(&self, group: &str) -> ClientConfig {
        let mut config = self.consumer(group);
        if let Some(member) = &self.member {
            config.set("group.instance.id", member);
        }
        config
    }
}
