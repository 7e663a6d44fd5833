//! What the log answers of one message, and of a refusal: whose fault it is.
//!
//! **Architecture invariant:** only what a broker says of the *record* makes it unpublishable. An error
//! that this list does not know is nobody's until other topics were confirmed without it.
//!
//! Of several records of one batch that are wrong, the client says `InvalidRecord`, whatever is wrong with
//! them ([KIP-467](https://cwiki.apache.org/confluence/display/KAFKA/KIP-467%3A+Augment+ProduceResponse+error+messaging+for+specific+culprit+records)):
//! the broker's own code is told only of a record that was sent alone.

use std::ops::RangeInclusive;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// What the log answered of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishResult {
    /// It is in the log.
    Confirmed,
    /// Nobody knows whether it is: it is to be published again.
    Unconfirmed,
    /// It is not in the log, for a reason.
    Refused(PublishRefusal),
}

impl PublishResult {
    /// Whether it is in the log.
    pub fn is_confirmed(&self) -> bool {
        *self == Self::Confirmed
    }

    /// Whether it was refused for what may be our own fault.
    pub(super) fn is_unclear(&self) -> bool {
        matches!(self, Self::Refused(it) if it.blame == RefusalCause::Unclear)
    }
}

/// Why a message was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishRefusal {
    /// Whose fault it is.
    pub blame: RefusalCause,
    /// The error's code, as librdkafka's documentation names it.
    pub code: String,
    /// The error in words.
    pub text: String,
}

/// Whose fault a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCause {
    /// The record's, if it was sent alone: the same record is refused again.
    Record,
    /// The topic's: it does not exist.
    Missing,
    /// The topic's: nothing of ours is taken there.
    Topic,
    /// The topic's or ours; it is ours unless other topics confirm.
    Unclear,
}

const OF_THE_RECORD: [Code; 5] = [
    Code::MessageSizeTooLarge,
    Code::MessageBatchTooLarge,
    Code::InvalidMessageSize,
    Code::InvalidRecord,
    Code::PolicyViolation,
];

const MISSING: [Code; 4] = [
    Code::UnknownTopicOrPartition,
    Code::UnknownTopicId,
    Code::UnknownTopic,
    Code::UnknownPartition,
];

// Whom nothing is allowed is refused by every topic: `TopicAuthorizationFailed` may be our own.
const OF_THE_TOPIC: [Code; 1] = [Code::InvalidTopic];

/// The broker's codes for sequence numbers that are not as expected: of the state between client and
/// broker, which starts over with the producer.
const OF_SEQUENCES: RangeInclusive<i32> = 45..=47;

/// Of the same state, or of a broker that is away.
const PASSING: [Code; 5] = [
    Code::UnknownProducerId,
    Code::RequestTimedOut,
    Code::NotLeaderForPartition,
    Code::LeaderNotAvailable,
    Code::NetworkException,
];

impl PublishResult {
    /// What the client said of a message that it did not deliver.
    pub(super) fn of(error: &KafkaError) -> Self {
        let Some(code) = error.rdkafka_error_code() else { return Self::Unconfirmed };
        // The client's own codes are negative: purged, timed out, not connected. But it finds out by
        // itself that a topic is missing.
        let number = code as i32;
        let is_own = number <= 0 && !MISSING.contains(&code);
        if is_own || OF_SEQUENCES.contains(&number) || PASSING.contains(&code) {
            return Self::Unconfirmed;
        }
        let blame = if OF_THE_RECORD.contains(&code) {
            RefusalCause::Record
        } else if MISSING.contains(&code) {
            RefusalCause::Missing
        } else if OF_THE_TOPIC.contains(&code) {
            RefusalCause::Topic
        } else {
            // A timestamp that is too far from the broker's clock is here: records get theirs when
            // they are sent, so it is our clock, unless other topics confirm.
            RefusalCause::Unclear
        };
        Self::Refused(PublishRefusal { blame, code: format!("{code:?}"), text: code.to_string() })
    }
}

/// Whether a topic was refused with this code because it does not exist.
pub(super) fn is_missing(code: &str) -> bool {
    MISSING.iter().any(|error_code| format!("{error_code:?}") == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blame(code: Code) -> Option<RefusalCause> {
        match PublishResult::of(&KafkaError::MessageProduction(code)) {
            PublishResult::Refused(refusal) => Some(refusal.blame),
            PublishResult::Confirmed | PublishResult::Unconfirmed => None,
        }
    }

    #[test]
    fn only_what_is_said_of_the_record_is_the_records_fault() {
        assert_eq!(blame(Code::MessageSizeTooLarge), Some(RefusalCause::Record));
        assert_eq!(blame(Code::InvalidRecord), Some(RefusalCause::Record));
        assert_eq!(blame(Code::UnknownTopicOrPartition), Some(RefusalCause::Missing));
        assert_eq!(blame(Code::UnknownTopic), Some(RefusalCause::Missing));
        assert_eq!(blame(Code::TopicAuthorizationFailed), Some(RefusalCause::Unclear));
        assert_eq!(blame(Code::InvalidTimestamp), Some(RefusalCause::Unclear));
        assert_eq!(blame(Code::ClusterAuthorizationFailed), Some(RefusalCause::Unclear));
        for doubt in [Code::PurgeQueue, Code::MessageTimedOut, Code::Fatal, Code::NoError] {
            assert_eq!(blame(doubt), None, "{doubt:?}");
        }
    }

    #[test]
    fn a_refusal_names_its_code() {
        let error = KafkaError::MessageProduction(Code::MessageSizeTooLarge);
        let PublishResult::Refused(refusal) = PublishResult::of(&error) else { panic!("{error}") };
        assert_eq!(refusal.code, "MessageSizeTooLarge");
        assert!(refusal.text.contains("too large"), "{}", refusal.text);
        assert!(is_missing("UnknownTopicOrPartition"));
        assert!(!is_missing(&refusal.code));
    }
}
