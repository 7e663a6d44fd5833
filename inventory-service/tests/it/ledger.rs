//! The stock ledger against a double-entry model, in random histories. The model does not use the
//! decider: its stock is the sum of all moves.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use inventory_service::{
    domain::{
        inventory::{InventoryCommand, InventoryEvent},
        naming::{OrderId, OrderLines, Quantity},
        product, reservation,
    },
    request::StockRequest,
};
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    sample::select,
};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use shared::{db, effects::WorkerWakers};
use sqlx::Executor as _;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::kit::{TestService, introduce, sku};

const SKUS: [&str; 3] = ["a", "b", "c"];

/// A command of the model.
#[derive(Clone, Debug)]
enum Ask {
    Introduce(&'static str, i32),
    Restock(&'static str, i32),
    Reserve(u8, BTreeMap<&'static str, i32>),
    Commit(u8),
    Release(u8),
}

/// A transaction, which may be rolled back.
#[derive(Clone, Debug)]
struct Batch {
    asks: Vec<Ask>,
    commit: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Account {
    Supplier,
    Available,
    Reserved,
    Sold,
}

#[derive(Clone, Debug)]
struct Posting {
    sku: &'static str,
    from: Account,
    to: Account,
    count: i64,
}

/// The outcome of an order.
#[derive(Clone, Debug)]
enum Fate {
    Fenced,
    Rejected,
    Reserved(BTreeMap<&'static str, i32>),
    Sold(BTreeMap<&'static str, i32>),
    Released,
}

impl Fate {
    fn name(&self) -> &'static str {
        match self {
            Self::Fenced => "fenced",
            Self::Rejected => "rejected",
            Self::Reserved(_) => "reserved",
            Self::Sold(_) => "sold",
            Self::Released => "released",
        }
    }
}

/// The model, and the expected answers to the last batch.
#[derive(Clone, Debug, Default)]
struct Books {
    listed: BTreeSet<&'static str>,
    postings: Vec<Posting>,
    fates: BTreeMap<u8, Fate>,
    answers: Vec<&'static str>,
}

impl Books {
    fn balance(&self, sku: &str, account: Account) -> i64 {
        let of_sku = self.postings.iter().filter(|posting| posting.sku == sku);
        let signed = |posting: &Posting| match (posting.from == account, posting.to == account) {
            (true, _) => -posting.count,
            (_, true) => posting.count,
            (false, false) => 0,
        };
        of_sku.map(signed).sum()
    }

    fn post(&mut self, lines: &BTreeMap<&'static str, i32>, from: Account, to: Account) {
        let posting = |(sku, count): (&&'static str, &i32)| Posting {
            sku,
            from,
            to,
            count: i64::from(*count),
        };
        self.postings.extend(lines.iter().map(posting));
    }

    fn answer(&mut self, ask: &Ask) -> &'static str {
        use Account::{Available, Reserved, Sold, Supplier};
        match ask {
            Ask::Introduce(sku, _) if self.listed.contains(sku) => "",
            Ask::Introduce(sku, count) => {
                self.listed.insert(sku);
                self.post(&BTreeMap::from([(*sku, *count)]), Supplier, Available);
                "listed restocked"
            }
            Ask::Restock(sku, _) if !self.listed.contains(sku) => "refused",
            Ask::Restock(sku, count) => {
                self.post(&BTreeMap::from([(*sku, *count)]), Supplier, Available);
                "restocked"
            }
            Ask::Reserve(order, _) if self.fates.contains_key(order) => "",
            Ask::Reserve(order, lines) => {
                let is_there =
                    |(sku, count): (&&str, &i32)| self.balance(sku, Available) >= i64::from(*count);
                let fate = if lines.iter().all(is_there) {
                    self.post(lines, Available, Reserved);
                    Fate::Reserved(lines.clone())
                } else {
                    Fate::Rejected
                };
                self.decide(*order, fate)
            }
            Ask::Commit(order) => match self.fates.get(order).cloned() {
                Some(Fate::Reserved(lines)) => {
                    self.post(&lines, Reserved, Sold);
                    self.decide(*order, Fate::Sold(lines))
                }
                Some(Fate::Sold(_) | Fate::Released) => "",
                None | Some(Fate::Fenced | Fate::Rejected) => "refused",
            },
            Ask::Release(order) => match self.fates.get(order).cloned() {
                None => self.decide(*order, Fate::Fenced),
                Some(Fate::Reserved(lines)) => {
                    self.post(&lines, Reserved, Available);
                    self.decide(*order, Fate::Released)
                }
                Some(Fate::Sold(lines)) => {
                    self.post(&lines, Sold, Available);
                    self.decide(*order, Fate::Released)
                }
                Some(Fate::Fenced | Fate::Rejected | Fate::Released) => "",
            },
        }
    }

    fn decide(&mut self, order: u8, fate: Fate) -> &'static str {
        let name = fate.name();
        self.fates.insert(order, fate);
        name
    }
}

/// Few orders and few products, so that commands touch the same rows.
fn ask() -> impl Strategy<Value = Ask> {
    let a_sku = || select(&SKUS[..]);
    let lines = btree_map(a_sku(), 1..4_i32, 1..3);
    prop_oneof![
        1 => (a_sku(), 1..6_i32).prop_map(|(sku, count)| Ask::Introduce(sku, count)),
        1 => (a_sku(), 1..6_i32).prop_map(|(sku, count)| Ask::Restock(sku, count)),
        4 => (0..8_u8, lines).prop_map(|(order, lines)| Ask::Reserve(order, lines)),
        2 => (0..8_u8).prop_map(Ask::Commit),
        2 => (0..8_u8).prop_map(Ask::Release),
    ]
}

impl ReferenceStateMachine for Books {
    type State = Self;
    type Transition = Batch;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Batch> {
        (vec(ask(), 1..8), prop_oneof![4 => Just(true), 1 => Just(false)])
            .prop_map(|(asks, commit)| Batch { asks, commit })
            .boxed()
    }

    fn apply(before: Self, batch: &Batch) -> Self {
        let mut books = before.clone();
        let answers = batch.asks.iter().map(|ask| books.answer(ask)).collect();
        let books = if batch.commit { books } else { before };
        Self { answers, ..books }
    }
}

/// One service for all histories; each history begins without stock.
struct Fixture {
    runtime: Runtime,
    service: Arc<TestService>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let service = runtime.block_on(TestService::new());
    Fixture { runtime, service }
});

fn command(ask: Ask) -> InventoryCommand {
    let of_product = |text, command| InventoryCommand::Product { sku: sku(text), command };
    let of_order = |order, command| InventoryCommand::Reservation { order: id(order), command };
    match ask {
        Ask::Introduce(text, count) => introduce(text, count),
        Ask::Restock(text, count) => {
            let quantity = Quantity::new(count).unwrap();
            of_product(text, product::ProductCommand::Restock { quantity })
        }
        Ask::Reserve(order, lines) => {
            let line = |(text, count)| (sku(text), Quantity::new(count).unwrap());
            let lines = OrderLines::new(lines.into_iter().map(line)).unwrap();
            of_order(order, reservation::ReservationCommand::Reserve { lines })
        }
        Ask::Commit(order) => of_order(order, reservation::ReservationCommand::Commit),
        Ask::Release(order) => of_order(order, reservation::ReservationCommand::Release),
    }
}

fn id(order: u8) -> OrderId {
    OrderId(Uuid::from_u128(order.into()))
}

/// The answer to each command, with one word per event.
async fn execute(service: &TestService, Batch { asks, commit }: Batch) -> Vec<String> {
    let request = |ask| StockRequest { command: command(ask), trace: None };
    let requests: Vec<StockRequest> = asks.into_iter().map(request).collect();
    let mut tx = db::begin(&service.pool).await.unwrap();
    let outcome = service.app.execute(&mut tx, &requests).await.unwrap();
    drop(outcome.effects.save(&mut tx, &WorkerWakers::default()).await.unwrap());
    if commit {
        tx.commit().await.unwrap();
    } else {
        tx.rollback().await.unwrap();
    }
    let words = |events: Vec<InventoryEvent>| {
        events.iter().map(InventoryEvent::name).collect::<Vec<_>>().join(" ")
    };
    let answers = outcome.answers.into_iter();
    answers
        .map(|result| result.decision.map_or_else(|_refused| "refused".to_owned(), words))
        .collect()
}

struct Ledger;

impl StateMachineTest for Ledger {
    type SystemUnderTest = ();
    type Reference = Books;

    fn init_test(_: &Books) {
        FIXTURE.runtime.block_on(async {
            let tables = "TRUNCATE products, reservations, messaging.outbox";
            FIXTURE.service.pool.execute(tables).await.unwrap();
        });
    }

    fn apply((): (), books: &Books, batch: Batch) {
        assert_eq!(FIXTURE.runtime.block_on(execute(&FIXTURE.service, batch)), books.answers);
    }

    fn check_invariants((): &(), books: &Books) {
        FIXTURE.runtime.block_on(async {
            let service = &FIXTURE.service;
            for sku in &books.listed {
                let (available, reserved, sold) = service.counts(sku).await;
                for (account, count) in [
                    (Account::Available, available),
                    (Account::Reserved, reserved),
                    (Account::Sold, sold),
                ] {
                    assert_eq!(count, books.balance(sku, account), "{sku}: {account:?}");
                }
            }
            let fates = books.fates.iter().map(|(n, fate)| (id(*n).0, fate.name().to_owned()));
            assert_eq!(service.stages().await, fates.collect::<BTreeMap<_, _>>());
            service.assert_adds_up().await;
        });
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        max_shrink_iters: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_stock_ledger_is_its_books_in_every_history(sequential 1..12 => Ledger);
}
