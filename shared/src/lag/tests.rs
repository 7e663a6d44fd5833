//! When everything that had been said counts as read.

use std::time::Duration;

use tokio::time::Instant;

use super::{LOOKS_MAX, Look, Settings, Watcher};
use crate::kafka;

const HERE: (&str, i32) = ("here", 0);
const THERE: (&str, i32) = ("there", 1);

fn watcher() -> Watcher {
    let kafka = kafka::Settings {
        brokers: String::new(),
        prefix: String::new(),
        client_id: "test".to_owned(),
        security: kafka::Security::default().into(),
        member: None,
    };
    Watcher::new(Settings { kafka, group: "group", topics: vec!["here", "there"] })
}

fn look(ends: [i64; 2], read: [i64; 2]) -> Look {
    let [ends, read] = [ends, read].map(|[here, there]| [(HERE, here), (THERE, there)].into());
    Look { ends, read }
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
    watcher.note(at(0), look([5, 5], [5, 5]));
    assert_eq!(lag.read_up_to(), Some(at(0)));
    watcher.note(at(1), look([9, 5], [5, 5]));
    watcher.note(at(2), look([9, 7], [8, 7]));
    assert_eq!(lag.read_up_to(), Some(at(0)), "one partition is behind, whoever has it");
    // More is said all the time; what was there at the second look is read.
    watcher.note(at(3), look([20, 20], [9, 7]));
    assert_eq!(lag.read_up_to(), Some(at(2)));
    watcher.note(at(4), look([20, 20], [20, 20]));
    assert_eq!(lag.read_up_to(), Some(at(4)));
}

#[test]
fn a_partition_of_which_nothing_is_known_is_not_read() {
    let mut watcher = watcher();
    let mut look = look([0, 5], [0, 5]);
    look.read.remove(&THERE);
    watcher.note(Instant::now(), look);
    assert_eq!(watcher.lag().age(), None);
}

#[test]
fn a_group_that_is_behind_for_long_costs_no_more_memory_and_is_known_again_afterwards() {
    let (mut watcher, start) = (watcher(), Instant::now());
    for n in 0..200 {
        watcher.note(start, look([100 + n, 0], [1, 0]));
    }
    assert_eq!(watcher.unread.len(), LOOKS_MAX);
    watcher.note(start, look([300, 0], [300, 0]));
    assert_eq!((watcher.lag().read_up_to(), watcher.unread.len()), (Some(start), 0));
}
