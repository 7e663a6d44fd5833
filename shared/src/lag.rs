//! How far a whole group has read, for those who act on silence.
//!
//! Who concludes something from a message that has not come must first know that it was read if it
//! was there: not only by this process, but by whichever member of the group has its partition. So
//! the group is asked for at the broker: where each partition ends, and up to where the group has
//! committed.
//!
//! ```text
//! look at t: the ends ──> … ──> the group has committed up to those ends ──> everything said up to t is read
//! ```
//!
//! **Architecture invariant:** offsets are committed after the transaction of their messages, so
//! what counts as read here has had its effect. Not knowing is not having read: while the broker
//! does not answer, the moment up to which all is read stays where it was, and grows old.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{fault, kafka};

use self::broker::{Broker, Place};

mod broker;

/// The group is looked at this often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Looks that are remembered until the group has read what they saw.
const LOOKS_MAX: usize = 64;

/// Up to when everything that was said has been read. Clones speak of the same group.
#[derive(Clone, Debug, Default)]
pub struct Lag(Arc<Mutex<Option<Instant>>>);

impl Lag {
    /// Everything that had been said up to then is read; nothing is known at the beginning.
    pub fn read_up_to(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How old that is.
    pub fn age(&self) -> Option<Duration> {
        self.read_up_to().map(|it| it.elapsed())
    }

    /// Says so.
    pub fn has_read_up_to(&self, moment: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known = (*known).max(Some(moment));
    }
}

/// Whose lag is watched.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the broker is.
    pub kafka: kafka::Settings,
    /// The group.
    pub group: &'static str,
    /// What it reads.
    pub topics: Vec<&'static str>,
}

/// Looks at a group, again and again.
#[derive(Debug)]
pub struct Watcher {
    settings: Settings,
    lag: Lag,
    /// What was seen when, as long as it is not read.
    unread: VecDeque<(Instant, BTreeMap<Place, i64>)>,
    broker: Option<Broker>,
}

impl Watcher {
    /// A watcher that has seen nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, lag: Lag::default(), unread: VecDeque::new(), broker: None }
    }

    /// What it finds.
    pub fn lag(&self) -> Lag {
        self.lag.clone()
    }

    /// Looks until told to stop. A broker that does not answer is asked again.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        while let Some(looked) = stop.run_until_cancelled(self.step()).await {
            if let Err(error) = looked {
                tracing::debug!(error = fault::chain(&error), "the group's lag is not known");
            }
            self.show_age();
            if stop.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Looks once.
    pub async fn step(&mut self) -> Result<(), Error> {
        let broker = match self.broker.take() {
            Some(broker) => broker,
            None => Broker::new(&self.settings)?,
        };
        let looked_at = Instant::now();
        let (broker, looked) = broker.look().await;
        self.broker = broker;
        let look = looked?;
        self.show(&look);
        self.note(looked_at, look);
        Ok(())
    }

    /// Notes what was seen, and which of the earlier sights the group has read by now.
    fn note(&mut self, looked_at: Instant, Look { ends, read }: Look) {
        let has_read = |ends: &BTreeMap<Place, i64>| {
            ends.iter().all(|(place, end)| read.get(place).is_some_and(|it| it >= end))
        };
        if has_read(&ends) {
            self.unread.clear();
            return self.lag.has_read_up_to(looked_at);
        }
        while let Some((moment, _)) = self.unread.pop_front_if(|(_, ends)| has_read(ends)) {
            self.lag.has_read_up_to(moment);
        }
        // When there are too many, the oldest stay: they are the first to be read.
        if self.unread.len() < LOOKS_MAX {
            self.unread.push_back((looked_at, ends));
        }
    }

    fn show(&self, look: &Look) {
        let mut behind: BTreeMap<&'static str, i64> = BTreeMap::new();
        for (place, end) in &look.ends {
            let read = look.read.get(place).copied().unwrap_or_default();
            *behind.entry(place.0).or_default() += (end - read).max(0);
        }
        for (topic, n) in behind {
            let service = self.settings.group;
            metrics::gauge!("consumer_lag_messages", "service" => service, "topic" => topic)
                .set(count(n));
        }
    }

    fn show_age(&self) {
        let age = self.lag.age().map_or(f64::INFINITY, |it| it.as_secs_f64());
        metrics::gauge!("consumer_lag_seconds", "service" => self.settings.group).set(age);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge of messages; exact up to 2^52")]
fn count(n: i64) -> f64 {
    n as f64
}

/// What was seen of a group: where each partition ends, and up to where it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    ends: BTreeMap<Place, i64>,
    read: BTreeMap<Place, i64>,
}

/// Why a look failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client could not be made.
    #[error("the Kafka client could not be made")]
    Client(#[source] rdkafka::error::KafkaError),
    /// The broker did not answer.
    #[error("the broker is out of reach")]
    Unreachable(#[source] rdkafka::error::KafkaError),
    /// The broker answered for some partitions only.
    #[error("the broker does not know every partition")]
    Incomplete,
}

#[cfg(test)]
mod tests;
