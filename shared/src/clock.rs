//! The one place that reads the time and mints ids.
//!
//! **Architecture invariant:** time and ids are read at the edge and passed in; a decider reads
//! neither. Tests stop the clock and move it by hand.

use std::sync::{Arc, Mutex, PoisonError};

use time::{Duration, OffsetDateTime};
use uuid::{NoContext, Timestamp, Uuid};

/// The source of the time.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The clock of the machine, UTC.
    #[default]
    System,
    /// A clock that moves only when told to.
    Fixed(Arc<Mutex<OffsetDateTime>>),
}

impl Clock {
    /// A clock that stands still at `now`.
    pub fn fixed(now: OffsetDateTime) -> Self {
        Self::Fixed(Arc::new(Mutex::new(now)))
    }

    /// The time, in UTC, to the microsecond: what Postgres and Avro keep.
    pub fn now(&self) -> OffsetDateTime {
        let now = match self {
            #[expect(clippy::disallowed_methods, reason = "this is the clock")]
            Self::System => OffsetDateTime::now_utc(),
            Self::Fixed(now) => *now.lock().unwrap_or_else(PoisonError::into_inner),
        };
        now.replace_nanosecond(now.nanosecond() / 1_000 * 1_000).unwrap_or(now)
    }

    /// Mints an id that sorts by time (`UUIDv7`).
    pub fn new_id(&self) -> Uuid {
        match self {
            #[expect(clippy::disallowed_methods, reason = "this is where ids are minted")]
            Self::System => Uuid::now_v7(),
            Self::Fixed(_) => Uuid::new_v7(at(self.now())),
        }
    }

    /// Moves a fixed clock on; the machine's clock moves by itself.
    pub fn advance(&self, by: Duration) {
        if let Self::Fixed(now) = self {
            *now.lock().unwrap_or_else(PoisonError::into_inner) += by;
        }
    }
}

/// The smallest `UUIDv7` of a moment: ids below it were minted earlier.
pub fn first_id_at(moment: OffsetDateTime) -> Uuid {
    let millis = u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    bytes[6] = 0x70;
    bytes[8] = 0x80;
    Uuid::from_bytes(bytes)
}

fn at(moment: OffsetDateTime) -> Timestamp {
    let seconds = u64::try_from(moment.unix_timestamp()).unwrap_or(0);
    Timestamp::from_unix(NoContext, seconds, moment.nanosecond())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_fixed_clock_moves_only_when_told_to() {
        let clock = Clock::fixed(datetime!(2026-01-02 03:04:05 UTC));
        assert_eq!(clock.now(), clock.now());
        clock.advance(Duration::seconds(1));
        assert_eq!(clock.now(), datetime!(2026-01-02 03:04:06 UTC));
    }

    #[test]
    fn ids_sort_by_the_time_they_were_minted() {
        let clock = Clock::fixed(datetime!(2026-01-02 03:04:05 UTC));
        let early = clock.new_id();
        clock.advance(Duration::milliseconds(1));
        assert!(early < first_id_at(clock.now()));
        assert!(first_id_at(clock.now()) <= clock.new_id());
    }
}
