//! Orders that looked wrong, to be read again.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{fact::OrderFact, judge::OrderView};

/// Orders that are read again, at most.
const SUSPECTS_MAX: usize = 10_000;

/// Orders that looked wrong, with what is known of their messages and mails.
#[derive(Debug, Default)]
pub(super) struct SuspectOrders(pub(super) BTreeMap<Uuid, Vec<OrderFact>>);

impl SuspectOrders {
    /// Remembers an order; gives it back if there are too many.
    pub(super) fn add(&mut self, view: OrderView) -> Option<OrderView> {
        if self.0.len() >= SUSPECTS_MAX {
            return Some(view);
        }
        self.0.insert(view.order_id, view.into_kept());
        None
    }
}
