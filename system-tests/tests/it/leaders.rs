//! Two instances of order-service, of which the leader cannot publish: it gives up leadership to
//! the other, and customers notice nothing.

use std::path::Path;

use devstack::TestWait;
use nix::sys::signal::Signal;
use sqlx::{Connection as _, PgConnection};
use tokio::process::Command;
use xtask::{
    client::PlaceAnswer,
    cluster::{AuditExpectation, ProcessName, beside::ExtraInstance},
};

use crate::{
    kafka_proxy::KafkaProxy,
    stage::{self, Stage, until, wish},
};

/// Who leads the relay of order-service, as its database has it, and the how-manieth leader it is.
async fn leader(stage: &Stage) -> (String, i64) {
    let url = stage.cluster.database(ProcessName::Orders).unwrap();
    let mut conn = PgConnection::connect(url).await.unwrap();
    let sql = "SELECT holder, epoch FROM messaging.relay_lease";
    let leader = sqlx::query_as(sql).fetch_one(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    leader
}

/// One more order-service with these settings, that leads; the cluster's own stands by.
async fn leads_beside(stage: &mut Stage, settings: &[(&str, &str)]) -> ExtraInstance {
    let mut second = stage.cluster.launch_beside(ProcessName::Orders, settings).unwrap();
    second.ready().await.unwrap();
    assert_eq!(stage.cluster.end(ProcessName::Orders, Signal::SIGTERM).await.unwrap(), Some(0));
    let name = format!("order-service/{}", second.pid());
    until("the second instance leads", async || leader(stage).await.0 == name).await;
    stage.cluster.restart(ProcessName::Orders).await.unwrap();
    assert_eq!(leader(stage).await.0, name);
    second
}

/// Customers place orders at the cluster's own instance until the first of them is confirmed, and
/// none of them is told to come back later.
async fn all_are_served(stage: &Stage) {
    let mut first = None;
    let mut patience = TestWait::until("the first order is confirmed");
    for n in 0.. {
        let wish = wish(&format!("load-{:04}", n % 20 + 1), "tok_visa");
        let answer = stage.orders.place(&format!("served-{n}"), &wish).await.unwrap();
        let PlaceAnswer::Accepted(order) = answer else { panic!("order {n}: {answer:?}") };
        let first = *first.get_or_insert(order.id);
        let status = stage.status(first).await;
        if status == "confirmed" {
            return;
        }
        patience.look_again(status).await;
    }
}

/// The cluster's own instance leads, the other one says why it does not.
async fn has_made_room(stage: &Stage, other: &mut ExtraInstance, epoch: i64) -> String {
    let pid = stage.cluster.pids()["order-service"];
    assert_eq!(leader(stage).await, (format!("order-service/{pid}"), epoch + 1));
    let (is_ready, report) = other.health().await.unwrap().unwrap();
    assert!(!is_ready, "{report}");
    assert!(report.contains("has given up leading the relay: published nothing for"), "{report}");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_leads_and_is_cut_off_from_kafka_makes_room_and_nobody_is_sent_away() {
    let mut stage = stage::open().await;
    let proxy = KafkaProxy::before(&stage.cluster.stack().brokers).await;
    let mut cut_off = leads_beside(&mut stage, &[("KAFKA_BROKERS", &proxy.brokers)]).await;
    let before = stage.place("load-0001", "tok_visa").await;
    stage.history(before.id, &["order-confirmed", "notification-sent"]).await;
    let (_, epoch) = leader(&stage).await;

    proxy.go_silent();
    all_are_served(&stage).await;
    has_made_room(&stage, &mut cut_off, epoch).await;

    proxy.pass_again();
    cut_off.ready().await.unwrap();
    assert_eq!(leader(&stage).await.1, epoch + 1, "who publishes goes on to");
    assert_eq!(cut_off.end(Signal::SIGTERM).await.unwrap(), Some(0));
    stage.close(AuditExpectation::default()).await;
}

/// Has the C compiler, without which the client of Kafka is not built either, make what puts a
/// process's clock two hours ahead.
async fn clock_ahead(folder: &Path) -> String {
    let library = folder.join("clock_ahead.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clock_ahead.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source);
    assert!(compiler.status().await.unwrap().success());
    library.to_str().unwrap().to_owned()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_leads_and_whose_clock_is_two_hours_ahead_makes_room() {
    let mut stage = stage::open().await;
    let folder = tempfile::tempdir().unwrap();
    let library = clock_ahead(folder.path()).await;
    let mut ahead = leads_beside(&mut stage, &[("LD_PRELOAD", &library)]).await;
    let (_, epoch) = leader(&stage).await;

    all_are_served(&stage).await;
    let report = has_made_room(&stage, &mut ahead, epoch).await;
    assert!(report.contains("InvalidTimestamp"), "{report}");

    assert_eq!(ahead.end(Signal::SIGTERM).await.unwrap(), Some(0));
    stage.close(AuditExpectation::default()).await;
}
