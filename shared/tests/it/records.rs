//! Records of a lending library: the runtime is tested with messages of another workflow than the
//! shop's. The codec's unit tests use this file, too.

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, macros::datetime};
use uuid::{Uuid, uuid};

use super::{Record, timestamp_micros};

const LOAN: Uuid = uuid!("01970000-0000-7000-8000-0000000000a1");
const NOON: OffsetDateTime = datetime!(2026-01-02 12:00:00.123456 UTC);

/// A record of plain fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LoanStarted {
    pub(crate) loan_id: Uuid,
    pub(crate) fee_minor: i64,
    pub(crate) currency: String,
    #[serde(with = "timestamp_micros")]
    pub(crate) started_at: OffsetDateTime,
}

/// A record of another topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LoanEnded {
    pub(crate) loan_id: Uuid,
    pub(crate) reason: String,
    #[serde(with = "timestamp_micros")]
    pub(crate) ended_at: OffsetDateTime,
}

impl Record for LoanStarted {
    const TOPIC: &'static str = "loan-started";
    const TYPE: &'static str = "library.loans.loan-started.v1";
    const SCHEMA: &'static str = r#"{
        "type": "record", "name": "LoanStarted", "namespace": "library.loans", "fields": [
            { "name": "loan_id", "type": { "type": "string", "logicalType": "uuid" } },
            { "name": "fee_minor", "type": "long" },
            { "name": "currency", "type": "string" },
            { "name": "started_at", "type": { "type": "long", "logicalType": "timestamp-micros" } }
        ]
    }"#;
}

impl Record for LoanEnded {
    const TOPIC: &'static str = "loan-ended";
    const TYPE: &'static str = "library.loans.loan-ended.v1";
    const SCHEMA: &'static str = r#"{
        "type": "record", "name": "LoanEnded", "namespace": "library.loans", "fields": [
            { "name": "loan_id", "type": { "type": "string", "logicalType": "uuid" } },
            { "name": "reason", "type": "string" },
            { "name": "ended_at", "type": { "type": "long", "logicalType": "timestamp-micros" } }
        ]
    }"#;
}

impl LoanStarted {
    pub(crate) fn sample() -> Self {
        Self { loan_id: LOAN, fee_minor: 4_499, currency: "EUR".to_owned(), started_at: NOON }
    }
}
