//! A group whose offsets are set back while it runs reads everything again, and nothing changes.

use std::time::{Duration, Instant};

use rdkafka::{
    ClientConfig, Offset,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
};
use sagactl::{
    audit::{Expected, counters},
    cli,
    fleet::Member,
    load,
    screen::Board,
};

use crate::{
    bad_messages::{readers, topics},
    stage::{self, PATIENCE, Stage, until},
};

/// Joins the group of a service, under this name if there is one, and waits until it is given
/// something to read.
pub(crate) fn join(
    (brokers, prefix): (&str, &str),
    member: Member,
    name: Option<&str>,
) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("group.id", format!("{prefix}{member}"))
        .set("partition.assignment.strategy", "range")
        .set("enable.auto.commit", "false");
    if let Some(name) = name {
        config.set("group.instance.id", name);
    }
    let consumer: BaseConsumer = config.create().unwrap();
    let read = topics().filter(|it| readers(it).contains(&member));
    let names: Vec<String> = read.map(|it| format!("{prefix}{it}")).collect();
    consumer.subscribe(&names.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let until = Instant::now() + PATIENCE;
    while consumer.assignment().unwrap().count() == 0 {
        assert!(Instant::now() < until, "{member}'s group gives nothing");
        consumer.poll(Duration::from_millis(50));
    }
    consumer
}

/// Joins the group of a service, sets the offsets of what it is given back to the beginning, leaves.
/// The service, which has been there all the time, reads these partitions again.
async fn set_back(stage: &Stage, member: Member) {
    let prefix = stage.fleet.prefix().to_owned();
    let brokers = stage.fleet.stack().brokers.clone();
    let joining = move || {
        let consumer = join((&brokers, &prefix), member, None);
        let mut given = consumer.assignment().unwrap();
        given.set_all_offsets(Offset::Offset(0)).unwrap();
        consumer.commit(&given, CommitMode::Sync).unwrap();
    };
    tokio::task::spawn_blocking(joining).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_set_back_on_a_live_group_repeat_much_and_change_nothing() {
    let stage = stage::open().await;
    let options = load::Options {
        orders: 300,
        clients: 16,
        products: 20,
        limit_seconds: 300,
        tables: false,
        from: cli::From::Auto,
        at: None,
    };
    load::drive(&stage.fleet, None, &options, &Board::new()).await.unwrap();
    let mut before = counters::read(&stage.fleet).await.unwrap().repeats;
    for member in Member::SERVICES {
        set_back(&stage, member).await;
        until("much is read again", async || {
            counters::read(&stage.fleet).await.unwrap().repeats > before + 50
        })
        .await;
        before = counters::read(&stage.fleet).await.unwrap().repeats;
    }
    let report = stage.close(Expected::default()).await;
    assert!(report.counted.repeats > 200);
}
