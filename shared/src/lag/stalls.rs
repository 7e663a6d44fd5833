//! Partitions in which a group makes no progress although there is something to read.
//!
//! A lag alone says nothing: under load there is always one. The sign of a stall is a committed
//! offset that does not move while there are later messages that no open transaction hides.
//!
//! **Architecture invariant:** an unknown state does not count as a stall: after a failed sample,
//! the time is counted from the next one.

use std::{collections::BTreeMap, fmt};

use tokio::time::Instant;

use super::group_standing::{GroupStanding, PartitionStanding, TopicPartition};

/// A partition in which the group makes no progress although there is something to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStall {
    /// The partition that makes no progress.
    pub at: TopicPartition,
    /// The group's offsets in that partition.
    pub standing: PartitionStanding,
    /// The first sample that saw the group there.
    pub since: Instant,
}

impl fmt::Display for PartitionStall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, standing, since } = self;
        let (read, end, seconds) = (standing.read(), standing.end, since.elapsed().as_secs());
        write!(f, "{at} is read up to offset {read} of {end} and has not gone on for {seconds} s")
    }
}

/// The stalls of one group.
#[derive(Clone, Debug, Default)]
pub(super) struct GroupStalls(BTreeMap<TopicPartition, PartitionStall>);

impl GroupStalls {
    /// Records a sample of the group.
    pub(super) fn note(&mut self, looked_at: Instant, look: &GroupStanding) {
        let before = std::mem::take(&mut self.0);
        for (at, standing) in look.0.iter().filter(|(_, standing)| standing.is_readable()) {
            let since = match before.get(at) {
                Some(known) if known.standing.read() == standing.read() => known.since,
                _ => looked_at,
            };
            let stall = PartitionStall { at: at.clone(), standing: *standing, since };
            self.0.insert(at.clone(), stall);
        }
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// All partitions that make no progress now.
    pub(super) fn list(&self) -> Vec<PartitionStall> {
        self.0.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at() -> TopicPartition {
        TopicPartition { topic: "here".into(), partition: 0 }
    }

    fn look(committed: i64, end: i64, stable: Option<i64>) -> GroupStanding {
        let standing = PartitionStanding { committed: Some(committed), start: 0, end, stable };
        GroupStanding([(at(), standing)].into())
    }

    fn since(stalls: &GroupStalls) -> Option<Instant> {
        stalls.list().first().map(|partition_stall| partition_stall.since)
    }

    #[test]
    fn a_partition_stalls_from_the_first_look_that_saw_it_there() {
        let (mut stalls, start) = (GroupStalls::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        stalls.note(after(0), &look(5, 5, None));
        assert_eq!(since(&stalls), None, "all is read");
        stalls.note(after(1), &look(5, 6, None));
        stalls.note(after(2), &look(5, 9, Some(9)));
        assert_eq!(since(&stalls), Some(after(1)), "more is said, and nothing is read");
        stalls.note(after(3), &look(7, 9, None));
        assert_eq!(since(&stalls), Some(after(3)), "it has gone on");
        stalls.forget();
        stalls.note(after(4), &look(7, 9, None));
        assert_eq!(since(&stalls), Some(after(4)), "nobody knows what was between");
        stalls.note(after(5), &look(9, 9, None));
        assert_eq!(since(&stalls), None);
    }

    #[test]
    fn what_an_open_transaction_hides_does_not_stall() {
        let (mut stalls, start) = (GroupStalls::default(), Instant::now());
        stalls.note(start, &look(5, 9, Some(5)));
        assert_eq!(since(&stalls), None);
        stalls.note(start, &look(5, 9, Some(7)));
        assert_eq!(since(&stalls), Some(start), "before it, there is something");
    }
}
