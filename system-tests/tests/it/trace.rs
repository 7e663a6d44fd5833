//! An order's whole way as one tree of spans, as a collector receives it by OTLP.

use std::collections::BTreeSet;

use sagactl::{
    audit::Expected,
    fleet::{Fleet, Member},
};
use serde_json::json;

use self::{
    collector::{Collector, Recorded},
    tree::Tree,
};
use crate::stage::{self, until};

pub(crate) mod collector;
pub(crate) mod tree;

/// Whatever can be seen of an order that is confirmed, with the spans that it may hang on. Two
/// messages of two topics come in either order: who acts on the second of them, acts on either.
const WAY: &[(&str, &[&str])] = &[
    ("POST /orders", &[]),
    ("intake", &["POST /orders"]),
    ("transaction", &["POST /orders"]),
    ("outbox order-placed", &["transaction"]),
    ("send order-placed", &["transaction"]),
    ("topic order-placed", &["send order-placed"]),
    ("process order-placed", &["send order-placed"]),
    ("outbox stock-reserved", &["process order-placed"]),
    ("send stock-reserved", &["process order-placed"]),
    ("topic stock-reserved", &["send stock-reserved"]),
    ("process stock-reserved", &["send stock-reserved"]),
    ("job charge", &["process stock-reserved", "process order-placed"]),
    ("POST /charges", &["job charge"]),
    ("outbox payment-done", &["job charge"]),
    ("send payment-done", &["job charge"]),
    ("topic payment-done", &["send payment-done"]),
    ("process payment-done", &["send payment-done"]),
    ("outbox order-confirmed", &["process payment-done", "process stock-reserved"]),
    ("send order-confirmed", &["process payment-done", "process stock-reserved"]),
    ("topic order-confirmed", &["send order-confirmed"]),
    ("process order-confirmed", &["send order-confirmed"]),
    ("job email", &["process order-confirmed", "process order-placed"]),
    ("hand over mail", &["job email"]),
    ("outbox notification-sent", &["job email"]),
    ("send notification-sent", &["job email"]),
    ("topic notification-sent", &["send notification-sent"]),
    ("process notification-sent", &["send notification-sent"]),
];

/// What OpenTelemetry's conventions ask for, by the first word of a span's name.
const ATTRIBUTES: &[(&str, &[&str])] = &[
    ("POST", &["http.request.method", "http.response.status_code"]),
    ("outbox", OF_MESSAGES),
    ("send", OF_MESSAGES),
    ("send", &["messaging.operation.name", "messaging.operation.type"]),
    ("topic", OF_MESSAGES),
    ("topic", OF_READING),
    ("process", OF_MESSAGES),
    ("process", OF_READING),
    ("process", &["messaging.operation.name", "messaging.operation.type"]),
    ("job", &["job.kind", "job.key", "job.attempt", "job.outcome"]),
    ("hand", &["network.protocol.name", "server.address", "server.port"]),
];
const OF_MESSAGES: &[&str] = &[
    "messaging.system",
    "messaging.destination.name",
    "messaging.message.id",
    "messaging.kafka.message.key",
];
const OF_READING: &[&str] = &[
    "messaging.destination.partition.id",
    "messaging.kafka.offset",
    "messaging.consumer.group.name",
];

/// The trace of an order, once nothing of it is missing.
async fn whole(collector: &Collector, order: &str) -> Tree {
    let tree = || Tree::of(collector.recorded(), order);
    until("every span of the way has arrived, and each one's parent", async || {
        let names: BTreeSet<_> = tree().names();
        WAY.iter().all(|(name, _)| names.contains(*name)) && tree().orphans().is_empty()
    })
    .await;
    tree()
}

#[tokio::test]
async fn an_order_is_one_tree_from_the_request_to_the_mail() {
    let collector = Collector::start().await;
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())];
    let stage = stage::open_on(devstack::shared().await, &environment).await;
    // The first one also shows how producers and consumers find the topics.
    let earlier = stage.place("load-0002", "tok_visa").await;
    stage.history(earlier.id, &["order-confirmed", "notification-sent"]).await;
    let order = stage.place("load-0001", "tok_visa").await;
    stage.history(order.id, &["order-confirmed", "notification-sent"]).await;
    let tree = whole(&collector, &order.id.to_string()).await;
    println!("{tree}");

    assert_eq!(tree.roots().len(), 1, "{tree}");
    for (span, parent) in tree.edges() {
        let may = WAY.iter().find(|(name, _)| *name == span.name());
        let parents = may.unwrap_or_else(|| panic!("{} is not expected\n{tree}", span.name())).1;
        let parent = parent.map(Recorded::name);
        let stands_well = parent.map_or(parents.is_empty(), |it| parents.contains(&it));
        assert!(stands_well, "{} hangs on {parent:?}\n{tree}", span.name());
        let word = span.name().split(' ').next().unwrap();
        for (_, names) in ATTRIBUTES.iter().filter(|(of, _)| *of == word) {
            for name in *names {
                assert!(span.attribute(name).is_some(), "{} has no {name}", span.name());
            }
        }
        let all = span.text();
        assert!(!all.contains("example.org") && !all.contains("tok_"), "personal: {all}");
    }
    let attempt = tree.edges().find(|(it, _)| it.name() == "job charge").unwrap().0;
    assert_eq!(attempt.attribute("job.attempt").as_deref(), Some("1"));
    assert_eq!(attempt.attribute("job.outcome").as_deref(), Some("done"));
    assert_eq!(tree.services(), Member::SERVICES.map(Member::program).into());
    stage.close(Expected::default()).await;
}

