//! Order-service's decider.

use order_service::domain::{
    catalogue::Sku,
    contact::{EmailAddress, PaymentMethod},
    draft::{Customer, Line, Placement},
    money::{Currency, Money, Quantity},
    order::{Command, Event, Failure, Missing, News, Order, Stage},
};
use time::Duration;

use super::{NOW, TOTAL_MINOR, not_addressed};
use crate::{
    unrolled::{Bend, Deed, Unrolled},
    words::{Service, Word},
};

/// What is asked, in the succession of [`unroll`].
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
}

/// Where the order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Unknown,
    Pending,
    Confirmed,
    Cancelled,
}

pub(crate) fn unroll(bend: Bend<Order>) -> Unrolled<Order> {
    let record = |news| Command::Record { news, now: NOW };
    let paid = |minor| News::PaymentDone { paid: money(minor), charge: "ch_1".to_owned() };
    let sku = Sku::parse("lamp").unwrap();
    let missing = vec![Missing { sku, requested: 1, available: 0 }];
    let commands = [
        Command::Place(placement()),
        Command::PassDeadline { now: NOW },
        Command::Cancel { now: NOW, window: Duration::HOUR },
        record(News::StockReserved),
        record(News::StockRejected { missing }),
        record(News::StockReleased),
        record(paid(TOTAL_MINOR)),
        record(paid(TOTAL_MINOR + 1)),
        record(News::PaymentFailed { failure: Failure::Unavailable, code: None }),
        record(News::PaymentRefunded { refunded: money(TOTAL_MINOR), refund: "re_1".to_owned() }),
    ];
    Unrolled::new(&commands, bend, deeds)
}

fn money(minor: i64) -> Money {
    Money::new(minor, Currency::parse("EUR").unwrap()).unwrap()
}

fn placement() -> Placement {
    let line = Line {
        sku: Sku::parse("lamp").unwrap(),
        quantity: Quantity::new(1).unwrap(),
        unit_price: money(TOTAL_MINOR),
    };
    Placement {
        lines: vec![line],
        total: money(TOTAL_MINOR),
        payment_method: PaymentMethod::parse("tok_visa").unwrap(),
        customer: Customer { email: EmailAddress::parse("ada@shop.example").unwrap(), name: None },
        placed_at: NOW,
        due_at: NOW,
    }
}

fn deeds(event: &Event) -> Vec<Deed> {
    match event {
        Event::Placed(_) => vec![Deed::Say(Word::OrderPlaced)],
        Event::Confirmed { .. } => vec![Deed::Say(Word::OrderConfirmed)],
        Event::Cancelled { .. } => vec![Deed::Say(Word::OrderCancelled)],
        Event::Noted(_) => vec![],
    }
}

/// What a word asks.
pub(crate) fn heard(word: Word) -> Ask {
    match word {
        Word::StockReserved => Ask::StockReserved,
        Word::StockRejected => Ask::StockRejected,
        Word::StockReleased => Ask::StockReleased,
        Word::PaymentDone => Ask::PaymentDone,
        Word::PaymentDoneOtherwise => Ask::PaymentDoneOtherwise,
        Word::PaymentFailed => Ask::PaymentFailed,
        Word::PaymentRefunded => Ask::PaymentRefunded,
        Word::OrderPlaced | Word::OrderConfirmed | Word::OrderCancelled => {
            not_addressed(Service::Order, word)
        }
    }
}

pub(crate) fn standing(order: Option<&Order>) -> Standing {
    match order.map(|it| it.stage) {
        None => Standing::Unknown,
        Some(Stage::Pending { .. }) => Standing::Pending,
        Some(Stage::Confirmed { .. }) => Standing::Confirmed,
        Some(Stage::Cancelled { .. }) => Standing::Cancelled,
    }
}
