//! How far a whole group has read, whoever of it reads what.

use devstack::Patience;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use shared::{
    consumer::{Consumer, Settings},
    health::Health,
    kafka,
    lag::{self, Watcher},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::kit::{NUMBERS, Tally, broker, create_topics, database, number, parts, publish};

fn watcher(kafka: &kafka::Settings) -> Watcher {
    Watcher::new(lag::Settings { kafka: kafka.clone(), group: "tally", topics: vec![NUMBERS] })
}

/// Steps until everything that had been said by `moment` is read.
async fn until_read(watcher: &mut Watcher, moment: Instant) {
    let mut patience = Patience::until("everything that had been said is read");
    loop {
        let looked = watcher.step().await.map_err(|error| error.to_string());
        if watcher.lag().read_up_to().is_some_and(|it| it >= moment) {
            return;
        }
        patience.look_again(looked).await;
    }
}

async fn consumer(kafka: &kafka::Settings) -> Consumer<Tally> {
    let (pool, _) = database().await;
    let health = Health::default().component("consumer");
    Consumer::new(parts(&pool, Tally::default()), &Settings::new(kafka.clone()), health).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_is_read_once_its_consumer_has_committed_it() {
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 3).await;
    let mut watcher = watcher(&kafka);
    until_read(&mut watcher, Instant::now()).await;

    let messages: Vec<_> = (0..20).map(|n: i64| number(NUMBERS, &n.to_string(), 1, 1)).collect();
    publish(&kafka, &messages).await;
    let said = Instant::now();
    let (mut looks, mut patience) = (0, Patience::until("the broker answers"));
    while looks < 3 {
        looks += i32::from(watcher.step().await.is_ok());
        patience.looked(looks);
    }
    assert!(watcher.lag().read_up_to() < Some(said), "nobody has read it");

    let stop = CancellationToken::new();
    let running = consumer(&kafka).await.run(stop.clone());
    let watching = async {
        until_read(&mut watcher, said).await;
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(running, watching);
    ended.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_stuck_keeps_the_group_from_having_read() {
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 2).await;
    // It joins, is given partitions, and never takes anything in.
    let stuck: BaseConsumer = kafka.consumer("tally").create().unwrap();
    stuck.subscribe(&[&kafka.topic(NUMBERS)]).unwrap();
    let stop = CancellationToken::new();
    let running = consumer(&kafka).await.run(stop.clone());
    let mut watcher = watcher(&kafka);
    let trying = async {
        let mut patience = Patience::until("the group has two members");
        while stuck.assignment().unwrap().count() != 1 {
            patience.looked(stuck.assignment().unwrap().count());
            tokio::task::block_in_place(|| stuck.poll(std::time::Duration::from_millis(50)));
        }
        until_read(&mut watcher, Instant::now()).await;
        let messages: Vec<_> =
            (0..20).map(|n: i64| number(NUMBERS, &n.to_string(), 1, 1)).collect();
        publish(&kafka, &messages).await;
        let said = Instant::now();
        assert!(watcher.lag().read_up_to() < Some(said), "half of it is unread");
        let gone = tokio::task::spawn_blocking(move || drop(stuck));
        until_read(&mut watcher, said).await;
        gone.await.unwrap();
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(running, trying);
    ended.unwrap();
}
