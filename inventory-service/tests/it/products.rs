//! The REST API, called over a socket.

use std::sync::Arc;

use contract::ProductChanged;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    kit::{TestService, outside},
    shop::{Shop, code},
};

#[tokio::test]
async fn a_product_is_listed_changed_and_left_alone() {
    let shop = Shop::open().await;
    let lamp = json!({"name": "Lamp", "price_minor": 4900, "currency": "EUR"});

    let (status, location, body) = shop.put("lamp", &lamp).await;
    assert_eq!((status, location.as_deref()), (StatusCode::CREATED, Some("/products/lamp")));
    let listed = json!({
        "sku": "lamp", "name": "Lamp", "price_minor": 4900, "currency": "EUR", "active": true,
    });
    assert_eq!(body, listed);
    let (status, location, _) = shop.put("lamp", &lamp).await;
    assert_eq!((status, location), (StatusCode::OK, None));
    let gone = json!({"name": "Lamp", "price_minor": 4900, "currency": "EUR", "active": false});
    assert_eq!(shop.put("lamp", &gone).await.0, StatusCode::OK);

    assert_eq!(shop.get("/products/lamp").await.1["active"], false);
    let said = shop.service.said().await;
    let changed = |sequence| ("product-changed".to_owned(), "lamp".to_owned(), sequence);
    assert_eq!(said.iter().map(outside).collect::<Vec<_>>(), [changed(1), changed(2)]);
    let records: Vec<ProductChanged> =
        vec![shop.service.read(&said[0]).await, shop.service.read(&said[1]).await];
    assert_eq!((records[0].active, records[1].active), (true, false));
    assert_eq!((&*records[0].name, records[0].price_minor), ("Lamp", 4900));
}

#[tokio::test]
async fn a_delivery_has_its_effect_once_per_key() {
    let shop = Shop::open().await;
    shop.service.stock(&[("lamp", 10), ("chair", 5)]).await;

    let (status, body) = shop.restock("lamp", "monday", 7).await;
    assert_eq!(status, StatusCode::OK);
    let stock = json!({"sku": "lamp", "available": 17, "reserved": 0, "sold": 0, "stocked": 17});
    assert_eq!(body, stock);
    shop.restock("lamp", "tuesday", 1).await;

    assert_eq!(shop.restock("lamp", "monday", 7).await, (StatusCode::OK, stock));
    assert_eq!(code(&shop.restock("lamp", "monday", 8).await.1), "idempotency-key-reused");
    assert_eq!(code(&shop.restock("chair", "monday", 7).await.1), "idempotency-key-reused");
    assert_eq!(shop.service.counts("lamp").await, (18, 0, 0));
    assert_eq!(shop.service.counts("chair").await, (5, 0, 0));
    shop.service.assert_adds_up().await;
}

#[tokio::test]
async fn many_callers_with_one_key_deliver_once_and_are_all_told_the_same() {
    let service = TestService::new().await;
    service.stock(&[("lamp", 10)]).await;
    // Two instances of the service over one database.
    let (here, there) = (Shop::of(Arc::clone(&service)).await, Shop::of(service).await);
    let calls = (0..20).map(|i| if i % 2 == 0 { &here } else { &there });

    let answers =
        futures_util::future::join_all(calls.map(|shop| shop.restock("lamp", "once", 5))).await;

    let stock = json!({"sku": "lamp", "available": 15, "reserved": 0, "sold": 0, "stocked": 15});
    assert!(answers.iter().all(|pair| *pair == (StatusCode::OK, stock.clone())), "{answers:?}");
    assert_eq!(here.service.counts("lamp").await, (15, 0, 0));
}

