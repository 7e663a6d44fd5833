//! Which numbers count as falling, and for how long that is known.

use time::macros::datetime;
use uuid::Uuid;

use super::{GENERATION_MAX, SequenceMemory};
use crate::message::{IncomingMessage, Message, MessageEnvelope, MessageHeaders};

fn message(topic: &str, source: &'static str, subject: &str, sequence: i64) -> Message {
    let incoming = IncomingMessage {
        topic: topic.to_owned(),
        partition: 0,
        offset: 0,
        timestamp_ms: None,
        key: None,
        headers: MessageHeaders::default(),
        payload: None,
    };
    let envelope = MessageEnvelope {
        id: Uuid::nil(),
        event_type: "said".into(),
        source: source.into(),
        subject: subject.to_owned(),
        sequence,
        time: datetime!(2026-01-02 03:04:05 UTC),
        trace: None,
    };
    Message { incoming, envelope }
}

#[test]
fn numbers_rise_per_topic_source_and_subject() {
    let mut memory = SequenceMemory::default();
    assert!(memory.rises(&message("t", "/a", "s", 5)));
    for elsewhere in
        [message("u", "/a", "s", 1), message("t", "/b", "s", 1), message("t", "/a", "r", 1)]
    {
        assert!(memory.rises(&elsewhere), "{elsewhere:?}");
    }
    assert!(memory.rises(&message("t", "/a", "s", 9)), "a gap is another topic's");
}

#[test]
fn a_number_that_is_not_above_the_highest_falls() {
    let mut memory = SequenceMemory::default();
    assert!(memory.rises(&message("t", "/a", "s", 5)));
    assert!(!memory.rises(&message("t", "/a", "s", 4)));
    assert!(!memory.rises(&message("t", "/a", "s", 5)), "two messages have one number");
    assert!(memory.rises(&message("t", "/a", "s", 6)));
}

#[test]
fn what_is_remembered_is_bounded_and_what_spoke_last_is_remembered_longest() {
    let mut memory = SequenceMemory::default();
    memory.rises(&message("t", "/a", "first", 2));
    for n in 0..GENERATION_MAX {
        memory.rises(&message("t", "/a", &n.to_string(), 1));
    }
    assert!(!memory.rises(&message("t", "/a", "first", 1)), "a generation later it is known");
    for n in 0..3 * GENERATION_MAX {
        memory.rises(&message("t", "/a", &n.to_string(), 1));
    }
    assert!(memory.young.len() <= GENERATION_MAX && memory.old.len() <= GENERATION_MAX);
    assert!(memory.rises(&message("t", "/a", "first", 1)), "nobody is remembered for ever");
}
