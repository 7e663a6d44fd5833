//! The actions of a member that make it read again: reads recreated topics from their start, and
//! joins again after the client has lost a topic or a partition.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
    time::Duration,
};

use rdkafka::{Offset, consumer::Consumer as _};
use tokio::time::Instant;

use super::{
    ConsumerError,
    client::GroupMember,
    poll::PartitionReader,
    stall_watch::{PartitionSet, StallRemedy},
};
use crate::lag::TopicPartition;

/// Counts the renewed joins of the group.
const RECOVERIES: &str = "consumer_recoveries_total";

/// Registers the counter before the first recovery.
pub(super) fn announce(service: &str) {
    for remedy in [StallRemedy::JoinAgain, StallRemedy::NewClient] {
        count(service, remedy, 0);
    }
}

fn count(service: &str, remedy: StallRemedy, n: u64) {
    let remedy = match remedy {
        StallRemedy::JoinAgain => "join_again",
        StallRemedy::NewClient => "new_client",
    };
    let labels = [("service", service.to_owned()), ("remedy", remedy.to_owned())];
    metrics::counter!(RECOVERIES, &labels).increment(n);
}

impl PartitionReader {
    /// Takes the pending actions before messages are gathered.
    pub(super) async fn recover(&mut self) -> Result<(), ConsumerError> {
        let left_out = self.seek_what_was_made_anew()?;
        if !self.client.has_joined() {
            return Ok(());
        }
        let now = Instant::now();
        let due = self.stall_watch.take_due(&left_out, now);
        if !due.is_empty() {
            let topics: Vec<_> = due.iter().map(|text| self.settings.kafka.strip(text)).collect();
            tracing::warn!(?topics, "made anew and not assigned: joining the group again");
            return self.apply(StallRemedy::JoinAgain).await;
        }
        self.stall_watch.note_progress(now);
        if !self.stall_watch.is_suspicious(now) {
            return Ok(());
        }
        let (mine, unreadable) = (self.partitions()?, self.unreadable());
        let remedy = self.stall_watch.remedy(&mine, &unreadable, now);
        let Some((stall, remedy)) = remedy else { return Ok(()) };
        tracing::warn!(%stall, ?remedy, "the group does not go on: joining it again");
        self.apply(remedy).await
    }

    /// Why this member is not ready although it has joined.
    pub(super) fn stall(&self) -> Option<String> {
        // Checked at each step: the assignment is read only if the check needs it.
        if !self.stall_watch.has_tried() {
            return None;
        }
        self.stall_watch.obstacle(&self.partitions().ok()?)
    }

    async fn apply(&mut self, remedy: StallRemedy) -> Result<(), ConsumerError> {
        count(&self.group, remedy, 1);
        if remedy == StallRemedy::NewClient {
            // Messages that the old client delivered belong to an earlier generation.
            let new =
                GroupMember::new(&self.settings.kafka, &self.group, self.client.generation() + 1)?;
            std::mem::replace(&mut self.client, new).close().await;
        }
        self.client.join(&self.topics)?;
        self.stall_watch.begin_anew(Instant::now());
        Ok(())
    }

    /// Makes the client read recreated topics from their start. Answers those of which this member
    /// has no partition.
    fn seek_what_was_made_anew(&mut self) -> Result<BTreeSet<String>, ConsumerError> {
        let mut topics = self.client.offsets.made_anew();
        if topics.is_empty() {
            return Ok(topics);
        }
        let assigned = self.client.assigned()?;
        let consumer = &self.client.consumer;
        topics.retain(|topic| {
            let of_topic =
                |(assigned, partition): &(String, i32)| (assigned == topic).then_some(*partition);
            let partitions: Vec<i32> = assigned.iter().filter_map(of_topic).collect();
            if partitions.is_empty() {
                // Between two assignments there are no partitions; they come with the next one.
                return true;
            }
            self.stall_watch.note_assigned(topic);
            // Not immediate: the client seeks in the background.
            let seek = |n: &i32| consumer.seek(topic, *n, Offset::Beginning, Duration::ZERO);
            match partitions.iter().try_for_each(seek) {
                Ok(()) => self.client.offsets.begins_anew(topic, &partitions),
                Err(error) => {
                    tracing::debug!(%error, "a topic made anew is read from its start later");
                }
            }
            false
        });
        Ok(topics)
    }

    /// Partitions with a message that the client cannot read: joining again would not help.
    fn unreadable(&self) -> PartitionSet {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.unreadable().map(|at| self.partition(at)).collect()
    }

    fn partitions(&self) -> Result<PartitionSet, ConsumerError> {
        Ok(self.client.assigned()?.into_iter().map(|at| self.partition(at)).collect())
    }

    fn partition(&self, (topic, partition): (String, i32)) -> TopicPartition {
        TopicPartition { topic: Arc::from(self.settings.kafka.strip(&topic)), partition }
    }
}
