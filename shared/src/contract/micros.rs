//! A moment as Avro's `timestamp-micros`: microseconds since 1970, UTC.

use serde::{Deserialize as _, Deserializer, Serializer, de, ser};
use time::OffsetDateTime;

pub(super) fn serialize<S: Serializer>(
    moment: &OffsetDateTime,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let micros = moment.unix_timestamp_nanos().div_euclid(1_000);
    serializer.serialize_i64(i64::try_from(micros).map_err(ser::Error::custom)?)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<OffsetDateTime, D::Error> {
    let micros = i64::deserialize(deserializer)?;
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).map_err(de::Error::custom)
}
