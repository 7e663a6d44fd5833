//! Random histories over the database: the result equals that of the domain alone.

use std::{cell::RefCell, collections::BTreeMap};

use inventory_service::domain::{
    inventory::{Inventory, InventoryCommand},
    naming::{OrderId, OrderLines, Quantity},
    product,
    reservation::{self, Reservation},
};
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    sample::select,
    test_runner::{Config, TestCaseError, TestRunner},
};
use shared::{decider, message::IncomingMessage};
use uuid::Uuid;

use crate::kit::{TestService, introduce, new_order, outside, sku};

const SKUS: [&str; 4] = ["a", "b", "c", "unheard-of"];
const ORDERS: usize = 12;

/// The messages that an order may have.
#[derive(Clone, Debug)]
enum Word {
    Placed(BTreeMap<&'static str, i32>),
    Confirmed,
    Cancelled,
}

/// A message about an order, and whether it is delivered twice.
type Delivery = (usize, Word, bool);

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        3 => btree_map(select(&SKUS[..]), 1..4_i32, 1..3).prop_map(Word::Placed),
        1 => Just(Word::Confirmed),
        1 => Just(Word::Cancelled),
    ]
}

/// Batches of messages about few orders, in random order.
fn history() -> impl Strategy<Value = Vec<Vec<Delivery>>> {
    vec(vec((0..ORDERS, word(), any::<bool>()), 1..12), 1..8)
}

#[test]
fn the_database_ends_where_the_domain_ends_after_any_history_in_any_batches() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let service = runtime.block_on(TestService::new());
    let model = RefCell::new(Inventory::default());
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&history(), |history| {
            runtime.block_on(live_through(&service, &mut model.borrow_mut(), history));
            Ok::<(), TestCaseError>(())
        })
        .unwrap();
}

async fn live_through(service: &TestService, model: &mut Inventory, history: Vec<Vec<Delivery>>) {
    let quantity = Quantity::new(6).unwrap();
    service.stock(&[("a", 1), ("b", 1), ("c", 1)]).await;
    service.deliver(&["a", "b", "c"], quantity.get()).await;
    for text in ["a", "b", "c"] {
        decider::step::<Inventory>(model, &introduce(text, 1)).unwrap();
        let command = product::ProductCommand::Restock { quantity };
        decider::step::<Inventory>(model, &InventoryCommand::Product { sku: sku(text), command })
            .unwrap();
    }
    let orders: Vec<Uuid> = (0..ORDERS).map(|_| new_order()).collect();
    let consumer = service.consumer();
    for batch in history {
        let (mut messages, mut contradictions) = (Vec::new(), 0);
        for (order, word, twice) in batch {
            let (message, command) = say(service, orders[order], &word);
            messages.extend(twice.then(|| message.clone()));
            messages.push(message);
            if decider::step::<Inventory>(model, &command).is_err() {
                assert!(matches!(word, Word::Confirmed), "{word:?}");
                contradictions += 1;
            }
        }
        let taken = consumer.process_or_isolate(&messages).await.unwrap();
        assert_eq!(taken.dead, contradictions);
        service.assert_adds_up().await;
    }
    assert_agree(service, model).await;
    assert_sequences_rise_without_gaps(service).await;
}

/// The message, and the domain command that it becomes.
fn say(service: &TestService, order: Uuid, word: &Word) -> (IncomingMessage, InventoryCommand) {
    let (message, command) = match word {
        Word::Placed(lines) => {
            let told: Vec<_> = lines.iter().map(|(sku, count)| (*sku, *count)).collect();
            let lines =
                lines.iter().map(|(text, count)| (sku(text), Quantity::new(*count).unwrap()));
            let lines = OrderLines::new(lines).unwrap();
            (service.placed(order, &told), reservation::ReservationCommand::Reserve { lines })
        }
        Word::Confirmed => (service.confirmed(order), reservation::ReservationCommand::Commit),
        Word::Cancelled => (service.cancelled(order), reservation::ReservationCommand::Release),
    };
    (message, InventoryCommand::Reservation { order: OrderId(order), command })
}

async fn assert_agree(service: &TestService, model: &Inventory) {
    let stage = |reservation: &Reservation| match reservation {
        Reservation::Fenced => "fenced",
        Reservation::Reserved(_) => "reserved",
        Reservation::Sold(_) => "sold",
        Reservation::Rejected => "rejected",
        Reservation::Released => "released",
    };
    let expected: BTreeMap<Uuid, String> = model
        .reservations
        .iter()
        .map(|(order, reservation)| (order.0, stage(reservation).to_owned()))
        .collect();
    assert_eq!(service.stages().await, expected);
    for (sku, product) in &model.products {
        let stock = product.stock;
        let expected = [stock.available(), stock.reserved(), stock.sold()].map(u64::cast_signed);
        let (available, reserved, sold) = service.counts(sku.as_str()).await;
        assert_eq!([available, reserved, sold], expected, "{sku}");
    }
}

/// The messages of each subject are numbered 1, 2, 3 in the order of the outbox.
async fn assert_sequences_rise_without_gaps(service: &TestService) {
    let mut next = BTreeMap::<String, i64>::new();
    for message in service.said().await.iter().filter(|message| !message.topic.ends_with(".dlq")) {
        let (_, subject, sequence) = outside(message);
        let expected = next.entry(subject.clone()).or_insert(1);
        assert_eq!(sequence, *expected, "{subject}");
        *expected += 1;
    }
}
