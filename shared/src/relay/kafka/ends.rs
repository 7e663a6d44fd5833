//! The ends of partitions: one request to the broker, with a limit, off the runtime's threads.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};

use crate::{kafka, published::TopicPartition};

/// The broker may take this long to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// A client that requests the ends of partitions, and reads no messages.
pub(super) struct PartitionEnds {
    settings: kafka::KafkaSettings,
    client: Option<BaseConsumer>,
}

impl PartitionEnds {
    pub(super) fn new(settings: &kafka::KafkaSettings) -> Option<Self> {
        let mut config = settings.client();
        // Up to the last message, not up to the first transaction that another client left open.
        config.set("isolation.level", "read_uncommitted");
        let client = config.create().ok()?;
        Some(Self { settings: settings.clone(), client: Some(client) })
    }

    /// Sends the request; returns the client with the answer. Partitions that the broker does not
    /// know are left out. Dropping the request loses the client.
    pub(super) async fn ask(
        self,
        partitions: Vec<TopicPartition>,
    ) -> Option<(Self, Option<BTreeMap<TopicPartition, i64>>)> {
        let asking = tokio::task::spawn_blocking(move || {
            let told = self.offsets(&partitions);
            (self, told)
        });
        asking.await.ok()
    }

    fn offsets(&self, partitions: &[TopicPartition]) -> Option<BTreeMap<TopicPartition, i64>> {
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            let name = self.settings.topic(topic);
            asked.add_partition_offset(&name, *partition, Offset::End).ok()?;
        }
        let told = self.client.as_ref()?.offsets_for_times(asked, ANSWER_LIMIT).ok()?;
        let known = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            let Offset::Offset(end) = element.offset() else { return None };
            element.error().ok()?;
            Some(((self.settings.strip(element.topic()).to_owned(), element.partition()), end))
        };
        Some(told.elements().iter().filter_map(known).collect())
    }
}

impl Drop for PartitionEnds {
    /// The client's drop waits for the broker: it runs on a thread that is not waited for.
    fn drop(&mut self) {
        let client = self.client.take();
        std::thread::spawn(move || drop(client));
    }
}
