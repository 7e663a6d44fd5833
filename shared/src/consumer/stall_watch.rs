//! When a member has to do something because it is given no messages although there are some.
//!
//! The client can be wrong about its own membership, and tells no error then. Seen: a topic was missing
//! while the group shared out its partitions, and was there again before the client looked at its
//! metadata the next time. It found the same topics as before, and never asked for that one. So what
//! tells is the committed offsets of the group, and what is done is what a restart would do:
//!
//! * **A topic that was made anew and is not assigned** [`LEFT_OUT_LIMIT`] later: the group is joined
//!   again, once.
//! * **A [stall](Stall) beyond the limit** ([`Settings`](super::Settings)) while the client has nothing to hand out: the group is
//!   joined again, the next time with a new client, and so on with a growing pause. The member is not
//!   ready from then on until the group goes on.
//!
//! **Architecture invariant:** a member blames itself for partitions that it has, and for topics of
//! which it has none while it has others: partitions are shared out by ranges, so it should have some.
//! What another member has is the other's; one that has nothing at all joins again and stays ready.
//!
//! **Architecture invariant:** the time counts from the last moment at which the member was known to go
//! on: it was assigned its partitions, held a batch back, or stored an offset of that partition.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use crate::lag::{Lag, Stall, TopicPartition};

/// A topic that was made anew is assigned by the client's own doing within this time, or not at all.
const LEFT_OUT_LIMIT: Duration = Duration::from_secs(3);
/// By this factor a stall may last longer while the client always has messages of other partitions to hand
/// out: they may be in a queue before it.
const BUSY_TIMES: u32 = 20;
/// The longest pause between two attempts, as a multiple of the limit.
const PAUSE_TIMES_MAX: u32 = 20;

/// Partitions of a member; topics without the deployment's prefix.
pub(super) type Partitions = BTreeSet<TopicPartition>;

/// What is to be done so that a member reads again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Join the group again.
    JoinAgain,
    /// Join it with a new client.
    NewClient,
}

/// What one member knows of its going on.
#[derive(Debug)]
pub(super) struct StallWatch {
    lag: Option<Lag>,
    limit: Duration,
    calm_since: Instant,
    stored: BTreeMap<TopicPartition, Instant>,
    is_idle: bool,
    /// Attempts since the group went on.
    attempts: u32,
    next_attempt: Instant,
    /// Topics that were made anew and are not assigned, and since when; none when it was tried.
    left_out: BTreeMap<String, Option<Instant>>,
}

