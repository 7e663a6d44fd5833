//! Domain ⇄ contract: maps order events and commands to the contract's records. Only this file
//! knows both.
//!
//! **Architecture invariant:** incoming records are checked here, before any transaction: a record
//! that no order can have caused is a poison message with its own reason.

use shared::{
    codec::{AvroCodec, EventMeta, Record, RecordKind},
    fault::Fault,
    message::{Message, OtherSubject, OutgoingMessage},
};
use uuid::Uuid;

use crate::{
    domain::{
        catalogue::{BadSku, ProductDetails, ProductOffer, ProductSnapshot, Sku},
        draft::PlacedOrder,
        money::{BadAmount, BadCurrency, Currency, Money},
        order::{
            CancelReason, MissingLine, NoticeChannel, OrderEvent, PaymentFailure, ServiceEvent,
        },
    },
    store::history::{EventFacts, ShortLine},
};

/// The kinds of records that this service publishes.
pub fn writes() -> Vec<RecordKind> {
    vec![
        RecordKind::of::<contract::OrderPlaced>(),
        RecordKind::of::<contract::OrderConfirmed>(),
        RecordKind::of::<contract::OrderCancelled>(),
    ]
}

/// The kinds of records that this service reads.
pub fn reads() -> Vec<RecordKind> {
    vec![
        RecordKind::of::<contract::StockReserved>(),
        RecordKind::of::<contract::StockRejected>(),
        RecordKind::of::<contract::StockReleased>(),
        RecordKind::of::<contract::PaymentDone>(),
        RecordKind::of::<contract::PaymentFailed>(),
        RecordKind::of::<contract::PaymentRefunded>(),
        RecordKind::of::<contract::PaymentUnderReview>(),
        RecordKind::of::<contract::NotificationSent>(),
        RecordKind::of::<contract::NotificationFailed>(),
        RecordKind::of::<contract::ProductChanged>(),
    ]
}

/// The message for an event, if it is published; only then is the metadata asked for.
pub fn encode(
    codec: &AvroCodec,
    order_id: Uuid,
    event: &OrderEvent,
    meta: impl FnOnce() -> EventMeta,
) -> Result<Option<OutgoingMessage>, Fault> {
    match event {
        OrderEvent::Placed(placement) => {
            codec.message(meta(), &placed(order_id, placement)).map(Some)
        }
        OrderEvent::Confirmed { total, at } => {
            let record = contract::OrderConfirmed {
                order_id,
                total_minor: total.minor(),
                currency: total.currency().to_string(),
                confirmed_at: *at,
            };
            codec.message(meta(), &record).map(Some)
        }
        OrderEvent::Cancelled { reason, at } => {
            let record = contract::OrderCancelled {
                order_id,
                reason: reason.code().to_owned(),
                cancelled_by: cancelled_by(*reason).to_owned(),
                cancelled_at: *at,
            };
            codec.message(meta(), &record).map(Some)
        }
        OrderEvent::Noted(_) => Ok(None),
    }
}

fn placed(order_id: Uuid, placement: &PlacedOrder) -> contract::OrderPlaced {
    let line = |line: &crate::domain::draft::OrderLine| contract::OrderLine {
        sku: line.sku.as_str().to_owned(),
        quantity: line.quantity.get().into(),
        unit_price_minor: line.unit_price.minor(),
    };
    contract::OrderPlaced {
        order_id,
        lines: placement.lines.iter().map(line).collect(),
        total_minor: placement.total.minor(),
        currency: placement.total.currency().to_string(),
        payment_method: placement.payment_method.as_str().to_owned(),
        email: placement.customer.email.as_str().to_owned(),
        customer_name: placement.customer.name.as_ref().map(|name| name.as_str().to_owned()),
        placed_at: placement.placed_at,
        due_at: placement.due_at,
    }
}

fn cancelled_by(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::Requested => "customer",
        CancelReason::OutOfStock
        | CancelReason::PaymentDeclined
        | CancelReason::PaymentUnavailable
        | CancelReason::TimedOut => "system",
    }
}

