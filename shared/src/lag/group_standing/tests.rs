use super::*;

fn standing(committed: Option<i64>, start: i64, end: i64) -> PartitionStanding {
    PartitionStanding { committed, start, end, stable: None }
}

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition }
}

#[test]
fn a_partition_is_read_when_its_high_watermark_is_committed() {
    for (known, is_read, unread) in [
        (standing(Some(5), 0, 5), true, 0),
        (standing(Some(4), 0, 5), false, 1),
        (standing(None, 0, 5), false, 5),
        (standing(None, 0, 0), true, 0),
        // Deleted before it was read: it cannot be read.
        (standing(None, 5, 5), true, 0),
        (standing(Some(2), 4, 5), false, 1),
        (standing(Some(2), 5, 5), true, 0),
        // From an earlier topic of this name: nothing of this one is read.
        (standing(Some(100), 0, 3), false, 3),
        (standing(Some(100), 0, 0), true, 0),
    ] {
        assert_eq!((known.is_read(), known.unread()), (is_read, unread), "{known:?}");
    }
}

#[test]
fn what_was_deleted_before_it_was_read_is_known_by_its_offsets() {
    assert_eq!(standing(Some(2), 5, 9).deleted_unread(), Some(2..5));
    assert_eq!(standing(Some(5), 5, 9).deleted_unread(), None);
    // A new group, and a recreated topic, know of no lost messages.
    assert_eq!(standing(None, 5, 9).deleted_unread(), None);
    assert_eq!(standing(Some(100), 0, 3).deleted_unread(), None);
}

#[test]
fn the_worst_reason_is_named_with_topic_partition_and_offsets() {
    let read = (at("a", 0), standing(Some(5), 0, 5));
    let unread = (at("a", 1), standing(Some(2), 0, 9));
    let anew = (at("b", 0), standing(Some(100), 0, 3));
    let hidden = (at("b", 1), PartitionStanding { stable: Some(4), ..standing(Some(4), 0, 6) });
    let look = |all: &[&(TopicPartition, PartitionStanding)]| {
        GroupStanding(all.iter().map(|pair| (*pair).clone()).collect())
    };
    let says = |all: &[&(TopicPartition, PartitionStanding)]| {
        look(all).behind().map(|cause| cause.to_string())
    };
    assert_eq!(says(&[&read]), None);
    assert_eq!(says(&[&read, &unread]).unwrap(), "a/1 is read up to offset 2 of 9");
    assert_eq!(
        says(&[&read, &unread, &anew]).unwrap(),
        "b/0 was made anew: it ends at offset 3, and offset 100 is committed"
    );
    assert_eq!(
        says(&[&read, &unread, &anew, &hidden]).unwrap(),
        "an open transaction of another producer hides b/1 from offset 4 to 6"
    );
}

#[test]
fn a_group_that_has_not_read_up_to_the_open_transaction_is_behind_itself() {
    let hidden = PartitionStanding { stable: Some(4), ..standing(Some(2), 0, 6) };
    let look = GroupStanding([(at("a", 0), hidden)].into());
    assert!(matches!(look.behind(), Some(LagCause::Unread { .. })), "{:?}", look.behind());
}
