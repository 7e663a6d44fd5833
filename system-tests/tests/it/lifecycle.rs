//! Starting and stopping services while a dependency (broker, database, registry) is down.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use devstack::{ServerSource, ServerStack, SilentProgress, StackPart, StopMode, WantedParts};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rdkafka::consumer::Consumer as _;
use sagactl::http_client::http_client;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use uuid::Uuid;
use xtask::cluster::{AuditExpectation, ProcessName};

use crate::{
    again,
    stage::{self, Stage, answered, place_crowd, until},
};

/// The dependency that a service reports while this part is down.
fn waits_for(part: StackPart) -> &'static str {
    match part {
        StackPart::Kafka => "topics",
        StackPart::Postgres => "database",
        StackPart::Registry => "schemas",
        StackPart::Mail | StackPart::Ui | StackPart::Prometheus | StackPart::Pooler => {
            unreachable!("nobody waits for {part}")
        }
    }
}

/// How long a service may take to end, unless more is said: it gives up what it is doing before.
const GRACE: (&str, &str) = ("SHUTDOWN_GRACE", "8s");

/// Attempts to stop in time: a machine may stand still; a service that hangs fails each attempt.
const ATTEMPTS: usize = 3;

/// The services that did not stop in time, each with its case.
type Missed = Vec<String>;

/// Tells every service to stop. One that does not end within its grace ends badly by itself.
async fn stop_all(stage: &mut Stage, case: &str, missed: &mut Missed) {
    for member in ProcessName::SERVICES {
        missed.extend(stop(stage, member, case).await);
    }
}

/// A crash on the way out is a fault at once: no machine that stands still makes one.
async fn stop(stage: &mut Stage, member: ProcessName, case: &str) -> Option<String> {
    let code = stage.cluster.end(member, Signal::SIGTERM).await.unwrap();
    if code == Some(0) {
        return None;
    }
    let told = format!("{case}: {member}: {code:?}\n{}", stage.cluster.log(member));
    let is_late = code == Some(1) && told.contains("parts do not stop in time");
    assert!(is_late && !told.contains("a part has died"), "{told}");
    Some(told)
}

/// Starts them again. Where nobody has missed the grace there is no other attempt, and at the very
/// end everybody is given all the time that the machine may need.
async fn start_again(stage: &mut Stage, members: &[ProcessName], missed: &[String]) {
    if missed.is_empty() {
        stage.cluster.unset(GRACE.0);
    }
    for member in members {
        stage.cluster.restart(*member).await.unwrap();
    }
}

/// Tries something again until every service ends well.
async fn try_until_all_end_well(mut attempt: impl AsyncFnMut() -> Missed) {
    let mut missed = Missed::new();
    for _ in 0..ATTEMPTS {
        missed = attempt().await;
        if missed.is_empty() {
            return;
        }
    }
    panic!("each time somebody does not end well; the last time:\n{}", missed.join("\n"));
}

/// Starts every service while a part is away: each waits, says for what, and is not ready.
async fn start_all_in_vain(stage: &mut Stage, part: StackPart) {
    for member in ProcessName::SERVICES {
        stage.cluster.launch(member).unwrap();
    }
    for member in ProcessName::SERVICES {
        let cluster = &mut stage.cluster;
        let mut said = String::new();
        until("it says what it waits for", async || {
            let Some((ready, report)) = cluster.health(member).await.unwrap() else { return false };
            assert!(!ready, "{part} is away, and {member} is ready: {report}");
            said = report;
            // A dependency that was not tried yet is still starting.
            let waiting = format!("\"{}\":", waits_for(part));
            said.split_once(&waiting).is_some_and(|(_, text)| !text.starts_with("\"starting"))
        })
        .await;
    }
}

/// Orders that are on their way when a part goes away, and one when it has come back.
const ORDERS: i64 = 20 + 1;

async fn survives_without(stage: &mut Stage, stack: &ServerStack, part: StackPart) -> Missed {
    let mut missed = Missed::new();
    for _ in 1..ORDERS {
        stage.place("load-0001", "tok_visa").await;
    }
    stack.stop_part(part, StopMode::Kill).await.unwrap();
    stop_all(stage, &format!("{part} is away"), &mut missed).await;
    start_all_in_vain(stage, part).await;
    stop_all(stage, &format!("{part} was never there"), &mut missed).await;
    start_all_in_vain(stage, part).await;
    stack.start_part(part).await.unwrap();
    for member in ProcessName::SERVICES {
        stage.cluster.ready(member).await.unwrap();
    }
    let order = stage.place("load-0001", "tok_visa").await;
    stage.history(order.id, &["order-confirmed", "notification-sent"]).await;
    missed
}

