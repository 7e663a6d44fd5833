//! The four deciders, each with the commands that the model asks, the words by which it is asked and
//! the deeds that follow from its events.

pub(crate) mod inventory;
pub(crate) mod notify;
pub(crate) mod order;
pub(crate) mod payment;

use inventory_service::domain::inventory::Inventory;
use notify_service::domain::notification::OrderNotifications;
use order_service::domain::order::Order;
use payment_service::domain::payment::Payment;
use time::{OffsetDateTime, macros::datetime};

use crate::{
    unrolled::Unrolled,
    words::{Service, Word},
};

/// It is always the same moment: no decider asks for more of time than whether something is due.
pub(crate) const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

/// The total of the order.
pub(crate) const TOTAL_MINOR: i64 = 500;

/// The deciders of a model, bent or not.
#[derive(Debug)]
pub(crate) struct Deciders {
    pub(crate) order: Unrolled<Order>,
    pub(crate) inventory: Unrolled<Inventory>,
    pub(crate) payment: Unrolled<Payment>,
    pub(crate) notify: Unrolled<OrderNotifications>,
}

/// How many answers of each decider were asked for, of how many.
pub(crate) type Coverage = [(Service, (usize, usize)); 4];

impl Deciders {
    pub(crate) fn coverage(&self) -> Coverage {
        [
            (Service::Order, self.order.coverage()),
            (Service::Inventory, self.inventory.coverage()),
            (Service::Payment, self.payment.coverage()),
            (Service::Notify, self.notify.coverage()),
        ]
    }
}

/// The request of a message that this reader does not read.
#[track_caller]
fn not_addressed(reader: Service, word: Word) -> ! {
    panic!("{reader:?} does not read {word:?}")
}
