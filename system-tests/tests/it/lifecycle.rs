//! Starting and stopping while something that everybody depends on is away.

use devstack::{Halt, Part, Parts, Silent, Source, Stack};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sagactl::{audit::Expected, client, fleet::Member};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use uuid::Uuid;

use crate::{
    again,
    stage::{self, Stage, place_crowd, until},
};

/// What a service waits for when this part is away.
fn waits_for(part: Part) -> &'static str {
    match part {
        Part::Kafka => "topics",
        Part::Postgres => "database",
        Part::Registry => "schemas",
        Part::Mail | Part::Ui | Part::Prometheus => unreachable!("nobody waits for {part}"),
    }
}

/// Tells every service to stop at once, and expects each to end well. A service that does not end
/// within its grace, which is less than ten seconds, ends badly by itself.
async fn stop_all(stage: &mut Stage, case: &str) {
    for member in Member::SERVICES {
        stop(stage, member, case).await;
    }
}

async fn stop(stage: &mut Stage, member: Member, case: &str) {
    let code = stage.fleet.end(member, Signal::SIGTERM).await.unwrap();
    assert_eq!(code, Some(0), "{case}: {member}\n{}", stage.fleet.log(member));
}

/// Starts every service while a part is away: each waits, says for what, and is not ready.
async fn start_all_in_vain(stage: &mut Stage, part: Part) {
    for member in Member::SERVICES {
        stage.fleet.launch(member).unwrap();
    }
    for member in Member::SERVICES {
        let fleet = &mut stage.fleet;
        let mut said = String::new();
        until("it says what it waits for", async || {
            let Some((ready, report)) = fleet.health(member).await.unwrap() else { return false };
            assert!(!ready, "{part} is away, and {member} is ready: {report}");
            said = report;
            // What it has not tried yet is only starting.
            let waiting = format!("\"{}\":", waits_for(part));
            said.split_once(&waiting).is_some_and(|(_, it)| !it.starts_with("\"starting"))
        })
        .await;
    }
}

async fn survives_without(stage: &mut Stage, stack: &Stack, part: Part) {
    // On its way when the part goes away.
    for _ in 0..20 {
        stage.place("load-0001", "tok_visa").await;
    }
    stack.stop_part(part, Halt::Kill).await.unwrap();
    stop_all(stage, &format!("{part} is away")).await;
    start_all_in_vain(stage, part).await;
    stop_all(stage, &format!("{part} was never there")).await;
    start_all_in_vain(stage, part).await;
    stack.start_part(part).await.unwrap();
    for member in Member::SERVICES {
        stage.fleet.ready(member).await.unwrap();
    }
    let order = stage.place("load-0001", "tok_visa").await;
    stage.history(order.id, &["order-confirmed", "notification-sent"]).await;
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
    all.extend(children.split_whitespace().flat_map(|it| tree(it.parse().unwrap())));
    all
}

/// How many connections to this database wait for a lock.
async fn waiting(conn: &mut PgConnection) -> i64 {
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    sqlx::query_scalar(waiting).fetch_one(conn).await.unwrap()
}

