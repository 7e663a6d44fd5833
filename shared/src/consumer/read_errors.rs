//! Errors of the client while it reads: which of them make a service not ready, and how often each
//! is logged.
//!
//! The client continues by itself after each error. That is right for a transient error, and wrong
//! for a partition whose next message it can never deliver: that partition is stuck for ever. So:
//!
//! * **Transient errors** (a lost connection, a moving coordinator, a rebalance) are logged and
//!   counted, and do not affect readiness. If one lasts, the group ends the membership after
//!   `session.timeout.ms`, and a member that has not joined is not ready.
//! * **Every other error** makes the service not ready from the third time on, until it has not
//!   come for [`QUIET`], or its partition is read again.
//! * **A topic that is missing or may not be read** is reported by the client only once: it counts
//!   at once, until the topic is assigned or read again, or for [`ONCE_STANDS`] if it has no name.
//!
//! Each is logged as a warning with a [growing pause](LogThrottle), with the topic and, where the client
//! names an offset, the partitions to be read from there. The client's words hold times and counts
//! that differ each time: two errors are the same if code, topic, offset and all words except the
//! digits are equal.

use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;

use crate::log_throttle::LogThrottle;

/// An error counts from this repetition on.
const TIMES: u64 = 3;
/// An error that has not come again for this long is over. The client tries again twice a second.
const QUIET: Duration = Duration::from_secs(10);
/// An error that is reported once and names no topic counts for this long.
const ONCE_STANDS: Duration = Duration::from_mins(10);
/// The most different errors that are kept. Further ones are not distinguished.
const KEPT_MAX: usize = 32;

/// The offset that a partition is read from next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReadPosition {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// The current errors of the client.
#[derive(Debug)]
pub(super) struct ReadErrors {
    service: String,
    /// The topics that are read, by their names on the broker.
    topics: Vec<String>,
    kept: Vec<RepeatedError>,
}

#[derive(Debug)]
struct RepeatedError {
    code: Code,
    said: String,
    /// The topic that the error names.
    topic: Option<String>,
    /// The partitions that the error can concern, by the offset that it names.
    at: Vec<ReadPosition>,
    times: u64,
    last: Instant,
    pace: LogThrottle,
}

impl ReadErrors {
    pub(super) fn new(service: &str, topics: Vec<String>) -> Self {
        let service = service.to_owned();
        for kind in ["passing", "reading"] {
            metrics::counter!("consumer_errors_total", "service" => service.clone(), "kind" => kind)
                .increment(0);
        }
        let errors = Self { service, topics, kept: vec![] };
        errors.show(0);
        errors
    }

    /// The client has reported an error, with these words.
    pub(super) fn note(
        &mut self,
        (code, said): (Code, &str),
        now: Instant,
        positions: impl Fn() -> Vec<ReadPosition>,
    ) {
        if code == Code::PartitionEOF {
            return;
        }
        let kind = if passes(code) { "passing" } else { "reading" };
        let labels = [("service", self.service.clone()), ("kind", kind.to_owned())];
        metrics::counter!("consumer_errors_total", &labels).increment(1);
        let topic = self.topic_in(said);
        let is_known = |error: &RepeatedError| {
            error.code == code && error.topic == topic && is_same(&error.said, said)
        };
        let index = self.kept.iter().position(is_known);
        let index = index.unwrap_or_else(|| self.keep((code, said), topic, now));
        let kept = &mut self.kept[index];
        said.clone_into(&mut kept.said);
        if now.duration_since(kept.last) > QUIET {
            kept.times = 0;
        }
        kept.times += 1;
        kept.last = now;
        if kept.at.is_empty()
            && let Some(offset) = offset_in(said)
        {
            kept.at = positions();
            kept.at.retain(|position| position.offset == offset);
        }
        if let Some(unsaid) = kept.pace.note(now) {
            tracing::warn!(
                code = ?kept.code,
                said = kept.said,
                about = kept.about(),
                times = kept.times,
                more_since_last_time = unsaid,
                "the Kafka client cannot read, and tries again"
            );
        }
    }

    /// A message was read.
    pub(super) fn read(&mut self, topic: &str, partition: i32, offset: i64) {
        if self.kept.is_empty() {
            return;
        }
        self.kept.retain(|error| {
            let of_topic = error.is_told_once() && error.topic.as_deref() == Some(topic);
            let beyond = |at: &ReadPosition| {
                at.topic == topic && at.partition == partition && at.offset <= offset
            };
            !of_topic && !error.at.iter().any(beyond)
        });
    }

    /// The group has assigned this member partitions of these topics, or none at all.
    pub(super) fn assigned(&mut self, topics: &[String]) {
        let is_over = |error: &RepeatedError| {
            error.topic.as_ref().is_none_or(|topic| topics.is_empty() || topics.contains(topic))
        };
        self.kept.retain(|error| !(error.is_told_once() && is_over(error)));
    }

