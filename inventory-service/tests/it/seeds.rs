//! Initial products (seeds).

use std::sync::Arc;

use inventory_service::seed::{self, plant};
use serde_json::json;
use shared::health::ProcessHealth;
use tokio_util::sync::CancellationToken;

use crate::shop::Shop;

async fn start(shop: &Shop, seeds: &[seed::ProductSeed]) {
    let health = ProcessHealth::default().component("products");
    plant(&shop.batcher, seeds, &health, &CancellationToken::new()).await;
}

#[tokio::test]
async fn each_start_introduces_what_is_new_and_leaves_what_is_known() {
    let shop = Shop::open().await;
    start(&shop, &seed::demo()).await;
    assert_eq!(shop.service.counts("desk-lamp").await, (500, 0, 0));
    assert_eq!(shop.service.counts("unobtainium").await, (0, 0, 0));
    assert_eq!(shop.service.said().await.len(), 8);

    let dearer = json!({"name": "Desk lamp", "price_minor": 5990, "currency": "EUR"});
    shop.put("desk-lamp", &dearer).await;
    shop.restock("desk-lamp", "monday", 1).await;
    let mut seeds = seed::demo();
    seeds.extend(seed::load(600));
    start(&shop, &seeds).await;

    assert_eq!(shop.get("/products/desk-lamp").await.1["price_minor"], 5990);
    assert_eq!(shop.service.counts("desk-lamp").await, (501, 0, 0));
    assert_eq!(shop.service.counts("load-0600").await, (1_000_000_000, 0, 0));
    assert_eq!(shop.service.said().await.len(), 8 + 1 + 600);
    shop.service.assert_adds_up().await;
}

#[tokio::test]
async fn two_instances_that_start_at_once_introduce_each_product_once() {
    let here = Shop::open().await;
    let there = Shop::of(Arc::clone(&here.service)).await;
    let seeds = seed::load(300);

    tokio::join!(start(&here, &seeds), start(&there, &seeds));

    let said = here.service.said().await;
    assert_eq!(said.len(), 300, "each product is said once");
    assert_eq!(here.service.counts("load-0001").await, (1_000_000_000, 0, 0));
    here.service.assert_adds_up().await;
}
