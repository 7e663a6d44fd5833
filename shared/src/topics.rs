//! Topics: their declaration and their creation.
//!
//! **Architecture invariant:** a topic is created explicitly, as its [`TopicSpec`] declares it; a broker
//! never creates a topic automatically. All topics of events have the same number of partitions, so
//! that a key is in the partition of the same number in every topic. A topic with more partitions
//! is read as it is, with a warning: earlier messages of a key stay in their partition.
//!
//! **Architecture invariant:** an inbox keeps ids longer than a topic keeps messages, so that every
//! repeat is detected. The retention that the broker reports counts, not the declared one: a
//! service whose topics keep longer does not start. A topic of latest values keeps for ever; its
//! readers compare numbers and need no inbox for that.
//!
//! **Architecture invariant:** every message that the relay deletes was on as many brokers as
//! declared. A service whose topics confirm messages with fewer copies does not start.

use std::{collections::HashMap, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    dependency::{self, WaitOutcome},
    health::HealthComponent,
    inbox, kafka,
};

use admin::{TopicAdmin, TopicRetention};

pub(crate) use restore::restore;

mod admin;
mod message_bytes;
mod restore;

/// How long the broker keeps events.
pub const EVENT_RETENTION: Duration = Duration::from_hours(7 * 24);
/// How long the broker keeps copies of dead letters, for people to look at.
pub(crate) const DEAD_LETTER_RETENTION: Duration = Duration::from_hours(14 * 24);
/// Only whole segments are deleted or compacted, and never the one that is being written: what is
/// kept is kept up to this much longer.
pub(crate) const SEGMENT_SPAN: Duration = Duration::from_hours(24);
/// A topic of latest values keeps each value at least this long, for those who follow closely.
const COMPACTION_LAG_MIN: Duration = Duration::from_hours(1);
/// Partitions of each topic of events.
const EVENT_PARTITIONS: i32 = 6;

/// A broker confirms a new topic before all brokers know it: the number of checks for the topic,
/// and the wait before each.
const LOOKS_MAX: u32 = 50;
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A topic and how it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name, without the deployment's prefix.
    pub name: &'static str,
    /// How many partitions it has.
    pub partitions: i32,
    /// How long messages are kept; of a compacted topic, how long tombstones are.
    pub retention: Duration,
    /// What happens to messages in the end.
    pub cleanup: CleanupPolicy,
}

/// On how many brokers a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaCount {
    /// Copies that are made in all.
    pub copies: i32,
    /// Copies that have to be there before a message is confirmed.
    pub in_sync_min: i32,
}

impl ReplicaCount {
    /// This number of copies; a message is confirmed when a majority of them exists.
    pub const fn majority(copies: i32) -> Self {
        Self { copies, in_sync_min: copies / 2 + 1 }
    }
}

/// What happens to messages in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanupPolicy {
    /// They are deleted when they are old.
    Delete,
    /// The last one of each key stays for ever.
    Compact,
}

impl TopicSpec {
    /// Events, kept for a week.
    pub const fn events(name: &'static str) -> Self {
        Self {
            name,
            partitions: EVENT_PARTITIONS,
            retention: EVENT_RETENTION,
            cleanup: CleanupPolicy::Delete,
        }
    }

    /// The last word per key, kept for ever.
    pub const fn latest(name: &'static str) -> Self {
        Self { cleanup: CleanupPolicy::Compact, ..Self::events(name) }
    }

    /// Copies of dead letters, for people.
    pub const fn dead_letters(name: &'static str) -> Self {
        Self {
            name,
            partitions: 1,
            retention: DEAD_LETTER_RETENTION,
            cleanup: CleanupPolicy::Delete,
        }
    }