impl StallWatch {
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        Self {
            lag: None,
            limit,
            calm_since: now,
            stored: BTreeMap::new(),
            is_idle: false,
            attempts: 0,
            next_attempt: now,
            left_out: BTreeMap::new(),
        }
    }

    /// This is what tells of stalls; without it there are none.
    pub(super) fn watch(&mut self, lag: Lag) {
        self.lag = Some(lag);
    }

    /// The member could not have gone on before.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        self.calm_since = now;
        self.stored.clear();
    }

    /// Whether the client had nothing to hand out.
    pub(super) fn is_idle(&mut self, is_idle: bool) {
        self.is_idle = is_idle;
    }

    /// The member has stored an offset of this partition.
    pub(super) fn has_stored(&mut self, at: TopicPartition, now: Instant) {
        if self.lag.is_some() {
            self.stored.insert(at, now);
        }
    }

    /// Whether it is time to join again for this topic, which was made anew and is not assigned.
    pub(super) fn is_left_out(&mut self, topic: &str, now: Instant) -> bool {
        let since = self.left_out.entry(topic.to_owned()).or_insert(Some(now));
        let is_due = since.is_some_and(|it| now.duration_since(it) >= LEFT_OUT_LIMIT);
        if is_due {
            *since = None;
        }
        is_due
    }

    /// This topic is assigned.
    pub(super) fn is_assigned(&mut self, topic: &str) {
        self.left_out.remove(topic);
    }

    /// Whether anything is worth a look at the assignment.
    pub(super) fn is_suspicious(&self, now: Instant) -> bool {
        self.stalls(now).next().is_some()
    }

    /// Nothing stalls.
    pub(super) fn goes_on(&mut self, now: Instant) {
        self.attempts = 0;
        self.next_attempt = now;
    }

    /// Why this member is not ready: it was made to read again, and the group has not gone on yet.
    pub(super) fn obstacle(&self, mine: &Partitions, now: Instant) -> Option<String> {
        let stall = self.worst(mine, now).filter(|_| self.attempts > 0 && !mine.is_empty())?;
        Some(format!("{stall}, though the group was joined again ({} times)", self.attempts))
    }

    /// What is to be done now, and for which stall.
    pub(super) fn remedy(&mut self, mine: &Partitions, now: Instant) -> Option<(Stall, Remedy)> {
        let Some(stall) = self.worst(mine, now) else {
            self.goes_on(now);
            return None;
        };
        let stored = self.stored.get(&stall.at).copied().unwrap_or(self.calm_since);
        let went_on = stall.since.max(self.calm_since).max(stored);
        let limit = if self.is_idle { self.limit } else { self.limit * BUSY_TIMES };
        if now < self.next_attempt || now.duration_since(went_on) < limit {
            return None;
        }
        let remedy =
            if self.attempts.is_multiple_of(2) { Remedy::JoinAgain } else { Remedy::NewClient };
        let times = 1 << self.attempts.min(16);
        self.next_attempt = now + self.limit * PAUSE_TIMES_MAX.min(times);
        self.attempts += 1;
        Some((stall, remedy))
    }

    fn stalls(&self, now: Instant) -> impl Iterator<Item = Stall> {
        let (all, limit) = (self.lag.as_ref().map(Lag::stalls).unwrap_or_default(), self.limit);
        all.into_iter().filter(move |it| now.duration_since(it.since) >= limit)
    }

    /// The oldest stall that this member can be blamed for.
    fn worst(&self, mine: &Partitions, now: Instant) -> Option<Stall> {
        let is_others =
            |at: &TopicPartition| !mine.contains(at) && mine.iter().any(|it| it.topic == at.topic);
        self.stalls(now).filter(|it| !is_others(&it.at)).min_by_key(|it| it.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::Standing;

    fn at(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition }
    }

    fn partitions<const N: usize>(of: [(&str, i32); N]) -> Partitions {
        of.into_iter().map(|(topic, partition)| at(topic, partition)).collect()
    }

    /// A member that is idle, in a group that stalls in this partition from the beginning.
    struct Stuck {
        watch: StallWatch,
        lag: Lag,
        start: Instant,
    }

    impl Stuck {
        fn in_partition(topic: &str, partition: i32) -> Self {
            let (lag, start) = (Lag::default(), Instant::now());
            let standing = Standing { end: 12, ..Standing::default() };
            lag.has_stalls(vec![Stall { at: at(topic, partition), standing, since: start }]);
            let mut watch = StallWatch::new(Duration::from_secs(30), start);
            watch.watch(lag.clone());
            watch.is_idle(true);
            Self { watch, lag, start }
        }

        fn after(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn remedy(&mut self, mine: &Partitions, seconds: u64) -> Option<Remedy> {
            let now = self.after(seconds);
            self.watch.remedy(mine, now).map(|(_, remedy)| remedy)
        }
    }

    #[test]
    fn a_stall_is_mended_by_joining_again_then_by_a_new_client_with_a_growing_pause() {
        let mut stuck = Stuck::in_partition("here", 0);
        let mine = partitions([("here", 0), ("there", 0)]);
        let mut tried = vec![];
        for second in 0..1_800 {
            tried.extend(stuck.remedy(&mine, second).map(|remedy| (second, remedy)));
        }
        let (join, client) = (Remedy::JoinAgain, Remedy::NewClient);
        let first = [(30, join), (60, client), (120, join), (240, client), (480, join)];
        assert_eq!(tried[..5], first);
        assert_eq!(tried[5..], [(960, client), (1_560, join)], "ten minutes at most");
        stuck.lag.has_stalls(vec![]);
        assert_eq!(stuck.remedy(&mine, 1_800), None);
        assert_eq!(stuck.watch.attempts, 0, "it has gone on");
    }

    #[test]
    fn it_is_not_ready_from_the_first_attempt_until_the_group_goes_on() {
        let mut stuck = Stuck::in_partition("here", 0);
        let mine = partitions([("here", 0)]);
        assert_eq!(stuck.watch.obstacle(&mine, stuck.after(30)), None);
        assert!(stuck.remedy(&mine, 30).is_some());
        let obstacle = stuck.watch.obstacle(&mine, stuck.after(31)).unwrap();
        assert!(obstacle.starts_with("here/0 is read up to offset 0 of 12"), "{obstacle}");
        let now = stuck.after(31);
        stuck.watch.begin_anew(now);
        assert!(stuck.watch.obstacle(&mine, now).is_some(), "joined again is not read");
        stuck.lag.has_stalls(vec![]);
        assert_eq!(stuck.watch.obstacle(&mine, now), None);
    }

    #[test]
    fn a_member_blames_itself_for_its_own_partitions_and_for_topics_it_was_not_given() {
        let remedy = |mine: &Partitions| Stuck::in_partition("here", 0).remedy(mine, 30);
        assert_eq!(remedy(&partitions([("here", 1)])), None, "another member has it");
        assert!(remedy(&partitions([("there", 0)])).is_some(), "it should have some of it");
        let mut spare = Stuck::in_partition("here", 0);
        assert!(spare.remedy(&Partitions::new(), 30).is_some());
        assert_eq!(spare.watch.obstacle(&Partitions::new(), spare.after(31)), None);
    }

    #[test]
    fn the_time_counts_from_when_the_member_was_known_to_go_on() {
        let mine = partitions([("here", 0)]);
        let mut stuck = Stuck::in_partition("here", 0);
        let (held, stored) = (stuck.after(20), stuck.after(40));
        stuck.watch.begin_anew(held);
        assert_eq!(stuck.remedy(&mine, 49), None, "it held a batch back");
        stuck.watch.has_stored(at("here", 0), stored);
        assert_eq!(stuck.remedy(&mine, 69), None, "it has stored an offset");
        stuck.watch.is_idle(false);
        assert_eq!(stuck.remedy(&mine, 70), None, "the client hands out others");
        assert_eq!(stuck.remedy(&mine, 639), None);
        assert!(stuck.remedy(&mine, 640).is_some(), "for ten minutes");
    }

    #[test]
    fn for_a_topic_that_is_left_out_it_joins_again_once() {
        let mut stuck = Stuck::in_partition("here", 0);
        let due = |stuck: &mut Stuck, seconds| {
            let now = stuck.after(seconds);
            stuck.watch.is_left_out("here", now)
        };
        let tried: Vec<bool> = (0..9).map(|second| due(&mut stuck, second)).collect();
        assert_eq!(tried.iter().position(|it| *it), Some(3));
        assert_eq!(tried.iter().filter(|it| **it).count(), 1);
        stuck.watch.is_assigned("here");
        assert_eq!([9, 11, 12].map(|second| due(&mut stuck, second)), [false, false, true]);
    }
}
