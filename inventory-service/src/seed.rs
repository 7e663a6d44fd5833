//! Initial products: a small shop for the demo, a long list for load tests.
//!
//! Introducing a product that exists changes nothing, so the seed may run at each start of each
//! instance: a changed price stays changed, and no stock is added twice.

use futures_util::future;
use shared::{
    batcher::{CommandBatcher, SubmitError},
    dependency::{self, WaitOutcome},
    health::HealthComponent,
    idempotency::IdempotentAnswer,
    telemetry::spans::{Kind, OpenSpan},
};
use tokio_util::sync::CancellationToken;

use crate::{
    commands::{ChangeProduct, ChangeProducts},
    domain::{
        naming::{Quantity, Sku},
        product::{ProductCommand, ProductOffer},
    },
};

/// Products introduced at the same time: well below the capacity of a batcher.
const BATCH: usize = 500;

/// The quantity of one product that a load test may take.
const LOAD_STOCK: i32 = 1_000_000_000;

/// A product that is there from the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductSeed {
    pub sku: Sku,
    pub offer: ProductOffer,
    /// The product's initial stock.
    pub quantity: Option<Quantity>,
}

/// The demo's shop: for each outcome of an order there is a product that leads to it.
pub fn demo() -> Vec<ProductSeed> {
    [
        ("desk-lamp", "Desk lamp", 4_990, 500),
        ("espresso-machine", "Espresso machine", 64_900, 100),
        ("coffee-beans", "Coffee beans, 1 kg", 1_890, 1_000),
        ("notebook-a5", "Notebook A5, dotted", 790, 2_000),
        ("usb-c-cable", "USB-C cable, 2 m", 1_490, 5_000),
        ("standing-desk", "Standing desk", 54_900, 25),
        // The last one: of two orders, one is out of stock.
        ("first-edition", "First edition, signed", 125_000, 1),
        // Never in stock: every order for it is cancelled.
        ("unobtainium", "Unobtainium, 1 g", 99_900, 0),
    ]
    .into_iter()
    .filter_map(|(sku, name, price_minor, count)| seed(sku, name, price_minor, count))
    .collect()
}

/// `n` products with more stock than a load test can take: `load-0001` and so on.
pub fn load(n: u32) -> Vec<ProductSeed> {
    (1..=n)
        .filter_map(|i| {
            seed(&format!("load-{i:04}"), &format!("Load test product {i}"), 1_000, LOAD_STOCK)
        })
        .collect()
}

/// A seed; `None` if its values are not valid, which the tests of the settings would detect.
fn seed(sku: &str, name: &str, price_minor: i64, count: i32) -> Option<ProductSeed> {
    let offer = ProductOffer::new(name.to_owned(), price_minor, "EUR".to_owned(), true).ok()?;
    Some(ProductSeed { sku: Sku::parse(sku)?, offer, quantity: Quantity::new(count) })
}

/// Introduces the products like any caller, and retries without limit.
pub async fn plant(
    batcher: &CommandBatcher<ChangeProducts>,
    seeds: &[ProductSeed],
    health: &HealthComponent,
    stop: &CancellationToken,
) {
    for batch in seeds.chunks(BATCH) {
        let attempt = async || introduce(batcher, batch).await;
        match dependency::wait(health, stop, |_: &SubmitError| true, attempt).await {
            WaitOutcome::Up(()) => (),
            WaitOutcome::Refused(_) | WaitOutcome::Stopped => return,
        }
    }
    tracing::info!(products = seeds.len(), "products are introduced");
}

async fn introduce(
    batcher: &CommandBatcher<ChangeProducts>,
    seeds: &[ProductSeed],
) -> Result<(), SubmitError> {
    let span = OpenSpan::begin(Kind::Internal, None, || "introduce products".into());
    let changes = seeds.iter().map(|ProductSeed { sku, offer, quantity }| ChangeProduct {
        sku: sku.clone(),
        command: ProductCommand::Introduce { offer: offer.clone(), quantity: *quantity },
        key: None,
        trace: Some(span.trace().into()),
    });
    let answers = future::try_join_all(changes.map(|change| batcher.submit(change))).await?;
    // A product is introduced or known; neither is refused.
    debug_assert!(answers.iter().all(|answer| matches!(answer, IdempotentAnswer::Accepted { .. })));
    span.end();
    Ok(())
}