    /// What the broker is told of it.
    fn settings(&self, replicas: ReplicaCount) -> Vec<(&'static str, String)> {
        let millis = |duration: Duration| duration.as_millis().to_string();
        let mut settings = vec![
            ("segment.ms", millis(SEGMENT_SPAN)),
            // The relay's producer waits for all that are in sync: these at least.
            ("min.insync.replicas", replicas.in_sync_min.to_string()),
        ];
        settings.extend(match self.cleanup {
            CleanupPolicy::Delete => vec![
                ("cleanup.policy", "delete".to_owned()),
                ("retention.ms", millis(self.retention)),
            ],
            CleanupPolicy::Compact => vec![
                ("cleanup.policy", "compact".to_owned()),
                ("min.compaction.lag.ms", millis(COMPACTION_LAG_MIN)),
                // Old values are gone after this, however quiet the topic is.
                ("max.compaction.lag.ms", millis(SEGMENT_SPAN)),
                // Who is away longer than this may miss that a key is gone.
                ("delete.retention.ms", millis(self.retention)),
            ],
        });
        settings
    }
}

/// Why topics are not as declared.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// The client could not be made.
    #[error("the Kafka client could not be made")]
    Client(#[source] rdkafka::error::KafkaError),
    /// The broker did not answer, or would not have us.
    #[error("the broker is out of reach{}", because(reason.as_deref()))]
    Unreachable {
        /// What the client said of it, if it said anything.
        reason: Option<String>,
        /// The error of the Kafka client.
        #[source]
        source: rdkafka::error::KafkaError,
    },
    /// The broker did not make a topic.
    #[error("the broker did not create topic {topic}")]
    NotCreated {
        /// Its name at the broker.
        topic: String,
        /// The reason that the broker gives.
        #[source]
        reason: rdkafka::types::RDKafkaErrorCode,
    },
    /// A topic was made but cannot be seen yet.
    #[error("topic {0} cannot be seen yet")]
    Unseen(String),
    /// A topic is there with fewer partitions: keys would lie in other partitions than those of its
    /// sisters.
    #[error("topic {topic} has {found} partitions, and {declared} are declared")]
    Partitions {
        /// Its name at the broker.
        topic: String,
        /// How many it has.
        found: i32,
        /// How many it should have.
        declared: i32,
    },
    /// A topic keeps messages longer than an inbox remembers them: one that is read again late
    /// would be processed twice.
    #[error("topic {topic} keeps messages for {} days, and they are forgotten after {}",
            days(*kept), days(inbox::RETENTION))]
    Retention {
        /// Its name at the broker.
        topic: String,
        /// For how long it may keep them.
        kept: Duration,
    },
    /// A topic confirms messages that fewer brokers have than declared: what was confirmed, and
    /// deleted from the outbox, could be lost with them.
    #[error(
        "topic {topic} confirms what {found} brokers have, and {declared} are declared: \
            raise its min.insync.replicas, or lower KAFKA_MIN_IN_SYNC"
    )]
    InSync {
        /// Its name at the broker.
        topic: String,
        /// On how many brokers a message is when it is confirmed.
        found: i32,
        /// On how many it should be.
        declared: i32,
    },
    /// A topic's limit of message size is below the outbox's: refused ones would be dead letters.
    #[error(
        "topic {topic} takes records of at most {found} bytes, and {} are needed: \
            raise its max.message.bytes",
        message_bytes::NEEDED
    )]
    MessageBytes {
        /// Its name at the broker.
        topic: String,
        /// What it takes: its `max.message.bytes`.
        found: u64,
    },
    /// We were told to stop first.
    #[error("told to stop before the topics were there")]
    Stopped,
}

impl TopicError {
    /// Whether the same may work later.
    pub fn is_transient(&self) -> bool {
        use rdkafka::types::RDKafkaErrorCode as Code;
        match self {
            Self::Unreachable { .. } | Self::Unseen(_) => true,
            // Too few brokers for the replication is among what passes: they are still starting.
            Self::NotCreated { reason, .. } => ![
                Code::InvalidTopic,
                Code::InvalidPartitions,
                Code::InvalidConfig,
                Code::PolicyViolation,
                Code::TopicAuthorizationFailed,
                Code::ClusterAuthorizationFailed,
            ]
            .contains(reason),
            Self::Client(_)
            | Self::Partitions { .. }
            | Self::Retention { .. }
            | Self::InSync { .. }
            | Self::MessageBytes { .. }
            | Self::Stopped => false,
        }
    }
}

fn because(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |text| format!(" ({text})"))
}

fn days(span: Duration) -> u64 {
    span.as_secs() / (24 * 60 * 60)
}