/// The kind of the event: its topic name.
pub fn what(event: &OrderEvent) -> &'static str {
    match event {
        OrderEvent::Placed(_) => contract::ORDER_PLACED,
        OrderEvent::Confirmed { .. } => contract::ORDER_CONFIRMED,
        OrderEvent::Cancelled { .. } => contract::ORDER_CANCELLED,
        OrderEvent::Noted(news) => match news {
            ServiceEvent::StockReserved => contract::STOCK_RESERVED,
            ServiceEvent::StockRejected { .. } => contract::STOCK_REJECTED,
            ServiceEvent::StockReleased => contract::STOCK_RELEASED,
            ServiceEvent::PaymentDone { .. } => contract::PAYMENT_DONE,
            ServiceEvent::PaymentFailed { .. } => contract::PAYMENT_FAILED,
            ServiceEvent::PaymentRefunded { .. } => contract::PAYMENT_REFUNDED,
            ServiceEvent::PaymentUnderReview { .. } => contract::PAYMENT_UNDER_REVIEW,
            ServiceEvent::NotificationSent { .. } => contract::NOTIFICATION_SENT,
            ServiceEvent::NotificationFailed { .. } => contract::NOTIFICATION_FAILED,
        },
    }
}

/// What is particular about the event, by name.
pub fn facts(event: &OrderEvent) -> EventFacts {
    match event {
        OrderEvent::Placed(_) | OrderEvent::Confirmed { .. } => EventFacts::default(),
        OrderEvent::Cancelled { reason, .. } => EventFacts::reason(reason.code()),
        OrderEvent::Noted(news) => match news {
            ServiceEvent::StockReserved | ServiceEvent::StockReleased => EventFacts::default(),
            ServiceEvent::StockRejected { missing } => {
                let line = |line: &MissingLine| ShortLine {
                    sku: line.sku.as_str().to_owned(),
                    requested: line.requested,
                    available: line.available,
                };
                EventFacts { missing: missing.iter().map(line).collect(), ..EventFacts::default() }
            }
            ServiceEvent::PaymentDone { charge, .. } => EventFacts::gateway_reference(charge),
            ServiceEvent::PaymentFailed { failure: PaymentFailure::Declined, code } => {
                EventFacts { decline_code: code.clone(), ..EventFacts::reason("declined") }
            }
            ServiceEvent::PaymentFailed { failure: PaymentFailure::Unavailable, .. } => {
                EventFacts::reason("unavailable")
            }
            ServiceEvent::PaymentRefunded { refund, .. } => EventFacts::gateway_reference(refund),
            ServiceEvent::PaymentUnderReview { reason } => EventFacts::reason(reason),
            ServiceEvent::NotificationSent { channel } => {
                EventFacts::notification(&channel.kind, &channel.name)
            }
            ServiceEvent::NotificationFailed { channel, reason } => EventFacts {
                reason: Some(reason.clone()),
                ..EventFacts::notification(&channel.kind, &channel.name)
            },
        },
    }
}

/// The decoded content of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderInput {
    /// An event for an order.
    Order {
        order_id: Uuid,
        news: ServiceEvent,
    },
    Product(ProductSnapshot),
}

