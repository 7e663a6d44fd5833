//! All that makes the services send statements.

use nix::sys::signal::Signal;
use reqwest::Client;
use sagactl::{
    dead_letters::api::AdminClient,
    http_client::http_client,
    payments::{PaymentAdmin, ReviewDecision},
};
use serde_json::{Value, json};
use shared::dead_letter::LetterFilter;
use sqlx::Executor as _;
use uuid::Uuid;
use xtask::{client::PlaceAnswer, cluster::ProcessName};

use super::connect;
use crate::{
    letters,
    raw::{self, Raw},
    read,
    stage::{self, Stage, answered, insist, until},
};

const SKU: &str = "load-0001";

/// Ends the services and starts them again: they look after old rows, and plan anew.
pub(super) async fn restart(stage: &mut Stage) {
    for member in ProcessName::SERVICES {
        stage.cluster.end(member, Signal::SIGTERM).await.unwrap();
        stage.cluster.launch(member).unwrap();
    }
    for member in ProcessName::SERVICES {
        stage.cluster.ready(member).await.unwrap();
    }
}

/// Everything once, and some of it many times at once. `round` names its requests.
pub(super) async fn all(stage: &mut Stage, round: &str) {
    stage::place_crowd(&stage.orders, round, 40).await;
    let order_id = outcomes(stage, round).await;
    products(stage, round).await;
    pages(stage, order_id).await;
    review(stage).await;
    repeat(stage).await;
    dead_messages(stage).await;
    dead_jobs(stage, order_id).await;
    away(stage).await;
}

/// Orders of each outcome; answers one that was confirmed.
async fn outcomes(stage: &Stage, round: &str) -> Uuid {
    let again = stage::wish(SKU, "tok_visa");
    let unknown = stage::wish("no-such-product", "tok_visa");
    for wish in [&again, &again] {
        stage.answer(&format!("{round}-again"), wish).await;
    }
    let refused = stage.answer(&format!("{round}-unknown"), &unknown).await;
    assert!(matches!(refused, PlaceAnswer::Refused(..)), "{refused:?}");
    let confirmed = stage.place(SKU, "tok_visa").await.id;
    let short = stage.place("unobtainium", "tok_visa").await.id;
    let declined = stage.place(SKU, "tok_chargeDeclined").await.id;
    let lost = stage.place(SKU, "tok_lost").await.id;
    let hasty = stage.place(SKU, "tok_slow").await.id;
    stage.history(hasty, &["stock-reserved"]).await;
    stage.cancel(hasty).await;
    stage.history(confirmed, &["order-confirmed"]).await;
    let changed = stage.place(SKU, "tok_visa").await.id;
    stage.history(changed, &["order-confirmed"]).await;
    stage.cancel(changed).await;
    for (order_id, what) in [
        (confirmed, "notification-sent"),
        (short, "notification-sent"),
        (declined, "notification-sent"),
        (lost, "notification-sent"),
        (hasty, "order-cancelled"),
        (changed, "payment-refunded"),
    ] {
        stage.history(order_id, &[what]).await;
    }
    confirmed
}

async fn products(stage: &Stage, round: &str) {
    let (http, url) = (http_client().unwrap(), stage.cluster.url(ProcessName::Inventory));
    for n in 0..3 {
        let product = json!({ "name": "Lamp", "price_minor": 100 + n, "currency": "EUR" });
        let put = http.put(format!("{url}/products/{round}-{n}")).json(&product);
        assert!(answered(put).await.status().is_success());
        let restock = http.post(format!("{url}/products/{round}-{n}/restock"));
        let restock = restock.header("Idempotency-Key", format!("\"{round}-{n}\""));
        assert!(answered(restock.json(&json!({ "quantity": 5 }))).await.status().is_success());
    }
}

/// The pages of all REST APIs.
async fn pages(stage: &Stage, order_id: Uuid) {
    let http = http_client().unwrap();
    let orders = stage.cluster.url(ProcessName::Orders);
    let (stock, payments) =
        (stage.cluster.url(ProcessName::Inventory), stage.cluster.url(ProcessName::Payments));
    let notify = stage.cluster.url(ProcessName::Notify);
    let mut urls = vec![
        format!("{orders}/orders"),
        format!("{orders}/orders/{order_id}"),
        format!("{orders}/products"),
        format!("{stock}/products"),
        format!("{stock}/products/{SKU}"),
        format!("{stock}/stock"),
        format!("{stock}/stock/{SKU}"),
        format!("{payments}/payments"),
        format!("{payments}/payments/{order_id}"),
        format!("{notify}/notifications/{order_id}"),
    ];
    urls.extend(
        ["pending", "confirmed", "cancelled"].map(|s| format!("{orders}/orders?status={s}")),
    );
    urls.extend(
        ["done", "failed", "needs-review"].map(|s| format!("{payments}/payments?stage={s}")),
    );
    for member in ProcessName::SERVICES {
        let admin = stage.cluster.admin(member);
        urls.extend(["", "/reasons", "/decisions"].map(|s| format!("{admin}/dead-letters{s}")));
    }
    for url in urls {
        shown(&http, &url).await;
    }
}

