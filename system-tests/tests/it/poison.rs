//! Messages that no service can read: dead with a reason, and the partition goes on.

use devstack::Patience;
use sagactl::{audit::Expected, fleet::Member};
use sqlx::{Connection as _, PgConnection};

use crate::{
    raw::{self, Raw},
    stage,
};

#[tokio::test]
async fn garbage_on_every_topic_is_dead_with_its_reason_and_orders_go_on() {
    let stage = stage::open().await;
    let mut said = Vec::new();
    let garbage: [&[u8]; 3] = [b"", b"\0\0\0", b"\x01not avro at all"];
    for topic in ["order-placed", "stock-reserved", "payment-done"] {
        let topic = format!("{}{topic}", stage.fleet.prefix());
        for body in garbage {
            let (key, payload) = (Some(b"nobody".to_vec()), Some(body.to_vec()));
            said.push(Raw { topic: topic.clone(), key, payload, ..Raw::default() });
        }
    }
    raw::say(&stage.fleet.stack().brokers, said).await;
    // order-placed has three readers, stock-reserved two, payment-done one.
    let expected = 3 * 3 + 3 * 2 + 3;
    let mut patience = Patience::until("all of it is dead");
    loop {
        let dead = dead_letters(&stage).await;
        if dead == expected {
            break;
        }
        patience.look_again(dead).await;
    }

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
