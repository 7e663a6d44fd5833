//! What the Kafka client tells a member besides messages: log lines, errors, and which partitions it has.
//!
//! Callbacks run on the client's own threads or while it is polled: they take notes, and never wait.

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

/// What the client's callbacks tell.
#[derive(Debug, Default)]
pub(super) struct AssignmentState {
    /// Counts the times that partitions were taken away: a batch gathered before is void after.
    pub(super) generation: AtomicU64,
    /// The group has told this member what it is to read, which may be nothing: one of more members
    /// than there are partitions.
    pub(super) joined: AtomicBool,
    /// Topics of an assignment that is new, once: what was in their way before counts no more.
    pub(super) topics: Mutex<Option<Vec<String>>>,
    /// What the client says to the error that comes back from reading next.
    pub(super) said: Mutex<String>,
}

pub(super) struct ConsumerCallbacks {
    pub(super) assignment: Arc<AssignmentState>,
    pub(super) offsets: Arc<MemberOffsets>,
}

impl ClientContext for ConsumerCallbacks {
    /// What ends the client comes back from reading, and is told there.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        if facility == "FATAL" {
            tracing::debug!(line, "the Kafka client says");
        } else if is_detail(level) {
            self.offsets.hear(line);
        } else if facility != "OFFSET" || !self.offsets.is_reset(line) {
            DefaultClientContext.log(level, facility, line);
        }
    }

    /// As with [`Self::log`]: each error comes back from reading next, without these words.
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

/// Lines of these levels are heard for what they tell of offsets, and not logged.
fn is_detail(level: RDKafkaLogLevel) -> bool {
    matches!(level, RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug)
}
