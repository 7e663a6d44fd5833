//! A group whose offsets are set back while it runs reads everything again, and nothing changes.

use std::time::Duration;

use devstack::TestWait;
use rdkafka::{
    ClientConfig, Offset,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
};
use sagactl::screen::ProgressBoard;
use xtask::{
    cluster::{AuditExpectation, ProcessName},
    load,
};

use crate::{
    read::{self, topics_of},
    stage::{self, Stage},
};

/// One wait for what the group says.
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// Joins the group of a service, under this name if there is one.
pub(crate) fn join(
    (brokers, prefix): (&str, &str),
    member: ProcessName,
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
    let names = topics_of(prefix, member);
    consumer.subscribe(&names.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    consumer
}

/// Sets the offsets of what a member of the group was given back to the beginning. False if it was
/// given nothing, or has it no longer: a group comes together anew whenever somebody stood still.
fn sets_back(consumer: &BaseConsumer) -> bool {
    let mut given = consumer.assignment().unwrap();
    given.set_all_offsets(Offset::Offset(0)).unwrap();
    given.count() > 0 && consumer.commit(&given, CommitMode::Sync).is_ok()
}

/// Joins the group of a service, sets the offsets of what it is given back to the beginning, leaves.
/// The service, which has been there all the time, reads these partitions again.
async fn set_back(stage: &Stage, member: ProcessName) {
    let prefix = stage.cluster.prefix().to_owned();
    let brokers = stage.cluster.stack().brokers.clone();
    let joining = move || {
        let consumer = join((&brokers, &prefix), member, None);
        let mut patience = TestWait::until(&format!("{member}'s group takes its offsets back"));
        while !sets_back(&consumer) {
            consumer.poll(POLL);
            patience.looked("not yet");
        }
    };
    tokio::task::spawn_blocking(joining).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_set_back_on_a_live_group_repeat_much_and_change_nothing() {
    let stage = stage::open().await;
    let options = load::LoadOptions {
        orders: 300,
        clients: Some(16),
        products: 20,
        limit_seconds: 300,
        ..load::LoadOptions::default()
    };
    load::drive(&stage.cluster, None, &options, &ProgressBoard::new()).await.unwrap();
    for member in ProcessName::SERVICES {
        let before = stage.cluster.repeats(member).await.unwrap();
        set_back(&stage, member).await;
        let mut patience = TestWait::until(&format!("{member} reads much again"));
        loop {
            let again = stage.cluster.repeats(member).await.unwrap();
            if again > before + 50 {
                break;
            }
            patience.look_again(again).await;
        }
    }
    for member in ProcessName::SERVICES {
        read::to_the_end(&stage.cluster, member).await;
    }
    let report = stage.close(AuditExpectation::default()).await;
    assert!(report.repeats > 200);
}
