//! Messages of the other services, in any order and repeated.

use contract::OrderPlaced;
use devstack::until;
use payment_service::{
    domain::payment::PaymentCommand,
    request::{PaymentAction, PaymentRequest},
};
use shared::{clock::Clock, consumer::BatchCounts, db, effects::WorkerWakers, fault::Fault};
use uuid::Uuid;

use crate::{kit::Payments, simulator::Simulator};

fn charge_job(attempts: i32) -> Vec<(String, String, i32)> {
    vec![("charge".to_owned(), "waiting".to_owned(), attempts)]
}

#[tokio::test]
async fn the_charge_is_asked_for_once_order_and_stock_are_known_in_either_order() {
    let payments = Payments::start().await;
    let (first, second) = (Clock::System.new_id(), Clock::System.new_id());
    let others = &payments.others;
    payments.process_batch(&[others.placed(first, "tok_visa"), others.reserved(second)]).await;
    assert_eq!(payments.stage(first).await, "awaiting-stock");
    assert_eq!(payments.stage(second).await, "awaiting-order");
    assert!(payments.jobs().await.is_empty());
    payments.process_batch(&[others.placed(second, "tok_visa"), others.reserved(first)]).await;
    assert_eq!(payments.stage(first).await, "charging");
    assert_eq!(payments.stage(second).await, "charging");
    assert_eq!(payments.jobs().await, [charge_job(0), charge_job(0)].concat());
}

#[tokio::test]
async fn what_is_read_again_or_said_again_asks_for_nothing_more() {
    let payments = Payments::start().await;
    let order_id = Clock::System.new_id();
    let (placed, reserved) =
        (payments.others.placed(order_id, "tok_visa"), payments.others.reserved(order_id));
    payments.process_batch(&[placed.clone(), reserved.clone()]).await;
    let again = payments.process_batch(&[placed, reserved]).await;
    assert_eq!(again, BatchCounts { repeats: 2, ..BatchCounts::default() });
    let (placed, reserved) =
        (payments.others.placed(order_id, "tok_visa"), payments.others.reserved(order_id));
    payments.process_batch(&[placed, reserved]).await;
    assert_eq!(payments.stage(order_id).await, "charging");
    assert_eq!(payments.jobs().await, charge_job(0));
}

#[tokio::test]
async fn a_cancellation_that_is_read_first_is_a_fence() {
    let payments = Payments::start().await;
    let order_id = Clock::System.new_id();
    let others = &payments.others;
    payments.process_batch(&[others.cancelled(order_id)]).await;
    payments.process_batch(&[others.placed(order_id, "tok_visa"), others.reserved(order_id)]).await;
    assert_eq!(payments.stage(order_id).await, "fenced");
    assert!(payments.jobs().await.is_empty());
}

#[tokio::test]
async fn a_charge_that_one_batch_asks_for_and_cancels_is_never_kept() {
    let payments = Payments::start().await;
    let order_id = Clock::System.new_id();
    let others = &payments.others;
    payments.process_batch(&[others.placed(order_id, "tok_visa")]).await;
    payments.process_batch(&[others.reserved(order_id), others.cancelled(order_id)]).await;
    assert_eq!(payments.stage(order_id).await, "abandoned");
    assert!(payments.jobs().await.is_empty());
}

#[tokio::test]
async fn a_charge_that_was_never_tried_is_stopped_by_the_cancellation() {
    let payments = Payments::start().await;
    let order_id = payments.charging("tok_visa").await;
    payments.process_batch(&[payments.others.cancelled(order_id)]).await;
    assert_eq!(payments.stage(order_id).await, "abandoned");
    assert!(payments.jobs().await.is_empty());
    assert!(payments.said(order_id).await.is_empty());
}

/// The guard is the lock on the job's row, held until the cancellation is committed.
#[tokio::test]
async fn a_worker_cannot_begin_a_charge_that_is_being_cancelled() {
    let (payments, gateway) = (Payments::start().await, Simulator::start().await);
    let order_id = payments.charging("tok_visa").await;
    let mut tx = db::begin(&payments.pool).await.unwrap();
    let cancel = PaymentRequest { order_id, action: PaymentAction::Cancel, trace: None };
    let outcome = payments.app.execute(&mut tx, &[cancel]).await.unwrap();
    let step = payments.charges(&gateway.url).step().await.unwrap();
    assert_eq!(step.claimed, 0, "the row is held");
    drop(outcome.effects.save(&mut tx, &WorkerWakers::default()).await.unwrap());
    tx.commit().await.unwrap();
    payments.charges(&gateway.url).step().await.unwrap();
    assert_eq!(payments.stage(order_id).await, "abandoned");
    assert_eq!(gateway.counts().await.attempts, 0);
}

