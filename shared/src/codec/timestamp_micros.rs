//! A moment as Avro's `timestamp-micros`: microseconds since 1970, UTC. For fields of records:
//! `#[serde(with = "timestamp_micros")]`.

use serde::{Deserialize as _, Deserializer, Serializer, de, ser};
use time::OffsetDateTime;

/// Fails for a moment that does not fit into 64 bits of microseconds.
pub fn serialize<S: Serializer>(moment: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    let micros = moment.unix_timestamp_nanos().div_euclid(1_000);
    serializer.serialize_i64(i64::try_from(micros).map_err(ser::Error::custom)?)
}

/// Fails for a number outside the calendar's years -9999 to 9999.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OffsetDateTime, D::Error> {
    let micros = i64::deserialize(deserializer)?;
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).map_err(de::Error::custom)
}
