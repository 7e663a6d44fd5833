//! The broker's administration, with bounded waits.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rdkafka::{
    admin::{
        AdminClient, AdminOptions, ConfigResourceResult, NewTopic, ResourceSpecifier,
        TopicReplication,
    },
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::kafka::{self, Grievance};

use super::{Copies, Error, Kept, Topic};

/// How long the broker may take for one answer. Below the grace period of a process, because
/// reading the metadata cannot be broken off.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// A client for administration.
pub(super) struct Admin {
    client: Option<Arc<AdminClient<Grievance>>>,
    grievance: Grievance,
}

impl Admin {
    pub(super) fn new(settings: &kafka::Settings) -> Result<Self, Error> {
        let grievance = Grievance::default();
        let client = settings.client().create_with_context(grievance.clone());
        Ok(Self { client: Some(Arc::new(client.map_err(Error::Client)?)), grievance })
    }

    fn unreachable(&self, source: KafkaError) -> Error {
        Error::Unreachable { why: self.grievance.to_string(), source }
    }

    fn client(&self) -> &Arc<AdminClient<Grievance>> {
        self.client.as_ref().unwrap_or_else(|| unreachable!("the client is taken only by drop"))
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
        read.await.unwrap_or_else(|_panic| Err(lost)).map_err(|it| self.unreachable(it))
    }

    /// How each of these topics keeps its messages.
    pub(super) async fn kept(&self, topics: &[String]) -> Result<Vec<Kept>, Error> {
        if topics.is_empty() {
            return Ok(vec![]);
        }
        let wanted: Vec<ResourceSpecifier<'_>> =
            topics.iter().map(|it| ResourceSpecifier::Topic(it)).collect();
        let options = AdminOptions::new().request_timeout(Some(ANSWER_LIMIT));
        let described = self.client().describe_configs(&wanted, &options).await;
        let described = described.map_err(|it| self.unreachable(it))?;
        let kept = |(topic, described): (&String, ConfigResourceResult)| match described {
            Ok(it) => Kept::read(topic, |name| it.get(name)?.value.as_ref()?.parse().ok()),
            Err(RDKafkaErrorCode::UnknownTopicOrPartition) => Err(Error::Unseen(topic.clone())),
            Err(code) => Err(self.unreachable(KafkaError::AdminOp(code))),
        };
        topics.iter().zip(described).map(kept).collect()
    }

    /// Creates the topics; one that somebody else created meanwhile is as good.
    pub(super) async fn create(
        &self,
        settings: &kafka::Settings,
        topics: &[Topic],
        copies: Copies,
    ) -> Result<(), Error> {
        let names: Vec<String> = topics.iter().map(|it| settings.topic(it.name)).collect();
        let entries: Vec<_> = topics.iter().map(|it| it.settings(copies)).collect();
        let wanted: Vec<NewTopic<'_>> = topics
            .iter()
            .zip(&names)
            .zip(&entries)
            .map(|((topic, name), entries)| {
                let replication = TopicReplication::Fixed(copies.replication);
                let new = NewTopic::new(name, topic.partitions, replication);
                entries.iter().fold(new, |new, (key, value)| new.set(key, value))
            })
            .collect();
        let options = AdminOptions::new()
            .request_timeout(Some(ANSWER_LIMIT))
            .operation_timeout(Some(ANSWER_LIMIT));
        let outcomes = self.client().create_topics(&wanted, &options).await;
        let outcomes = outcomes.map_err(|it| self.unreachable(it))?;
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
        let client = self.client.take();
        std::thread::spawn(move || drop(client));
    }
}
