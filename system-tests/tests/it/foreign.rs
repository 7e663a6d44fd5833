//! Messages on the topics are plain Avro in Confluent's wire format: a reader that fetches the
//! schema by the id in the message can decode them without this project's code.

use std::collections::HashMap;

use apache_avro::{Schema, reader::datum::GenericDatumReader, types::Value};
use sagactl::http_client::http_client;
use xtask::cluster::AuditExpectation;

use crate::{
    raw,
    stage::{self, answered},
};

#[tokio::test]
async fn a_reader_that_knows_only_the_registry_reads_every_field() {
    let stage = stage::open().await;
    let order = stage.place("load-0001", "tok_visa").await;
    stage.history(order.id, &["notification-sent"]).await;

    let topic = format!("{}order-placed", stage.cluster.prefix());
    let said = raw::read(&stage.cluster.stack().brokers, &topic).await.remove(0);
    assert_eq!(said.key, Some(order.id.to_string().into_bytes()));
    let body = said.payload.unwrap();
    assert_eq!(body[0], 0);
    let id = u32::from_be_bytes(body[1..5].try_into().unwrap());

    let http = http_client().unwrap();
    let registry = &stage.cluster.stack().registry;
    let answer = answered(http.get(format!("{registry}/schemas/ids/{id}"))).await;
    let answer: HashMap<String, serde_json::Value> = answer.json().await.unwrap();
    let schema = Schema::parse_str(answer["schema"].as_str().unwrap()).unwrap();
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    let value = reader.read_value(&mut &body[5..]).unwrap();
    let Value::Record(fields) = value else { panic!("{value:?}") };
    let fields: HashMap<_, _> = fields.into_iter().collect();
    assert_eq!(fields["currency"], Value::String("EUR".to_owned()));

    let versions = answered(http.get(format!("{registry}/subjects/{topic}-value/versions"))).await;
    let versions: Vec<u32> = versions.json().await.unwrap();
    assert_eq!(versions, [1]);
    stage.close(AuditExpectation::default()).await;
}