#[tokio::test]
async fn a_repeat_is_marked_and_another_clients_key_is_another_key() {
    let shop = Shop::open().await;
    shop.service.stock(&[("lamp", 10)]).await;
    let delivery = json!({"quantity": 5});
    let mut bodies = vec![];
    for (client, replayed) in [("ada", false), ("ada", true), ("bob", false)] {
        let response = shop.restock_as(client, "lamp", "monday", &delivery).await;
        assert_eq!(response.headers().contains_key("idempotency-replayed"), replayed, "{client}");
        bodies.push(response.bytes().await.unwrap());
    }
    assert_eq!(bodies[0], bodies[1], "to the byte");
    assert_eq!(shop.service.counts("lamp").await, (20, 0, 0));
}

#[tokio::test]
async fn a_delivery_that_is_spelled_in_another_way_is_the_same_delivery() {
    let shop = Shop::open().await;
    shop.service.stock(&[("lamp", 10)]).await;
    for quantity in [json!(5), json!(5.0)] {
        let response =
            shop.restock_as("ada", "lamp", "monday", &json!({"quantity": quantity})).await;
        assert_eq!(response.status(), StatusCode::OK, "{quantity}");
    }
    assert_eq!(shop.service.counts("lamp").await, (15, 0, 0));
}

#[tokio::test]
async fn a_delivery_that_was_refused_leaves_its_key_free() {
    let shop = Shop::open().await;

    assert_eq!(code(&shop.restock("lamp", "monday", 7).await.1), "product-unknown");
    shop.service.stock(&[("lamp", 0)]).await;

    assert_eq!(shop.restock("lamp", "monday", 7).await.0, StatusCode::OK);
    assert_eq!(shop.service.counts("lamp").await, (7, 0, 0));
}

#[tokio::test]
async fn each_way_to_be_wrong_has_its_problem() {
    let shop = Shop::open().await;
    shop.service.stock(&[("lamp", 10)]).await;
    let offer = |name: &str, price: i64, currency: &str| json!({"name": name, "price_minor": price, "currency": currency});
    let puts = [
        ("a%20lamp", offer("Lamp", 1, "EUR"), 422, "sku-invalid", None),
        ("lamp", offer(" ", 1, "EUR"), 422, "invalid-body", Some("/name")),
        ("lamp", offer("Lamp", -1, "EUR"), 422, "invalid-body", Some("/price_minor")),
        ("lamp", offer("Lamp", 1, "euro"), 422, "invalid-body", Some("/currency")),
        ("lamp", offer("Lamp", 1, "XYZ"), 422, "invalid-body", Some("/currency")),
        ("lamp", offer("Lamp", 1, "XXX"), 422, "invalid-body", Some("/currency")),
        ("lamp", offer("Lamp", 1, "XAU"), 422, "invalid-body", Some("/currency")),
        ("lamp", json!({"name": "Lamp"}), 422, "invalid-body", Some("/price_minor")),
        ("lamp", json!({"name": 1}), 422, "invalid-body", Some("/name")),
    ];
    for (sku, body, status, expected, pointer) in puts {
        let (answered, _, problem) = shop.put(sku, &body).await;
        assert_eq!((answered.as_u16(), code(&problem)), (status, expected), "{body}");
        assert_eq!(problem["errors"][0]["pointer"].as_str(), pointer, "{problem}");
    }
    let restocks = [
        ("chair", json!({"quantity": 1}), 404, "product-unknown"),
        ("a%20lamp", json!({"quantity": 1}), 404, "product-unknown"),
        ("lamp", json!({"quantity": 0}), 422, "invalid-body"),
        ("lamp", json!({"quantity": 4_000_000_000_u32}), 422, "invalid-body"),
        ("lamp", json!({"quantity": 1, "price": 2}), 422, "invalid-body"),
    ];
    for (place, (sku, body, status, expected)) in restocks.into_iter().enumerate() {
        let (answered, problem) = shop.restock_with(sku, &format!("k{place}"), &body).await;
        assert_eq!((answered.as_u16(), code(&problem)), (status, expected), "{body}");
    }
    for (path, status, expected) in [
        ("/products/chair", 404, "product-unknown"),
        ("/stock/chair", 404, "product-unknown"),
        ("/products?limit=0", 400, "malformed-request"),
        ("/stock?limit=201", 400, "malformed-request"),
        ("/products?cursor=a%20b", 400, "malformed-request"),
        ("/products?page=2", 400, "malformed-request"),
        ("/nowhere", 404, "not-found"),
    ] {
        let (answered, problem) = shop.get(path).await;
        assert_eq!((answered.as_u16(), code(&problem)), (status, expected), "{path}");
    }
    assert_eq!(shop.service.counts("lamp").await, (10, 0, 0));
}