/// Places an order whose charge stays with the gateway: a job in hand, for as long as a call may take.
async fn place_held(stage: &Stage) -> Uuid {
    let (http, gateway) = (client::http().unwrap(), stage.fleet.url(Member::Gateway));
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
async fn ask(stage: &Stage, member: Member, order: Uuid) -> TcpStream {
    let path = match member {
        Member::Orders => format!("orders/{order}"),
        Member::Inventory => "stock".to_owned(),
        Member::Payments => format!("payments/{order}"),
        Member::Notify => format!("notifications/{order}"),
        Member::Gateway => unreachable!("it has no database"),
    };
    let url = stage.fleet.url(member);
    let mut service = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let get = |path: &str| format!("GET /{path} HTTP/1.1\r\nhost: shop\r\n\r\n");
    let questions = get("nothing") + &get(&path);
    service.write_all(questions.as_bytes()).await.unwrap();
    assert!(service.read(&mut [0; 16]).await.unwrap() > 0);
    service
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_connections_and_never_answers_keeps_nobody_from_ending_well() {
    let stack = Stack::start(Source::Native, Parts::all(), &Silent).await.unwrap();
    let mut stage = stage::open_on(&stack, &[]).await;
    let trees = stack.process_trees().await;
    let (_, postgres) = trees.into_iter().find(|(part, _)| *part == Part::Postgres).unwrap();
    let held = place_held(&stage).await;
    // When the database falls silent, consumer and intake are in the middle of a transaction.
    let mut order_db =
        PgConnection::connect(stage.fleet.database(Member::Orders).unwrap()).await.unwrap();
    stage.place("load-0001", "tok_visa").await;
    let lock = "BEGIN; LOCK TABLE messaging.inbox, messaging.idempotency IN ACCESS EXCLUSIVE MODE";
    order_db.execute(lock).await.unwrap();
    let orders = stage.orders.clone();
    let frozen = {
        // Who waits for the lock too long is told so, and asks again.
        let mut placing = std::pin::pin!(place_crowd(&orders, "stuck", 1));
        let stopping = async {
            until("two transactions are in the middle", async || waiting(&mut order_db).await >= 2)
                .await;
            let frozen = Frozen::freeze(postgres);
            // Requests wait for their answers, jobs for their outcomes: every stage needs its time.
            for member in Member::SERVICES {
                let _asking = ask(&stage, member, held).await;
                stop(&mut stage, member, "the database never answers").await;
            }
            frozen
        };
        tokio::select! {
            _ = &mut placing => panic!("an order is accepted past a lock"),
            frozen = stopping => frozen,
        }
    };
    drop((order_db, frozen));
    // A charge that was held dies with the gateway, and its key is free.
    stage.fleet.end(Member::Gateway, Signal::SIGTERM).await.unwrap();
    for member in Member::ALL {
        stage.fleet.restart(member).await.unwrap();
    }
    place_crowd(&stage.orders, "stuck", 1).await;
    let report = stage.close(Expected::default()).await;
    assert_eq!(report.orders["confirmed"], 3, "two from before, one that was asked for again");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_away_services_stop_well_start_waiting_and_recover_by_themselves() {
    let stack = Stack::start(Source::Native, Parts::all(), &Silent).await.unwrap();
    let mut stage = stage::open_on(&stack, &[]).await;
    for part in [Part::Kafka, Part::Postgres, Part::Registry] {
        survives_without(&mut stage, &stack, part).await;
    }
    // All there, and all at once in the middle of work.
    for _ in 0..20 {
        stage.place("load-0002", "tok_visa").await;
    }
    stop_all(&mut stage, "all there").await;
    for member in Member::SERVICES {
        stage.fleet.restart(member).await.unwrap();
    }
    let report = stage.close(Expected::default()).await;
    assert_eq!(report.orders["confirmed"], 3 * 21 + 20);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_beyond_repair_ends_its_service_and_a_new_start_goes_on() {
    let name = "the-only-one";
    let stack = devstack::shared().await;
    let mut stage = stage::open_on(stack, &[("KAFKA_GROUP_MEMBER", name)]).await;
    let order = stage.place("load-0001", "tok_visa").await;
    stage.history(order.id, &["order-confirmed"]).await;
    // Somebody else joins under the service's name: the broker shuts the first one out for good.
    let (brokers, prefix) = (stage.fleet.stack().brokers.clone(), stage.fleet.prefix().to_owned());
    let join = move || drop(again::join((&brokers, &prefix), Member::Inventory, Some(name)));
    tokio::task::spawn_blocking(join).await.unwrap();
    assert_eq!(stage.fleet.ended(Member::Inventory).await.unwrap(), Some(1));
    let log = std::fs::read_to_string(stage.fleet.log_file(Member::Inventory)).unwrap();
    // The client's library has a word of its own when a client that was shut out is dropped.
    let is_ours = |it: &&str| it.contains("ERROR") && !it.contains("on drop");
    let errors: Vec<&str> = log.lines().filter(is_ours).collect();
    assert!(matches!(errors[..], [one] if one.contains("FencedInstanceId")), "{errors:#?}");
    // What comes meanwhile waits.
    let order = stage.place("load-0002", "tok_visa").await;
    stage.fleet.restart(Member::Inventory).await.unwrap();
    stage.history(order.id, &["order-confirmed", "notification-sent"]).await;
    let report = stage.close(Expected::default()).await;
    assert_eq!(report.orders["confirmed"], 2);
}