/// A process and all below it, held still: it takes connections and never answers.
struct Frozen(Vec<Pid>);

impl Frozen {
    fn freeze(root: u32) -> Self {
        let frozen = Self(tree(root));
        frozen.signal(Signal::SIGSTOP);
        frozen
    }

    fn signal(&self, signal: Signal) {
        for pid in &self.0 {
            // One that has ended meanwhile is still enough.
            kill(*pid, signal).ok();
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.signal(Signal::SIGCONT);
    }
}

fn tree(root: u32) -> Vec<Pid> {
    let children =
        std::fs::read_to_string(format!("/proc/{root}/task/{root}/children")).unwrap_or_default();
    let mut all = vec![Pid::from_raw(root.try_into().unwrap())];
    all.extend(children.split_whitespace().flat_map(|text| tree(text.parse().unwrap())));
    all
}

/// How many connections to this database wait for a lock.
async fn waiting(conn: &mut PgConnection) -> i64 {
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    sqlx::query_scalar(waiting).fetch_one(conn).await.unwrap()
}

/// Places an order whose charge the gateway holds: a job under way for as long as a call may take.
async fn place_held(stage: &Stage) -> Uuid {
    let (http, gateway) = (http_client().unwrap(), stage.cluster.url(ProcessName::Gateway));
    let held = http.put(format!("{gateway}/faults")).json(&json!({ "slow_ms": 600_000 }));
    held.send().await.unwrap().error_for_status().unwrap();
    let order = stage.place("load-0002", "tok_slow").await;
    until("its charge is with the gateway", async || {
        let summary = http.get(format!("{gateway}/summary")).send().await.unwrap();
        summary.json::<Value>().await.unwrap()["in_progress"] == 1
    })
    .await;
    order.id
}

/// Asks a service for what only its database knows. The connection was answered before, so that the
/// service has the question when this returns.
async fn ask(stage: &Stage, member: ProcessName, order: Uuid) -> TcpStream {
    let path = match member {
        ProcessName::Orders => format!("orders/{order}"),
        ProcessName::Inventory => "stock".to_owned(),
        ProcessName::Payments => format!("payments/{order}"),
        ProcessName::Notify => format!("notifications/{order}"),
        ProcessName::Gateway => unreachable!("it has no database"),
    };
    let url = stage.cluster.url(member);
    let mut service = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let get = |path: &str| format!("GET /{path} HTTP/1.1\r\nhost: shop\r\n\r\n");
    let questions = get("nothing") + &get(&path);
    service.write_all(questions.as_bytes()).await.unwrap();
    assert!(service.read(&mut [0; 16]).await.unwrap() > 0);
    service
}

/// Adds a product, of which order-service reads.
async fn make_product(stage: &Stage, sku: &str) {
    let url = format!("{}/products/{sku}", stage.cluster.url(ProcessName::Inventory));
    let product = json!({ "name": "Product", "price_minor": 100, "currency": "EUR" });
    let made = answered(http_client().unwrap().put(url).json(&product)).await;
    assert!(made.status().is_success(), "{made:?}");
}

/// Stops every service while the database is silent, with something in hand for each of its stages.
async fn stop_while_the_database_is_silent(
    stage: &mut Stage,
    (postgres, key): (u32, &str),
) -> Missed {
    let held = place_held(stage).await;
    // When the database falls silent, consumer and batcher are in the middle of a transaction.
    let mut order_db =
        PgConnection::connect(stage.cluster.database(ProcessName::Orders).unwrap()).await.unwrap();
    stage.place("load-0001", "tok_visa").await;
    let lock = "BEGIN; LOCK TABLE messaging.inbox, messaging.idempotency IN ACCESS EXCLUSIVE MODE";
    order_db.execute(lock).await.unwrap();
    // What there was to read of that order may be read by now.
    make_product(stage, key).await;
    let orders = stage.orders.clone();
    let missed = {
        // A request that waits too long for the lock fails, and is repeated.
        let mut placing = std::pin::pin!(place_crowd(&orders, key, 1));
        let stopping = async {
            until("two transactions are in the middle", async || waiting(&mut order_db).await >= 2)
                .await;
            let _frozen = Frozen::freeze(postgres);
            let mut missed = Missed::new();
            // Requests wait for their answers, jobs for their outcomes: every stage needs its time.
            for member in ProcessName::SERVICES {
                let _asking = ask(stage, member, held).await;
                missed.extend(stop(stage, member, "the database never answers").await);
            }
            missed
        };
        tokio::select! {
            _ = &mut placing => panic!("an order is accepted past a lock"),
            missed = stopping => missed,
        }
    };
    drop(order_db);
    // A charge that was held dies with the gateway, and its key is free.
    stage.cluster.end(ProcessName::Gateway, Signal::SIGTERM).await.unwrap();
    start_again(stage, &ProcessName::ALL, &missed).await;
    missed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_connections_and_never_answers_keeps_nobody_from_ending_well() {
    let stack =
        ServerStack::start(ServerSource::Native, WantedParts::all().forgetful(), &SilentProgress)
            .await
            .unwrap();
    let mut stage = stage::open_on(&stack, &[GRACE]).await;
    let trees = stack.process_trees().await;
    let (_, postgres) = trees.into_iter().find(|(part, _)| *part == StackPart::Postgres).unwrap();
    let mut attempts = 0;
    try_until_all_end_well(async || {
        attempts += 1;
        let key = format!("stuck-{attempts}");
        let missed = stop_while_the_database_is_silent(&mut stage, (postgres, &key)).await;
        place_crowd(&stage.orders, &key, 1).await;
        missed
    })
    .await;
    let report = stage.close(AuditExpectation::default()).await;
    // Two from before each silence, one that was asked for again after it.
    assert_eq!(report.orders["confirmed"], 3 * attempts);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_away_services_stop_well_start_waiting_and_recover_by_themselves() {
    let stack = ServerStack::start(ServerSource::Native, WantedParts::all(), &SilentProgress)
        .await
        .unwrap();
    let mut stage = stage::open_on(&stack, &[GRACE]).await;
    let mut rounds = 0;
    for part in [StackPart::Kafka, StackPart::Postgres, StackPart::Registry] {
        try_until_all_end_well(async || {
            rounds += 1;
            survives_without(&mut stage, &stack, part).await
        })
        .await;
    }
    let mut attempts = 0;
    // All there, and all at once in the middle of work.
    try_until_all_end_well(async || {
        attempts += 1;
        let mut missed = Missed::new();
        for _ in 1..ORDERS {
            stage.place("load-0002", "tok_visa").await;
        }
        stop_all(&mut stage, "all there", &mut missed).await;
        start_again(&mut stage, &ProcessName::SERVICES, &missed).await;
        missed
    })
    .await;
    let report = stage.close(AuditExpectation::default()).await;
    assert_eq!(report.orders["confirmed"], rounds * ORDERS + attempts * (ORDERS - 1));
    stack.stop().await;
}

/// Joins the group of a service under the service's own name, again and again, until told to stop:
/// a service that stood still comes back and shuts out who had joined meanwhile.
fn join_as_another(
    brokers: &str,
    prefix: &str,
    (member, name): (ProcessName, &str),
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::Relaxed) {
        let consumer = again::join((brokers, prefix), member, Some(name));
        while !stop.load(Ordering::Relaxed) && consumer.client().fatal_error().is_none() {
            consumer.poll(again::POLL);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_beyond_repair_ends_its_service_and_a_new_start_goes_on() {
    let name = "the-only-one";
    let stack = devstack::shared().await;
    let mut stage = stage::open_on(stack, &[("KAFKA_GROUP_MEMBER", name)]).await;
    let order = stage.place("load-0001", "tok_visa").await;
    stage.history(order.id, &["order-confirmed"]).await;
    // Somebody else joins under the service's name: the broker shuts the first one out for good.
    let (brokers, prefix) =
        (stage.cluster.stack().brokers.clone(), stage.cluster.prefix().to_owned());
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let other = tokio::task::spawn_blocking(move || {
        join_as_another(&brokers, &prefix, (ProcessName::Inventory, name), &told);
    });
    assert_eq!(stage.cluster.ended(ProcessName::Inventory).await.unwrap(), Some(1));
    stop.store(true, Ordering::Relaxed);
    other.await.unwrap();
    let log = std::fs::read_to_string(stage.cluster.log_file(ProcessName::Inventory)).unwrap();
    // The client's library has words of its own, of a broker that did not answer for a while, or
    // when a client that was shut out is dropped.
    let is_ours = |text: &&str| text.contains("ERROR") && !text.contains("\"target\":\"rdkafka");
    let is_ours = |line: &&str| is_ours(line) && !line.contains("\"target\":\"librdkafka");
    let errors: Vec<&str> = log.lines().filter(is_ours).collect();
    assert!(matches!(errors[..], [one] if one.contains("FencedInstanceId")), "{errors:#?}");
    // Messages that come meanwhile wait.
    let order = stage.place("load-0002", "tok_visa").await;
    stage.cluster.restart(ProcessName::Inventory).await.unwrap();
    stage.history(order.id, &["order-confirmed", "notification-sent"]).await;
    let report = stage.close(AuditExpectation::default()).await;
    assert_eq!(report.orders["confirmed"], 2);
}