#[tokio::test]
async fn a_product_from_before_its_currency_was_refused_is_still_shown_restocked_and_priced_anew() {
    let shop = Shop::open().await;
    shop.service.stock(&[("lamp", 10)]).await;
    let old = "UPDATE products SET currency = 'XYZ'";
    sqlx::query(old).execute(&shop.service.pool).await.unwrap();
    assert_eq!(shop.get("/products/lamp").await.1["currency"], "XYZ");
    assert_eq!(shop.restock("lamp", "monday", 5).await.0, StatusCode::OK);
    assert_eq!(shop.service.counts("lamp").await, (15, 0, 0));
    let offer = json!({"name": "Lamp", "price_minor": 1, "currency": "KWD"});
    assert_eq!(shop.put("lamp", &offer).await.0, StatusCode::OK);
    assert_eq!(shop.get("/products/lamp").await.1["currency"], "KWD");
}

#[tokio::test]
async fn a_delivery_without_a_key_is_refused() {
    let shop = Shop::open().await;
    shop.service.stock(&[("lamp", 10)]).await;
    let request = shop.client.post(shop.url("/products/lamp/restock"));
    let response = request.json(&json!({"quantity": 1})).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(code(&response.json().await.unwrap()), "idempotency-key-missing");
    assert_eq!(shop.service.counts("lamp").await, (10, 0, 0));
}

#[tokio::test]
async fn lists_come_page_by_page_in_the_order_of_the_skus() {
    let shop = Shop::open().await;
    shop.service.stock(&[("b", 2), ("a", 1), ("C", 3), ("d", 4), ("e", 5)]).await;
    for list in ["/products", "/stock"] {
        let mut seen = Vec::new();
        let mut path = format!("{list}?limit=2");
        loop {
            let (status, page) = shop.get(&path).await;
            assert_eq!(status, StatusCode::OK);
            let items = page["items"].as_array().unwrap();
            assert!((1..=2).contains(&items.len()));
            seen.extend(items.iter().map(|item| item["sku"].as_str().unwrap().to_owned()));
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("{list}?limit=2&cursor={cursor}");
        }
        assert_eq!(seen, ["C", "a", "b", "d", "e"], "{list}");
    }
    let (_, all) = shop.get("/products").await;
    assert_eq!((all["items"].as_array().unwrap().len(), &all["next_cursor"]), (5, &Value::Null));
    assert_eq!(shop.get("/stock/C").await.1["available"], 3);
}

#[tokio::test]
async fn each_problem_leads_to_its_page() {
    let shop = Shop::open().await;
    let (_, problem) = shop.get("/products/nothing").await;
    let page = shop.client.get(shop.url(problem["type"].as_str().unwrap())).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    assert!(page.text().await.unwrap().contains("code `product-unknown`"));
}

#[tokio::test]
async fn the_api_is_described_as_committed() {
    let shop = Shop::open().await;
    let (status, document) = shop.get("/openapi.json").await;
    assert_eq!(status, StatusCode::OK);
    let mut fresh = serde_json::to_string_pretty(&document).unwrap();
    fresh.push('\n');
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    if std::fs::read_to_string(&file).unwrap_or_default() != fresh {
        std::fs::write(&file, &fresh).unwrap();
        panic!("openapi.json was out of date and has been written anew: look at it and commit it");
    }
}
