use super::*;
use crate::inbox;

#[test]
fn an_inbox_remembers_longer_than_any_topic_keeps() {
    let kept_max = EVENT_RETENTION.max(DEAD_LETTER_RETENTION) + SEGMENT_SPAN;
    assert!(inbox::RETENTION > kept_max);
}

#[test]
fn a_topic_of_latest_values_is_compacted_and_bounds_its_tombstones() {
    let settings = Topic::latest("a-topic").settings(Copies::of(1));
    assert!(settings.contains(&("cleanup.policy", "compact".to_owned())));
    assert!(settings.contains(&("delete.retention.ms", "604800000".to_owned())));
    assert!(settings.contains(&("max.compaction.lag.ms", "86400000".to_owned())));
    assert!(!settings.iter().any(|(key, _)| *key == "retention.ms"));
}

#[test]
fn a_confirmed_message_is_on_a_majority_of_the_replicas() {
    for (replication, in_sync_min) in [(1, "1"), (2, "2"), (3, "2"), (5, "3")] {
        let settings = Topic::events("a-topic").settings(Copies::of(replication));
        assert!(settings.contains(&("min.insync.replicas", in_sync_min.to_owned())));
    }
}

/// A topic's settings as a broker tells them.
fn told(told: &[(&str, i64)]) -> Result<Kept, Error> {
    Kept::read("a-topic", |name| told.iter().find(|(it, _)| *it == name).map(|(_, value)| *value))
}

#[test]
fn a_topic_of_which_a_broker_tells_only_a_part_is_not_seen_yet() {
    let whole = [("retention.ms", 1_000), ("segment.ms", 500), ("min.insync.replicas", 2)];
    let kept = told(&whole).unwrap();
    assert_eq!((kept.span, kept.in_sync_min), (Duration::from_millis(1_500), 2));
    for missing in 0..whole.len() {
        let mut part = whole.to_vec();
        part.remove(missing);
        let error = told(&part).unwrap_err();
        assert!(matches!(error, Error::Unseen(_)) && error.is_transient(), "{error:?}");
    }
}

#[test]
fn a_topic_that_confirms_too_early_is_refused() {
    let topic = Topic::events("a-topic");
    let kept =
        || told(&[("retention.ms", 1), ("segment.ms", 1), ("min.insync.replicas", 1)]).unwrap();
    assert!(kept().check(&topic, Copies::of(1)).is_ok());
    let error = kept().check(&topic, Copies::of(3)).unwrap_err();
    assert_eq!(error.to_string(), "topic a-topic confirms what 1 brokers have, and 2 are wanted");
    assert!(!error.is_transient());
}

#[test]
fn a_topic_that_keeps_for_ever_is_refused_unless_it_is_of_latest_values() {
    let kept = || {
        let settings = [("retention.ms", -1), ("segment.ms", 1), ("min.insync.replicas", 1)];
        told(&settings).unwrap()
    };
    let refused = kept().check(&Topic::events("a-topic"), Copies::of(1));
    assert!(matches!(refused, Err(Error::Retention { .. })), "{refused:?}");
    assert!(kept().check(&Topic::latest("a-topic"), Copies::of(1)).is_ok());
}
