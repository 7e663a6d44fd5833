//! The broker's administration, with bounded waits.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::kafka;

use super::{Error, Topic};

/// How long the broker may take for one answer. Below the grace period of a process, because
/// reading the metadata cannot be broken off.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// A client for administration.
pub(super) struct Admin(Option<Arc<AdminClient<DefaultClientContext>>>);

impl Admin {
    pub(super) fn new(settings: &kafka::Settings) -> Result<Self, Error> {
        settings.client().create().map(|client| Self(Some(Arc::new(client)))).map_err(Error::Client)
    }

    fn client(&self) -> &Arc<AdminClient<DefaultClientContext>> {
        self.0.as_ref().unwrap_or_else(|| unreachable!("the client is taken only by drop"))
    }

    /// How many partitions each topic of the broker has.
    pub(super) async fn partitions(&self) -> Result<HashMap<String, i32>, Error> {
        let client = Arc::clone(self.client());
        let read = tokio::task::spawn_blocking(move || {
            let metadata = client.inner().fetch_metadata(None, ANSWER_LIMIT)?;
            let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
            Ok(metadata
                .topics()
                .iter()
                .filter(|it| it.error().is_none())
                .map(|it| (it.name().to_owned(), count(it.partitions().len())))
                .collect())
        });
        let lost = KafkaError::MetadataFetch(RDKafkaErrorCode::Fail);
        read.await.unwrap_or_else(|_panic| Err(lost)).map_err(Error::Unreachable)
    }

    /// For how long each of these topics may keep a message: until its whole segment is old.
    pub(super) async fn kept(&self, topics: &[String]) -> Result<Vec<(String, Duration)>, Error> {
        if topics.is_empty() {
            return Ok(vec![]);
        }
        let wanted: Vec<ResourceSpecifier<'_>> =
            topics.iter().map(|it| ResourceSpecifier::Topic(it)).collect();
        let options = AdminOptions::new().request_timeout(Some(ANSWER_LIMIT));
        let described = self.client().describe_configs(&wanted, &options).await;
        let mut kept = Vec::with_capacity(topics.len());
        for (topic, described) in topics.iter().zip(described.map_err(Error::Unreachable)?) {
            let described =
                described.map_err(|code| Error::Unreachable(KafkaError::AdminOp(code)))?;
            let setting = |name: &str| {
                let millis = described.get(name)?.value.as_ref()?.parse::<i64>().ok()?;
                // -1: for ever.
                Some(u64::try_from(millis).map_or(Duration::MAX, Duration::from_millis))
            };
            let [retention, segment] = ["retention.ms", "segment.ms"].map(setting);
            let whole = retention.unwrap_or_default().saturating_add(segment.unwrap_or_default());
            kept.push((topic.clone(), whole));
        }
        Ok(kept)
    }

    /// Creates the topics; one that somebody else created meanwhile is as good.
    pub(super) async fn create(
        &self,
        settings: &kafka::Settings,
        topics: &[Topic],
        replication: i32,
    ) -> Result<(), Error> {
        let names: Vec<String> = topics.iter().map(|it| settings.topic(it.name)).collect();
        let entries: Vec<_> = topics.iter().map(|it| it.settings(replication)).collect();
        let wanted: Vec<NewTopic<'_>> = topics
            .iter()
            .zip(&names)
            .zip(&entries)
            .map(|((topic, name), entries)| {
                let replication = TopicReplication::Fixed(replication);
                let new = NewTopic::new(name, topic.partitions, replication);
                entries.iter().fold(new, |new, (key, value)| new.set(key, value))
            })
            .collect();
        let options = AdminOptions::new()
            .request_timeout(Some(ANSWER_LIMIT))
            .operation_timeout(Some(ANSWER_LIMIT));
        let outcomes =
            self.client().create_topics(&wanted, &options).await.map_err(Error::Unreachable)?;
        for outcome in outcomes {
            match outcome {
                Ok(topic) => tracing::info!(topic, "topic created"),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, reason)) => return Err(Error::NotCreated { topic, reason }),
            }
        }
        Ok(())
    }
}

impl Drop for Admin {
    /// The client's drop joins its thread and may wait for the broker: on a thread that nobody
    /// waits for.
    fn drop(&mut self) {
        let client = self.0.take();
        std::thread::spawn(move || drop(client));
    }
}
