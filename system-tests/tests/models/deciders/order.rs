//! Order-service's decider.

use order_service::domain::{
    catalogue::Sku,
    contact::{EmailAddress, PaymentMethod},
    draft::{Customer, OrderLine, PlacedOrder},
    money::{Currency, Money, Quantity},
    order::{
        MissingLine, Order, OrderCommand, OrderEvent, OrderStage, PaymentFailure, ServiceEvent,
    },
};
use time::Duration;

use super::{NOW, TOTAL_MINOR, not_addressed};
use crate::{
    unrolled::{Bend, Deed, Unrolled},
    words::{Service, Word},
};

/// The commands, in the order of [`unroll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Place,
    Deadline,
    Cancel,
    StockReserved,
    StockRejected,
    StockReleased,
    PaymentDone,
    PaymentDoneOtherwise,
    PaymentFailed,
    PaymentRefunded,
    PaymentUnderReview,
}

/// The stage of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Unknown,
    Pending,
    Confirmed,
    Cancelled,
}

pub(crate) fn unroll(bend: Bend<Order>) -> Unrolled<Order> {
    let record = |news| OrderCommand::Record { news, now: NOW };
    let paid = |minor| ServiceEvent::PaymentDone { paid: money(minor), charge: "ch_1".to_owned() };
    let sku = Sku::parse("lamp").unwrap();
    let missing = vec![MissingLine { sku, requested: 1, available: 0 }];
    let commands = [
        OrderCommand::Place(placement()),
        OrderCommand::PassDeadline { now: NOW },
        OrderCommand::Cancel { now: NOW, window: Duration::HOUR },
        record(ServiceEvent::StockReserved),
        record(ServiceEvent::StockRejected { missing }),
        record(ServiceEvent::StockReleased),
        record(paid(TOTAL_MINOR)),
        record(paid(TOTAL_MINOR + 1)),
        record(ServiceEvent::PaymentFailed { failure: PaymentFailure::Unavailable, code: None }),
        record(ServiceEvent::PaymentRefunded {
            refunded: money(TOTAL_MINOR),
            refund: "re_1".to_owned(),
        }),
        record(ServiceEvent::PaymentUnderReview { reason: "wrong-amount".to_owned() }),
    ];
    Unrolled::new(&commands, bend, deeds)
}

fn money(minor: i64) -> Money {
    Money::new(minor, Currency::parse("EUR").unwrap()).unwrap()
}

fn placement() -> PlacedOrder {
    let line = OrderLine {
        sku: Sku::parse("lamp").unwrap(),
        quantity: Quantity::new(1).unwrap(),
        unit_price: money(TOTAL_MINOR),
    };
    PlacedOrder {
        lines: vec![line],
        total: money(TOTAL_MINOR),
        payment_method: PaymentMethod::parse("tok_visa").unwrap(),
        customer: Customer { email: EmailAddress::parse("ada@shop.example").unwrap(), name: None },
        placed_at: NOW,
        due_at: NOW,
    }
}

fn deeds(event: &OrderEvent) -> Vec<Deed> {
    match event {
        OrderEvent::Placed(_) => vec![Deed::Say(Word::OrderPlaced)],
        OrderEvent::Confirmed { .. } => vec![Deed::Say(Word::OrderConfirmed)],
        OrderEvent::Cancelled { .. } => vec![Deed::Say(Word::OrderCancelled)],
        OrderEvent::Noted(_) => vec![],
    }
}

/// The command of a message.
pub(crate) fn heard(word: Word) -> Ask {
    match word {
        Word::StockReserved => Ask::StockReserved,
        Word::StockRejected => Ask::StockRejected,
        Word::StockReleased => Ask::StockReleased,
        Word::PaymentDone => Ask::PaymentDone,
        Word::PaymentDoneOtherwise => Ask::PaymentDoneOtherwise,
        Word::PaymentFailed => Ask::PaymentFailed,
        Word::PaymentRefunded => Ask::PaymentRefunded,
        Word::PaymentUnderReview | Word::PaymentUnderReviewAgain => Ask::PaymentUnderReview,
        Word::OrderPlaced | Word::OrderConfirmed | Word::OrderCancelled => {
            not_addressed(Service::Order, word)
        }
    }
}

pub(crate) fn standing(order: Option<&Order>) -> Standing {
    match order.map(|order| order.stage) {
        None => Standing::Unknown,
        Some(OrderStage::Pending { .. }) => Standing::Pending,
        Some(OrderStage::Confirmed { .. }) => Standing::Confirmed,
        Some(OrderStage::Cancelled { .. }) => Standing::Cancelled,
    }
}
