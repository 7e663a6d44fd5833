//! What the leading relay has recorded about the log: the ends of the partitions, and the topics
//! that lost messages.
//!
//! A copy in memory of `messaging.published_up_to` and `messaging.log_loss`, read when the relay
//! begins to lead. Only the leader writes these tables, so the copy is complete while it leads.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use sqlx::PgConnection;

use crate::published::{self, OffsetsByPartition, TopicPartition};

/// The interval between two comparisons with the log.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// The same interval while the broker does not answer for every partition.
const LOOK_SOON: Duration = Duration::from_secs(1);
/// The pause of a topic's republishing after a record that was not confirmed.
const AGAIN_LATER: Duration = Duration::from_secs(5);

/// The recorded ends of the log, and when they are compared with it.
#[derive(Debug)]
pub(super) struct RecordedEnds {
    /// The highest confirmed offset of each partition.
    up_to: BTreeMap<TopicPartition, i64>,
    /// The topics that lost messages, each with the earliest time at which its republishing goes
    /// on.
    again: BTreeMap<String, Instant>,
    /// The topics that are republished one record at a time, because the broker rejected a record.
    singly: BTreeSet<String>,
    /// Whether the last turn was republishing: the next turn then belongs to the outbox.
    said_last: bool,
    /// The time of the next comparison; `None`: before anything else is published.
    next_look: Option<Instant>,
}

impl RecordedEnds {
    pub(super) async fn read(conn: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let up_to = published::up_to(conn).await?;
        let now = Instant::now();
        let again =
            published::to_say_again(conn).await?.into_iter().map(|topic| (topic, now)).collect();
        Ok(Self { up_to, again, singly: BTreeSet::new(), said_last: false, next_look: None })
    }

    /// The log may have changed: the ends are compared with it before anything else is published.
    pub(super) fn doubt(&mut self) {
        self.next_look = None;
    }

    /// The partitions to compare with the log now: all of them, or none if no comparison is due.
    pub(super) fn take_due(&mut self) -> Vec<TopicPartition> {
        let now = Instant::now();
        if self.next_look.is_some_and(|instant| instant > now) {
            return vec![];
        }
        self.next_look = Some(now + LOOK_AGAIN);
        self.up_to.keys().cloned().collect()
    }

    /// The broker did not answer for every partition: the next comparison is soon.
    pub(super) fn look_soon(&mut self) {
        self.next_look = Some(Instant::now() + LOOK_SOON);
    }

    /// The highest confirmed offset of each partition.
    pub(super) fn up_to(&self) -> &BTreeMap<TopicPartition, i64> {
        &self.up_to
    }

    /// These topics lost messages. Their ends are no longer valid, and republishing is due at once.
    pub(super) fn lost(&mut self, topics: &BTreeSet<&str>) {
        self.up_to.retain(|(topic, _), _| !topics.contains(topic.as_str()));
        let now = Instant::now();
        self.again.extend(topics.iter().map(|text| ((*text).to_owned(), now)));
    }

    /// All kept messages of the topic are published again.
    pub(super) fn said_again(&mut self, topic: &str) {
        self.again.remove(topic);
        self.singly.remove(topic);
    }

    /// Whether lost messages are being republished.
    pub(super) fn is_saying_again(&self) -> bool {
        !self.again.is_empty()
    }

    /// The topics whose lost messages are to be published before new ones. A topic that failed is
    /// left out for a while: its new messages are not delayed.
    pub(super) fn due_again(&self) -> impl Iterator<Item = &str> {
        let now = Instant::now();
        self.again.iter().filter(move |(_, at)| **at <= now).map(|(topic, _)| topic.as_str())
    }

    /// Takes turns: answers whether this turn belongs to republishing. Every second one does.
    pub(super) fn take_turn(&mut self) -> bool {
        self.said_last = !self.said_last;
        self.said_last
    }

    /// A record of this topic was not confirmed when it was published again. Republishing goes on
    /// after a pause, in which the topic's new messages are published. If the broker rejected the
    /// record itself (`by_record`), it goes on at once, one record at a time, to find that record.
    pub(super) fn say_again_later(&mut self, topic: &str, by_record: bool) {
        let pause = if by_record { Duration::ZERO } else { AGAIN_LATER };
        self.again.insert(topic.to_owned(), Instant::now() + pause);
        if by_record {
            self.singly.insert(topic.to_owned());
        }
        self.doubt();
    }

    /// Whether one record of this topic is to be published at a time.
    pub(super) fn says_singly(&self, topic: &str) -> bool {
        self.singly.contains(topic)
    }

    /// The record was confirmed: the topic is republished in batches again.
    pub(super) fn says_together(&mut self, topic: &str) {
        self.singly.remove(topic);
    }

    /// Takes over the ends of the partitions that were just stored in the database.
    pub(super) fn reached(&mut self, offsets: OffsetsByPartition) {
        let last = offsets.0.into_iter().map(|(partition, offsets)| (partition, offsets.last));
        self.up_to.extend(last);
    }
}