/// Places an order under a caller's trace.
async fn place_under(fleet: &Fleet, traceparent: &str) -> String {
    let request = reqwest::Client::new()
        .post(format!("{}/orders", fleet.url(Member::Orders)))
        .header("Idempotency-Key", format!("\"{}\"", devstack::unique_prefix()))
        .header("traceparent", traceparent);
    let body = json!({
        "lines": [{ "sku": "load-0001", "quantity": 1 }],
        "currency": "EUR",
        "payment_method": "tok_visa",
        "customer": { "email": "customer@example.org" },
    });
    let answer = request.json(&body).send().await.unwrap().error_for_status().unwrap();
    let order: serde_json::Value = answer.json().await.unwrap();
    order["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_callers_trace_is_continued_as_far_as_the_caller_records_it() {
    let collector = Collector::start().await;
    let environment =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()), ("OTEL_TRACES_SAMPLER_ARG", "0")];
    let stage = stage::open_on(devstack::shared().await, &environment).await;
    let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let unrecorded = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let ours = stage.place("load-0001", "tok_visa").await.id.to_string();
    let theirs = place_under(&stage.fleet, unrecorded).await;
    for order in [&ours, &theirs] {
        stage.history(order.parse().unwrap(), &["notification-sent"]).await;
    }
    // What is recorded comes later than what is not, and by the same queues.
    let order = place_under(&stage.fleet, &format!("00-{trace}-{span}-01")).await;
    until("the whole way has arrived", async || {
        let names = Tree::of(collector.recorded(), &order).names();
        WAY.iter().all(|(name, _)| names.contains(*name))
    })
    .await;

    let recorded = collector.recorded();
    assert!(recorded.iter().all(|it| it.trace_id() == trace), "only what the caller records");
    let root = recorded.iter().find(|it| it.name() == "POST /orders").unwrap();
    assert_eq!(root.parent_id().as_deref(), Some(span));
    stage.close(Expected::default()).await;
}

/// Whether a process has the thread by which spans leave.
fn has_exporter(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let mut names =
        threads.filter_map(|it| std::fs::read_to_string(it.unwrap().path().join("comm")).ok());
    names.any(|it| it.starts_with("OpenTelemetry"))
}

/// A number of the exporter's, as a service tells it.
async fn spans(fleet: &Fleet, member: Member, outcome: &str) -> Option<u64> {
    let url = format!("{}/metrics", fleet.admin(member));
    let numbers = reqwest::get(url).await.unwrap().text().await.unwrap();
    let line = format!("trace_spans_total{{outcome=\"{outcome}\"}} ");
    numbers.lines().find_map(|it| it.strip_prefix(&line)?.parse().ok())
}

#[tokio::test]
async fn a_collector_that_never_answers_costs_spans_and_nothing_else() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str())];
    let stage = stage::open_on(devstack::shared().await, &environment).await;
    assert!(
        stage
            .fleet
            .pids()
            .iter()
            .all(|(name, pid)| { has_exporter(*pid) == (name != Member::Gateway.program()) })
    );
    // Asking for an order's history makes spans, too: more than one batch is lost.
    until("batches are lost", async || {
        let order = stage.place("load-0001", "tok_visa").await;
        stage.history(order.id, &["notification-sent"]).await;
        spans(&stage.fleet, Member::Orders, "lost").await.unwrap() > 1_000
    })
    .await;
    let said = stage.fleet.log(Member::Orders).matches("do not reach the collector").count();
    assert_eq!(said, 1, "{}", stage.fleet.log(Member::Orders));
    assert_eq!(spans(&stage.fleet, Member::Orders, "sent").await, Some(0));
    // Every member ends well within its grace.
    stage.close(Expected::default()).await;
}

#[tokio::test]
async fn without_a_collector_there_is_no_queue_and_no_thread() {
    let stage = stage::open().await;
    let order = stage.place("load-0001", "tok_visa").await;
    stage.history(order.id, &["notification-sent"]).await;
    assert!(!stage.fleet.pids().values().any(|pid| has_exporter(*pid)));
    assert_eq!(spans(&stage.fleet, Member::Orders, "dropped").await, None);
    stage.close(Expected::default()).await;
}
