//! The log's answer for one message, and whose fault a refusal is.
//!
//! **Architecture invariant:** only a broker's error for the *record* makes it unpublishable. An
//! error that is not in this list has no known cause until other topics were confirmed without it.
//!
//! For several wrong records in one batch the client reports `InvalidRecord`, whatever the error
//! ([KIP-467](https://cwiki.apache.org/confluence/display/KAFKA/KIP-467%3A+Augment+ProduceResponse+error+messaging+for+specific+culprit+records)):
//! the broker's own code is reported only for a record that was sent alone.

use std::ops::RangeInclusive;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// The log's answer for one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishResult {
    /// The message is in the log.
    Confirmed,
    /// It is unknown whether the message is in the log: it is to be published again.
    Unconfirmed,
    /// The message is not in the log, for this reason.
    Refused(PublishRefusal),
}

impl PublishResult {
    /// Whether the message is in the log.
    pub fn is_confirmed(&self) -> bool {
        *self == Self::Confirmed
    }

    /// Whether the message was refused for a reason that may be our own fault.
    pub(super) fn is_unclear(&self) -> bool {
        matches!(self, Self::Refused(it) if it.blame == RefusalCause::Unclear)
    }
}

/// Why a message was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishRefusal {
    /// The party at fault.
    pub blame: RefusalCause,
    /// The error's code, as librdkafka's documentation names it.
    pub code: String,
    /// The error in words.
    pub text: String,
}

/// The party at fault for a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCause {
    /// The record's, if it was sent alone: the same record is refused again.
    Record,
    /// The topic's: it does not exist.
    Missing,
    /// The topic's: it accepts no messages of ours.
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

// A client without permissions is refused everywhere: `TopicAuthorizationFailed` may be our own.
const OF_THE_TOPIC: [Code; 1] = [Code::InvalidTopic];

/// The broker's codes for unexpected sequence numbers: they concern the state between client and
/// broker, which starts over with a new producer.
const OF_SEQUENCES: RangeInclusive<i32> = 45..=47;

/// Codes that concern the same state, or a broker that is unavailable.
const PASSING: [Code; 5] = [
    Code::UnknownProducerId,
    Code::RequestTimedOut,
    Code::NotLeaderForPartition,
    Code::LeaderNotAvailable,
    Code::NetworkException,
];

impl PublishResult {
    /// The client's error for a message that it did not deliver.
    pub(super) fn of(error: &KafkaError) -> Self {
        let Some(code) = error.rdkafka_error_code() else { return Self::Unconfirmed };
        // The client's own codes are negative: purged, timed out, not connected. But a missing
        // topic is detected by the client itself.
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
            // One of these is a timestamp too far from the broker's clock: records get theirs when
            // they are sent, so our clock is wrong, unless other topics confirm.
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
