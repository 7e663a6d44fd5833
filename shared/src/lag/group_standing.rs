//! The offsets of a group in each partition, and whether everything is read: evaluates the broker's
//! answers, sends no requests.
//!
//! ```text
//! log start           committed              last stable offset      high watermark
//!     |----- read -----|------- not read -------|-- open transaction --|
//! ```
//!
//! **Architecture invariant:** a partition is read when the group has committed its high watermark.
//! A lower offset is not enough: after the last stable offset there are messages that no consumer
//! is given yet. A higher one is not needed: a member commits its position, which includes control
//! records and messages of aborted transactions.

use std::{collections::BTreeMap, fmt, ops::Range, sync::Arc};

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic, without the deployment's prefix.
    pub topic: Arc<str>,
    /// The partition's number within its topic.
    pub partition: i32,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// The offsets of a group in one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionStanding {
    /// The offset that the group has committed; none if it has committed nothing.
    pub committed: Option<i64>,
    /// The log start: earlier messages are deleted. 0 where it was not asked, because all is read.
    pub start: i64,
    /// The high watermark: the offset that the next message gets.
    pub end: i64,
    /// The last stable offset, where it was asked: an open transaction hides all messages after it.
    pub stable: Option<i64>,
}

impl PartitionStanding {
    /// Everything before this offset is read, or deleted and cannot be read any more.
    pub fn read(&self) -> i64 {
        match self.committed {
            Some(committed) if committed <= self.end => committed.max(self.start),
            // Nothing was committed, or only in an earlier topic of this name.
            _ => self.start,
        }
    }

    /// Whether everything is read.
    pub(crate) fn is_read(&self) -> bool {
        self.read() >= self.end
    }

    /// Offsets that are not read: messages and control records.
    pub fn unread(&self) -> i64 {
        (self.end - self.read()).max(0)
    }

    /// Offsets after the last stable offset.
    pub fn hidden(&self) -> i64 {
        self.stable.map_or(0, |stable| (self.end - stable).max(0))
    }

    /// Whether there is a message that a member of the group would be given.
    pub(crate) fn is_readable(&self) -> bool {
        self.read() < self.end.min(self.stable.unwrap_or(self.end))
    }

    /// Offsets that were deleted before the group had read them.
    pub fn deleted_unread(&self) -> Option<Range<i64>> {
        let committed = self.committed.filter(|n| *n < self.start && !self.is_of_another_log())?;
        Some(committed..self.start)
    }

    /// Whether the group has committed an offset that this log never had: the topic was recreated.
    pub(crate) fn is_of_another_log(&self) -> bool {
        self.committed.is_some_and(|n| n > self.end)
    }
}

/// One sample of a group: every partition that its topics had then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupStanding(pub BTreeMap<TopicPartition, PartitionStanding>);

impl GroupStanding {
    /// Where each partition ends.
    pub fn ends(&self) -> BTreeMap<TopicPartition, i64> {
        self.0.iter().map(|(at, standing)| (at.clone(), standing.end)).collect()
    }

    /// Whether the group has read everything.
    pub(crate) fn is_read(&self) -> bool {
        self.0.values().all(PartitionStanding::is_read)
    }

    /// Whether the group has read everything up to these ends of an earlier sample.
    pub fn is_read_up_to(&self, ends: &BTreeMap<TopicPartition, i64>) -> bool {
        ends.iter().all(|(at, end)| self.0.get(at).is_some_and(|standing| standing.read() >= *end))
    }

    /// Whether a log is shorter than it was, or gone: the topic was recreated.
    pub(super) fn is_shorter_than(&self, ends: &BTreeMap<TopicPartition, i64>) -> bool {
        ends.iter().any(|(at, end)| self.0.get(at).is_none_or(|standing| standing.end < *end))
    }

    /// The worst reason why the group has not read everything.
    pub fn behind(&self) -> Option<LagCause> {
        let unread = || self.0.iter().filter(|(_, standing)| !standing.is_read());
        let reason = |(at, standing): (&TopicPartition, &PartitionStanding)| {
            let (at, standing) = (at.clone(), *standing);
            if standing.read() + standing.hidden() >= standing.end && standing.hidden() > 0 {
                LagCause::OpenTransaction { at, standing }
            } else if standing.is_of_another_log() {
                LagCause::MadeAnew { at, standing }
            } else {
                LagCause::Unread { at, standing }
            }
        };
        let worst = unread().max_by_key(|(_, standing)| {
            (standing.hidden(), standing.is_of_another_log(), standing.unread())
        });
        worst.map(reason)
    }
}

/// The reason why a group has not read everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LagCause {
    /// The broker does not report the group's offsets.
    Unknown(String),
    /// There are messages that the group has not processed.
    Unread {
        /// The partition with most of them.
        at: TopicPartition,
        /// The group's offsets there.
        standing: PartitionStanding,
    },
    /// All is read except messages that another client's transaction hides until it ends.
    OpenTransaction {
        /// The partition that is meant.
        at: TopicPartition,
        /// The group's offsets there.
        standing: PartitionStanding,
    },
    /// The topic was recreated, and the group has committed nothing there since.
    MadeAnew {
        /// The partition that is meant.
        at: TopicPartition,
        /// The group's offsets there.
        standing: PartitionStanding,
    },
}

impl fmt::Display for LagCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(why) => f.write_str(why),
            Self::Unread { at, standing } => {
                write!(f, "{at} is read up to offset {} of {}", standing.read(), standing.end)
            }
            Self::OpenTransaction { at, standing } => write!(
                f,
                "an open transaction of another producer hides {at} from offset {} to {}",
                standing.end - standing.hidden(),
                standing.end
            ),
            Self::MadeAnew { at, standing } => write!(
                f,
                "{at} was made anew: it ends at offset {}, and offset {} is committed",
                standing.end,
                standing.committed.unwrap_or_default()
            ),
        }
    }
}

#[cfg(test)]
mod tests;
