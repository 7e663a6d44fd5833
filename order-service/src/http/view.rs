//! Orders and products as the API shows them.
//!
//! Amounts are whole minor units of the currency given beside them; times are RFC 3339.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::{fault::Fault, idempotency::HttpAnswer};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    domain::{
        draft::PlacedOrder,
        order::{Order, OrderStage},
    },
    store::{
        StoredLine,
        history::{EventFacts, ShortLine},
        view::{ShownEntry, ShownOrder, ShownProduct},
    },
};

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Status)]
#[serde(rename_all = "lowercase")]
pub(super) enum OrderStatus {
    /// Neither paid for nor given up.
    Pending,
    /// Paid for, its stock held.
    Confirmed,
    /// Given up: nothing is delivered or charged.
    Cancelled,
}

impl OrderStatus {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Where an order stands, and why it was cancelled.
fn standing(stage: OrderStage) -> (OrderStatus, Option<&'static str>) {
    match stage {
        OrderStage::Pending { .. } => (OrderStatus::Pending, None),
        OrderStage::Confirmed { .. } => (OrderStatus::Confirmed, None),
        OrderStage::Cancelled { reason, .. } => (OrderStatus::Cancelled, Some(reason.code())),
    }
}

/// An order that was accepted. How it goes on is under `Location`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Acceptance {
    /// The order's id, a version 7 UUID.
    id: Uuid,
    /// The order's status: always `pending`.
    status: OrderStatus,
    /// What it costs, in minor units.
    #[schema(example = 1_290)]
    total: i64,
    /// The currency's code, as in ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
    /// When it is cancelled if it has not ended by then.
    #[serde(with = "time::serde::rfc3339")]
    due_at: OffsetDateTime,
}

/// The answer to a new order, as it is stored and sent.
pub(crate) fn acceptance(id: Uuid, placement: &PlacedOrder) -> Result<HttpAnswer, Fault> {
    let body = Acceptance {
        id,
        status: OrderStatus::Pending,
        total: placement.total.minor(),
        currency: placement.total.currency().to_string(),
        due_at: placement.due_at,
    };
    Ok(HttpAnswer {
        status: StatusCode::ACCEPTED.as_u16(),
        location: Some(format!("/orders/{id}")),
        body: serde_json::to_string(&body).map_err(Fault::poison)?,
    })
}

/// How an order stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Standing)]
pub(super) struct OrderStanding {
    /// The order's id, a version 7 UUID.
    id: Uuid,
    /// The order's status at this moment.
    status: OrderStatus,
    /// Why it was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "requested")]
    reason: Option<&'static str>,
}

impl OrderStanding {
    pub(super) fn of(id: Uuid, order: &Order) -> Self {
        let (status, reason) = standing(order.stage);
        Self { id, status, reason }
    }
}

/// A line of an order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LineView {
    /// The product's stock keeping unit.
    #[schema(example = "coffee-beans")]
    sku: String,
    /// How many pieces are ordered.
    quantity: u16,
    /// The price of one when the order was accepted, in minor units.
    unit_price: i64,
}

impl From<StoredLine> for LineView {
    fn from(line: StoredLine) -> Self {
        let StoredLine { sku, quantity, unit_price_minor } = line;
        Self { sku, quantity, unit_price: unit_price_minor }
    }
}

/// An order, as it stands now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrderView {
    /// The order's id, a version 7 UUID.
    id: Uuid,
    /// The order's status at this moment.
    status: OrderStatus,
    /// Why it was cancelled: `out-of-stock`, `payment-declined`, `payment-unavailable`, `timed-out`
    /// or `requested`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "out-of-stock")]
    reason: Option<&'static str>,
    /// The ordered products, at the prices of that time.
    lines: Vec<LineView>,
    /// What it costs, in minor units.
    total: i64,
    /// The currency's code, as in ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
    /// When it was accepted.
    #[serde(with = "time::serde::rfc3339")]
    placed_at: OffsetDateTime,
    /// When it is cancelled if it has not ended by then.
    #[serde(with = "time::serde::rfc3339")]
    due_at: OffsetDateTime,
    /// When it was confirmed.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    confirmed_at: Option<OffsetDateTime>,
    /// When it was cancelled.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    cancelled_at: Option<OffsetDateTime>,
}

