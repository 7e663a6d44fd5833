//! Concurrent transactions on one letter: several redrivers, and redrivers with the consumer.

use shared::dead_letter::{Resolution, RetryDeadMessage as _};

use crate::{
    dead_letters::{by, only, open, process_batch, repair, unreadable},
    kit::{NUMBERS, Tally, database, incoming, number, parts, totals},
};

#[tokio::test]
async fn redrivers_beside_each_other_process_each_message_once() {
    let (pool, _) = database().await;
    let parts = parts(&pool, Tally::default());
    let batch: Vec<_> = (0..20).map(|n| incoming(&unreadable(&n.to_string(), 1), n)).collect();
    process_batch(&parts, &batch).await;
    repair(&pool, "1").await;
    let letters = open(&pool).await;
    let redrive = async || {
        for letter in &letters {
            parts.redrive(letter.id, &by()).await.unwrap();
        }
    };
    tokio::join!(redrive(), redrive(), redrive());
    let totals = totals(&pool).await;
    assert!(totals.len() == 20 && totals.values().all(|total| *total == 1), "{totals:?}");
    assert!(open(&pool).await.is_empty());
    let processed: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM messaging.dead_letter_decision WHERE outcome = 'processed'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(processed, 20);
}

#[tokio::test]
async fn a_redrive_beside_the_consumer_loses_nothing() {
    let (pool, _) = database().await;
    let parts = parts(&pool, Tally::default());
    let batch: Vec<_> = (0..20).map(|n| incoming(&unreadable("a", n + 1), n)).collect();
    process_batch(&parts, &batch).await;
    repair(&pool, "1").await;
    let letters = open(&pool).await;
    let consume = async {
        for offset in 20..100 {
            process_batch(&parts, &[incoming(&number(NUMBERS, "a", offset + 1, 1), offset)]).await;
        }
    };
    let redrive = async {
        for letter in &letters {
            assert_eq!(parts.redrive(letter.id, &by()).await.unwrap(), Resolution::Settled);
        }
    };
    tokio::join!(consume, redrive);
    assert_eq!(totals(&pool).await["a"], 100);
}

#[tokio::test]
async fn an_outage_during_a_redrive_changes_nothing() {
    let (pool, _) = database().await;
    let tally = Tally::default();
    let parts = parts(&pool, tally.clone());
    process_batch(&parts, &[incoming(&unreadable("a", 1), 0)]).await;
    let before = only(&pool).await;
    repair(&pool, "99").await;
    tally.outages.store(1, std::sync::atomic::Ordering::SeqCst);
    parts.redrive(before.id, &by()).await.unwrap_err();
    assert_eq!(only(&pool).await, before);
    assert_eq!(parts.redrive(before.id, &by()).await.unwrap(), Resolution::Settled);
    assert_eq!(totals(&pool).await["a"], 99);
}