/// Creates the topics that are missing, and checks of all of them how many partitions they have,
/// how long they keep, and on how many brokers a message is when it is confirmed.
pub async fn create(
    settings: &kafka::KafkaSettings,
    topics: &[TopicSpec],
    replicas: ReplicaCount,
) -> Result<(), TopicError> {
    let admin = TopicAdmin::new(settings)?;
    let present = admin.partitions().await?;
    let missing: Vec<TopicSpec> = topics
        .iter()
        .filter(|spec| !present.contains_key(&settings.topic(spec.name)))
        .copied()
        .collect();
    if !missing.is_empty() {
        admin.create(settings, &missing, replicas).await?;
    }
    let mut looks = 0;
    loop {
        match look(&admin, settings, topics, replicas).await {
            Err(TopicError::Unseen(_)) if looks < LOOKS_MAX => looks += 1,
            outcome => return outcome,
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Compares what is declared with what is there.
async fn look(
    admin: &TopicAdmin,
    settings: &kafka::KafkaSettings,
    topics: &[TopicSpec],
    replicas: ReplicaCount,
) -> Result<(), TopicError> {
    let present = admin.partitions().await?;
    check_partitions(settings, topics, &present)?;
    let names: Vec<String> = topics.iter().map(|spec| settings.topic(spec.name)).collect();
    for ((topic, name), kept) in topics.iter().zip(&names).zip(admin.kept(&names).await?) {
        check_kept(topic, name, kept, replicas)?;
    }
    for (topic, name) in topics.iter().zip(&names) {
        warn_of_more(topic, present.get(name));
    }
    Ok(())
}

/// Partitions can be added and never taken away, so more than declared are lived with.
fn warn_of_more(topic: &TopicSpec, found: Option<&i32>) {
    if let Some(found) = found.filter(|n| **n > topic.partitions) {
        tracing::warn!(
            topic = topic.name,
            found,
            declared = topic.partitions,
            "a topic has more partitions than declared: messages of a key from before stay in its old \
             partition, so new ones may be read before them; give all topics of events as many"
        );
    }
}

fn check_partitions(
    settings: &kafka::KafkaSettings,
    topics: &[TopicSpec],
    present: &HashMap<String, i32>,
) -> Result<(), TopicError> {
    for topic in topics {
        let name = settings.topic(topic.name);
        match present.get(&name) {
            None => return Err(TopicError::Unseen(name)),
            Some(found) if *found < topic.partitions => {
                let (found, declared) = (*found, topic.partitions);
                return Err(TopicError::Partitions { topic: name, found, declared });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// A broker that does not know a topic yet may report no retention, which says nothing about the
/// topic.
fn check_kept(
    topic: &TopicSpec,
    name: &str,
    kept: Option<TopicRetention>,
    replicas: ReplicaCount,
) -> Result<(), TopicError> {
    let Some(TopicRetention { span, in_sync_min, message_bytes_max }) = kept else {
        return Err(TopicError::Unseen(name.to_owned()));
    };
    message_bytes::check(topic, name, message_bytes_max)?;
    if topic.cleanup == CleanupPolicy::Delete && span >= inbox::RETENTION {
        return Err(TopicError::Retention { topic: name.to_owned(), kept: span });
    }
    if in_sync_min < replicas.in_sync_min {
        let (found, declared) = (in_sync_min, replicas.in_sync_min);
        return Err(TopicError::InSync { topic: name.to_owned(), found, declared });
    }
    Ok(())
}

/// Waits for the broker and then [creates](create) the topics. Says through `health` what is
/// waited for.
pub async fn ensure(
    settings: &kafka::KafkaSettings,
    topics: &[TopicSpec],
    replicas: ReplicaCount,
    health: &HealthComponent,
    stop: &CancellationToken,
) -> Result<(), TopicError> {
    let attempt = async || create(settings, topics, replicas).await;
    match dependency::wait(health, stop, TopicError::is_transient, attempt).await {
        WaitOutcome::Up(()) => Ok(()),
        WaitOutcome::Refused(error) => Err(error),
        WaitOutcome::Stopped => Err(TopicError::Stopped),
    }
}

#[cfg(test)]
mod tests;
