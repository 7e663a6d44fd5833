//! The callbacks of the Kafka client: log lines, errors, and the assignment of partitions.
//!
//! Callbacks run on the client's own threads or while it is polled: they only record, never wait.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use rdkafka::{
    ClientContext,
    client::DefaultClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, ConsumerContext, Rebalance},
    error::KafkaError,
};

use super::offsets::MemberOffsets;

/// The state that the client's callbacks record.
#[derive(Debug, Default)]
pub(super) struct AssignmentState {
    /// Counts the revocations of partitions: a batch gathered before one is void after it.
    pub(super) generation: AtomicU64,
    /// The group has assigned this member its partitions, possibly none: a group may have more
    /// members than there are partitions.
    pub(super) joined: AtomicBool,
    /// Topics of a new assignment, once: their earlier errors do not count any more.
    pub(super) topics: Mutex<Option<Vec<String>>>,
    /// The client's message for the error that the next read returns.
    pub(super) said: Mutex<String>,
}

pub(super) struct ConsumerCallbacks {
    pub(super) assignment: Arc<AssignmentState>,
    pub(super) offsets: Arc<MemberOffsets>,
}

impl ClientContext for ConsumerCallbacks {
    /// A fatal error is returned by the next read, and is reported there.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        if facility == "FATAL" {
            tracing::debug!(line, "the Kafka client says");
        } else if is_detail(level) {
            self.offsets.hear(line);
        } else if facility != "OFFSET" || !self.offsets.is_reset(line) {
            DefaultClientContext.log(level, facility, line);
        }
    }

    /// As with [`Self::log`]: each error is returned by the next read, without these words.
    fn error(&self, _error: KafkaError, reason: &str) {
        reason.clone_into(&mut self.assignment.said.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl ConsumerContext for ConsumerCallbacks {
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if !matches!(rebalance, Rebalance::Assign(_)) {
            self.assignment.joined.store(false, Ordering::SeqCst);
            self.assignment.generation.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn post_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance {
            let topics =
                partitions.elements().iter().map(|element| element.topic().to_owned()).collect();
            *self.assignment.topics.lock().unwrap_or_else(PoisonError::into_inner) = Some(topics);
            self.assignment.joined.store(true, Ordering::SeqCst);
        }
    }
}

/// Lines of these levels are read for news of offsets, and not logged.
fn is_detail(level: RDKafkaLogLevel) -> bool {
    matches!(level, RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug)
}
