//! Several hands on one letter: redrivers beside each other, and beside the consumer.

use devstack::{Patience, until};
use shared::{
    db,
    dead_letter::{Carried, Road as _},
    message::Incoming,
};
use sqlx::Executor as _;

use crate::{
    dead_letters::{by, mend, only, open, said, settled, take_in, unreadable},
    kit::{NUMBERS, Tally, database, incoming, number, parts, totals},
};

#[tokio::test]
async fn two_redrivers_take_each_message_in_once() {
    let (pool, _) = database().await;
    let parts = parts(&pool, Tally::default());
    for key in 0..20 {
        let key = key.to_string();
        let letter = incoming(&unreadable(&key, 1), 10 * key.parse::<i64>().unwrap());
        let behind = (1..=5).map(|it| Incoming {
            offset: letter.offset + it,
            ..incoming(&number(NUMBERS, &key, it + 1, 1), 0)
        });
        let batch: Vec<_> = std::iter::once(letter.clone()).chain(behind).collect();
        take_in(&parts, &batch).await;
    }
    mend(&pool, "1").await;
    let letters = open(&pool).await;
    let redrive = async || {
        for letter in &letters {
            parts.redrive(letter.id, &by()).await.unwrap();
        }
    };
    tokio::join!(redrive(), redrive(), redrive());
    let totals = totals(&pool).await;
    assert!(totals.len() == 20 && totals.values().all(|it| *it == 6), "{totals:?}");
    assert!(open(&pool).await.is_empty());
    let taken_in: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM messaging.dead_letter_decision WHERE outcome = 'taken-in'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(taken_in, 20);
}

#[tokio::test]
async fn a_redrive_beside_the_consumer_loses_nothing_and_keeps_the_order() {
    let (pool, _) = database().await;
    let parts = parts(&pool, Tally::default());
    take_in(&parts, &[incoming(&unreadable("a", 1), 0)]).await;
    let letter = only(&pool).await;
    mend(&pool, "1").await;
    let consume = async {
        for offset in 1..=200 {
            take_in(&parts, &[incoming(&number(NUMBERS, "a", offset + 1, 1), offset)]).await;
        }
    };
    let redrive = async {
        let mut patience = Patience::until("some wait behind the letter");
        loop {
            let waiting = only(&pool).await.waiting;
            if waiting >= 20 {
                break;
            }
            patience.look_again(waiting).await;
        }
        parts.redrive(letter.id, &by()).await.unwrap()
    };
    let ((), carried) = tokio::join!(consume, redrive);
    assert!(matches!(carried, Carried::Settled { left: 0, now_behind: None, .. }), "{carried:?}");
    assert_eq!(totals(&pool).await["a"], 201);
    assert!(said(&pool).await.is_sorted());
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM messaging.parked").fetch_one(&pool).await.unwrap();
    assert_eq!(left, 0, "nothing waits in an open lane");
}

/// The lane passes from one letter to the next while a consumer waits for the first.
#[tokio::test]
async fn a_message_that_arrives_while_the_letter_changes_waits_behind_the_new_one() {
    let (pool, _) = database().await;
    let parts = parts(&pool, Tally::default());
    take_in(&parts, &[incoming(&number(NUMBERS, "a", 1, -1), 0)]).await;
    let first = only(&pool).await;
    let mut tx = db::begin(&pool).await.unwrap();
    tx.execute("UPDATE messaging.dead_letter SET closed_at = now(), settled = 'discarded'")
        .await
        .unwrap();
    tx.execute(
        "INSERT INTO messaging.dead_letter
             (dead_letter_id, topic, partition, \"offset\", key, headers, lane, reason, detail)
         SELECT gen_random_uuid(), topic, partition, 1, key, headers, lane, 'body', ''
         FROM messaging.dead_letter",
    )
    .await
    .unwrap();
    let late = [incoming(&number(NUMBERS, "a", 3, 3), 2)];
    let consume = take_in(&parts, &late);
    let commit = async {
        let waits = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted
                     AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
        until("the consumer waits for the letter", async || {
            sqlx::query_scalar::<_, bool>(waits).fetch_one(&pool).await.unwrap()
        })
        .await;
        tx.commit().await.unwrap();
    };
    let (taken, ()) = tokio::join!(consume, commit);
    assert_eq!(taken.parked, 1, "{taken:?}");
    let now = only(&pool).await;
    assert_ne!(now.id, first.id);
    assert_eq!(now.waiting, 1);
}

#[tokio::test]
async fn an_outage_during_a_redrive_changes_nothing() {
    let (pool, _) = database().await;
    let tally = Tally::default();
    let parts = parts(&pool, tally.clone());
    take_in(&parts, &[incoming(&unreadable("a", 1), 0)]).await;
    let before = only(&pool).await;
    mend(&pool, "99").await;
    tally.outages.store(1, std::sync::atomic::Ordering::SeqCst);
    parts.redrive(before.id, &by()).await.unwrap_err();
    assert_eq!(only(&pool).await, before);
    assert_eq!(parts.redrive(before.id, &by()).await.unwrap(), settled(0));
    assert_eq!(totals(&pool).await["a"], 99);
}
