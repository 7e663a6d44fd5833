//! Messages that the log has lost, and their republishing: see [`crate::published`].
//!
//! The log is compared when a relay begins to lead, after each failure, and every few seconds. So
//! lost messages of a topic are republished before new ones, and first occurrences keep their
//! order; other topics take turns with that. If the log is reset between two comparisons, the
//! offsets of the next batch show it; that batch is then ahead of the republished messages.
//!
//! **Architecture invariant:** a loss is recorded before the batch that revealed it is settled. A
//! failed comparison or republication delays nothing else: it is tried again.

use std::{collections::BTreeMap, time::Instant};

use super::{
    LeaderLease, MessagePublisher, OutboxRelay, PublishResult, RefusalCause, RelayError, RelayStep,
    count_topic, counter,
};
use crate::{
    db,
    published::{self, OffsetsByPartition, PartitionLoss, RepublishedMessages, TopicPartition},
};

impl<P: MessagePublisher> OutboxRelay<P> {
    /// Checks whether the log still has what it confirmed, if it is time to. Answers whether this
    /// relay still leads.
    pub(super) async fn look(&mut self, leader: &mut LeaderLease) -> Result<bool, RelayError> {
        let partitions = leader.known.take_due();
        if partitions.is_empty() {
            return Ok(true);
        }
        let n = partitions.len();
        let Some(ends) = self.publisher.ends(partitions).await else {
            tracing::debug!("the log does not say where it ends");
            leader.known.look_soon();
            return Ok(true);
        };
        let mut losses = published::cut_short(leader.known.up_to(), &ends);
        if ends.len() < n {
            leader.known.look_soon();
            losses.extend(self.restore_missing(leader, &ends).await);
        }
        self.record(leader, &losses).await
    }

    /// Recreates missing topics, also those without waiting messages: a consumer cannot know
    /// whether it has read everything while a topic is missing. Answers what they have lost.
    async fn restore_missing(
        &mut self,
        leader: &LeaderLease,
        ends: &BTreeMap<TopicPartition, i64>,
    ) -> Vec<PartitionLoss> {
        let mut losses = Vec::new();
        for topic in self.publisher.topics() {
            if ends.keys().any(|(known, _)| known == topic) {
                continue;
            }
            match self.publisher.restore(topic).await {
                Ok(true) => losses.extend(self.restored(leader, topic)),
                Ok(false) => (),
                // The other topics would fail as well. The next check is soon.
                Err(reason) => {
                    tracing::debug!(topic, reason, "a missing topic cannot be made anew");
                    break;
                }
            }
        }
        losses
    }

    /// Logs that a topic was recreated; answers what it has lost.
    pub(super) fn restored(&self, leader: &LeaderLease, topic: &str) -> Vec<PartitionLoss> {
        tracing::warn!(topic, "a topic was missing and was made anew: what was in it is lost");
        count_topic("relay_topics_restored_total", self.settings.service, topic, 1);
        let of_topic = leader.known.up_to().iter().filter(|((known, _), _)| known == topic);
        let lost = |(partition, up_to): (&TopicPartition, &i64)| PartitionLoss {
            partition: partition.clone(),
            up_to: *up_to,
            ends_at: 0,
        };
        of_topic.map(lost).collect()
    }

    /// Records the losses that a batch's offsets reveal. Answers whether this relay still leads.
    pub(super) async fn compare(
        &mut self,
        leader: &mut LeaderLease,
        offsets: &OffsetsByPartition,
    ) -> Result<bool, RelayError> {
        let losses = published::begun_anew(leader.known.up_to(), offsets);
        self.record(leader, &losses).await
    }

