//! The leading relay's record of the log. No other process writes the record while it leads.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use sqlx::PgConnection;

use crate::published::{self, OffsetsByPartition, TopicPartition};

/// The interval of comparisons with the log when all is well.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// The interval while the end of some partition is unknown.
const LOOK_SOON: Duration = Duration::from_secs(1);
/// A republished record that is not confirmed is tried again after this long.
const AGAIN_LATER: Duration = Duration::from_secs(5);

/// The recorded ends of the log, and when they are compared with it.
#[derive(Debug)]
pub(super) struct RecordedEnds {
    /// The highest confirmed offset of each partition.
    up_to: BTreeMap<TopicPartition, i64>,
    /// The topics that lost messages, and the earliest time of the next republishing: a failure
    /// delays it.
    again: BTreeMap<String, Instant>,
    /// The topics that are republished one record at a time, because one was refused.
    singly: BTreeSet<String>,
    /// Whether the last step republished something: then other topics have their turn.
    said_last: bool,
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

    /// The log may have changed: it is compared before anything else is published.
    pub(super) fn doubt(&mut self) {
        self.next_look = None;
    }

    /// The partitions to compare with the log now: all of them, or none if that was done a moment
    /// ago.
    pub(super) fn take_due(&mut self) -> Vec<TopicPartition> {
        let now = Instant::now();
        if self.next_look.is_some_and(|instant| instant > now) {
            return vec![];
        }
        self.next_look = Some(now + LOOK_AGAIN);
        self.up_to.keys().cloned().collect()
    }

    /// The end of some partition is unknown.
    pub(super) fn look_soon(&mut self) {
        self.next_look = Some(Instant::now() + LOOK_SOON);
    }

    /// The highest confirmed offset of each partition.
    pub(super) fn up_to(&self) -> &BTreeMap<TopicPartition, i64> {
        &self.up_to
    }

    /// These topics lost messages, which are to be republished.
    pub(super) fn lost(&mut self, topics: &BTreeSet<&str>) {
        self.up_to.retain(|(topic, _), _| !topics.contains(topic.as_str()));
        let now = Instant::now();
        self.again.extend(topics.iter().map(|text| ((*text).to_owned(), now)));
    }

    /// All stored messages of the topic are republished.
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

    /// Whether it is the turn of republishing; if not, it is the next time.
    pub(super) fn take_turn(&mut self) -> bool {
        self.said_last = !self.said_last;
        self.said_last
    }

    /// A record of this topic was not confirmed: that delays neither other topics nor the topic's
    /// new messages. If one record is at fault, it is searched for.
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

    /// The record at fault has been passed.
    pub(super) fn says_together(&mut self, topic: &str) {
        self.singly.remove(topic);
    }

    /// Records the ends that were stored.
    pub(super) fn reached(&mut self, offsets: OffsetsByPartition) {
        let last = offsets.0.into_iter().map(|(partition, offsets)| (partition, offsets.last));
        self.up_to.extend(last);
    }
}
