//! Consumer lag: how far a whole group has read, for code that acts on missing messages.
//!
//! Code that acts because a message has not come must first know that the message, if it exists,
//! was read: not only by this process, but by the group member that has its partition. So the
//! broker is asked for the end of each partition and for the group's committed offsets.
//! [`GroupProbe`] asks, [`GroupStanding`] is the answer; the sweeper, the metrics, the consumer
//! itself and `sagactl audit` use it.
//!
//! ```text
//! look at t: the ends ──> … ──> the group has committed up to those ends ──> everything said up to t is read
//! ```
//!
//! * **The end is the high watermark.** An open transaction of any producer hides the records after
//!   it from `read_committed` readers: such records exist and are not read.
//! * **Control records and aborted messages** are never delivered; a member commits its position
//!   behind them ([`crate::consumer`]).
//! * **Partitions** are those that the topic has at this look.
//! * **A topic made anew**: an offset beyond the log's end is of the log that was there before, and
//!   nothing counts as read until the group has committed in the new one.
//!
//! **Architecture invariant:** offsets are committed after the transaction of their messages, so a
//! message that counts as read here has had its effect. Unknown counts as not read: while the
//! broker does not answer, the moment up to which all is read does not advance, and grows old.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    fault, kafka,
    lifecycle::{InfallibleResult, RepeatedSteps},
};

use self::stalls::GroupStalls;
pub use self::{
    group_probe::GroupProbe,
    group_standing::{GroupStanding, LagCause, PartitionStanding, TopicPartition},
    stalls::PartitionStall,
};

mod group_probe;
mod group_standing;
mod stalls;

/// The interval between two samples of the group.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Looks that are remembered until the group has read what they saw.
const LOOKS_MAX: usize = 64;

/// Up to when everything that was said has been read. Clones speak of the same group.
#[derive(Clone, Debug, Default)]
pub struct GroupLag(Arc<Mutex<LagReading>>);

#[derive(Debug, Default)]
struct LagReading {
    read_up_to: Option<Instant>,
    behind: Option<LagCause>,
    stalls: Option<Vec<PartitionStall>>,
}

impl GroupLag {
    fn known<T>(&self, look: impl FnOnce(&mut LagReading) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Everything that had been said up to then is read; nothing is known at the beginning.
    pub fn read_up_to(&self) -> Option<Instant> {
        self.known(|lag_reading| lag_reading.read_up_to)
    }

    /// How old that is.
    pub fn age(&self) -> Option<Duration> {
        self.read_up_to().map(|instant| instant.elapsed())
    }

    /// What kept the group from having read everything at the last look; nothing if it had.
    pub fn behind(&self) -> Option<LagCause> {
        self.known(|lag_reading| lag_reading.behind.clone())
    }

    /// Partitions in which the group does not go on at the last look, although there is something
    /// to read. None, if nothing is known: there was no look yet, or the last one failed.
    pub fn stalls(&self) -> Option<Vec<PartitionStall>> {
        self.known(|lag_reading| lag_reading.stalls.clone())
    }

    /// Says that everything is read up to this moment.
    pub fn has_read_up_to(&self, moment: Instant) {
        self.known(|lag_reading| lag_reading.read_up_to = lag_reading.read_up_to.max(Some(moment)));
    }

    /// Says what keeps the group from having read everything.
    pub fn is_behind(&self, behind: Option<LagCause>) {
        self.known(|lag_reading| lag_reading.behind = behind);
    }

    /// Says in which partitions it does not go on, if that is known.
    pub fn set_stalls(&self, stalls: Option<Vec<PartitionStall>>) {
        self.known(|lag_reading| lag_reading.stalls = stalls);
    }
}

/// The consumer group whose lag is watched, and its topics.
#[derive(Clone, Debug)]
pub struct LagSettings {
    /// Where the broker is.
    pub kafka: kafka::KafkaSettings,
    /// The consumer group whose lag is measured.
    pub group: &'static str,
    /// The topics that the group reads.
    pub topics: Vec<&'static str>,
}

/// Looks at a group, again and again.
#[derive(Debug)]
pub struct LagWatcher {
    settings: LagSettings,
    topics: Arc<[Arc<str>]>,
    lag: GroupLag,
    /// What was seen when, as long as it is not read.
    unread: VecDeque<(Instant, BTreeMap<TopicPartition, i64>)>,
    stalls: GroupStalls,
    group: Option<GroupProbe>,
}

impl LagWatcher {
    /// A watcher that has seen nothing yet.
    pub fn new(settings: LagSettings) -> Self {
        let topics = settings.topics.iter().map(|text| Arc::from(*text)).collect();
        let (lag, stalls) = (GroupLag::default(), GroupStalls::default());
        Self { settings, topics, lag, unread: VecDeque::new(), stalls, group: None }
    }

