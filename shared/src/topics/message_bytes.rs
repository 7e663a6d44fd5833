//! The message size of a topic: at least that of the outbox.

use super::{TopicError, TopicSpec};
use crate::outbox;

/// The largest message of the outbox, with the broker's overhead around it (the header of its
/// batch, lengths).
pub(super) const NEEDED: u64 = outbox::MESSAGE_BYTES_MAX as u64 + 4_096;

/// A topic of events must accept every message of the outbox. A copy of a dead letter goes without
/// its body where it does not fit, so a smaller limit is only a warning.
pub(super) fn check(topic: &TopicSpec, name: &str, found: u64) -> Result<(), TopicError> {
    if found >= NEEDED {
        return Ok(());
    }
    let holds_copies = topic.name.rsplit_once('.').is_some_and(|(_, kind)| kind == "dlq");
    if !holds_copies {
        return Err(TopicError::MessageBytes { topic: name.to_owned(), found });
    }
    tracing::warn!(
        topic = name,
        max_message_bytes = found,
        needed = NEEDED,
        "copies of dead letters that are larger go without their body"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_of_events_takes_what_the_outbox_does_and_a_broker_does_by_default() {
        let events = TopicSpec::events("a-topic");
        check(&events, "t-a-topic", 1_048_588).unwrap();
        check(&events, "t-a-topic", NEEDED).unwrap();
        let error = check(&events, "t-a-topic", NEEDED - 1).unwrap_err();
        assert!(!error.is_transient());
        assert_eq!(
            error.to_string(),
            "topic t-a-topic takes records of at most 925695 bytes, and 925696 are needed: \
                raise its max.message.bytes"
        );
    }

    #[test]
    fn a_topic_of_copies_may_take_less() {
        check(&TopicSpec::dead_letters("a-service.dlq"), "t-a-service.dlq", 10_000).unwrap();
    }
}