/// A row that is not there cannot be locked: its version tells.
#[tokio::test]
async fn two_transactions_that_make_the_same_payment_are_told_apart() {
    let payments = Payments::start().await;
    let order_id = Clock::System.new_id();
    let mut first = db::begin(&payments.pool).await.unwrap();
    let reserved = PaymentRequest {
        order_id,
        action: PaymentAction::Command(PaymentCommand::StockReserved),
        trace: None,
    };
    payments.app.execute(&mut first, &[reserved]).await.unwrap();
    let placed = [payments.others.placed(order_id, "tok_visa")];
    let second = payments.try_process_batch(&placed);
    let commit_once_it_waits = async {
        until("the second transaction waits for the first", async || {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'",
            )
            .fetch_one(&payments.pool)
            .await
            .unwrap();
            waiting > 0
        })
        .await;
        first.commit().await.unwrap();
    };
    let (second, ()) = tokio::join!(second, commit_once_it_waits);
    assert!(second.is_err_and(|fault| fault.is_collision()), "nothing may be overwritten");
    payments.process_batch(&placed).await;
    assert_eq!(payments.stage(order_id).await, "charging");
}

#[tokio::test]
async fn a_record_that_makes_no_sense_is_dead_with_its_reason_and_the_others_go_on() {
    let payments = Payments::start().await;
    let now = Clock::System.now();
    let record = |order_id: Uuid| OrderPlaced {
        order_id,
        lines: vec![],
        total_minor: 1,
        currency: "EUR".to_owned(),
        payment_method: "tok_visa".to_owned(),
        email: String::new(),
        customer_name: None,
        placed_at: now,
        due_at: now,
    };
    let id = || Clock::System.new_id();
    let good = id();
    let others = &payments.others;
    let bad = |change: fn(&mut OrderPlaced)| {
        let mut record = record(id());
        change(&mut record);
        others.say(record.order_id, &record)
    };
    let (subject, body) = (id(), id());
    let batch = [
        bad(|order_placed| order_placed.total_minor = -1),
        bad(|order_placed| order_placed.currency = "Euro".to_owned()),
        bad(|order_placed| order_placed.payment_method.clear()),
        others.say(subject, &record(body)),
        others.placed(good, "tok_visa"),
    ];
    let taken = payments.try_process_batch(&batch).await.unwrap();
    assert_eq!(taken, BatchCounts { fresh: 1, dead: 4, ..BatchCounts::default() });
    let other_subject = format!("it is about {body}, but its ce_subject is {subject}");
    let expected = [
        "total_minor is negative",
        "currency is not a code of three letters",
        "payment_method is empty",
        other_subject.as_str(),
    ];
    let dead = payments.dead().await;
    assert_eq!(dead.iter().map(|(_, detail)| detail.as_str()).collect::<Vec<_>>(), expected);
    assert!(dead.iter().all(|(reason, _)| reason == "body"));
    assert_eq!(payments.stage(good).await, "awaiting-stock");
}

#[tokio::test]
async fn a_message_of_another_topic_is_not_ours_to_guess_at() {
    let payments = Payments::start().await;
    let order_id = Clock::System.new_id();
    let mut said = payments.others.cancelled(order_id);
    said.topic = "product-changed".into();
    let taken = payments.try_process_batch(&[said]).await.unwrap();
    assert_eq!(taken.dead, 1);
    assert_eq!(payments.dead().await[0].1, "product-changed is not read here");
}

#[tokio::test]
async fn many_orders_are_processed_by_one_batch() {
    let payments = Payments::start().await;
    let others = &payments.others;
    let orders: Vec<Uuid> = (0..500).map(|_| Clock::System.new_id()).collect();
    let mut batch = Vec::new();
    for order_id in &orders {
        batch.push(others.placed(*order_id, "tok_visa"));
        batch.push(others.reserved(*order_id));
    }
    // Half of them are cancelled in the same breath.
    batch.extend(orders.iter().step_by(2).map(|id| others.cancelled(*id)));
    let taken = payments.process_batch(&batch).await;
    assert_eq!(taken.fresh, 1_250);
    assert_eq!(payments.jobs().await.len(), 250);
    let stages: Vec<(String, i64)> =
        sqlx::query_as("SELECT stage, count(*) FROM payments GROUP BY stage ORDER BY stage")
            .fetch_all(&payments.pool)
            .await
            .unwrap();
    assert_eq!(stages, [("abandoned".to_owned(), 250), ("charging".to_owned(), 250)]);
}

#[tokio::test]
async fn a_database_that_is_away_is_no_reason_to_die() {
    let payments = Payments::start().await;
    let placed = [payments.others.placed(Clock::System.new_id(), "tok_visa")];
    payments.pool.close().await;
    let fault = payments.try_process_batch(&placed).await.unwrap_err();
    assert!(matches!(fault, Fault::Transient(_)));
}
