//! Publishers and readers of the topics of one order, as the contract defines them.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Service {
    Order,
    Inventory,
    Payment,
    Notify,
}

impl Service {
    pub(crate) const ALL: [Self; 4] = [Self::Order, Self::Inventory, Self::Payment, Self::Notify];

    /// Its place in arrays.
    pub(crate) fn at(self) -> usize {
        self as usize
    }
}

/// A message about the one order of the model; its topic says nothing else about that order. What
/// notify-service says of its mails is left out: the order only notes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Word {
    OrderPlaced,
    OrderConfirmed,
    OrderCancelled,
    StockReserved,
    StockRejected,
    StockReleased,
    PaymentDone,
    /// Another amount than the order's total.
    PaymentDoneOtherwise,
    PaymentFailed,
    PaymentRefunded,
    PaymentUnderReview,
    /// It waits for a person once more, after a decision that did not end it.
    PaymentUnderReviewAgain,
}

impl Word {
    pub(crate) const ALL: [Self; 12] = [
        Self::OrderPlaced,
        Self::OrderConfirmed,
        Self::OrderCancelled,
        Self::StockReserved,
        Self::StockRejected,
        Self::StockReleased,
        Self::PaymentDone,
        Self::PaymentDoneOtherwise,
        Self::PaymentFailed,
        Self::PaymentRefunded,
        Self::PaymentUnderReview,
        Self::PaymentUnderReviewAgain,
    ];

    pub(crate) fn of(self) -> Service {
        match self {
            Self::OrderPlaced | Self::OrderConfirmed | Self::OrderCancelled => Service::Order,
            Self::StockReserved | Self::StockRejected | Self::StockReleased => Service::Inventory,
            Self::PaymentDone
            | Self::PaymentDoneOtherwise
            | Self::PaymentFailed
            | Self::PaymentRefunded
            | Self::PaymentUnderReview
            | Self::PaymentUnderReviewAgain => Service::Payment,
        }
    }

    pub(crate) fn readers(self) -> &'static [Service] {
        use Service::{Inventory, Notify, Order, Payment};
        match self {
            Self::OrderPlaced | Self::OrderCancelled => &[Inventory, Payment, Notify],
            Self::OrderConfirmed => &[Inventory, Notify],
            Self::StockReserved => &[Payment, Order],
            Self::StockRejected
            | Self::StockReleased
            | Self::PaymentDone
            | Self::PaymentDoneOtherwise
            | Self::PaymentFailed
            | Self::PaymentUnderReview
            | Self::PaymentUnderReviewAgain => &[Order],
            Self::PaymentRefunded => &[Order, Notify],
        }
    }

    /// The word in whose place this one is said the second time; none if it is said once at most.
    pub(crate) fn again(self) -> Option<Self> {
        (self == Self::PaymentUnderReview).then_some(Self::PaymentUnderReviewAgain)
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of words.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Words(u16);

impl Words {
    pub(crate) fn has(self, word: Word) -> bool {
        self.0 & word.bit() != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// With one more; says whether it is new.
    pub(crate) fn add(&mut self, word: Word) -> bool {
        let is_new = !self.has(word);
        self.0 |= word.bit();
        is_new
    }

    pub(crate) fn remove(&mut self, word: Word) {
        self.0 &= !word.bit();
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Word> {
        Word::ALL.into_iter().filter(move |word| self.has(*word))
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Copies of words that a reader has not read yet, up to three of each.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Copies(u32);

impl Copies {
    pub(crate) fn of(self, word: Word) -> u32 {
        self.0 >> (2 * word as u32) & 3
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn add(&mut self, word: Word) {
        assert!(self.of(word) < 3, "the bounds allow more copies of {word:?} than can be counted");
        self.0 += 1 << (2 * word as u32);
    }

    pub(crate) fn take(&mut self, word: Word) {
        assert!(self.of(word) > 0, "there is no copy of {word:?} to be read");
        self.0 -= 1 << (2 * word as u32);
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Word> {
        Word::ALL.into_iter().filter(move |word| self.of(*word) > 0)
    }
}

impl fmt::Debug for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|word| (word, self.of(word)))).finish()
    }
}
