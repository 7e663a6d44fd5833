//! When all messages up to a moment count as read.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    GroupStanding, LOOKS_MAX, LagCause, LagSettings, LagWatcher, PartitionStanding, TopicPartition,
};
use crate::kafka;

fn watcher() -> LagWatcher {
    let kafka = kafka::KafkaSettings {
        brokers: String::new(),
        prefix: String::new(),
        client_id: "test".to_owned(),
        security: kafka::ConnectionSecurity::default().into(),
        member: None,
    };
    LagWatcher::new(LagSettings { kafka, group: "group", topics: vec!["here", "there"] })
}

fn look(ends: [i64; 2], read: [i64; 2]) -> GroupStanding {
    let standing = |committed, end| PartitionStanding {
        committed: Some(committed),
        end,
        ..PartitionStanding::default()
    };
    let at = |topic: &str, partition| TopicPartition { topic: topic.into(), partition };
    let [here, there] = [0, 1].map(|n| standing(read[n], ends[n]));
    GroupStanding([(at("here", 0), here), (at("there", 1), there)].into())
}

#[test]
fn nothing_is_known_before_the_first_look() {
    assert_eq!(watcher().lag().age(), None);
}

#[test]
fn all_is_read_up_to_the_look_whose_ends_are_read() {
    let (mut watcher, start) = (watcher(), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    let lag = watcher.lag();
    watcher.note(at(0), &look([5, 5], [5, 5]));
    assert_eq!(lag.read_up_to(), Some(at(0)));
    watcher.note(at(1), &look([9, 5], [5, 5]));
    watcher.note(at(2), &look([9, 7], [8, 7]));
    assert_eq!(lag.read_up_to(), Some(at(0)), "one partition is behind, on any member");
    // Messages keep arriving; those that were there at the second sample are read.
    watcher.note(at(3), &look([20, 20], [9, 7]));
    assert_eq!(lag.read_up_to(), Some(at(2)));
    watcher.note(at(4), &look([20, 20], [20, 20]));
    assert_eq!(lag.read_up_to(), Some(at(4)));
}

#[test]
fn a_partition_of_which_nothing_is_known_is_not_read() {
    let mut watcher = watcher();
    let mut look = look([0, 5], [0, 5]);
    look.0.values_mut().for_each(|standing| standing.committed = None);
    watcher.note(Instant::now(), &look);
    assert_eq!(watcher.lag().age(), None);
}

#[test]
fn a_group_that_is_behind_for_long_costs_no_more_memory_and_is_known_again_afterwards() {
    let (mut watcher, start) = (watcher(), Instant::now());
    for n in 0..200 {
        watcher.note(start, &look([100 + n, 0], [1, 0]));
    }
    assert_eq!(watcher.unread.len(), LOOKS_MAX);
    watcher.note(start, &look([300, 0], [300, 0]));
    assert_eq!((watcher.lag().read_up_to(), watcher.unread.len()), (Some(start), 0));
}

#[test]
fn what_keeps_it_is_known_until_everything_is_read() {
    let mut watcher = watcher();
    let lag = watcher.lag();
    watcher.note(Instant::now(), &look([9, 5], [5, 5]));
    assert!(matches!(lag.behind(), Some(LagCause::Unread { at, .. }) if &*at.topic == "here"));
    watcher.note(Instant::now(), &look([9, 5], [9, 5]));
    assert_eq!(lag.behind(), None);
}

#[test]
fn what_was_seen_of_a_log_that_is_gone_is_not_waited_for() {
    let (mut watcher, start) = (watcher(), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    let lag = watcher.lag();
    watcher.note(at(0), &look([100, 0], [90, 0]));
    // Deleted and recreated; the committed offset is that of the old topic.
    watcher.note(at(1), &look([3, 0], [90, 0]));
    assert_eq!(lag.read_up_to(), None);
    assert!(matches!(lag.behind(), Some(LagCause::MadeAnew { .. })));
    // Messages keep arriving; those that were there at the second sample are read.
    watcher.note(at(2), &look([8, 0], [3, 0]));
    assert_eq!(lag.read_up_to(), Some(at(1)));
}

#[test]
fn a_partition_that_was_added_is_not_read_before_it_was_looked_at() {
    let (mut watcher, start) = (watcher(), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    let lag = watcher.lag();
    watcher.note(at(0), &look([5, 5], [5, 5]));
    let mut added = look([5, 5], [5, 5]);
    let new = TopicPartition { topic: "here".into(), partition: 9 };
    added.0.insert(new.clone(), PartitionStanding { end: 1, ..PartitionStanding::default() });
    watcher.note(at(1), &added);
    assert_eq!(lag.read_up_to(), Some(at(0)));
    added.0.insert(
        new,
        PartitionStanding { committed: Some(1), end: 1, ..PartitionStanding::default() },
    );
    watcher.note(at(2), &added);
    assert_eq!(lag.read_up_to(), Some(at(2)));
}

#[test]
fn a_partition_in_which_the_group_does_not_go_on_is_told_and_a_look_that_failed_tells_nothing() {
    let (mut watcher, start) = (watcher(), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    let lag = watcher.lag();
    assert_eq!(lag.stalls(), None, "nothing was looked at");
    watcher.note(at(0), &look([5, 5], [5, 5]));
    assert_eq!(lag.stalls(), Some(vec![]));
    watcher.note(at(1), &look([9, 5], [5, 5]));
    watcher.note(at(2), &look([9, 7], [5, 7]));
    let stalls = lag.stalls().unwrap();
    let seen: Vec<_> = stalls.iter().map(|stall| (stall.at.to_string(), stall.since)).collect();
    assert_eq!(seen, [("here/0".to_owned(), at(1))]);
}
