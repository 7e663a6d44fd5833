//! The fold of a batch: each order is placed, its stock is held, it is paid for.

use std::{collections::HashMap, hint::black_box};

use divan::{Bencher, counter::ItemsCount};
use order_service::domain::{
    catalogue::{ProductOffer, Sku},
    money::{Currency, Money},
    order::{Order, OrderCommand, ServiceEvent},
};
use saga_bench::order_mix;
use shared::{clock::Clock, decider};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// Three commands for each order.
fn commands(orders: u64) -> Vec<(Uuid, OrderCommand)> {
    let now = Clock::System.now();
    let price = Money::new(1_250, Currency::parse("EUR").unwrap()).unwrap();
    let offer = ProductOffer { price, active: true };
    let offers: HashMap<Sku, ProductOffer> = (0..order_mix::PRODUCTS)
        .map(|n| (Sku::parse(&order_mix::product(n)).unwrap(), offer))
        .collect();
    let of_order = |n: u64| {
        // A one-line order that is confirmed.
        let draft = order_mix::order("bench", n * order_mix::PERIOD).unwrap().draft;
        let placed = draft.price(&offers, now, now + Duration::minutes(5)).unwrap();
        let paid = ServiceEvent::PaymentDone { paid: placed.total, charge: "ch_1".to_owned() };
        let id = Clock::System.new_id();
        [
            (id, OrderCommand::Place(placed)),
            (id, record(ServiceEvent::StockReserved, now)),
            (id, record(paid, now)),
        ]
    };
    (0..orders).flat_map(of_order).collect()
}

fn record(news: ServiceEvent, now: OffsetDateTime) -> OrderCommand {
    OrderCommand::Record { news, now }
}

/// Commands a second, for this many orders in a batch.
#[divan::bench(args = [1, 10, 100, 500])]
fn order_fold(bencher: Bencher<'_, '_>, orders: u64) {
    let commands = commands(orders);
    bencher.counter(ItemsCount::new(commands.len())).bench_local(|| {
        let mut states = HashMap::new();
        let pairs = black_box(&commands).iter().map(|(id, command)| (id, command));
        let decisions = decider::fold::<Order, Uuid>(&mut states, pairs);
        assert!(decisions.iter().all(Result::is_ok));
        states
    });
}
