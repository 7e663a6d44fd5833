//! Money moves once, whatever is lost on the way: jobs against the real gateway.

use std::sync::Arc;

use contract::{PaymentDone, PaymentFailed, PaymentRefunded};
use devstack::until;
use payment_service::{gateway::ChargeOutcome, jobs::ChargeJob};
use serde_json::json;
use shared::{
    clock::Clock,
    effects::DecisionEffects,
    fault::Fault,
    jobs::{AttemptFailure, ClaimedJob, JobHandler, JobResult},
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::sync::Notify;

use crate::{
    kit::{Payments, TOTAL_MINOR},
    simulator::{Counts, Simulator},
};

async fn both() -> (Payments, Simulator) {
    (Payments::start().await, Simulator::start().await)
}

fn said(words: &[(&str, i64)]) -> Vec<(String, i64)> {
    words.iter().map(|(topic, sequence)| ((*topic).to_owned(), *sequence)).collect()
}

const CHARGED_AND_REFUNDED: Counts = Counts { charges: 1, refunds: 1, attempts: 2, net_minor: 0 };

#[tokio::test]
async fn a_payment_is_made_and_said() {
    let (payments, gateway) = both().await;
    let order_id = payments.charging("tok_visa").await;
    let step = payments.charges(&gateway.url).step().await.unwrap();
    assert_eq!((step.claimed, step.done), (1, 1));
    assert_eq!(payments.stage(order_id).await, "done");
    assert!(payments.jobs().await.is_empty());
    let message = payments.messages(order_id).await.remove(0);
    let done: PaymentDone = payments.codec.decode(&message).await.unwrap();
    assert_eq!((done.order_id, done.amount_minor), (order_id, TOTAL_MINOR));
    assert_eq!(done.currency, "EUR");
    assert!(done.charge_id.starts_with("ch_"));
    assert!(message.envelope.trace.is_some());
    let counts = gateway.counts().await;
    assert_eq!(counts, Counts { charges: 1, refunds: 0, attempts: 1, net_minor: TOTAL_MINOR });
}

#[tokio::test]
async fn a_declined_card_fails_the_payment_and_is_not_tried_again() {
    let (payments, gateway) = both().await;
    let order_id = payments.charging("tok_insufficientFunds").await;
    payments.charges(&gateway.url).step().await.unwrap();
    assert_eq!(payments.stage(order_id).await, "failed");
    assert!(payments.jobs().await.is_empty());
    let message = payments.messages(order_id).await.remove(0);
    let failed: PaymentFailed = payments.codec.decode(&message).await.unwrap();
    assert_eq!(failed.reason, "declined");
    assert_eq!(failed.code.as_deref(), Some("insufficient_funds"));
    payments.process_batch(&[payments.others.cancelled(order_id)]).await;
    assert_eq!(payments.stage(order_id).await, "failed");
    assert_eq!(gateway.counts().await.charges, 0);
}

#[tokio::test]
async fn a_charge_whose_answer_was_lost_happens_once() {
    let (payments, gateway) = both().await;
    let order_id = payments.charging("tok_lost").await;
    let mut worker = payments.charges(&gateway.url);
    assert_eq!(worker.step().await.unwrap().again, 1);
    assert_eq!(payments.stage(order_id).await, "charging");
    payments.make_due().await;
    assert_eq!(worker.step().await.unwrap().done, 1);
    assert_eq!(payments.stage(order_id).await, "done");
    let counts = gateway.counts().await;
    assert_eq!((counts.charges, counts.attempts), (1, 2));
}

/// A charge whose answer stays on its way until the test lets it go.
struct Delayed(ChargeJob, Arc<Notify>);

impl JobHandler for Delayed {
    const KIND: &'static str = ChargeJob::KIND;
    type Done = ChargeOutcome;

    async fn perform(&self, job: &ClaimedJob) -> Result<ChargeOutcome, AttemptFailure> {
        let answer = self.0.perform(job).await;
        self.1.notified().await;
        answer
    }

    async fn settle(
        &self,
        conn: &mut PgConnection,
        ended: &[(ClaimedJob, JobResult<ChargeOutcome>)],
    ) -> Result<DecisionEffects, Fault> {
        self.0.settle(conn, ended).await
    }
}

#[tokio::test]
async fn an_order_that_is_cancelled_during_its_charge_gets_its_money_back() {
    let (payments, gateway) = both().await;
    let order_id = payments.charging("tok_visa").await;
    let go_on = Arc::new(Notify::new());
    let charge = Delayed(payments.charge_job(&gateway.url), Arc::clone(&go_on));
    let mut worker = payments.worker_of(charge);
    let cancel_meanwhile = async {
        until("the charge is made", async || gateway.counts().await.charges == 1).await;
        payments.process_batch(&[payments.others.cancelled(order_id)]).await;
        assert_eq!(payments.stage(order_id).await, "cancelling");
        go_on.notify_one();
    };
    let (step, ()) = tokio::join!(worker.step(), cancel_meanwhile);
    assert_eq!(step.unwrap().done, 1);
    assert_eq!(payments.stage(order_id).await, "refunding");
    assert!(payments.said(order_id).await.is_empty(), "a cancelled order hears of no payment");
    assert_eq!(payments.refunds(&gateway.url).step().await.unwrap().done, 1);
    assert_eq!(payments.stage(order_id).await, "refunded");
    assert_eq!(payments.said(order_id).await, said(&[("payment-refunded", 1)]));
    assert_eq!(gateway.counts().await, CHARGED_AND_REFUNDED);
}

#[tokio::test]
async fn an_order_that_is_cancelled_after_its_payment_gets_its_money_back_once() {
    let (payments, gateway) = both().await;
    let order_id = payments.charging("tok_visa").await;
    payments.charges(&gateway.url).step().await.unwrap();
    for _twice in 0..2 {
        payments.process_batch(&[payments.others.cancelled(order_id)]).await;
    }
    payments.refunds(&gateway.url).step().await.unwrap();
    payments.process_batch(&[payments.others.cancelled(order_id)]).await;
    payments.refunds(&gateway.url).step().await.unwrap();
    let words = [("payment-done", 1), ("payment-refunded", 2)];
    assert_eq!(payments.said(order_id).await, said(&words));
    let message = payments.messages(order_id).await.remove(1);
    let refunded: PaymentRefunded = payments.codec.decode(&message).await.unwrap();
    assert_eq!(refunded.amount_minor, TOTAL_MINOR);
    assert!(refunded.refund_id.starts_with("re_"));
    assert_eq!(gateway.counts().await, CHARGED_AND_REFUNDED);
}

#[tokio::test]
async fn an_order_that_is_cancelled_while_its_charge_is_only_refused_is_never_charged() {
    let (payments, gateway) = both().await;
    let order_id = payments.charging("tok_visa").await;
    gateway.faults(&json!({ "refuse_rate": 1.0 })).await;
    let mut worker = payments.charges(&gateway.url);
    assert_eq!(worker.step().await.unwrap().again, 1);
    payments.process_batch(&[payments.others.cancelled(order_id)]).await;
    assert_eq!(payments.stage(order_id).await, "abandoned", "nothing came of it, and nothing will");
    gateway.heal().await;
    payments.make_due().await;
    assert_eq!(worker.step().await.unwrap().claimed, 0);
    assert_eq!(gateway.counts().await.charges, 0);
}

#[tokio::test]
async fn an_order_that_was_cancelled_first_is_never_charged() {
    let (payments, gateway) = both().await;
    let order_id = Clock::System.new_id();
    let others = &payments.others;
    payments.process_batch(&[others.cancelled(order_id)]).await;
    payments.process_batch(&[others.placed(order_id, "tok_visa"), others.reserved(order_id)]).await;
    assert_eq!(payments.charges(&gateway.url).step().await.unwrap().claimed, 0);
    assert_eq!(gateway.counts().await.attempts, 0);
}

/// A worker that is gone between the call and its outcome.
struct Gone(ChargeJob);

impl JobHandler for Gone {
    const KIND: &'static str = ChargeJob::KIND;
    type Done = ChargeOutcome;

    async fn perform(&self, job: &ClaimedJob) -> Result<ChargeOutcome, AttemptFailure> {
        self.0.perform(job).await
    }

    async fn settle(
        &self,
        _conn: &mut PgConnection,
        _ended: &[(ClaimedJob, JobResult<ChargeOutcome>)],
    ) -> Result<DecisionEffects, Fault> {
        Err(Fault::transient("the process is gone"))
    }
}

#[tokio::test]
async fn a_worker_that_dies_before_its_outcome_is_home_leaves_a_charge_that_happens_once() {
    let (payments, gateway) = both().await;
    let order_id = payments.charging("tok_visa").await;
    let mut worker = payments.worker_of(Gone(payments.charge_job(&gateway.url)));
    worker.step().await.unwrap_err();
    drop(worker);
    assert_eq!(gateway.counts().await.charges, 1);
    assert_eq!(payments.stage(order_id).await, "charging");
    let mut next = payments.charges(&gateway.url);
    assert_eq!(next.step().await.unwrap().claimed, 0, "the lease still runs");
    payments.make_due().await;
    assert_eq!(next.step().await.unwrap().done, 1);
    assert_eq!(payments.stage(order_id).await, "done");
    let counts = gateway.counts().await;
    assert_eq!((counts.charges, counts.attempts), (1, 2));
}

#[tokio::test]
async fn a_gateway_that_refuses_for_now_is_asked_when_it_says() {
    let (payments, gateway) = both().await;
    let order_id = payments.charging("tok_visa").await;
    gateway.faults(&json!({ "refuse_rate": 1.0 })).await;
    let before: OffsetDateTime =
        sqlx::query_scalar("SELECT now()").fetch_one(&payments.pool).await.unwrap();
    let mut worker = payments.charges(&gateway.url);
    assert_eq!(worker.step().await.unwrap().again, 1);
    let (due_at, in_doubt): (OffsetDateTime, bool) =
        sqlx::query_as("SELECT due_at, in_doubt FROM messaging.job")
            .fetch_one(&payments.pool)
            .await
            .unwrap();
    // The gateway says one second; the waits of this worker are of milliseconds.
    assert!(due_at >= before + time::Duration::SECOND, "{before} {due_at}");
    assert!(!in_doubt, "a refusal leaves no doubt");
    gateway.heal().await;
    payments.make_due().await;
    worker.step().await.unwrap();
    assert_eq!(payments.stage(order_id).await, "done");
}

#[tokio::test]
async fn a_gateway_that_is_down_for_good_fails_the_payment_without_doubt() {
    let (payments, mut gateway) = both().await;
    let order_id = payments.charging("tok_visa").await;
    gateway.kill().await;
    let mut worker = payments.charges(&gateway.url);
    for _attempt in 0..3 {
        payments.make_due().await;
        worker.step().await.unwrap();
    }
    assert_eq!(payments.stage(order_id).await, "failed");
    assert_eq!(payments.said(order_id).await, said(&[("payment-failed", 1)]));
    let jobs = payments.jobs().await;
    assert_eq!(jobs, [("charge".to_owned(), "dead".to_owned(), 3)], "and nothing to resolve");
    let message = payments.messages(order_id).await.remove(0);
    let failed: PaymentFailed = payments.codec.decode(&message).await.unwrap();
    assert_eq!((failed.reason.as_str(), failed.code), ("unavailable", None));
}

/// Brings a payment whose every answer was lost to the stage where nobody knows.
async fn given_up_in_doubt(payments: &Payments, gateway: &Simulator, fault: &str) -> uuid::Uuid {
    let order_id = payments.charging("tok_visa").await;
    gateway.faults(&json!({ fault: 1.0 })).await;
    let mut worker = payments.charges(&gateway.url);
    for _attempt in 0..3 {
        payments.make_due().await;
        worker.step().await.unwrap();
    }
    assert_eq!(payments.stage(order_id).await, "unresolved");
    assert_eq!(payments.said(order_id).await, said(&[("payment-failed", 1)]));
    payments.process_batch(&[payments.others.cancelled(order_id)]).await;
    order_id
}

#[tokio::test]
async fn a_charge_in_doubt_that_happened_is_found_and_given_back() {
    let (payments, gateway) = both().await;
    let order_id = given_up_in_doubt(&payments, &gateway, "drop_after_rate").await;
    assert_eq!(gateway.counts().await.net_minor, TOTAL_MINOR);
    let mut resolves = payments.resolves(&gateway.url);
    // Ten minutes of a gateway that cannot be understood are no reason to stop asking.
    for fault in ["drop_after_rate", "error_after_rate", "refuse_rate"] {
        gateway.faults(&json!({ fault: 1.0 })).await;
        for _attempt in 0..5 {
            payments.make_due().await;
            assert_eq!(resolves.step().await.unwrap().again, 1);
        }
    }
    gateway.heal().await;
    payments.make_due().await;
    assert_eq!(resolves.step().await.unwrap().done, 1);
    assert_eq!(payments.stage(order_id).await, "refunding");
    payments.refunds(&gateway.url).step().await.unwrap();
    let words = [("payment-failed", 1), ("payment-refunded", 2)];
    assert_eq!(payments.said(order_id).await, said(&words));
    let counts = gateway.counts().await;
    assert_eq!((counts.charges, counts.refunds, counts.net_minor), (1, 1, 0));
}

#[tokio::test]
async fn a_charge_in_doubt_that_had_not_happened_is_settled_and_given_back() {
    let (payments, gateway) = both().await;
    let order_id = given_up_in_doubt(&payments, &gateway, "drop_before_rate").await;
    assert_eq!(gateway.counts().await.charges, 0);
    gateway.heal().await;
    payments.resolves(&gateway.url).step().await.unwrap();
    payments.refunds(&gateway.url).step().await.unwrap();
    assert_eq!(payments.stage(order_id).await, "refunded");
    assert_eq!(gateway.counts().await.net_minor, 0);
}

#[tokio::test]
async fn a_charge_in_doubt_that_is_declined_in_the_end_has_failed() {
    let (payments, gateway) = both().await;
    let order_id = payments.charging("tok_expired").await;
    gateway.faults(&json!({ "error_after_rate": 1.0 })).await;
    let mut worker = payments.charges(&gateway.url);
    for _attempt in 0..3 {
        payments.make_due().await;
        worker.step().await.unwrap();
    }
    assert_eq!(payments.stage(order_id).await, "unresolved");
    gateway.heal().await;
    payments.resolves(&gateway.url).step().await.unwrap();
    assert_eq!(payments.stage(order_id).await, "failed");
    assert_eq!(payments.said(order_id).await, said(&[("payment-failed", 1)]));
    assert_eq!(gateway.counts().await.charges, 0);
}

#[tokio::test]
async fn a_request_that_the_gateway_never_takes_is_given_up_at_once() {
    let (payments, gateway) = both().await;
    let order_id = payments.charging("tok_unheard_of").await;
    assert_eq!(payments.charges(&gateway.url).step().await.unwrap().gave_up, 1);
    assert_eq!(payments.stage(order_id).await, "failed");
}

#[tokio::test]
async fn an_amount_that_the_gateway_never_charges_is_a_decline_and_no_dead_letter() {
    let (payments, gateway) = both().await;
    let (order_id, others) = (Clock::System.new_id(), &payments.others);
    let placed = others.placed_for(order_id, "tok_visa", 100_000_000);
    payments.process_batch(&[placed, others.reserved(order_id)]).await;
    assert_eq!(payments.charges(&gateway.url).step().await.unwrap().done, 1);
    assert_eq!(payments.stage(order_id).await, "failed");
    assert!(payments.jobs().await.is_empty(), "nothing waits for an operator");
    let message = payments.messages(order_id).await.remove(0);
    let failed: PaymentFailed = payments.codec.decode(&message).await.unwrap();
    assert_eq!(
        (failed.reason.as_str(), failed.code.as_deref()),
        ("declined", Some("amount_too_large"))
    );
}

#[tokio::test]
async fn a_key_that_was_used_for_another_request_charges_nobody() {
    let (payments, gateway) = both().await;
    let order_id = payments.charging("tok_visa").await;
    assert_eq!(gateway.charge(&format!("{order_id}:charge"), 1).await, 200);
    assert_eq!(payments.charges(&gateway.url).step().await.unwrap().gave_up, 1);
    assert_eq!(payments.stage(order_id).await, "failed");
    assert_eq!(gateway.counts().await.charges, 1, "that of somebody else");
}

#[tokio::test]
async fn many_charges_go_out_at_once_and_come_home_in_one_batch() {
    let (payments, gateway) = both().await;
    let others = &payments.others;
    let mut batch = Vec::new();
    for _order in 0..60 {
        let order_id = Clock::System.new_id();
        batch.push(others.placed(order_id, "tok_visa"));
        batch.push(others.reserved(order_id));
    }
    payments.process_batch(&batch).await;
    let step = payments.charges(&gateway.url).step().await.unwrap();
    assert_eq!((step.claimed, step.done), (60, 60));
    let transactions: i64 = sqlx::query_scalar("SELECT count(DISTINCT updated_at) FROM payments")
        .fetch_one(&payments.pool)
        .await
        .unwrap();
    assert_eq!(transactions, 1, "one save for all");
    assert_eq!(gateway.counts().await.charges, 60);
}
