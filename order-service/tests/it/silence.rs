//! Records that a consumer does not get, or not yet: control records, records behind an open
//! transaction of another producer, records on an added partition. The deadline waits for existing
//! messages only.

use std::process::ExitCode;

use devstack::{TestWait, until};
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewPartitions},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer},
};
use shared::{kafka, message::OutgoingMessage};
use time::Duration;
use uuid::Uuid;

use crate::{
    group::{Instance, broker, make_due, publish},
    kit::{STANDSTILL, Shop},
    words::paid,
};

const TOPIC: &str = "payment-done";

/// One question to the broker may take this long, and is asked again.
const ANSWER: std::time::Duration = std::time::Duration::from_secs(2);

/// An instance that has read everything, and an order that is not due.
async fn begin(shop: &Shop) -> (Instance, Uuid) {
    let instance = Instance::start(shop).await;
    until_ready(&instance).await;
    shop.clock.advance(Duration::days(100 * 365));
    let order = shop.place().await;
    (instance, order)
}

async fn until_ready(instance: &Instance) {
    until("it has partitions and has read everything", async || {
        let says = instance.says().await;
        says.contains("\"consumer\":\"ready\"") && says.contains("\"sweeper\":\"ready\"")
    })
    .await;
}

async fn until_says(instance: &Instance, what: &str) {
    let mut patience = TestWait::until(&format!("it says {what:?}"));
    loop {
        let says = instance.says().await;
        if says.contains(what) {
            return;
        }
        patience.look_again(says).await;
    }
}

async fn until_stands(shop: &Shop, order: Uuid, how: &str) {
    let mut patience = TestWait::until(&format!("the order is {how:?}"));
    loop {
        let stands = shop.stands(order).await;
        if stands == how {
            return;
        }
        assert_eq!(stands, "pending");
        patience.look_again(stands).await;
    }
}

/// Somebody else's producer, with a message in an open transaction on each of these partitions.
fn stranger(
    kafka: &kafka::KafkaSettings,
    partitions: &[i32],
) -> ThreadedProducer<DefaultProducerContext> {
    let mut config = kafka.client();
    config
        .set("transactional.id", devstack::unique_prefix())
        .set("transaction.timeout.ms", "600000");
    let producer: ThreadedProducer<_> = config.create().unwrap();
    producer.init_transactions(STANDSTILL).unwrap();
    producer.begin_transaction().unwrap();
    let topic = kafka.topic(TOPIC);
    for partition in partitions {
        let record = BaseRecord::to(&topic).partition(*partition).key("k").payload("never said");
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(STANDSTILL).unwrap();
    producer
}

async fn end(instance: Instance) {
    assert_eq!(instance.life.stop().await, ExitCode::SUCCESS);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_cancelled_at_its_deadline_behind_control_records() {
    let shop = Shop::open().await;
    let (instance, order) = begin(&shop).await;
    stranger(&broker(&shop).await, &[2]).abort_transaction(STANDSTILL).unwrap();
    make_due(&shop, &[order]).await;
    until_stands(&shop, order, "cancelled: timed-out").await;
    end(instance).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_payment_an_open_transaction_hides_is_not_cancelled() {
    let shop = Shop::open().await;
    let (instance, order) = begin(&shop).await;
    let stranger = stranger(&broker(&shop).await, &[0, 1, 2, 3, 4, 5]);
    publish(&shop, vec![shop.said_of(order, &paid(order, 500))]).await;
    make_due(&shop, &[order]).await;
    until_says(&instance, "an open transaction of another producer hides payment-done/").await;
    assert_eq!(shop.stands(order).await, "pending");
    stranger.abort_transaction(STANDSTILL).unwrap();
    until_stands(&shop, order, "confirmed").await;
    until_ready(&instance).await;
    end(instance).await;
}

/// Puts a message on a partition that a broker may just have made.
fn put(kafka: &kafka::KafkaSettings, message: &OutgoingMessage, partition: i32) {
    let mut config = kafka.client();
    config.set("topic.metadata.propagation.max.ms", "300000");
    let producer: ThreadedProducer<_> = config.create().unwrap();
    let topic = kafka.topic(&message.topic);
    let mut headers = OwnedHeaders::new();
    for (key, value) in message.headers.iter() {
        headers = headers.insert(Header { key, value });
    }
    let (key, payload) = (message.key.as_ref().unwrap(), message.payload.as_ref().unwrap());
    let record = BaseRecord::to(&topic).partition(partition).key(key).payload(payload);
    producer.send(record.headers(headers)).map_err(|(error, _)| error).unwrap();
    producer.flush(STANDSTILL).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_payment_lies_on_a_partition_that_was_added_is_not_cancelled() {
    let shop = Shop::open().await;
    let (instance, order) = begin(&shop).await;
    let kafka = broker(&shop).await;
    let admin: AdminClient<_> = kafka.client().create().unwrap();
    let name = kafka.topic(TOPIC);
    let options = AdminOptions::new().request_timeout(Some(STANDSTILL));
    let more = [NewPartitions::new(&name, 12)];
    admin.create_partitions(&more, &options).await.unwrap().remove(0).unwrap();
    // A producer that does not see them yet would say that there are none.
    until("the broker shows the partitions", async || {
        let ask = || admin.inner().fetch_metadata(Some(&name), ANSWER);
        let shown = tokio::task::block_in_place(ask);
        shown.is_ok_and(|metadata| metadata.topics()[0].partitions().len() == 12)
    })
    .await;
    put(&kafka, &shop.said_of(order, &paid(order, 500)), 9);
    make_due(&shop, &[order]).await;
    until_stands(&shop, order, "confirmed").await;
    end(instance).await;

    // A restart lives with more partitions than declared.
    let again = Instance::start(&shop).await;
    until_ready(&again).await;
    end(again).await;
}
