//! Random histories over the database: it ends where the domain alone would end.

use std::collections::BTreeMap;

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use uuid::Uuid;

use crate::kit::{House, new_order};

/// What may be read of an order.
#[derive(Clone, Debug)]
enum Word {
    Placed(BTreeMap<&'static str, i32>),
    Confirmed,
    Cancelled,
}

const SKUS: [&str; 4] = ["a", "b", "c", "unheard-of"];

fn word() -> impl Strategy<Value = Word> {
    let lines = prop::collection::btree_map(prop::sample::select(&SKUS[..]), 1..4_i32, 1..3);
    prop_oneof![
        3 => lines.prop_map(Word::Placed),
        1 => Just(Word::Confirmed),
        1 => Just(Word::Cancelled),
    ]
}

/// Batches of words about few orders, in whatever order, each perhaps delivered twice.
fn history() -> impl Strategy<Value = Vec<Vec<(usize, Word, bool)>>> {
    vec(vec((0..12_usize, word(), any::<bool>()), 1..12), 1..8)
}

#[test]
fn stock_adds_up_in_the_database_after_any_history_in_any_batches() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let house = runtime.block_on(House::new());
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&history(), |history| {
            runtime.block_on(live_through(&house, history));
            Ok::<(), TestCaseError>(())
        })
        .unwrap();
}

async fn live_through(house: &House, history: Vec<Vec<(usize, Word, bool)>>) {
    house.stock(&[("a", 1), ("b", 1), ("c", 1)]).await;
    house.deliver(&["a", "b", "c"], 6).await;
    let orders: Vec<Uuid> = (0..12).map(|_| new_order()).collect();
    let consumer = house.consumer();
    let mut told = 0;
    for batch in history {
        let mut messages = Vec::new();
        for (order, word, twice) in batch {
            let order = orders[order];
            let message = match word {
                Word::Placed(lines) => {
                    let lines: Vec<_> = lines.into_iter().collect();
                    house.placed(order, &lines)
                }
                Word::Confirmed => house.confirmed(order),
                Word::Cancelled => house.cancelled(order),
            };
            messages.extend(twice.then(|| message.clone()));
            messages.push(message);
        }
        let taken = consumer.take_in(&messages).await.unwrap();
        assert_eq!(taken.fresh + taken.repeats + taken.dead, messages.len());
        told += taken.dead;
        house.assert_adds_up().await;
    }
    let contradictions = house.dead().await.len();
    assert!(contradictions >= told);
    assert_sequences_rise_without_gaps(house).await;
}

/// What was said of each subject is numbered 1, 2, 3 in the order of the outbox.
async fn assert_sequences_rise_without_gaps(house: &House) {
    let mut next = BTreeMap::<String, i64>::new();
    for message in house.said().await {
        if message.topic.ends_with(".dlq") {
            continue;
        }
        let (_, subject, sequence) = crate::kit::outside(&message);
        let expected = next.entry(subject.clone()).or_insert(1);
        assert_eq!(sequence, *expected, "{subject}");
        *expected += 1;
    }
}
