//! The trace of an order is one tree of spans, as a collector receives it over OTLP.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use devstack::TestWait;
use serde_json::json;
use xtask::cluster::{AuditExpectation, ProcessName};

use self::{
    collector::{Collector, Recorded},
    tree::Tree,
};
use crate::stage::{self, Stage, answered};

pub(crate) mod collector;
pub(crate) mod tree;

/// Whatever can be seen of an order that is confirmed, with the spans that it may hang on. Two
/// messages of two topics come in either order: who acts on the second of them, acts on either.
const WAY: &[(&str, &[&str])] = &[
    ("POST /orders", &[]),
    ("queue", &["POST /orders"]),
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

/// That spans are lost is said no more often than this.
const COMPLAINT_EVERY: Duration = Duration::from_mins(1);

/// Orders that may be tried until the way of one is smooth and has arrived in whole.
const ORDERS_MAX: usize = 20;

/// Spans that did not arrive.
pub(crate) async fn lost(stage: &Stage) -> u64 {
    let mut all = 0;
    for member in ProcessName::SERVICES {
        for outcome in ["lost", "dropped"] {
            all += spans(stage, member, outcome).await.unwrap();
        }
    }
    all
}

/// The trace of an order, once the condition holds of it. None if spans have been lost since
/// `lost_before`: services do not wait for a collector that stands still.
pub(crate) async fn arrives(
    stage: &Stage,
    (collector, order): (&Collector, &str),
    lost_before: u64,
    is_whole: impl Fn(&Tree) -> bool,
) -> Option<Tree> {
    let mut patience = TestWait::until("every span of the way has arrived, and each one's parent");
    loop {
        let lost = lost(stage).await;
        let tree = Tree::of(collector.recorded(), order);
        if is_whole(&tree) {
            return Some(tree);
        }
        if lost > lost_before {
            return None;
        }
        patience.look_again(tree.names()).await;
    }
}

fn has_whole_way(tree: &Tree) -> bool {
    let names: BTreeSet<_> = tree.names();
    WAY.iter().all(|(name, _)| names.contains(*name))
}

/// Places an order and waits for its whole trace. Of one that was charged at the second attempt,
/// another tree would be right.
async fn whole(stage: &Stage, collector: &Collector) -> Tree {
    let is_whole = |tree: &Tree| has_whole_way(tree) && tree.orphans().is_empty();
    for _ in 0..ORDERS_MAX {
        let before = lost(stage).await;
        let order = stage.place("load-0001", "tok_visa").await.id;
        stage.history(order, &["order-confirmed", "notification-sent"]).await;
        let order = order.to_string();
        let Some(tree) = arrives(stage, (collector, &order), before, is_whole).await else {
            continue;
        };
        let attempt = |(span, _): &(&Recorded, _)| span.name().starts_with("job ");
        let is_first = |(recorded, _): (&Recorded, _)| {
            recorded.attribute("job.attempt").as_deref() == Some("1")
        };
        let is_smooth = tree.edges().filter(attempt).all(is_first);
        if is_smooth {
            return tree;
        }
    }
    panic!("of {ORDERS_MAX} orders, none went its way smoothly and was told of in whole");
}

#[tokio::test]
async fn an_order_is_one_tree_from_the_request_to_the_mail() {
    let collector = Collector::start().await;
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())];
    let stage = stage::open_on(devstack::shared().await, &environment).await;
    // The first one also shows how producers and consumers find the topics.
    let earlier = stage.place("load-0002", "tok_visa").await;
    stage.history(earlier.id, &["order-confirmed", "notification-sent"]).await;
    let tree = whole(&stage, &collector).await;
    println!("{tree}");

    assert_eq!(tree.roots().len(), 1, "{tree}");
    for (span, parent) in tree.edges() {
        let may = WAY.iter().find(|(name, _)| *name == span.name());
        let parents = may.unwrap_or_else(|| panic!("{} is not expected\n{tree}", span.name())).1;
        let parent = parent.map(Recorded::name);
        let stands_well = parent.map_or(parents.is_empty(), |name| parents.contains(&name));
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
    let attempt = tree.edges().find(|(recorded, _)| recorded.name() == "job charge").unwrap().0;
    assert_eq!(attempt.attribute("job.attempt").as_deref(), Some("1"));
    assert_eq!(attempt.attribute("job.outcome").as_deref(), Some("done"));
    assert_eq!(tree.services(), ProcessName::SERVICES.map(ProcessName::program).into());
    stage.close(AuditExpectation::default()).await;
}

