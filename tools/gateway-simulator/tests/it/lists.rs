//! Reading what was charged and refunded, page by page.

use serde_json::{Value, json};

use crate::simulator::{Simulator, charge};

async fn ids_by_pages(gateway: &Simulator, path: &str) -> (Vec<Value>, usize) {
    let (mut ids, mut pages, mut after) = (Vec::new(), 0, String::new());
    loop {
        let page = gateway.get(&format!("{path}{after}")).await.json();
        assert_eq!(page["object"], "list");
        ids.extend(page["data"].as_array().unwrap().iter().map(|object| object["id"].clone()));
        pages += 1;
        if page["has_more"] == false {
            return (ids, pages);
        }
        after = format!("&starting_after={}", ids.last().unwrap().as_str().unwrap());
    }
}

#[tokio::test]
async fn charges_are_listed_newest_first_in_pages() {
    let gateway = Simulator::start().await;
    let mut newest_first = Vec::new();
    for number in 0..7 {
        let order = if number % 2 == 0 { "even" } else { "odd" };
        let answer = gateway.charge(&format!("k{number}"), &charge("tok_visa", order)).await;
        newest_first.insert(0, answer.json()["id"].clone());
        gateway.charge(&format!("d{number}"), &charge("tok_expired", order)).await;
    }
    let (all, pages) = ids_by_pages(&gateway, "/charges?limit=3").await;
    assert_eq!((&all, pages), (&newest_first, 3));
    let (odd, pages) = ids_by_pages(&gateway, "/charges?limit=2&order_id=odd").await;
    let expected: Vec<_> = newest_first.iter().skip(1).step_by(2).cloned().collect();
    assert_eq!((odd, pages), (expected, 2));

    let by_key = gateway.get("/charges?key=k3").await.json();
    assert_eq!((&by_key["data"][0]["id"], &by_key["has_more"]), (&newest_first[3], &json!(false)));
    for nothing in ["key=unknown", "order_id=unknown", "key=d1", "key=k3&order_id=even"] {
        assert_eq!(gateway.get(&format!("/charges?{nothing}")).await.json()["data"], json!([]));
    }
}

#[tokio::test]
async fn refunds_are_listed_newest_first_in_pages() {
    let gateway = Simulator::start().await;
    let first = gateway.charge("c1", &charge("tok_visa", "order-1")).await.json()["id"].clone();
    let second = gateway.charge("c2", &charge("tok_visa", "order-2")).await.json()["id"].clone();
    let mut newest_first = Vec::new();
    for number in 0..5 {
        let body = json!({ "charge": first, "amount": 100 });
        let answer = gateway.refund(&format!("r{number}"), &body).await;
        newest_first.insert(0, answer.json()["id"].clone());
    }
    let other = gateway.refund("other", &json!({ "charge": second })).await.json()["id"].clone();
    let path = format!("/refunds?limit=2&charge={}", first.as_str().unwrap());
    assert_eq!(ids_by_pages(&gateway, &path).await, (newest_first.clone(), 3));
    newest_first.insert(0, other);
    assert_eq!(ids_by_pages(&gateway, "/refunds?limit=4").await, (newest_first, 2));
    assert_eq!(gateway.get("/refunds?charge=ch_unknown").await.status, 404);
}

#[tokio::test]
async fn a_senseless_question_is_refused() {
    let gateway = Simulator::start().await;
    for query in ["limit=0", "limit=1001", "limit=x", "starting_after=ch_unknown", "orderid=1"] {
        assert_eq!(gateway.get(&format!("/charges?{query}")).await.status, 400, "{query}");
    }
    assert_eq!(gateway.get("/charges/ch_unknown").await.status, 404);
    assert_eq!(gateway.get("/nowhere").await.status, 404);
    assert_eq!(gateway.get("/livez").await.status, 200);
}
