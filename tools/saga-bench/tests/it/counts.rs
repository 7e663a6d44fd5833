//! An order costs no more than it did: counts, which do not depend on the machine's mood.
//!
//! The numbers are those of 200 orders that end in every way, in batches of 20, on a server of this
//! test's own whose vacuum is off.

use devstack::{ServerSource, ServerStack, SilentProgress, StackPart, WantedParts};
use saga_bench::{
    saga::SERVICES,
    saga_cost::{OrderCost, RunSize, SagaCost, measure},
    server_counters::ServerCounter,
};

/// What an order costs each service, as measured: statements, transactions, buffers, WAL bytes,
/// batches that the relay publishes ([`OrderCost`]).
///
/// A run prints this table with its own numbers (`--no-capture`, and when it fails). Lower numbers
/// are taken over with the change that lowered them, else the next change may use up what was won.
/// A change that has to raise one says what the order gets for it, in its commit.
const MEASURED: [(&str, [f64; 5]); 4] = [
    ("order-service", [2.670, 0.485, 105.8, 7452.0, 0.150]),
    ("inventory-service", [1.495, 0.270, 45.2, 3022.6, 0.120]),
    ("payment-service", [2.070, 0.375, 58.5, 3958.5, 0.065]),
    ("notify-service", [2.405, 0.395, 60.7, 4531.0, 0.115]),
];

/// How far above what was measured each count may be.
const MARGINS: [f64; 5] = [1.05, 1.05, 1.05, 1.10, 1.05];

const SIZE: RunSize = RunSize { before: 40, orders: 200, batch: 20 };

/// Measurements that a checkpoint may disturb before the test gives up.
const TRIES: usize = 4;

async fn undisturbed(server_url: &str, registry_url: &str) -> SagaCost {
    for _ in 0..TRIES {
        let prefix = devstack::unique_prefix();
        let cost = Box::pin(measure(server_url, (registry_url, &prefix), SIZE)).await.unwrap();
        if !cost.is_disturbed {
            return cost;
        }
    }
    panic!("{TRIES} measurements were disturbed")
}

/// The counts that are above their limits.
fn excesses(cost: &SagaCost) -> Vec<String> {
    let mut found = Vec::new();
    for ((service, measured), cost) in MEASURED.iter().zip(&cost.services) {
        for (place, now) in cost.counts().into_iter().enumerate() {
            let limit = measured[place] * MARGINS[place];
            if now > limit {
                let name = OrderCost::NAMES[place];
                found.push(format!("{service}: {now:.3} {name} an order, at most {limit:.3}"));
            }
        }
    }
    found
}

/// The statements that an order is made of, the most expensive first.
#[expect(
    clippy::print_stdout,
    reason = "a reader of the numbers wants to know where they come from"
)]
fn print_statements(cost: &SagaCost) {
    println!("  buffers      WAL   rows  calls");
    for statement in &cost.statements {
        let query = statement.query.split_whitespace().collect::<Vec<_>>().join(" ");
        let query: String = query.chars().take(100).collect();
        let (buffers, wal_bytes) = (statement.buffers, statement.wal_bytes);
        let (rows, calls) = (statement.rows, statement.calls);
        println!("{buffers:9} {wal_bytes:8} {rows:6} {calls:6}  {query}");
    }
}

// On one thread, jobs end in the order in which they begin.
#[tokio::test]
async fn an_order_costs_no_more_statements_pages_and_bytes_than_it_did() {
    assert_eq!(MEASURED.map(|(service, _)| service), SERVICES);
    let registry_url = &devstack::shared().await.urls().registry;
    let parts = WantedParts::of(&[StackPart::Postgres]).forgetful();
    let stack = ServerStack::start(ServerSource::Native, parts, &SilentProgress).await.unwrap();
    let server_url = &stack.urls().postgres;
    ServerCounter::connect(server_url).await.unwrap().stop_autovacuum().await.unwrap();
    let cost = undisturbed(server_url, registry_url).await;
    println!("measured:\n{cost}");
    print_statements(&cost);
    let again = undisturbed(server_url, registry_url).await;
    println!("and again:\n{again}");
    for (service, (first, second)) in SERVICES.iter().zip(cost.services.iter().zip(&again.services))
    {
        for (place, (first, second)) in first.counts().into_iter().zip(second.counts()).enumerate()
        {
            // Ids and times are others each time: where a page is split, and how long a time is as
            // text, differs a little.
            let name = OrderCost::NAMES[place];
            let tolerance = if matches!(name, "buffers" | "WAL bytes") { 0.03 } else { 0.0 };
            let differ = (first - second).abs();
            if differ > tolerance * first {
                print_statements(&again);
                panic!("{service}: {first} {name}, then {second}");
            }
        }
    }
    let excesses = excesses(&cost);
    assert!(excesses.is_empty(), "an order costs more than it did: {excesses:#?}\nnow:\n{cost}");
    stack.stop().await;
}
