//! Reading orders and products page by page; waiting for an order to end.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use devstack::TestWait;
use time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    kit::{Shop, ask},
    words::paid,
};

/// Follows the cursors to the end; what stands in the field `name` of each item.
async fn walk(shop: &Shop, path: &str, name: &str) -> Vec<String> {
    let mut seen = vec![];
    let mut next = path.to_owned();
    loop {
        let page = shop.get(&next).await.json();
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|value| value[name].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { return seen };
        next = format!("{path}&cursor={cursor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_orders_hold_each_order_once_youngest_first() {
    let shop = Shop::open().await;
    let mut orders: Vec<String> = vec![];
    for _ in 0..7 {
        orders.push(shop.place().await.to_string());
        shop.clock.advance(Duration::MILLISECOND);
    }
    orders.reverse();
    for limit in [1, 2, 7, 50] {
        assert_eq!(walk(&shop, &format!("/orders?limit={limit}"), "id").await, orders, "{limit}");
    }
    let confirmed: Uuid = orders[3].parse().unwrap();
    shop.consumer.process_batch(&[shop.say(confirmed, &paid(confirmed, 500))]).await.unwrap();
    assert_eq!(walk(&shop, "/orders?status=confirmed&limit=1", "id").await, [orders[3].clone()]);
    assert_eq!(walk(&shop, "/orders?status=pending&limit=4", "id").await.len(), 6);
    assert!(walk(&shop, "/orders?status=cancelled&limit=4", "id").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_placed_meanwhile_shifts_no_page() {
    let shop = Shop::open().await;
    for _ in 0..3 {
        shop.place().await;
        shop.clock.advance(Duration::MILLISECOND);
    }
    let first = shop.get("/orders?limit=2").await.json();
    shop.place().await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = shop.get(&format!("/orders?limit=2&cursor={cursor}")).await.json();
    assert_eq!(second["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_products_are_in_the_order_of_their_skus() {
    let shop = Shop::open().await;
    for sku in ["Zimt", "anis", "b-1", "b_1", "b.1"] {
        shop.offer(sku, 100, "EUR", sku != "anis").await;
    }
    let skus = ["Zimt", "anis", "b-1", "b.1", "b_1", "cup", "tea"];
    assert_eq!(walk(&shop, "/products?limit=3", "sku").await, skus);
    let page = shop.get("/products").await.json();
    assert_eq!(page["items"][1]["active"], false);
    assert_eq!(page["items"][1]["price"], 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_prefers_to_wait_is_answered_when_the_order_has_ended() {
    let shop = Shop::open().await;
    let order = shop.place().await;
    let request = |wait: &str| {
        let request = Request::get(format!("/orders/{order}")).header("prefer", wait);
        request.body(Body::empty()).unwrap()
    };
    let at_once = ask(&shop.api, request("wait=0")).await;
    assert_eq!(at_once.json()["status"], "pending");
    let payment = [shop.say(order, &paid(order, 500))];
    // The payment may take longer than anybody may wait: then they ask again.
    let waiting = async {
        let mut patience = TestWait::until("the order has ended");
        loop {
            let asked = Instant::now();
            let reply = ask(&shop.api, request("wait=8")).await;
            if reply.json()["status"] != "pending" {
                return reply;
            }
            assert!(asked.elapsed().as_secs() >= 8, "it did not wait: {reply:?}");
            patience.looked(reply.status);
        }
    };
    let (reply, taken) = tokio::join!(waiting, shop.consumer.process_batch(&payment));
    taken.unwrap();
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.json()["status"], "confirmed");
    assert_eq!(reply.header("preference-applied"), "wait=8");
}
