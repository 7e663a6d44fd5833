//! Decides when a member must act because it receives no messages although there are some.
//!
//! The client can be wrong about its own membership, and then reports no error. Observed: a topic
//! was missing while the group assigned partitions, and existed again before the client's next
//! metadata refresh. The client found the same topics as before, and never asked for that one. So
//! the group's committed offsets are the sign, and the action is that of a restart:
//!
//! * **A recreated topic that is not assigned** [`LEFT_OUT_LIMIT`] later: the group is joined
//!   again, once.
//! * **A [stall](PartitionStall) beyond the limit** ([`ConsumerSettings`](super::ConsumerSettings)) while the
//!   client has no message to deliver: the group is joined again, the next time with a new client,
//!   and so on with a growing pause. The member is not ready until the group makes progress.
//!
//! **Architecture invariant:** a member acts on stalls of its own partitions, and on topics of
//! which it has none while it has others: partitions are assigned by ranges, so it should have
//! some. It ignores partitions of other members; a member without any partition joins again, which
//! makes the group assign all partitions anew, and stays ready.
//!
//! **Architecture invariant:** the time counts from the last known progress of the member: its
//! partitions were assigned, it held a batch back, or it stored an offset of that partition.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use crate::lag::{GroupLag, PartitionStall, TopicPartition};

/// The client gets a recreated topic assigned by itself within this time, or not at all.
const LEFT_OUT_LIMIT: Duration = Duration::from_secs(3);
/// A stall may last longer by this factor while the client always delivers messages of other
/// partitions: the stalled messages may be in a queue behind those.
const BUSY_TIMES: u32 = 20;
/// The longest pause between two attempts, as a multiple of the limit.
const PAUSE_TIMES_MAX: u32 = 20;

/// Partitions of a member; topic names are without the deployment's prefix.
pub(super) type PartitionSet = BTreeSet<TopicPartition>;

/// The action that makes a member read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StallRemedy {
    /// Join the group again.
    JoinAgain,
    /// Join it with a new client.
    NewClient,
}

/// The recorded progress of one member.
#[derive(Debug)]
pub(super) struct StallWatch {
    lag: Option<GroupLag>,
    limit: Duration,
    counted_from: Instant,
    stored: BTreeMap<TopicPartition, Instant>,
    is_idle: bool,
    /// Attempts since the group last made progress.
    attempts: u32,
    /// The topic or partition of the last attempt.
    tried: Option<PartitionStall>,
    next_attempt: Instant,
    /// Unassigned recreated topics, and since when; none after an attempt.
    left_out: BTreeMap<String, Option<Instant>>,
}

impl StallWatch {
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        Self {
            lag: None,
            limit,
            counted_from: now,
            stored: BTreeMap::new(),
            is_idle: false,
            attempts: 0,
            tried: None,
            next_attempt: now,
            left_out: BTreeMap::new(),
        }
    }

    /// Sets the source of stalls; without it no stall is noticed.
    pub(super) fn watch(&mut self, lag: GroupLag) {
        self.lag = Some(lag);
    }

    /// The member could not have made progress before this moment.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        self.counted_from = now;
        self.stored.clear();
    }

    /// Whether the client had no message to deliver.
    pub(super) fn set_idle(&mut self, is_idle: bool) {
        self.is_idle = is_idle;
    }

    /// The member has stored an offset of this partition.
    pub(super) fn has_stored(&mut self, at: TopicPartition, now: Instant) {
        if self.lag.is_some() {
            self.stored.insert(at, now);
        }
    }

    /// The unassigned recreated topics for which it is time to join again. Each is answered once.
    pub(super) fn take_due(&mut self, left_out: &BTreeSet<String>, now: Instant) -> Vec<String> {
        let mut due = vec![];
        for topic in left_out {
            let since = self.left_out.entry(topic.clone()).or_insert(Some(now));
            if since.is_some_and(|instant| now.duration_since(instant) >= LEFT_OUT_LIMIT) {
                *since = None;
                due.push(topic.clone());
            }
        }
        due
    }

    /// This topic is assigned.
    pub(super) fn note_assigned(&mut self, topic: &str) {
        self.left_out.remove(topic);
    }

    /// Whether the assignment has to be checked at all.
    pub(super) fn is_suspicious(&self, now: Instant) -> bool {
        self.stalls(now).next().is_some()
    }

    /// Resets the attempts, if the group has made progress since the last one. A failed sample says
    /// nothing about that.
    pub(super) fn note_progress(&mut self, now: Instant) {
        let stalls = self.lag.as_ref().and_then(GroupLag::stalls);
        if let (Some(tried), Some(stalls)) = (&self.tried, stalls) {
            let is_same = |partition_stall: &PartitionStall| {
                partition_stall.at == tried.at
                    && partition_stall.standing.read() == tried.standing.read()
            };
            if !stalls.iter().any(is_same) {
                (self.attempts, self.tried, self.next_attempt) = (0, None, now);
            }
        }
    }

    /// Whether an attempt was made and the group has not made progress since.
    pub(super) fn has_tried(&self) -> bool {
        self.tried.is_some()
    }

    /// Why this member is not ready: an attempt was made, and the group has made no progress since.
    pub(super) fn obstacle(&self, mine: &PartitionSet) -> Option<String> {
        let tried =
            self.tried.as_ref().filter(|stall| !mine.is_empty() && !is_others(mine, &stall.at))?;
        Some(format!("{tried}, though the group was joined again ({} times)", self.attempts))
    }

    /// The action to take now, and the stall that it is for.
    pub(super) fn remedy(
        &mut self,
        mine: &PartitionSet,
        unreadable: &PartitionSet,
        now: Instant,
    ) -> Option<(PartitionStall, StallRemedy)> {
        let stalls =
            self.stalls(now).filter(|partition_stall| !unreadable.contains(&partition_stall.at));
        let own = stalls.filter(|stall| !is_others(mine, &stall.at));
        let stall = own.min_by_key(|partition_stall| partition_stall.since)?;
        let stored = self.stored.get(&stall.at).copied().unwrap_or(self.counted_from);
        let went_on = stall.since.max(self.counted_from).max(stored);
        let limit = if self.is_idle { self.limit } else { self.limit * BUSY_TIMES };
        if now < self.next_attempt || now.duration_since(went_on) < limit {
            return None;
        }
        // Without a partition there is nothing that a new client could read.
        let joins = mine.is_empty() || self.attempts.is_multiple_of(2);
        let remedy = if joins { StallRemedy::JoinAgain } else { StallRemedy::NewClient };
        let times = 1 << self.attempts.min(16);
        self.next_attempt = now + self.limit * PAUSE_TIMES_MAX.min(times);
        self.attempts += 1;
        self.tried = Some(stall.clone());
        Some((stall, remedy))
    }

    fn stalls(&self, now: Instant) -> impl Iterator<Item = PartitionStall> {
        let all = self.lag.as_ref().and_then(GroupLag::stalls).unwrap_or_default();
        let limit = self.limit;
        all.into_iter().filter(move |stall| now.duration_since(stall.since) >= limit)
    }
}

