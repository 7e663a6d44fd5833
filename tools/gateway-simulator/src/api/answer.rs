//! The gateway's answers: the objects, and an answer as stored.

use axum::body::Bytes;
use serde::Serialize;

use super::{ChargeMetadata, ChargeRequest};

/// A status and the bytes of a body: what a key is answered, the first time and every time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiAnswer {
    pub status: u16,
    /// JSON. A clone shares the bytes.
    pub body: Bytes,
}

impl ApiAnswer {
    /// An answer that carries `body` as JSON.
    pub fn of(status: u16, body: &impl Serialize) -> Self {
        Self { status, body: Bytes::from(to_json(body)) }
    }
}

/// A charge that was executed.
#[derive(Clone, Debug, Serialize)]
pub struct ChargeObject {
    /// `ch_…`
    pub id: String,
    /// Always `charge`.
    pub object: &'static str,
    pub amount: u64,
    /// As it was asked for, in upper case.
    pub currency: String,
    /// Always `succeeded`.
    pub status: &'static str,
    pub created: u64,
    /// Whether all of it was given back.
    pub refunded: bool,
    /// The refunded amount.
    pub amount_refunded: u64,
    /// As it was asked for.
    pub metadata: ChargeMetadata,
}

impl ChargeObject {
    /// A charge that was executed just now, of which nothing was given back.
    pub(crate) fn new(id: String, amount: u64, request: &ChargeRequest, at_ms: u64) -> Self {
        Self {
            id,
            object: "charge",
            amount,
            currency: request.currency.clone(),
            status: "succeeded",
            created: at_ms / 1_000,
            refunded: false,
            amount_refunded: 0,
            metadata: request.metadata.clone(),
        }
    }
}

/// A refund that was executed.
#[derive(Clone, Debug, Serialize)]
pub struct RefundObject {
    /// `re_…`
    pub id: String,
    /// Always `refund`.
    pub object: &'static str,
    pub charge: String,
    /// The refunded amount.
    pub amount: u64,
    pub currency: String,
    /// Always `succeeded`.
    pub status: &'static str,
    pub created: u64,
}

impl RefundObject {
    /// A refund of this charge that was executed just now.
    pub(crate) fn new(id: String, charge: &ChargeObject, amount: u64, at_ms: u64) -> Self {
        Self {
            id,
            object: "refund",
            charge: charge.id.clone(),
            amount,
            currency: charge.currency.clone(),
            status: "succeeded",
            created: at_ms / 1_000,
        }
    }
}

/// One page, newest first.
#[derive(Debug, Serialize)]
pub struct ListBody<T> {
    /// Always `list`.
    pub object: &'static str,
    pub data: Vec<T>,
    /// Whether something older follows.
    pub has_more: bool,
}

/// JSON of one of this crate's own types, none of which can fail to be JSON.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("no map keys but strings, no foreign Serialize")
}
