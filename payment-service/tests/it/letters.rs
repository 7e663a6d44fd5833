//! Dead jobs that an operator handles: money moves once, or not at all.

use serde_json::json;
use shared::{
    dead_letter::{
        self, Actor, DeadLetterAdmin, LetterFilter, LetterSummary, Resolution, ResolutionError,
    },
    jobs::{JobHandler, JobWorker},
};

use crate::{
    kit::{Payments, TOTAL_MINOR},
    simulator::Simulator,
};

fn by() -> Actor {
    Actor::new("ada").unwrap().because("the gateway is back").unwrap()
}

/// Decides about these workers' jobs.
fn admin<E: JobHandler>(payments: &Payments, worker: &JobWorker<E>) -> DeadLetterAdmin {
    let mut admin = DeadLetterAdmin::new(payments.pool.clone());
    admin.jobs.insert(E::KIND, worker.parts());
    admin
}

async fn only(payments: &Payments) -> LetterSummary {
    let mut conn = payments.pool.acquire().await.unwrap();
    let mut letters =
        dead_letter::list(&mut conn, &LetterFilter::default(), None, 10).await.unwrap();
    assert_eq!(letters.len(), 1, "{letters:?}");
    letters.remove(0)
}

async fn give_up<E: JobHandler>(payments: &Payments, worker: &mut JobWorker<E>) {
    for _attempt in 0..3 {
        payments.make_due().await;
        worker.step().await.unwrap();
    }
}

#[tokio::test]
async fn a_charge_that_was_given_up_and_said_is_never_tried_again() {
    for fault in ["refuse_rate", "drop_after_rate"] {
        let (payments, gateway) = (Payments::start().await, Simulator::start().await);
        let order_id = payments.charging("tok_visa").await;
        gateway.faults(&json!({ fault: 1.0 })).await;
        let mut charges = payments.charges(&gateway.url);
        give_up(&payments, &mut charges).await;
        gateway.heal().await;
        let before = gateway.counts().await.net_minor;
        let (admin, letter) = (admin(&payments, &charges), only(&payments).await);
        assert_eq!(letter.topic, "charge");
        let refused = admin.redrive(letter.id, &by()).await.unwrap_err();
        assert!(
            matches!(&refused, ResolutionError::Refused(why) if why.contains("for nothing")),
            "{refused}"
        );
        payments.make_due().await;
        assert_eq!(charges.step().await.unwrap().claimed, 0);
        assert_eq!(gateway.counts().await.net_minor, before, "{fault}");
        let discarded = admin.discard(letter.id, &by()).await.unwrap();
        assert!(matches!(discarded, Resolution::Settled));
        let stage = payments.stage(order_id).await;
        assert!(["failed", "unresolved"].contains(&&*stage), "what was decided stays: {stage}");
    }
}

#[tokio::test]
async fn a_payment_of_which_nobody_knows_keeps_the_job_that_finds_out() {
    let (payments, gateway) = (Payments::start().await, Simulator::start().await);
    let order_id = payments.charging("tok_visa").await;
    gateway.faults(&json!({ "drop_after_rate": 1.0 })).await;
    let mut charges = payments.charges(&gateway.url);
    give_up(&payments, &mut charges).await;
    let charge = only(&payments).await;
    admin(&payments, &charges).discard(charge.id, &by()).await.unwrap();
    assert_eq!(payments.stage(order_id).await, "unresolved");
    // The job that finds out has no limit; this worker is told that it has.
    let mut limited = payments.worker_of(payments.resolve_job(&gateway.url));
    give_up(&payments, &mut limited).await;
    let (admin, letter) = (admin(&payments, &limited), only(&payments).await);
    assert_eq!(letter.topic, "resolve");
    let needed = admin.discard(letter.id, &by()).await.unwrap_err();
    assert!(
        matches!(&needed, ResolutionError::Needed(why) if why.contains("try it again")),
        "{needed}"
    );

    gateway.heal().await;
    assert_eq!(admin.redrive(letter.id, &by()).await.unwrap(), Resolution::PutBack);
    assert_eq!(limited.step().await.unwrap().done, 1);
    payments.refunds(&gateway.url).step().await.unwrap();
    assert_eq!(payments.stage(order_id).await, "refunded");
    assert_eq!(gateway.counts().await.net_minor, 0);
}

#[tokio::test]
async fn a_refund_that_was_given_up_is_redriven_under_the_same_key() {
    let (payments, gateway) = (Payments::start().await, Simulator::start().await);
    let order_id = payments.charging("tok_visa").await;
    payments.charges(&gateway.url).step().await.unwrap();
    assert_eq!(gateway.counts().await.net_minor, TOTAL_MINOR);
    payments.process_batch(&[payments.others.cancelled(order_id)]).await;
    gateway.faults(&json!({ "drop_after_rate": 1.0 })).await;
    let mut refunds = payments.refunds(&gateway.url);
    give_up(&payments, &mut refunds).await;
    assert_eq!(payments.stage(order_id).await, "needs-review");
    let letter = only(&payments).await;
    assert_eq!((letter.topic.as_str(), letter.reason.as_str()), ("refund", "in-doubt"));

    gateway.heal().await;
    let admin = admin(&payments, &refunds);
    assert_eq!(admin.redrive(letter.id, &by()).await.unwrap(), Resolution::PutBack);
    assert_eq!(refunds.step().await.unwrap().done, 1);
    assert_eq!(payments.stage(order_id).await, "refunded");
    let counts = gateway.counts().await;
    assert_eq!((counts.refunds, counts.net_minor), (1, 0), "it goes back once");
}
