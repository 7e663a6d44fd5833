//! Messages that no service can read: each becomes a dead letter, and the partition goes on.

use contract::StockReserved;
use devstack::TestWait;
use shared::{clock::Clock, codec::Record as _, message::MessageEnvelope};
use sqlx::{Connection as _, PgConnection};
use xtask::{
    cluster::{AuditExpectation, ProcessName},
    poison::{self, BadMessage},
};

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
        let topic = format!("{}{topic}", stage.cluster.prefix());
        for body in garbage {
            let (key, payload) = (Some(b"nobody".to_vec()), Some(body.to_vec()));
            said.push(Raw { topic: topic.clone(), key, payload, ..Raw::default() });
        }
    }
    raw::say(&stage.cluster.stack().brokers, said).await;
    // order-placed has three readers, stock-reserved two, payment-done one.
    let expected = 3 * 3 + 3 * 2 + 3;
    let mut patience = TestWait::until("all of it is dead");
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
    stage.close(AuditExpectation { dead_letters: expected }).await;
}

async fn dead_letters(stage: &stage::Stage) -> i64 {
    let mut all = 0;
    for member in ProcessName::SERVICES {
        let mut conn =
            PgConnection::connect(stage.cluster.database(member).unwrap()).await.unwrap();
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

/// Each of the many unknown ids used to be looked up one after another, half a second for each.
#[tokio::test]
async fn a_flood_of_schema_ids_that_nobody_knows_keeps_no_order_back() {
    let stage = stage::open().await;
    let strange = |n: u32| {
        let key = format!("nobody-{n}");
        let envelope = MessageEnvelope {
            id: Clock::System.new_id(),
            event_type: StockReserved::TYPE.into(),
            source: contract::source("a-stranger").into(),
            subject: key.clone(),
            sequence: 1,
            time: Clock::System.now(),
            trace: None,
        };
        let headers = envelope.to_headers();
        let headers =
            headers.iter().map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)));
        Raw {
            topic: format!("{}{}", stage.cluster.prefix(), StockReserved::TOPIC),
            key: Some(key.into_bytes()),
            headers: headers.collect(),
            payload: Some([&[0][..], &(1_500_000_000 + n).to_be_bytes(), b"x"].concat()),
        }
    };
    raw::say(&stage.cluster.stack().brokers, (0..400).map(strange).collect()).await;
    let order = stage.place("load-0001", "tok_visa").await;
    let order = stage.history(order.id, &["notification-sent"]).await;
    assert_eq!(order.status, "confirmed");
    // stock-reserved has two readers.
    let mut patience = TestWait::until("all of it is dead");
    loop {
        let dead = of_reason(&stage, "body").await;
        if dead == 2 * 400 {
            break;
        }
        patience.look_again(dead).await;
    }
    stage.close(AuditExpectation { dead_letters: 2 * 400 }).await;
}

async fn of_reason(stage: &stage::Stage, reason: &str) -> i64 {
    let mut all = 0;
    for member in ProcessName::SERVICES {
        let mut conn =
            PgConnection::connect(stage.cluster.database(member).unwrap()).await.unwrap();
        let sql = "SELECT count(*) FROM messaging.dead_letter WHERE reason = $1";
        let dead: i64 = sqlx::query_scalar(sql).bind(reason).fetch_one(&mut conn).await.unwrap();
        all += dead;
        conn.close().await.unwrap();
    }
    all
}

/// What `xtask poison` puts on a topic is kept for the reason that it promises, and an order under the
/// same key is confirmed all the same.
#[tokio::test]
async fn each_kind_of_poison_is_dead_for_its_own_reason() {
    let stage = stage::open().await;
    let order = stage.place("load-0001", "tok_visa").await;
    let key = order.id.to_string();
    for (kind, reason) in [
        (BadMessage::NotAvro, "body"),
        (BadMessage::UnknownSchema, "body"),
        (BadMessage::MissingHeaders, "envelope"),
        (BadMessage::WrongSubject, "envelope"),
    ] {
        let before = of_reason(&stage, reason).await;
        let message = poison::poisoned("payment-done", &key, kind).unwrap();
        poison::send(&stage.cluster.broker(), &message).await.unwrap();
        let mut patience = TestWait::until("it is dead");
        while of_reason(&stage, reason).await == before {
            patience.look_again(kind).await;
        }
    }
    let order = stage.history(order.id, &["notification-sent"]).await;
    assert_eq!(order.status, "confirmed");
    stage.close(AuditExpectation { dead_letters: 4 }).await;
}