/// Places an order under a caller's trace, which these headers say.
pub(crate) async fn place_under(stage: &Stage, trace: &[(&str, &str)]) -> String {
    let mut request = reqwest::Client::new()
        .post(format!("{}/orders", stage.cluster.url(ProcessName::Orders)))
        .header("Idempotency-Key", format!("\"{}\"", devstack::unique_prefix()));
    for (name, value) in trace {
        request = request.header(*name, *value);
    }
    let body = json!({
        "lines": [{ "sku": "load-0001", "quantity": 1 }],
        "currency": "EUR",
        "payment_method": "tok_visa",
        "customer": { "email": "customer@example.org" },
    });
    let answer = answered(request.json(&body)).await.error_for_status().unwrap();
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
    let theirs = place_under(&stage, &[("traceparent", unrecorded)]).await;
    for order in [&ours, &theirs] {
        stage.history(order.parse().unwrap(), &["notification-sent"]).await;
    }
    // What is recorded comes later than what is not, and by the same queues.
    let mut patience = TestWait::until("the whole way has arrived");
    loop {
        let before = lost(&stage).await;
        let parent = format!("00-{trace}-{span}-01");
        let order = place_under(&stage, &[("traceparent", &parent)]).await;
        if arrives(&stage, (&collector, &order), before, has_whole_way).await.is_some() {
            break;
        }
        patience.looked("spans were lost");
    }

    let recorded = collector.recorded();
    assert!(recorded.iter().all(|span| span.trace_id() == trace), "only what the caller records");
    let root = recorded.iter().find(|recorded| recorded.name() == "POST /orders").unwrap();
    assert_eq!(root.parent_id().as_deref(), Some(span));
    stage.close(AuditExpectation::default()).await;
}

/// Whether a process has the thread by which spans leave.
fn has_exporter(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let mut names =
        threads.filter_map(|entry| fs::read_to_string(entry.unwrap().path().join("comm")).ok());
    names.any(|name| name.starts_with("OpenTelemetry"))
}

/// A number of the exporter's, as a service tells it.
async fn spans(stage: &Stage, member: ProcessName, outcome: &str) -> Option<u64> {
    let numbers = stage.numbers(member).await;
    let line = format!("trace_spans_total{{outcome=\"{outcome}\"}} ");
    numbers.lines().find_map(|text| text.strip_prefix(&line)?.parse().ok())
}

#[tokio::test]
async fn a_collector_that_never_answers_costs_spans_and_nothing_else() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str())];
    let began = Instant::now();
    let stage = stage::open_on(devstack::shared().await, &environment).await;
    assert!(
        stage
            .cluster
            .pids()
            .iter()
            .all(|(name, pid)| { has_exporter(*pid) == (name != ProcessName::Gateway.program()) })
    );
    // Asking for an order makes spans, too: more than one batch is lost.
    let mut patience = TestWait::until("batches are lost");
    loop {
        let order = stage.place("load-0001", "tok_visa").await;
        stage.history(order.id, &["notification-sent"]).await;
        for _ in 0..500 {
            stage.status(order.id).await;
        }
        let lost = spans(&stage, ProcessName::Orders, "lost").await.unwrap();
        if lost > 1_000 {
            break;
        }
        patience.look_again(lost).await;
    }
    let log = fs::read_to_string(stage.cluster.log_file(ProcessName::Orders)).unwrap();
    let said = log.matches("do not reach the collector").count() as u64;
    let said_max = 1 + began.elapsed().as_secs() / COMPLAINT_EVERY.as_secs();
    assert!((1..=said_max).contains(&said), "{said} times, not up to {said_max}\n{log}");
    assert_eq!(spans(&stage, ProcessName::Orders, "sent").await, Some(0));
    // Every member ends well within its grace.
    stage.close(AuditExpectation::default()).await;
}

#[tokio::test]
async fn without_a_collector_there_is_no_queue_and_no_thread() {
    let stage = stage::open().await;
    let order = stage.place("load-0001", "tok_visa").await;
    stage.history(order.id, &["notification-sent"]).await;
    assert!(!stage.cluster.pids().values().any(|pid| has_exporter(*pid)));
    assert_eq!(spans(&stage, ProcessName::Orders, "dropped").await, None);
    stage.close(AuditExpectation::default()).await;
}
