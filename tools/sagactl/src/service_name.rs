//! The four services, as the tools name them: consumer groups, sources and the topics that each reads.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// One of the four services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ServiceName {
    Orders,
    Inventory,
    Payments,
    Notify,
}

impl ServiceName {
    pub const ALL: [Self; 4] = [Self::Orders, Self::Inventory, Self::Payments, Self::Notify];

    /// Its name, which is its consumer group, too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Orders => "order-service",
            Self::Inventory => "inventory-service",
            Self::Payments => "payment-service",
            Self::Notify => "notify-service",
        }
    }

    /// The service whose `ce_source` this is.
    pub(crate) fn of_source(source: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| contract::source(service.name()) == source)
    }

    /// The topics that it reads.
    pub fn topics(self) -> Vec<Arc<str>> {
        let events = contract::TOPICS.iter().map(|topic| topic.name);
        let read = events.filter(|topic| !topic.contains('.') && readers(topic).contains(&self));
        read.map(Arc::from).collect()
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The services that read a topic of events.
pub fn readers(topic: &str) -> &'static [ServiceName] {
    use ServiceName::{Inventory, Notify, Orders, Payments};
    match topic {
        contract::ORDER_PLACED | contract::ORDER_CANCELLED => &[Inventory, Payments, Notify],
        contract::ORDER_CONFIRMED => &[Inventory, Notify],
        contract::STOCK_RESERVED => &[Payments, Orders],
        contract::PAYMENT_REFUNDED => &[Orders, Notify],
        contract::STOCK_REJECTED
        | contract::STOCK_RELEASED
        | contract::PRODUCT_CHANGED
        | contract::PAYMENT_DONE
        | contract::PAYMENT_FAILED
        | contract::PAYMENT_UNDER_REVIEW
        | contract::NOTIFICATION_SENT
        | contract::NOTIFICATION_FAILED => &[Orders],
        _unknown => &[],
    }
}
