use time::OffsetDateTime;
use uuid::Uuid;

use super::{super::PublishRefusal, *};
use crate::message::{MessageHeaders, OutgoingMessage};

fn kept_for(topic: &'static str, outbox_id: i64, key: &str) -> OutboxRow {
    OutboxRow {
        outbox_id,
        created_at: OffsetDateTime::UNIX_EPOCH,
        message: OutgoingMessage {
            id: Uuid::nil(),
            topic: topic.into(),
            key: Some(key.as_bytes().to_vec()),
            headers: MessageHeaders::default(),
            payload: None,
        },
    }
}

fn kept(outbox_id: i64, key: &str) -> OutboxRow {
    kept_for("a-topic", outbox_id, key)
}

/// Confirmed where the value is `true`.
fn answers<const N: usize>(confirmed: [bool; N]) -> [PublishResult; N] {
    confirmed.map(|flag| if flag { PublishResult::Confirmed } else { PublishResult::Unconfirmed })
}

fn refusal(blame: RefusalCause, code: &str) -> PublishResult {
    PublishResult::Refused(PublishRefusal {
        blame,
        code: code.to_owned(),
        text: "in words".to_owned(),
    })
}

fn names(held: &[HeldTopic]) -> Vec<(&str, &str)> {
    held.iter().map(|topic| (topic.topic.as_str(), topic.code.as_str())).collect()
}

#[test]
fn a_key_is_settled_only_as_far_as_all_before_is_confirmed() {
    let batch = [kept(1, "a"), kept(2, "b"), kept(3, "a"), kept(4, "b")];
    assert_eq!(settleable(&batch, &answers([true, false, true, true])), [1, 3]);
    assert_eq!(settleable(&batch, &answers([true; 4])), [1, 2, 3, 4]);
    assert_eq!(settleable(&batch, &answers([false, true, true, true])), [2, 4]);
}

#[test]
fn a_topic_that_refuses_is_named_once_and_those_purged_with_it_are_not() {
    let batch = [kept_for("one", 1, "a"), kept_for("two", 2, "a"), kept_for("two", 3, "b")];
    let too_large = refusal(RefusalCause::Record, "MessageSizeTooLarge");
    let answers = [PublishResult::Unconfirmed, too_large.clone(), too_large];
    assert_eq!(names(&refused(&batch, &answers)), [("two", "MessageSizeTooLarge")]);
}

#[test]
fn an_error_that_may_be_our_own_makes_its_topic_suspect_and_no_other() {
    let batch = [kept_for("one", 1, "a"), kept_for("two", 2, "a")];
    let answers = [PublishResult::Unconfirmed, refusal(RefusalCause::Unclear, "InvalidTimestamp")];
    assert_eq!(refused(&batch, &answers), []);
    assert_eq!(names(&doubtful(&batch, &answers, "")), [("two", "InvalidTimestamp")]);
}

#[test]
fn silence_makes_those_topics_suspect_of_which_nothing_was_confirmed() {
    let batch = [kept_for("one", 1, "a"), kept_for("two", 2, "a"), kept_for("one", 3, "b")];
    let suspects = doubtful(&batch, &answers([true, false, false]), "no answer");
    assert_eq!(names(&suspects), [("two", "Unconfirmed")]);
    assert_eq!(suspects[0].detail, "no answer");
    let suspects = doubtful(&batch, &answers([false; 3]), "no answer");
    assert_eq!(names(&suspects), [("one", "Unconfirmed"), ("two", "Unconfirmed")]);
}
