//! Administration of the broker, with bounded waits.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rdkafka::{
    admin::{
        AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
    },
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, Producer as _},
};

use crate::kafka::{self, ClientErrors};

use super::{ReplicaCount, TopicError, TopicSpec};

/// The time limit for one answer of the broker. Below the grace period of a process, because
/// reading the metadata cannot be interrupted.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// The time for which the client's error messages after a failure are collected.
const HEARING: Duration = Duration::from_millis(50);

/// The retention settings of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TopicRetention {
    /// The longest time that it may keep a message: until the message's whole segment is old.
    pub(super) span: Duration,
    /// The number of brokers that have a message when it is confirmed.
    pub(super) in_sync_min: i32,
    /// The largest batch of messages: its `max.message.bytes`.
    pub(super) message_bytes_max: u64,
}

impl TopicRetention {
    /// Reads the settings from the broker's answer. A broker that has just learnt of a topic may
    /// leave some out: then they are unknown, which is not the same as no retention.
    fn read<'v>(setting: impl Fn(&str) -> Option<&'v str>) -> Option<Self> {
        let millis = |name| {
            let millis: i64 = setting(name)?.parse().ok()?;
            // -1: kept for ever.
            Some(u64::try_from(millis).map_or(Duration::MAX, Duration::from_millis))
        };
        let span = millis("retention.ms")?.saturating_add(millis("segment.ms")?);
        let in_sync_min = setting("min.insync.replicas")?.parse().ok()?;
        let message_bytes_max = setting("max.message.bytes")?.parse().ok()?;
        Some(Self { span, in_sync_min, message_bytes_max })
    }
}

/// A client for administration.
pub(super) struct TopicAdmin(Option<AdminClients>);

struct AdminClients {
    admin: AdminClient<DefaultClientContext>,
    /// Requests the metadata. An administration client does not report why a broker cannot be
    /// reached; this producer, which never produces anything, does.
    asker: Arc<BaseProducer<ClientErrors>>,
}

impl TopicAdmin {
    pub(super) fn new(settings: &kafka::KafkaSettings) -> Result<Self, TopicError> {
        let config = settings.client();
        let asker =
            config.create_with_context(ClientErrors::default()).map_err(TopicError::Client)?;
        let admin = config.create().map_err(TopicError::Client)?;
        Ok(Self(Some(AdminClients { admin, asker: Arc::new(asker) })))
    }

    fn clients(&self) -> &AdminClients {
        self.0.as_ref().unwrap_or_else(|| unreachable!("the clients are taken only by drop"))
    }

    fn client(&self) -> &AdminClient<DefaultClientContext> {
        &self.clients().admin
    }

    /// The number of partitions of each topic on the broker.
    pub(super) async fn partitions(&self) -> Result<HashMap<String, i32>, TopicError> {
        let asker = Arc::clone(&self.clients().asker);
        let read = tokio::task::spawn_blocking(move || {
            let metadata = asker.client().fetch_metadata(None, ANSWER_LIMIT).map_err(|source| {
                // Error messages of the client are collected only here.
                asker.poll(HEARING);
                TopicError::Unreachable { reason: asker.context().last(), source }
            })?;
            let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
            Ok(metadata
                .topics()
                .iter()
                .filter(|topic| topic.error().is_none())
                .map(|topic| (topic.name().to_owned(), count(topic.partitions().len())))
                .collect())
        });
        let lost = KafkaError::MetadataFetch(RDKafkaErrorCode::Fail);
        read.await.unwrap_or_else(|_panic| Err(unreachable_for(lost)))
    }