/// Whether another member has this partition.
fn is_others(mine: &PartitionSet, at: &TopicPartition) -> bool {
    !mine.contains(at) && mine.iter().any(|topic_partition| topic_partition.topic == at.topic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::PartitionStanding;

    fn at(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition }
    }

    fn partitions<const N: usize>(of: [(&str, i32); N]) -> PartitionSet {
        of.into_iter().map(|(topic, partition)| at(topic, partition)).collect()
    }

    /// A member that is idle, in a group that stalls in this partition from the beginning.
    struct StuckPartition {
        watch: StallWatch,
        lag: GroupLag,
        start: Instant,
    }

    impl StuckPartition {
        fn in_partition(topic: &str, partition: i32) -> Self {
            let (lag, start) = (GroupLag::default(), Instant::now());
            let standing = PartitionStanding { end: 12, ..PartitionStanding::default() };
            let stall = PartitionStall { at: at(topic, partition), standing, since: start };
            lag.set_stalls(Some(vec![stall]));
            let mut watch = StallWatch::new(Duration::from_secs(30), start);
            watch.watch(lag.clone());
            watch.set_idle(true);
            Self { watch, lag, start }
        }

        fn after(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn remedy(&mut self, mine: &PartitionSet, seconds: u64) -> Option<StallRemedy> {
            let now = self.after(seconds);
            self.watch.note_progress(now);
            self.watch.remedy(mine, &PartitionSet::new(), now).map(|(_, remedy)| remedy)
        }
    }

    #[test]
    fn a_stall_is_mended_by_joining_again_then_by_a_new_client_with_a_growing_pause() {
        let mut stuck = StuckPartition::in_partition("here", 0);
        let mine = partitions([("here", 0), ("there", 0)]);
        let mut tried = vec![];
        for second in 0..1_800 {
            tried.extend(stuck.remedy(&mine, second).map(|remedy| (second, remedy)));
        }
        let (join, client) = (StallRemedy::JoinAgain, StallRemedy::NewClient);
        let first = [(30, join), (60, client), (120, join), (240, client), (480, join)];
        assert_eq!(tried[..5], first);
        assert_eq!(tried[5..], [(960, client), (1_560, join)], "ten minutes at most");
        stuck.lag.set_stalls(Some(vec![]));
        assert_eq!(stuck.remedy(&mine, 1_800), None);
        assert_eq!(stuck.watch.attempts, 0, "it has gone on");
    }

    #[test]
    fn it_is_not_ready_from_the_first_attempt_until_the_group_goes_on() {
        let mut stuck = StuckPartition::in_partition("here", 0);
        let mine = partitions([("here", 0)]);
        assert_eq!(stuck.watch.obstacle(&mine), None);
        assert!(stuck.remedy(&mine, 30).is_some());
        let obstacle = stuck.watch.obstacle(&mine).unwrap();
        assert!(obstacle.starts_with("here/0 is read up to offset 0 of 12"), "{obstacle}");
        stuck.watch.begin_anew(stuck.after(31));
        stuck.watch.note_progress(stuck.after(31));
        assert!(stuck.watch.obstacle(&mine).is_some(), "joined again is not read");
        stuck.lag.set_stalls(Some(vec![]));
        stuck.watch.note_progress(stuck.after(32));
        assert_eq!(stuck.watch.obstacle(&mine), None);
    }

    #[test]
    fn a_look_that_failed_neither_ends_a_stall_nor_begins_its_attempts_anew() {
        let mut stuck = StuckPartition::in_partition("here", 0);
        let mine = partitions([("here", 0)]);
        let stall = stuck.lag.stalls().unwrap().remove(0);
        assert_eq!(stuck.remedy(&mine, 30), Some(StallRemedy::JoinAgain));
        stuck.lag.set_stalls(None);
        assert_eq!(stuck.remedy(&mine, 45), None);
        assert!(stuck.watch.obstacle(&mine).is_some(), "nobody knows whether it went on");
        // The time of a stall is counted from the look that follows.
        let since = stuck.after(46);
        stuck.lag.set_stalls(Some(vec![PartitionStall { since, ..stall.clone() }]));
        assert_eq!(stuck.remedy(&mine, 46), None);
        assert!(stuck.watch.obstacle(&mine).is_some(), "it has not gone on");
        assert_eq!(
            stuck.remedy(&mine, 76),
            Some(StallRemedy::NewClient),
            "the next step of the same"
        );
        let standing = PartitionStanding { committed: Some(3), ..stall.standing };
        let since = stuck.after(77);
        stuck.lag.set_stalls(Some(vec![PartitionStall { standing, since, ..stall }]));
        assert_eq!(stuck.remedy(&mine, 77), None);
        assert_eq!(stuck.watch.obstacle(&mine), None, "it has gone on");
    }

    #[test]
    fn a_member_acts_on_its_own_partitions_and_on_topics_it_was_not_given() {
        let remedy = |mine: &PartitionSet| StuckPartition::in_partition("here", 0).remedy(mine, 30);
        assert_eq!(remedy(&partitions([("here", 1)])), None, "another member has it");
        assert!(remedy(&partitions([("there", 0)])).is_some(), "it should have some of it");
        let (mut spare, none) = (StuckPartition::in_partition("here", 0), PartitionSet::new());
        for seconds in [30, 60, 120] {
            assert_eq!(spare.remedy(&none, seconds), Some(StallRemedy::JoinAgain), "{seconds}");
        }
        assert_eq!(spare.watch.obstacle(&none), None);
        assert!(spare.watch.obstacle(&partitions([("here", 0)])).is_some());
        assert_eq!(spare.watch.obstacle(&partitions([("here", 1)])), None, "another's by now");
    }

    #[test]
    fn a_partition_with_a_message_that_no_client_can_read_is_left_and_others_are_not() {
        let (stuck, mine) =
            (StuckPartition::in_partition("here", 0), partitions([("here", 0), ("here", 1)]));
        let StuckPartition { mut watch, lag, start } = stuck;
        let now = start + Duration::from_secs(30);
        assert_eq!(watch.remedy(&mine, &partitions([("here", 0)]), now), None);
        let mut stalls = lag.stalls().unwrap();
        stalls.push(PartitionStall { at: at("here", 1), ..stalls[0].clone() });
        lag.set_stalls(Some(stalls));
        let (stall, _) = watch.remedy(&mine, &partitions([("here", 0)]), now).unwrap();
        assert_eq!(stall.at, at("here", 1));
    }

    #[test]
    fn the_time_counts_from_when_the_member_was_known_to_go_on() {
        let mine = partitions([("here", 0)]);
        let mut stuck = StuckPartition::in_partition("here", 0);
        let (held, stored) = (stuck.after(20), stuck.after(40));
        stuck.watch.begin_anew(held);
        assert_eq!(stuck.remedy(&mine, 49), None, "it held a batch back");
        stuck.watch.has_stored(at("here", 0), stored);
        assert_eq!(stuck.remedy(&mine, 69), None, "it has stored an offset");
        stuck.watch.set_idle(false);
        assert_eq!(stuck.remedy(&mine, 70), None, "the client hands out others");
        assert_eq!(stuck.remedy(&mine, 639), None);
        assert!(stuck.remedy(&mine, 640).is_some(), "for ten minutes");
    }

    #[test]
    fn for_topics_that_are_left_out_it_joins_again_once() {
        let mut stuck = StuckPartition::in_partition("here", 0);
        let left_out = BTreeSet::from(["here".to_owned(), "there".to_owned()]);
        let mut due = |seconds| {
            let now = stuck.after(seconds);
            if seconds == 9 {
                stuck.watch.note_assigned("here");
            }
            stuck.watch.take_due(&left_out, now)
        };
        let tried: Vec<_> = (0..13).map(|second| (second, due(second))).collect();
        let joined: Vec<_> = tried.iter().filter(|(_, topics)| !topics.is_empty()).collect();
        assert_eq!(joined.len(), 2, "{joined:?}");
        assert_eq!(*joined[0], (3, vec!["here".to_owned(), "there".to_owned()]), "both at once");
        assert_eq!(*joined[1], (12, vec!["here".to_owned()]), "it was assigned in between");
    }
}