/// Why a record that could be decoded is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRecord {
    /// The envelope names another subject than the body.
    #[error(transparent)]
    OtherSubject(#[from] OtherSubject),
    /// No product is called that.
    #[error("its SKU is not valid")]
    Sku(#[from] BadSku),
    /// No currency is called that.
    #[error("its currency is not valid")]
    Currency(#[from] BadCurrency),
    #[error("its amount is not valid")]
    Amount(#[from] BadAmount),
    /// A name that people could not read.
    #[error("its name is empty, longer than 500 characters, or has control characters")]
    Name,
    /// The topic is not one that this service reads.
    #[error("{0} is not read here")]
    Topic(String),
}

/// Decodes a message. A record that no order can have caused is poison.
pub async fn decode(codec: &AvroCodec, message: &Message) -> Result<OrderInput, Fault> {
    match message.incoming.topic.as_str() {
        contract::STOCK_RESERVED => decode_event::<contract::StockReserved>(codec, message).await,
        contract::STOCK_REJECTED => decode_event::<contract::StockRejected>(codec, message).await,
        contract::STOCK_RELEASED => decode_event::<contract::StockReleased>(codec, message).await,
        contract::PAYMENT_DONE => decode_event::<contract::PaymentDone>(codec, message).await,
        contract::PAYMENT_FAILED => decode_event::<contract::PaymentFailed>(codec, message).await,
        contract::PAYMENT_REFUNDED => {
            decode_event::<contract::PaymentRefunded>(codec, message).await
        }
        contract::PAYMENT_UNDER_REVIEW => {
            decode_event::<contract::PaymentUnderReview>(codec, message).await
        }
        contract::NOTIFICATION_SENT => {
            decode_event::<contract::NotificationSent>(codec, message).await
        }
        contract::NOTIFICATION_FAILED => {
            decode_event::<contract::NotificationFailed>(codec, message).await
        }
        contract::PRODUCT_CHANGED => {
            let record = codec.decode_optional(message).await?;
            let product = product(message, record).map_err(Fault::poison)?;
            Ok(OrderInput::Product(product))
        }
        other => Err(Fault::poison(InvalidRecord::Topic(other.to_owned()))),
    }
}

async fn decode_event<R: OfOrder>(
    codec: &AvroCodec,
    message: &Message,
) -> Result<OrderInput, Fault> {
    let record: R = codec.decode(message).await?;
    let order_id = record.order_id();
    message.check_subject(&order_id.to_string()).map_err(Fault::poison)?;
    let news = record.news().map_err(Fault::poison)?;
    Ok(OrderInput::Order { order_id, news })
}

fn product(
    message: &Message,
    record: Option<contract::ProductChanged>,
) -> Result<ProductSnapshot, InvalidRecord> {
    let sequence = message.envelope.sequence;
    let Some(record) = record else {
        return Ok(ProductSnapshot {
            sku: Sku::parse(&message.envelope.subject)?,
            sequence,
            product: None,
        });
    };
    message.check_subject(&record.sku)?;
    let price = Money::new(record.price_minor, Currency::parse(&record.currency)?)?;
    let readable = !record.name.is_empty() && !record.name.chars().any(char::is_control);
    if !readable || record.name.chars().count() > 500 {
        return Err(InvalidRecord::Name);
    }
    let offer = ProductOffer { price, active: record.active };
    let product = ProductDetails { name: record.name, offer, changed_at: record.changed_at };
    Ok(ProductSnapshot { sku: Sku::parse(&record.sku)?, sequence, product: Some(product) })
}

/// A record that tells something of an order.
trait OfOrder: Record {
    fn order_id(&self) -> Uuid;
    fn news(self) -> Result<ServiceEvent, InvalidRecord>;
}

/// All of them name their order in the same way.
macro_rules! of_order {
    ($($record:ident: $it:ident => $news:expr;)*) => {$(
        impl OfOrder for contract::$record {
            fn order_id(&self) -> Uuid {
                self.order_id
            }

            fn news(self) -> Result<ServiceEvent, InvalidRecord> {
                let $it = self;
                Ok($news)
            }
        }
    )*};
}

of_order! {
    StockReserved: _it => ServiceEvent::StockReserved;
    StockRejected: it => ServiceEvent::StockRejected { missing: missing(it.missing)? };
    StockReleased: _it => ServiceEvent::StockReleased;
    PaymentDone: it => ServiceEvent::PaymentDone {
        paid: Money::new(it.amount_minor, Currency::parse(&it.currency)?)?,
        charge: it.charge_id,
    };
    PaymentFailed: it => ServiceEvent::PaymentFailed { failure: failure(&it.reason), code: it.code };
    PaymentRefunded: it => ServiceEvent::PaymentRefunded {
        refunded: Money::new(it.amount_minor, Currency::parse(&it.currency)?)?,
        refund: it.refund_id,
    };
    PaymentUnderReview: it => ServiceEvent::PaymentUnderReview { reason: it.reason };
    NotificationSent: it => ServiceEvent::NotificationSent {
        channel: NoticeChannel { name: it.channel, kind: it.kind },
    };
    NotificationFailed: it => ServiceEvent::NotificationFailed {
        channel: NoticeChannel { name: it.channel, kind: it.kind },
        reason: it.reason,
    };
}

fn missing(lines: Vec<contract::MissingLine>) -> Result<Vec<MissingLine>, InvalidRecord> {
    let read = |line: contract::MissingLine| {
        let contract::MissingLine { sku, requested, available } = line;
        Ok(MissingLine { sku: Sku::parse(&sku)?, requested, available })
    };
    lines.into_iter().map(read).collect()
}

/// Whatever the reason is called, nobody will pay; only a decline is the customer's to fix.
fn failure(reason: &str) -> PaymentFailure {
    if reason == "declined" { PaymentFailure::Declined } else { PaymentFailure::Unavailable }
}
