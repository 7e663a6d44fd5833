//! What the n-th order of a load is: a pure function of its number, so that each run places the same.

use super::LoadOptions;
use crate::client::OrderWish;

/// The product that is never in stock.
pub const UNOBTAINABLE: &str = "unobtainium";

/// Keeps the choice of repeats apart from that of hot products.
const OF_REPEATS: u64 = 0x5bd1_e995;

/// The orders of one run, and their keys.
#[derive(Clone, Debug)]
pub struct OrderMix {
    /// The name of this run: no other has its keys.
    pub run_id: String,
    products: u32,
    hot_percent: u32,
    repeat_percent: u32,
}

impl OrderMix {
    /// The orders of a new run.
    pub fn of(options: &LoadOptions) -> Self {
        Self {
            run_id: format!("{:016x}", fastrand::u64(..)),
            products: options.products,
            hot_percent: options.hot_product,
            repeat_percent: options.repeats,
        }
    }

    /// The key under which the n-th order is placed.
    pub fn key(&self, n: u64) -> String {
        format!("load-{}-{n}", self.run_id)
    }

    /// What the n-th order wants.
    pub fn wish(&self, n: u64) -> OrderWish {
        let mut wish = wish(n, self.products);
        let wants_other = wish.lines[0].0 != UNOBTAINABLE;
        if wants_other && in_share(n, self.hot_percent) {
            wish.lines = vec![(sku(0, self.products), 1)];
        }
        wish
    }

    /// Whether the n-th request is sent a second time.
    pub fn is_repeated(&self, n: u64) -> bool {
        in_share(n ^ OF_REPEATS, self.repeat_percent)
    }

    /// Whether the customer of the n-th order cancels it.
    pub fn is_cancelled(n: u64) -> bool {
        n % 20 == 3
    }
}

/// Whether a number is in a share of all numbers, drawn by the number itself.
fn in_share(n: u64, percent: u32) -> bool {
    fastrand::Rng::with_seed(n).u32(0..100) < percent
}

/// The product for the n-th order, of this number of products.
pub fn sku(n: u64, products: u32) -> String {
    format!("load-{:04}", n % u64::from(products.max(1)) + 1)
}

/// Of twenty orders, one is declined, one is out of stock, one is cancelled, one wants two things.
pub fn wish(n: u64, products: u32) -> OrderWish {
    let mut lines = vec![(sku(n, products), 1)];
    match n % 20 {
        1 => lines = vec![(UNOBTAINABLE.to_owned(), 1)],
        4 if products > 1 => lines.push((sku(n + 1, products), 2)),
        _others => (),
    }
    let card = if n % 20 == 2 { "tok_chargeDeclined" } else { "tok_visa" };
    OrderWish {
        lines,
        currency: "EUR".to_owned(),
        payment_method: card.to_owned(),
        email: format!("customer-{n}@example.org"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_have_no_key_in_common_and_place_the_same() {
        let options = LoadOptions { hot_product: 30, repeats: 10, ..LoadOptions::default() };
        let [one, other] = [OrderMix::of(&options), OrderMix::of(&options)];
        for n in 0..100 {
            assert_ne!(one.key(n), other.key(n));
            assert_ne!(one.key(n), one.key(n + 1));
            assert_eq!(one.wish(n).lines, other.wish(n).lines);
            assert_eq!(one.is_repeated(n), other.is_repeated(n));
        }
    }

    #[test]
    fn the_shares_of_hot_products_and_repeats_are_as_they_were_asked_for() {
        let shares = |hot_product, repeats| {
            let options = LoadOptions { hot_product, repeats, ..LoadOptions::default() };
            let mix = OrderMix::of(&options);
            let hot = (0..10_000).filter(|n| mix.wish(*n).lines == [("load-0001".to_owned(), 1)]);
            (hot.count(), (0..10_000).filter(|n| mix.is_repeated(*n)).count())
        };
        // One in a hundred wants that product anyway, and one in twenty the one that is never there.
        assert_eq!(shares(0, 0), (100, 0));
        assert_eq!(shares(100, 100), (9_500, 10_000));
        let (hot, repeated) = shares(50, 10);
        assert!((4_600..=5_000).contains(&hot), "{hot}");
        assert!((900..=1_100).contains(&repeated), "{repeated}");
    }

    #[test]
    fn what_stands_at_the_start_is_what_the_command_line_says_of_nothing() {
        let options = LoadOptions::default();
        assert_eq!((options.orders, options.unanswered_max()), (2_000, 32));
        let open = LoadOptions { rate: Some(40.0), ..options };
        assert_eq!(open.unanswered_max(), 512);
    }
}