    pub(super) async fn record(
        &mut self,
        leader: &mut LeaderLease,
        losses: &[PartitionLoss],
    ) -> Result<bool, RelayError> {
        if losses.is_empty() {
            return Ok(true);
        }
        let recorded = published::lost(&mut leader.conn, leader.epoch, losses);
        if !db::within(self.settings.statement_limit, recorded).await? {
            return Ok(false);
        }
        for PartitionLoss { partition: (topic, partition), up_to, ends_at } in losses {
            tracing::error!(
                topic,
                partition,
                confirmed_up_to = up_to,
                ends_at,
                "the log has lost messages that it had confirmed: what is kept is published again"
            );
        }
        let topics = published::topics(losses);
        counter("log_losses_total", self.settings.service).increment(topics.len() as u64);
        leader.known.lost(&topics);
        Ok(true)
    }

    /// Publishes the next batch of this topic's lost messages.
    pub(super) async fn say_again(
        &mut self,
        leader: &mut LeaderLease,
        topic: &str,
    ) -> Result<RelayStep, RelayError> {
        let (limit, n_max) = (self.settings.statement_limit, self.n_max());
        let again = db::within(limit, published::again(&mut leader.conn, topic, n_max)).await?;
        let RepublishedMessages { mut messages, mut next } = again;
        let singly = leader.known.says_singly(topic) && !messages.is_empty();
        if singly {
            messages.truncate(1);
            next = messages.first().map(|row| row.outbox_id);
        }
        if messages.is_empty() {
            return self.advance(leader, (topic, next), (0, OffsetsByPartition::default())).await;
        }
        self.publisher.set_patience(self.tenure.patience());
        let answers = self.publish(&messages).await;
        let offsets = self.publisher.offsets();
        // Lost again in the meantime: that loss's record restarts the republishing.
        let losses = published::begun_anew(leader.known.up_to(), &offsets);
        if !losses.is_empty() {
            let leads = self.record(leader, &losses).await?;
            return Ok(if leads { RelayStep::Published(0) } else { RelayStep::Deposed });
        }
        let n = answers.iter().take_while(|answer| answer.is_confirmed()).count();
        if n == messages.len() {
            if singly {
                leader.known.says_together(topic);
            }
            return self.advance(leader, (topic, next), (n, offsets)).await;
        }
        let refusal = answers.iter().find_map(|result| match result {
            PublishResult::Refused(refusal) => Some(refusal),
            PublishResult::Confirmed | PublishResult::Unconfirmed => None,
        });
        let by_record =
            refusal.is_some_and(|publish_refusal| publish_refusal.blame == RefusalCause::Record);
        let detail = refusal
            .map(|publish_refusal| format!("{} ({})", publish_refusal.code, publish_refusal.text));
        if singly && by_record {
            tracing::warn!(topic, detail, "a lost message is not taken again: it is passed over");
            return self.advance(leader, (topic, next), (0, offsets)).await;
        }
        if let Some(last) = messages[..n].last() {
            let reached = (topic, Some(last.outbox_id));
            if self.advance(leader, reached, (n, offsets)).await? == RelayStep::Deposed {
                return Ok(RelayStep::Deposed);
            }
        }
        leader.known.say_again_later(topic, by_record);
        // A missing answer does not show whether the topic is at fault.
        Ok(if refusal.is_some() { RelayStep::Held } else { RelayStep::Unconfirmed(n) })
    }

    /// Records how far a topic is republished.
    async fn advance(
        &mut self,
        leader: &mut LeaderLease,
        (topic, next): (&str, Option<i64>),
        (n, offsets): (usize, OffsetsByPartition),
    ) -> Result<RelayStep, RelayError> {
        let said = published::said_again(&mut leader.conn, leader.epoch, (topic, next), &offsets);
        if !db::within(self.settings.statement_limit, said).await? {
            return Ok(RelayStep::Deposed);
        }
        leader.known.reached(offsets);
        if n > 0 {
            self.tenure.published(Instant::now());
        }
        counter("relay_published_again_total", self.settings.service).increment(n as u64);
        if next.is_none() {
            leader.known.said_again(topic);
            tracing::info!(topic, "what is kept of the lost messages is published again");
        }
        Ok(RelayStep::Published(n))
    }
}
