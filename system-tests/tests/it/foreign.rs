//! What stands on the topics is plain Avro in Confluent's wire format: whoever fetches the schema by
//! the id in the message can read it, without this project's code.

use std::collections::HashMap;

use apache_avro::{Schema, reader::datum::GenericDatumReader, types::Value};
use rdkafka::{
    ClientConfig, Message as _,
    consumer::{BaseConsumer, Consumer as _},
};
use sagactl::audit::Expected;

use crate::stage::{self, PATIENCE};

#[tokio::test]
async fn a_reader_that_knows_only_the_registry_reads_every_field() {
    let stage = stage::open().await;
    let order = stage.place("load-0001", "tok_visa").await;
    stage.history(order.id, &["notification-sent"]).await;

    let topic = format!("{}order-placed", stage.fleet.prefix());
    let brokers = stage.fleet.stack().brokers.clone();
    let name = topic.clone();
    let (key, body) = tokio::task::spawn_blocking(move || first(&brokers, &name)).await.unwrap();
    assert_eq!(key, order.id.to_string().into_bytes());
    assert_eq!(body[0], 0);
    let id = u32::from_be_bytes(body[1..5].try_into().unwrap());

    let http = sagactl::client::http().unwrap();
    let registry = &stage.fleet.stack().registry;
    let answer: HashMap<String, serde_json::Value> = http
        .get(format!("{registry}/schemas/ids/{id}"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let schema = Schema::parse_str(answer["schema"].as_str().unwrap()).unwrap();
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    let value = reader.read_value(&mut &body[5..]).unwrap();
    let Value::Record(fields) = value else { panic!("{value:?}") };
    let fields: HashMap<_, _> = fields.into_iter().collect();
    assert_eq!(fields["currency"], Value::String("EUR".to_owned()));

    let versions: Vec<u32> = http
        .get(format!("{registry}/subjects/{topic}-value/versions"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(versions, [1]);
    stage.close(Expected::default()).await;
}

fn first(brokers: &str, topic: &str) -> (Vec<u8>, Vec<u8>) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "a-stranger")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        assert!(std::time::Instant::now() < until, "nothing on {topic}");
        if let Some(Ok(message)) = consumer.poll(std::time::Duration::from_millis(100)) {
            return (message.key().unwrap().to_vec(), message.payload().unwrap().to_vec());
        }
    }
}
