use super::*;
use crate::inbox;

#[test]
fn an_inbox_remembers_longer_than_any_topic_keeps() {
    let kept_max = EVENT_RETENTION.max(DEAD_LETTER_RETENTION) + SEGMENT_SPAN;
    assert!(inbox::RETENTION > kept_max);
}

#[test]
fn a_topic_of_latest_values_is_compacted_and_bounds_its_tombstones() {
    let settings = TopicSpec::latest("a-topic").settings(ReplicaCount::majority(1));
    assert!(settings.contains(&("cleanup.policy", "compact".to_owned())));
    assert!(settings.contains(&("delete.retention.ms", "604800000".to_owned())));
    assert!(settings.contains(&("max.compaction.lag.ms", "86400000".to_owned())));
    assert!(!settings.iter().any(|(key, _)| *key == "retention.ms"));
}

#[test]
fn a_confirmed_message_is_on_a_majority_of_the_replicas() {
    for (replication, in_sync_min) in [(1, "1"), (2, "2"), (3, "2"), (5, "3")] {
        let settings = TopicSpec::events("a-topic").settings(ReplicaCount::majority(replication));
        assert!(settings.contains(&("min.insync.replicas", in_sync_min.to_owned())));
    }
}

const NAME: &str = "t-a-topic";

fn kept(days: u64, in_sync_min: i32) -> TopicRetention {
    let message_bytes_max = message_bytes::NEEDED;
    TopicRetention { span: Duration::from_hours(24 * days), in_sync_min, message_bytes_max }
}

#[test]
fn a_topic_of_which_a_broker_has_not_heard_is_looked_for_again() {
    for topic in [TopicSpec::events("a-topic"), TopicSpec::latest("a-topic")] {
        let error = check_kept(&topic, NAME, None, ReplicaCount::majority(3)).unwrap_err();
        assert!(matches!(&error, TopicError::Unseen(topic) if topic == NAME), "{error:?}");
        assert!(error.is_transient());
    }
}

#[test]
fn a_topic_that_confirms_what_fewer_brokers_have_than_declared_is_refused() {
    let topic = TopicSpec::latest("a-topic");
    let error = check_kept(&topic, NAME, Some(kept(8, 1)), ReplicaCount::majority(3)).unwrap_err();
    assert!(!error.is_transient());
    let TopicError::InSync { topic, found, declared } = error else { panic!("{error:?}") };
    assert_eq!((&*topic, found, declared), (NAME, 1, 2));
}

#[test]
fn a_topic_that_confirms_what_more_brokers_have_is_as_good() {
    let replicas = ReplicaCount { copies: 3, in_sync_min: 1 };
    check_kept(&TopicSpec::events("a-topic"), NAME, Some(kept(8, 2)), replicas).unwrap();
}

#[test]
fn only_topics_that_are_deleted_from_must_be_forgotten_in_time() {
    let replicas = ReplicaCount::majority(1);
    check_kept(&TopicSpec::latest("a-topic"), NAME, Some(kept(10_000, 1)), replicas).unwrap();
    let error = check_kept(&TopicSpec::events("a-topic"), NAME, Some(kept(10_000, 1)), replicas)
        .unwrap_err();
    assert!(matches!(error, TopicError::Retention { .. }), "{error:?}");
}
