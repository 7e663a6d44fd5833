//! The stock of one product: available, reserved and sold quantities.
//!
//! ```text
//! (delivery) --restock--> available --reserve--> reserved --sell--> sold
//!                             ^                     |                |
//!                             +-----let go----------+---take back----+
//! ```
//!
//! **Architecture invariant:** `available + reserved + sold = stocked`, each at least 0, after
//! every move. Arithmetic is checked: an overflow panics, and its transaction is rolled back.

/// The stock of one product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StockCount {
    available: u64,
    reserved: u64,
    sold: u64,
    stocked: u64,
}

impl StockCount {
    /// The maximum total delivery of one product: far above the needs of a shop and far below the
    /// limit of the database's integer type.
    pub const STOCKED_MAX: u64 = 1_000_000_000_000;

    /// Stock as stored; `None` if the counts do not add up.
    pub fn from_counts(available: u64, reserved: u64, sold: u64, stocked: u64) -> Option<Self> {
        let stock = Self { available, reserved, sold, stocked };
        stock.adds_up().then_some(stock)
    }

    pub fn available(self) -> u64 {
        self.available
    }

    /// Held for orders that have not ended.
    pub fn reserved(self) -> u64 {
        self.reserved
    }

    /// Sold to confirmed orders.
    pub fn sold(self) -> u64 {
        self.sold
    }

    /// Ever delivered: the first stock and all that came later.
    pub fn stocked(self) -> u64 {
        self.stocked
    }

    /// Whether `count` more may be delivered.
    pub fn has_room_for(self, count: u64) -> bool {
        self.stocked.checked_add(count).is_some_and(|sum| sum <= Self::STOCKED_MAX)
    }

    /// Adds a delivery to the available quantity.
    #[must_use]
    pub fn restock(self, count: u64) -> Self {
        Self { available: plus(self.available, count), stocked: plus(self.stocked, count), ..self }
            .checked()
    }

    #[must_use]
    pub fn reserve(self, count: u64) -> Self {
        Self {
            available: minus(self.available, count),
            reserved: plus(self.reserved, count),
            ..self
        }
        .checked()
    }

    #[must_use]
    pub fn sell(self, count: u64) -> Self {
        Self { reserved: minus(self.reserved, count), sold: plus(self.sold, count), ..self }
            .checked()
    }

    #[must_use]
    pub fn let_go(self, count: u64) -> Self {
        Self {
            reserved: minus(self.reserved, count),
            available: plus(self.available, count),
            ..self
        }
        .checked()
    }

    #[must_use]
    pub fn take_back(self, count: u64) -> Self {
        Self { sold: minus(self.sold, count), available: plus(self.available, count), ..self }
            .checked()
    }

    fn adds_up(self) -> bool {
        let placed =
            self.available.checked_add(self.reserved).and_then(|n| n.checked_add(self.sold));
        placed == Some(self.stocked) && self.stocked <= Self::STOCKED_MAX
    }

    fn checked(self) -> Self {
        assert!(self.adds_up(), "stock does not add up: {self:?}");
        self
    }
}

fn plus(have: u64, count: u64) -> u64 {
    have.checked_add(count).unwrap_or_else(|| unreachable!("{have} + {count} is beyond all stock"))
}

fn minus(have: u64, count: u64) -> u64 {
    have.checked_sub(count).unwrap_or_else(|| unreachable!("{count} were taken of {have}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stock_moves_and_nothing_gets_lost() {
        let stock = StockCount::default().restock(10).reserve(7).sell(4).let_go(2).take_back(1);
        assert_eq!(Some(stock), StockCount::from_counts(6, 1, 3, 10));
    }

    #[test]
    fn stock_that_does_not_add_up_is_none() {
        assert_eq!(StockCount::from_counts(1, 1, 1, 4), None);
        assert_eq!(StockCount::from_counts(u64::MAX, 1, 0, 0), None);
    }

    #[test]
    #[should_panic(expected = "3 were taken of 2")]
    fn more_than_there_is_cannot_be_reserved() {
        assert_eq!(StockCount::default().restock(2).reserve(3), StockCount::default());
    }
}