impl From<ShownOrder> for OrderView {
    fn from(shown: ShownOrder) -> Self {
        let (status, reason) = standing(shown.stage);
        let cancelled_at = match shown.stage {
            OrderStage::Cancelled { at, .. } => Some(at),
            OrderStage::Pending { .. } | OrderStage::Confirmed { .. } => None,
        };
        Self {
            id: shown.order_id,
            status,
            reason,
            lines: shown.lines.into_iter().map(Into::into).collect(),
            total: shown.total.minor(),
            currency: shown.total.currency().to_string(),
            placed_at: shown.placed_at,
            due_at: shown.due_at,
            confirmed_at: shown.confirmed_at,
            cancelled_at,
        }
    }
}

/// An order and what has happened to it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrderWithHistory {
    #[serde(flatten)]
    order: OrderView,
    /// What has happened, oldest first.
    history: Vec<EntryView>,
}

impl OrderWithHistory {
    pub(super) fn new(order: ShownOrder, history: Vec<ShownEntry>) -> Self {
        Self { order: order.into(), history: history.into_iter().map(Into::into).collect() }
    }
}

/// Something that has happened to an order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EntryView {
    /// When, by the clock of the service that says so.
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    /// What: the topic that carries it.
    #[schema(example = "payment-done")]
    what: String,
    /// Why: of a cancellation its code, as of the order; of a failed payment `declined` or
    /// `unavailable`; of a failed notification what the mail server said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "declined")]
    reason: Option<String>,
    /// Of a declined payment: the gateway's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "insufficient_funds")]
    decline_code: Option<String>,
    /// Of a payment or a refund: the gateway's name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "ch_1")]
    gateway_reference: Option<String>,
    /// Of a notification: `confirmed`, `cancelled` or `refunded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "confirmed")]
    notification: Option<String>,
    /// Of a notification: how the customer was notified.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "email")]
    channel: Option<String>,
    /// Of a rejected reservation: the lines that were short, the first 20 of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<ShortLineView>,
    /// Which service says so: its `ce_source`.
    #[schema(example = "/shop/payment-service")]
    source: String,
    /// The `ce_id` of the message that says so.
    ce_id: Uuid,
}

impl From<ShownEntry> for EntryView {
    fn from(entry: ShownEntry) -> Self {
        let ShownEntry { happened_at, source, message_id, what, facts } = entry;
        let EventFacts { reason, decline_code, gateway_reference, notification, channel, missing } =
            facts;
        Self {
            at: happened_at,
            what,
            reason,
            decline_code,
            gateway_reference,
            notification,
            channel,
            missing: missing.into_iter().map(Into::into).collect(),
            source,
            ce_id: message_id,
        }
    }
}

/// A line of which there was too little.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShortLine)]
pub(super) struct ShortLineView {
    /// The product's stock keeping unit.
    #[schema(example = "coffee-beans")]
    sku: String,
    /// How many pieces were ordered.
    requested: i32,
    /// How many pieces were there.
    available: i32,
}

impl From<ShortLine> for ShortLineView {
    fn from(line: ShortLine) -> Self {
        let ShortLine { sku, requested, available } = line;
        Self { sku, requested, available }
    }
}

/// A product that can be ordered, or could be.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProductView {
    /// Its name in orders.
    #[schema(example = "coffee-beans")]
    sku: String,
    /// Its name for people.
    name: String,
    /// The price of one, in minor units.
    price: i64,
    /// The currency's code, as in ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
    /// Whether it can be ordered.
    active: bool,
}

impl From<ShownProduct> for ProductView {
    fn from(product: ShownProduct) -> Self {
        let ShownProduct { sku, name, price_minor, currency, active } = product;
        Self { sku, name, price: price_minor, currency, active }
    }
}
