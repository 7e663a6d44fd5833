//! Metrics of a decision are updated after its commit: once, and not for what was rolled back.

use shared::dead_letter::{Resolution, RetryDeadMessage as _};

use crate::{
    batcher,
    dead_letters::{by, only, process_batch, repair},
    kit::{self, ACCEPTED, NUMBERS, Tally, incoming, number, parts},
    probe::{self, Probe, Trouble, append, policy, worker},
};

#[tokio::test]
async fn a_message_is_counted_when_it_is_committed_also_by_a_redrive() {
    kit::count_from_here();
    let (pool, _) = kit::database().await;
    let parts = parts(&pool, Tally::default());
    // 7 violates a constraint: the batch is rolled back and processed one by one.
    let batch = [
        incoming(&number(NUMBERS, "a", 1, 1), 0),
        incoming(&number(NUMBERS, "b", 1, 7), 1),
        incoming(&number(NUMBERS, "c", 1, 2), 2),
    ];
    assert_eq!(process_batch(&parts, &batch).await.fresh, 2);
    assert_eq!(kit::value(ACCEPTED).to_string(), "2");
    assert_eq!(process_batch(&parts, &batch).await.fresh, 0);
    assert_eq!(kit::value(ACCEPTED).to_string(), "2", "repeats are not counted");
    let letter = only(&pool).await;
    assert!(parts.redrive(letter.id, &by()).await.is_ok());
    assert_eq!(kit::value(ACCEPTED).to_string(), "2", "it is dead as before");
    repair(&pool, "4").await;
    assert_eq!(parts.redrive(letter.id, &by()).await.unwrap(), Resolution::Settled);
    assert_eq!(kit::value(ACCEPTED).to_string(), "3");
}

#[tokio::test]
async fn a_command_is_counted_when_it_is_committed() {
    kit::count_from_here();
    batcher::together(&batcher::database().await, &["a", "clash", "b"]).await;
    assert_eq!(kit::value("ledger_lines_total").to_string(), "2");
}

#[tokio::test]
async fn the_outcome_of_a_job_is_counted_when_it_is_committed() {
    kit::count_from_here();
    let pool = probe::database().await;
    append(&pool, &["a", "b", "c"]).await;
    let probe = Probe::default();
    probe.trouble(Trouble::Poison("b"));
    worker(&pool, &probe, policy()).step().await.unwrap();
    assert_eq!(kit::value("probe_ended_total").to_string(), "2");
}
