use super::*;
use crate::inbox;

#[test]
fn an_inbox_remembers_longer_than_any_topic_keeps() {
    let kept_max = EVENT_RETENTION.max(DEAD_LETTER_RETENTION) + SEGMENT_SPAN;
    assert!(inbox::RETENTION > kept_max);
}

#[test]
fn a_topic_of_latest_values_is_compacted_and_bounds_its_tombstones() {
    let settings = Topic::latest("a-topic").settings(1);
    assert!(settings.contains(&("cleanup.policy", "compact".to_owned())));
    assert!(settings.contains(&("delete.retention.ms", "604800000".to_owned())));
    assert!(settings.contains(&("max.compaction.lag.ms", "86400000".to_owned())));
    assert!(!settings.iter().any(|(key, _)| *key == "retention.ms"));
}

#[test]
fn a_confirmed_message_is_on_a_majority_of_the_replicas() {
    for (replication, in_sync_min) in [(1, "1"), (2, "2"), (3, "2"), (5, "3")] {
        let settings = Topic::events("a-topic").settings(replication);
        assert!(settings.contains(&("min.insync.replicas", in_sync_min.to_owned())));
    }
}
