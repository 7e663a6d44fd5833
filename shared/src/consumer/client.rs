//! One Kafka client, which is one membership in the group, and the state of its callbacks.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use rdkafka::{
    config::RDKafkaLogLevel,
    consumer::{CommitMode, Consumer as _, StreamConsumer},
};

use super::{
    ConsumerError,
    callbacks::{AssignmentState, ConsumerCallbacks},
    offsets::MemberOffsets,
};
use crate::kafka;

/// Leaving the group may take this long; an unavailable broker is not waited for.
const CLOSE_LIMIT: Duration = Duration::from_millis(2_500);

/// A member of a group.
pub(super) struct GroupMember {
    pub(super) consumer: StreamConsumer<ConsumerCallbacks>,
    pub(super) assignment: Arc<AssignmentState>,
    pub(super) offsets: Arc<MemberOffsets>,
}

impl GroupMember {
    /// A client that has not joined yet. Its assignments are counted from `generation`.
    pub(super) fn new(
        kafka: &kafka::KafkaSettings,
        group: &str,
        generation: u64,
    ) -> Result<Self, ConsumerError> {
        let assignment = Arc::new(AssignmentState::default());
        assignment.generation.store(generation, Ordering::SeqCst);
        let offsets = Arc::new(MemberOffsets::new(group, kafka));
        let context = ConsumerCallbacks {
            assignment: Arc::clone(&assignment),
            offsets: Arc::clone(&offsets),
        };
        let mut config = kafka.member(group);
        // These lines report offsets; the callback that receives one decides whether to log it.
        config.set("debug", "topic").set_log_level(RDKafkaLogLevel::Debug);
        let consumer = config.create_with_context(context).map_err(ConsumerError::Client)?;
        Ok(Self { consumer, assignment, offsets })
    }

    /// Joins the group, or joins again: then it gives up its partitions and is assigned some anew.
    pub(super) fn join(&self, topics: &[String]) -> Result<(), ConsumerError> {
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        self.consumer.subscribe(&topics).map_err(ConsumerError::Client)
    }

    /// Commits the stored offsets and leaves the group, within a limit: the client can hang in its
    /// drop without a broker, so the drop runs on a thread that is not waited for any longer.
    pub(super) async fn close(self) {
        let (closed, told) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            if let Err(error) = self.consumer.commit_consumer_state(CommitMode::Sync) {
                tracing::debug!(%error, "offsets were not committed; the inbox knows the repeats");
            }
            drop(self.consumer);
            closed.send(()).ok();
        });
        if tokio::time::timeout(CLOSE_LIMIT, told).await.is_err() {
            tracing::warn!("the group could not be left in time; the broker will notice by itself");
        }
    }

    /// Whether the group has assigned this member its partitions.
    pub(super) fn has_joined(&self) -> bool {
        self.assignment.joined.load(Ordering::SeqCst)
    }

    pub(super) fn generation(&self) -> u64 {
        self.assignment.generation.load(Ordering::SeqCst)
    }

    /// The topics of a new assignment, returned once.
    pub(super) fn new_topics(&self) -> Option<Vec<String>> {
        self.assignment.topics.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The partitions of this member: topics by their names on the broker.
    pub(super) fn assigned(&self) -> Result<BTreeSet<(String, i32)>, ConsumerError> {
        let assigned = self.consumer.assignment().map_err(ConsumerError::Client)?;
        Ok(assigned
            .elements()
            .iter()
            .map(|element| (element.topic().to_owned(), element.partition()))
            .collect())
    }
}