    /// The settings of each of these topics; none for a topic that the broker does not know.
    pub(super) async fn kept(
        &self,
        topics: &[String],
    ) -> Result<Vec<Option<TopicRetention>>, TopicError> {
        if topics.is_empty() {
            return Ok(vec![]);
        }
        let wanted: Vec<ResourceSpecifier<'_>> =
            topics.iter().map(|text| ResourceSpecifier::Topic(text)).collect();
        let options = AdminOptions::new().request_timeout(Some(ANSWER_LIMIT));
        let described = self.client().describe_configs(&wanted, &options).await;
        let kept = |described: Result<ConfigResource, RDKafkaErrorCode>| match described {
            Ok(described) => Ok(TopicRetention::read(|name| described.get(name)?.value.as_deref())),
            Err(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                Ok(None)
            }
            Err(code) => Err(unreachable_for(KafkaError::AdminOp(code))),
        };
        described.map_err(unreachable_for)?.into_iter().map(kept).collect()
    }

    /// Creates the topics; one that another client created meanwhile is accepted.
    pub(super) async fn create(
        &self,
        settings: &kafka::KafkaSettings,
        topics: &[TopicSpec],
        replicas: ReplicaCount,
    ) -> Result<(), TopicError> {
        let names: Vec<String> = topics.iter().map(|spec| settings.topic(spec.name)).collect();
        let entries: Vec<_> = topics.iter().map(|spec| spec.settings(replicas)).collect();
        let wanted: Vec<NewTopic<'_>> = topics
            .iter()
            .zip(&names)
            .zip(&entries)
            .map(|((topic, name), entries)| {
                let copies = TopicReplication::Fixed(replicas.copies);
                let new = NewTopic::new(name, topic.partitions, copies);
                entries.iter().fold(new, |new, (key, value)| new.set(key, value))
            })
            .collect();
        let options = AdminOptions::new()
            .request_timeout(Some(ANSWER_LIMIT))
            .operation_timeout(Some(ANSWER_LIMIT));
        let outcomes =
            self.client().create_topics(&wanted, &options).await.map_err(unreachable_for)?;
        for outcome in outcomes {
            match outcome {
                Ok(topic) => tracing::info!(topic, "topic created"),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, reason)) => return Err(TopicError::NotCreated { topic, reason }),
            }
        }
        Ok(())
    }
}

fn unreachable_for(source: KafkaError) -> TopicError {
    TopicError::Unreachable { reason: None, source }
}

impl Drop for TopicAdmin {
    /// A client's drop joins its thread and may wait for the broker: it runs on a thread that is
    /// not waited for.
    fn drop(&mut self) {
        let clients = self.0.take();
        std::thread::spawn(move || drop(clients));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&'static str, &'static str)]) -> Option<TopicRetention> {
        TopicRetention::read(|name| {
            settings.iter().find(|(its, _)| *its == name).map(|(_, value)| *value)
        })
    }

    #[test]
    fn a_topic_keeps_until_its_whole_segment_is_old() {
        let rest = [("min.insync.replicas", "2"), ("max.message.bytes", "1048588")];
        let kept =
            |span| Some(TopicRetention { span, in_sync_min: 2, message_bytes_max: 1_048_588 });
        let settings = [("retention.ms", "2000"), ("segment.ms", "1000"), rest[0], rest[1]];
        assert_eq!(read(&settings), kept(Duration::from_secs(3)));
        let settings = [("retention.ms", "-1"), ("segment.ms", "1000"), rest[0], rest[1]];
        assert_eq!(read(&settings), kept(Duration::MAX));
    }

    #[test]
    fn what_a_broker_leaves_out_is_not_known_and_not_nothing() {
        let all = [
            ("retention.ms", "2000"),
            ("segment.ms", "1000"),
            ("min.insync.replicas", "2"),
            ("max.message.bytes", "1048588"),
        ];
        assert_eq!(read(&[]), None);
        for missing in 0..all.len() {
            let mut some = all.to_vec();
            some.remove(missing);
            assert_eq!(read(&some), None, "{some:?}");
        }
        assert_eq!(read(&[("retention.ms", ""), all[1], all[2], all[3]]), None);
    }
}