    /// The group's lag at the latest sample.
    pub fn lag(&self) -> GroupLag {
        self.lag.clone()
    }

    /// Looks until told to stop. A broker that does not answer is asked again.
    pub async fn run(mut self, stop: CancellationToken) -> InfallibleResult {
        let mut steps = RepeatedSteps::until(stop);
        while let Some(looked) = steps.next(self.step()).await {
            if let Err(error) = looked {
                tracing::debug!(error = fault::chain(&error), "the group's lag is not known");
            }
            self.show_age();
            steps.pause(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Samples the group's offsets and the topics' ends once.
    pub async fn step(&mut self) -> Result<(), LagError> {
        let looked_at = Instant::now();
        match self.look().await {
            Ok(look) => {
                self.show(&look);
                self.note(looked_at, &look);
                Ok(())
            }
            Err(error) => {
                let why = fault::chain(&error);
                self.lag.is_behind(Some(LagCause::Unknown(why)));
                self.stalls.forget();
                self.lag.set_stalls(None);
                Err(error)
            }
        }
    }

    /// Asks off the runtime's threads. The clients are lost with a look that is dropped.
    async fn look(&mut self) -> Result<GroupStanding, LagError> {
        let mut group = match self.group.take() {
            Some(group) => group,
            None => GroupProbe::new(&self.settings.kafka, self.settings.group)?,
        };
        let topics = Arc::clone(&self.topics);
        let looking = tokio::task::spawn_blocking(move || {
            let looked = group.look(&topics);
            (group, looked)
        });
        let (group, looked) = looking.await.map_err(|_panic| {
            LagError::Unreachable(KafkaError::MetadataFetch(RDKafkaErrorCode::Fail))
        })?;
        self.group = Some(group);
        looked
    }

    /// Notes what was seen, and which of the earlier sights the group has read by now.
    fn note(&mut self, looked_at: Instant, look: &GroupStanding) {
        self.lag.is_behind(look.behind());
        self.stalls.note(looked_at, look);
        self.lag.set_stalls(Some(self.stalls.list()));
        if look.is_read() {
            self.unread.clear();
            return self.lag.has_read_up_to(looked_at);
        }
        // What was seen of a log that is gone cannot be waited for.
        if self.unread.back().is_some_and(|(_, ends)| look.is_shorter_than(ends)) {
            self.unread.clear();
        }
        while let Some((moment, _)) = self.unread.pop_front_if(|(_, ends)| look.is_read_up_to(ends))
        {
            self.lag.has_read_up_to(moment);
        }
        // When there are too many, the oldest stay: they are the first to be read.
        if self.unread.len() < LOOKS_MAX {
            self.unread.push_back((looked_at, look.ends()));
        }
    }

    fn show(&self, look: &GroupStanding) {
        let mut by_topic: BTreeMap<Arc<str>, (i64, i64)> = BTreeMap::new();
        for (at, standing) in &look.0 {
            let (unread, hidden) = by_topic.entry(Arc::clone(&at.topic)).or_default();
            *unread += standing.unread();
            *hidden += standing.hidden();
        }
        let service = self.settings.group;
        for (topic, (unread, hidden)) in by_topic {
            let of = [("service", service.into()), ("topic", metrics::SharedString::from(topic))];
            metrics::gauge!("consumer_lag_messages", &of).set(count(unread));
            metrics::gauge!("consumer_hidden_messages", &of).set(count(hidden));
        }
    }

    fn show_age(&self) {
        let age = self.lag.age().map_or(f64::INFINITY, |duration| duration.as_secs_f64());
        metrics::gauge!("consumer_lag_seconds", "service" => self.settings.group).set(age);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge of messages; exact up to 2^52")]
fn count(n: i64) -> f64 {
    n as f64
}

/// Why a sample failed.
#[derive(Debug, thiserror::Error)]
pub enum LagError {
    /// The client could not be made.
    #[error("the Kafka client could not be made")]
    Client(#[source] KafkaError),
    /// The broker did not answer.
    #[error("the broker is out of reach")]
    Unreachable(#[source] KafkaError),
    /// A topic is not there.
    #[error("the topic {0} is not there")]
    NoTopic(String),
    /// The broker answered for some partitions only.
    #[error("the broker does not answer for {0}")]
    Incomplete(TopicPartition),
}

#[cfg(test)]
mod tests;