async fn shown(http: &Client, url: &str) -> Value {
    let answer = answered(http.get(url)).await;
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
    answer.json().await.unwrap_or_default()
}

/// A payment that an operator decides.
async fn review(stage: &Stage) {
    let url = |text: String| reqwest::Url::parse(&text).unwrap();
    let (public, admin) = (
        url(stage.cluster.url(ProcessName::Payments)),
        url(stage.cluster.admin(ProcessName::Payments)),
    );
    let payments = PaymentAdmin::at(Some(public), Some(admin)).unwrap();
    let order = stage.place(SKU, "tok_wrongAmount").await;
    stage.history(order.id, &["payment-under-review"]).await;
    let decide = async || payments.review(order.id, ReviewDecision::Refund).await;
    insist("it is decided", decide).await;
    stage.history(order.id, &["payment-refunded"]).await;
}

/// A message that comes once more.
async fn repeat(stage: &Stage) {
    let brokers = &stage.cluster.stack().brokers;
    let topic = format!("{}payment-under-review", stage.cluster.prefix());
    let said = raw::read(brokers, &topic).await.remove(0);
    raw::say(brokers, vec![said]).await;
    read::to_the_end(&stage.cluster, ProcessName::Orders).await;
}

/// Messages that cannot be read: listed, tried again, ended.
async fn dead_messages(stage: &Stage) {
    let key = Uuid::new_v4();
    let poison = |payload: &str| Raw {
        topic: format!("{}stock-reserved", stage.cluster.prefix()),
        key: Some(key.to_string().into_bytes()),
        payload: Some(payload.as_bytes().to_vec()),
        ..Raw::default()
    };
    raw::say(&stage.cluster.stack().brokers, vec![poison("a"), poison("b")]).await;
    for member in [ProcessName::Orders, ProcessName::Payments] {
        letters::are_dead(stage, member, key, 2).await;
        let service = AdminClient::at(http_client().unwrap(), &stage.cluster.admin(member));
        let ids: Vec<Uuid> =
            letters::letters(stage, member, key).await.iter().map(|letter| letter.id).collect();
        for because in [None, Some("a test")] {
            for id in &ids {
                insist("it is decided", async || service.decide(*id, "ada", because).await).await;
                insist("it is shown", async || service.show(*id).await).await;
            }
        }
    }
}

/// A job that was given up, tried again and ended by an operator; and one of no kind.
async fn dead_jobs(stage: &Stage, order_id: Uuid) {
    let mut conn = connect(stage, ProcessName::Notify).await;
    let plant = "INSERT INTO messaging.job (kind, key, payload, state) VALUES ('email', $1, '{}', 'dead'), ('gone', $1, '{}', 'dead')";
    sqlx::query(plant).bind(format!("{order_id}.again")).execute(&mut conn).await.unwrap();
    let service =
        AdminClient::at(http_client().unwrap(), &stage.cluster.admin(ProcessName::Notify));
    let open = async |kind: &str| {
        let filter = LetterFilter { topic: Some(kind.to_owned()), ..LetterFilter::default() };
        service.list(&filter, 100).await.unwrap_or_default()
    };
    let job = open("email").await.remove(0);
    insist("it is tried again", async || service.decide(job.id, "ada", None).await).await;
    until("it is given up again", async || !open("email").await.is_empty()).await;
    for kind in ["email", "gone"] {
        for job in open(kind).await {
            insist("it is ended", async || service.decide(job.id, "ada", Some("a test")).await)
                .await;
            insist("it is shown", async || service.show(job.id).await).await;
        }
    }
    conn.execute("DELETE FROM messaging.job WHERE kind = 'email' AND state = 'dead'")
        .await
        .unwrap();
}

/// The gateway is away: charges are tried again, a refund is given up and waits for a person.
async fn away(stage: &mut Stage) {
    let paid = stage.place(SKU, "tok_visa").await;
    stage.history(paid.id, &["order-confirmed"]).await;
    stage.cluster.end(ProcessName::Gateway, Signal::SIGKILL).await.unwrap();
    let unpaid = stage.place(SKU, "tok_visa").await;
    stage.cancel(paid.id).await;
    stage.history(paid.id, &["payment-under-review"]).await;
    stage.cluster.restart(ProcessName::Gateway).await.unwrap();
    stage.history(unpaid.id, &["order-confirmed"]).await;
}
