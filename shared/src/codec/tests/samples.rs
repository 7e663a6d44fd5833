//! One more record, with a list and an optional field, and samples.

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, macros::datetime};
use uuid::{Uuid, uuid};

use super::{Record, records::LoanEnded, timestamp_micros};

const LOAN: Uuid = uuid!("01970000-0000-7000-8000-0000000000a1");
const NOON: OffsetDateTime = datetime!(2026-01-02 12:00:00.123456 UTC);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LoanRequested {
    pub(crate) loan_id: Uuid,
    pub(crate) books: Vec<BookLine>,
    pub(crate) reader_name: Option<String>,
    #[serde(with = "timestamp_micros")]
    pub(crate) requested_at: OffsetDateTime,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BookLine {
    pub(crate) title: String,
    pub(crate) copies: i32,
}

impl Record for LoanRequested {
    const TOPIC: &'static str = "loan-requested";
    const TYPE: &'static str = "library.loans.loan-requested.v1";
    const SCHEMA: &'static str = r#"{
        "type": "record", "name": "LoanRequested", "namespace": "library.loans", "fields": [
            { "name": "loan_id", "type": { "type": "string", "logicalType": "uuid" } },
            { "name": "books", "type": { "type": "array", "items": {
                "type": "record", "name": "BookLine", "fields": [
                    { "name": "title", "type": "string" },
                    { "name": "copies", "type": "int" }
                ]
            } } },
            { "name": "reader_name", "type": ["null", "string"], "default": null },
            { "name": "requested_at", "type": { "type": "long", "logicalType": "timestamp-micros" } }
        ]
    }"#;
}

impl LoanRequested {
    pub(crate) fn sample() -> Self {
        let books = vec![BookLine { title: "Walden \u{1f9ee}".to_owned(), copies: 2 }];
        Self {
            loan_id: LOAN,
            books,
            reader_name: Some("Ada Lovelace".to_owned()),
            requested_at: NOON,
        }
    }
}

impl LoanEnded {
    pub(crate) fn sample() -> Self {
        Self { loan_id: LOAN, reason: "returned".to_owned(), ended_at: NOON }
    }
}
