//! Messages that no service can read: dead with a reason, and the partition goes on.

use rdkafka::{
    ClientConfig,
    producer::{BaseRecord, Producer as _, ThreadedProducer},
};
use sagactl::{audit::Expected, fleet::Member};
use sqlx::{Connection as _, PgConnection};

use crate::stage::{self, PATIENCE, until};

#[tokio::test]
async fn garbage_on_every_topic_is_dead_with_its_reason_and_orders_go_on() {
    let stage = stage::open().await;
    let urls = stage.fleet.stack().clone();
    let producer: ThreadedProducer<_> =
        ClientConfig::new().set("bootstrap.servers", &urls.brokers).create().unwrap();
    let garbage: [&[u8]; 3] = [b"", b"\0\0\0", b"\x01not avro at all"];
    for topic in ["order-placed", "stock-reserved", "payment-done"] {
        let topic = format!("{}{topic}", stage.fleet.prefix());
        for body in garbage {
            producer.send(BaseRecord::to(&topic).key(b"nobody").payload(body)).unwrap();
        }
    }
    tokio::task::spawn_blocking(move || producer.flush(PATIENCE).unwrap()).await.unwrap();
    // order-placed has three readers, stock-reserved two, payment-done one.
    let expected = 3 * 3 + 3 * 2 + 3;
    until("all of it is dead", async || dead_letters(&stage).await == expected).await;

    let order = stage.place("load-0001", "tok_visa").await;
    let order = stage.history(order.id, &["notification-sent"]).await;
    assert_eq!(order.status, "confirmed");
    stage.close(Expected { dead_letters: expected }).await;
}

async fn dead_letters(stage: &stage::Stage) -> i64 {
    let mut all = 0;
    for member in Member::SERVICES {
        let mut conn = PgConnection::connect(stage.fleet.database(member).unwrap()).await.unwrap();
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT reason, detail FROM messaging.dead_letter")
                .fetch_all(&mut conn)
                .await
                .unwrap();
        assert!(rows.iter().all(|(reason, detail)| reason == "envelope" && !detail.is_empty()));
        all += i64::try_from(rows.len()).unwrap();
        conn.close().await.unwrap();
    }
    all
}
