//! Three brokers: one that is killed costs nothing, two cost time.

use devstack::{Cluster, Halt, Part, Parts, Silent, Source, Stack, Urls};
use sagactl::{audit::Expected, fleet::Member, load::report};
use sqlx::{Connection as _, PgConnection};

use crate::{
    crash::place_crowd,
    stage::{self, Stage, until},
};

const CROWD: u64 = 400;

/// Kills one broker in the middle of a crowd, and starts it again after it.
async fn one_is_killed(stage: &Stage, cluster: &Cluster) {
    let killing = async {
        until("some are accepted", async || {
            report::accepted(&stage.fleet).await.unwrap() >= CROWD / 4
        })
        .await;
        cluster.stop_one(0, Halt::Kill).await.unwrap();
    };
    tokio::join!(place_crowd(&stage.orders, "one", CROWD), killing);
    until("all have ended with two brokers", async || {
        report::open(&stage.fleet).await.unwrap().is_nothing()
    })
    .await;
    cluster.start_one(0).await.unwrap();
}

/// With one broker of three nothing is confirmed: what is accepted waits in the outbox.
async fn two_are_killed(stage: &Stage, cluster: &Cluster) {
    cluster.stop_one(1, Halt::Kill).await.unwrap();
    cluster.stop_one(2, Halt::Kill).await.unwrap();
    let orders = 20;
    place_crowd(&stage.orders, "two", orders).await;
    let url = stage.fleet.database(Member::Orders).unwrap();
    let mut conn = PgConnection::connect(url).await.unwrap();
    let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM messaging.outbox")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(waiting, i64::try_from(orders).unwrap());
    for place in [1, 2] {
        cluster.start_one(place).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_costs_nothing_and_two_cost_only_time() {
    let cluster = Cluster::start(&Silent).await.unwrap();
    let parts = Parts::of(&[Part::Postgres, Part::Registry, Part::Mail]).forgetful();
    let stack = Stack::start(Source::Native, parts, &Silent).await.unwrap();
    let urls = Urls { brokers: cluster.brokers(), ..stack.urls().clone() };
    let stage = stage::open_at(&urls, &[("KAFKA_REPLICATION", "3")]).await;
    one_is_killed(&stage, &cluster).await;
    two_are_killed(&stage, &cluster).await;
    let report = stage.close(Expected::default()).await;
    assert_eq!(report.orders["confirmed"], i64::try_from(CROWD).unwrap() + 20);
    stack.stop().await;
    cluster.stop().await;
}