    /// The error that keeps this service from reading.
    pub(super) fn standing(&mut self, now: Instant) -> Option<String> {
        self.kept.retain(|error| {
            let since = now.duration_since(error.last);
            // Transient errors are kept for their log pause: the client repeats itself after 30 s.
            let limit = if passes(error.code) { ONCE_STANDS } else { QUIET };
            since <= limit
                || error.is_told_once() && (error.topic.is_some() || since <= ONCE_STANDS)
        });
        let standing: Vec<&RepeatedError> =
            self.kept.iter().filter(|error| error.stands()).collect();
        self.show(standing.len());
        standing.first().map(|error| {
            let about = error.about();
            let about = if about.is_empty() { String::new() } else { format!(" ({about})") };
            format!("reading fails again and again{about}: {:?}: {}", error.code, error.said)
        })
    }

    /// The partitions whose next message other clients may be unable to read as well.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = (String, i32)> {
        let standing = self.kept.iter().filter(|error| error.stands() && !error.is_told_once());
        standing
            .flat_map(|error| &error.at)
            .map(|read_position| (read_position.topic.clone(), read_position.partition))
    }

    /// The topic that these words name.
    fn topic_in(&self, said: &str) -> Option<String> {
        let named = |topic: &&String| said.split([':', ' ']).any(|word| word == **topic);
        self.topics.iter().find(named).cloned()
    }

    fn keep(&mut self, (code, said): (Code, &str), topic: Option<String>, now: Instant) -> usize {
        if self.kept.len() >= KEPT_MAX {
            let oldest = self.kept.iter().enumerate().min_by_key(|(_, error)| error.last);
            if let Some((index, _)) = oldest {
                self.kept.swap_remove(index);
            }
        }
        let (said, at, pace) = (said.to_owned(), vec![], LogThrottle::default());
        self.kept.push(RepeatedError { code, said, topic, at, times: 0, last: now, pace });
        self.kept.len() - 1
    }

    fn show(&self, standing: usize) {
        metrics::gauge!("consumer_errors_standing", "service" => self.service.clone())
            .set(u32::try_from(standing).unwrap_or(u32::MAX));
    }
}

impl RepeatedError {
    fn is_told_once(&self) -> bool {
        matches!(
            self.code,
            Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::TopicAuthorizationFailed
        )
    }

    fn stands(&self) -> bool {
        !passes(self.code) && (self.times >= TIMES || self.is_told_once())
    }

    /// The topic, or the partitions, as far as they are known.
    fn about(&self) -> String {
        let at = self.at.iter().map(|position| {
            format!("{}/{}@{}", position.topic, position.partition, position.offset)
        });
        let at: Vec<String> = at.take(3).collect();
        if at.is_empty() { self.topic.clone().unwrap_or_default() } else { at.join(" or ") }
    }
}

/// Errors that the client repairs by itself, or that the group's own time-outs cover.
fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::MessageTimedOut
            | Code::WaitingForCoordinator
            | Code::Authentication
            | Code::SSL
            | Code::DestroyBroker
            | Code::PollExceeded
            | Code::AssignmentLost
            | Code::AutoOffsetReset
            | Code::OffsetOutOfRange
            | Code::LogTruncation
            | Code::Retry
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::RequestTimedOut
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::RebalanceInProgress
            | Code::MemberIdRequired
            | Code::FencedInstanceId
            | Code::UnstableOffsetCommit
            | Code::ThrottlingQuotaExceeded
            | Code::RebootstrapRequired
    )
}

/// Whether two texts are equal except for digits. Digits count in the subject (a broker, a topic, a
/// partition: the text before the first colon) and in an offset.
fn is_same(one: &str, other: &str) -> bool {
    let about = |said: &str| said.split_once(": ").map(|(about, _)| about.to_owned());
    let words = |said: &str| {
        let mut words = String::with_capacity(said.len());
        for letter in said.chars() {
            let digit = letter.is_ascii_digit();
            if !digit || !words.ends_with('0') {
                words.push(if digit { '0' } else { letter });
            }
        }
        words
    };
    one == other
        || about(one) == about(other)
            && offset_in(one) == offset_in(other)
            && words(one) == words(other)
}

/// The offset that the client names: `at offset 17`, or `at 17 of 83 bytes`.
fn offset_in(said: &str) -> Option<i64> {
    let words = || said.split([' ', ',', ':', '(', ')']).filter(|text| !text.is_empty());
    let mut pairs = words().zip(words().skip(1));
    pairs.find_map(
        |(before, text)| {
            if matches!(before, "at" | "offset") { text.parse().ok() } else { None }
        },
    )
}

#[cfg(test)]
mod tests;
