//! The gateway is away: for a moment, for ten minutes by the jobs' own clock, or behind an open
//! breaker.

use std::time::Duration;

use clap::Parser as _;
use devstack::{TestWait, until};
use payment_service::{
    config::PaymentSettings,
    jobs::{ChargeJob, RefundJob, ResolveJob},
};
use serde_json::json;
use shared::{
    breaker,
    config::RetrySettings,
    jobs::{JobHandler, JobPolicy, JobWorker},
};
use uuid::Uuid;

use crate::{
    kit::{PATIENCE, Payments, TOTAL_MINOR, gateway, gateway_with},
    simulator::Simulator,
};

/// The service's own settings, as they are documented.
fn settings() -> PaymentSettings {
    PaymentSettings::try_parse_from(["payment-service", "--database-url", "postgres://me@db/p"])
        .unwrap()
}

/// How it works on jobs that are tried again like this; only that no attempt comes to its limit
/// because the machine stands still.
fn policy(settings: &PaymentSettings, retry: &RetrySettings) -> JobPolicy {
    JobPolicy { attempt_limit: PATIENCE, ..settings.policy(retry) }
}

/// Lets the time pass until a job is due; says how much.
async fn pass(payments: &Payments) -> Duration {
    let seconds: f64 = sqlx::query_scalar(
        "WITH next AS (
             SELECT greatest(min(due_at) - now(), interval '0') AS wait
             FROM messaging.job WHERE state <> 'dead'
         ), moved AS (
             UPDATE messaging.job SET due_at = due_at - wait FROM next WHERE state <> 'dead'
         )
         SELECT coalesce(extract(epoch FROM wait), 0)::float8 FROM next",
    )
    .fetch_one(&payments.pool)
    .await
    .unwrap();
    Duration::from_secs_f64(seconds)
}

/// The three workers of the service.
struct Workers {
    charges: JobWorker<ChargeJob>,
    resolves: JobWorker<ResolveJob>,
    refunds: JobWorker<RefundJob>,
}

impl Workers {
    fn of(payments: &Payments, url: &str) -> Self {
        let (settings, app, gateway) = (settings(), payments.app.clone(), gateway(url));
        let charge = ChargeJob::new(app.clone(), gateway.clone());
        let resolve = ResolveJob::new(app.clone(), gateway.clone());
        let refund = RefundJob::new(app, gateway);
        Self {
            charges: payments.worker_by(charge, policy(&settings, &settings.charge_retry)),
            resolves: payments.worker_by(resolve, policy(&settings, &settings.resolve_retry)),
            refunds: payments.worker_by(refund, policy(&settings, &settings.refund_retry)),
        }
    }

    async fn step(&mut self) {
        self.charges.step().await.unwrap();
        self.resolves.step().await.unwrap();
        self.refunds.step().await.unwrap();
    }

    /// Works until so much time has passed.
    async fn work(&mut self, payments: &Payments, time: Duration) {
        let mut passed = Duration::ZERO;
        while passed < time {
            passed += pass(payments).await;
            self.step().await;
            assert!(!payments.jobs().await.is_empty(), "there is nothing to wait for");
        }
    }
}

#[tokio::test]
async fn orders_of_ten_minutes_without_a_gateway_all_end_right() {
    let (payments, mut gateway) = (Payments::start().await, Simulator::start().await);
    let mut workers = Workers::of(&payments, &gateway.url);

    // One was charged, and the answer was lost when the gateway went away.
    let charged = payments.charging("tok_visa").await;
    gateway.faults(&json!({ "drop_after_rate": 1.0 })).await;
    workers.step().await;
    gateway.kill().await;
    // One comes while it is away, and one is cancelled meanwhile.
    let refused = payments.charging("tok_visa").await;
    let unwanted = payments.charging("tok_visa").await;
    // Waits are drawn: few enough attempts that none is the last one, whatever was drawn.
    for _ in 0..4 {
        pass(&payments).await;
        workers.step().await;
    }
    // What was refused for sure is stopped at once; an attempt whose outcome is open has to be
    // settled.
    let expected = if in_doubt(&payments, unwanted).await { "cancelling" } else { "abandoned" };
    payments.process_batch(&[payments.others.cancelled(unwanted)]).await;
    assert_eq!(payments.stage(unwanted).await, expected);

    workers.work(&payments, Duration::from_mins(4)).await;
    assert_eq!(payments.stage(charged).await, "unresolved");
    assert_eq!(payments.stage(refused).await, "failed", "well before the deadline of its order");
    assert_eq!(payments.stage(unwanted).await, "abandoned");
    for failed in [charged, refused] {
        payments.process_batch(&[payments.others.cancelled(failed)]).await;
    }

    workers.work(&payments, Duration::from_mins(6)).await;
    let late = payments.charging("tok_visa").await;
    workers.step().await;
    gateway.start_again().await;
    gateway.heal().await;
    let mut patience = TestWait::until("every job has ended");
    loop {
        pass(&payments).await;
        workers.step().await;
        let jobs = payments.jobs().await;
        if jobs.iter().all(|(_, state, _)| state == "dead") {
            break;
        }
        patience.looked(jobs);
    }
    assert_eq!(payments.stage(late).await, "done");
    assert_eq!(payments.stage(charged).await, "refunded");
    let counts = gateway.counts().await;
    assert_eq!((counts.charges, counts.refunds, counts.net_minor), (2, 1, TOTAL_MINOR));
}

/// Whether an attempt at an order's charge may have had an effect.
async fn in_doubt(payments: &Payments, order_id: Uuid) -> bool {
    sqlx::query_scalar("SELECT in_doubt FROM messaging.job WHERE key = $1")
        .bind(order_id.to_string())
        .fetch_one(&payments.pool)
        .await
        .unwrap()
}

/// How often the jobs that wait were tried, and whether any is in doubt.
async fn attempts(payments: &Payments) -> (Vec<i32>, bool) {
    sqlx::query_as(
        "SELECT array_agg(attempt ORDER BY attempt DESC), bool_or(in_doubt) FROM messaging.job",
    )
    .fetch_one(&payments.pool)
    .await
    .unwrap()
}

fn few_at_once<E: JobHandler>(payments: &Payments, effect: E) -> JobWorker<E> {
    let settings = settings();
    let policy = policy(&settings, &settings.charge_retry);
    payments.worker_by(effect, JobPolicy { concurrency_max: 4, ..policy })
}

#[tokio::test]
async fn while_the_gateway_is_known_to_be_away_charges_wait_and_use_up_no_attempts() {
    let (payments, mut gateway) = (Payments::start().await, Simulator::start().await);
    for _order in 0..10 {
        payments.charging("tok_visa").await;
    }
    let open = breaker::BreakerSettings {
        calls: 4,
        failures: 4,
        open_first: Duration::from_hours(24),
        open_cap: Duration::from_hours(24),
    };
    let app = payments.app.clone();
    let charge = ChargeJob::new(app, gateway_with(&gateway.url, open));
    let mut worker = few_at_once(&payments, charge.clone());
    gateway.kill().await;
    assert_eq!(worker.step().await.unwrap().again, 4);
    payments.make_due().await;
    for _while_it_is_open in 0..9 {
        assert_eq!(worker.step().await.unwrap().claimed, 0);
    }
    assert_eq!(attempts(&payments).await, (vec![1, 1, 1, 1, 0, 0, 0, 0, 0, 0], false));

    // A call that finds the breaker open after the claim is refused: nothing has happened.
    let (job, _) = claimed_by_hand(&payments).await;
    let failure = charge.perform(&job).await.unwrap_err();
    let shared::jobs::AttemptFailure::NoEffect { retry_after: Some(wait), .. } = failure else {
        panic!("{failure:?}")
    };
    assert!(wait > Duration::from_hours(23), "{wait:?}");
}

/// A job as a worker would have it in its hands.
async fn claimed_by_hand(payments: &Payments) -> (shared::jobs::ClaimedJob, i32) {
    let (key, payload, attempt): (String, serde_json::Value, i32) =
        sqlx::query_as("SELECT key, payload, attempt FROM messaging.job LIMIT 1")
            .fetch_one(&payments.pool)
            .await
            .unwrap();
    let job = shared::jobs::ClaimedJob { key, payload, attempt, in_doubt: false, trace: None };
    (job, attempt)
}

#[tokio::test]
async fn one_charge_tries_and_all_go_out_once_the_gateway_is_back() {
    let (payments, mut gateway) = (Payments::start().await, Simulator::start().await);
    for _order in 0..10 {
        payments.charging("tok_visa").await;
    }
    let moment = Duration::from_millis(1);
    let brief =
        breaker::BreakerSettings { calls: 4, failures: 4, open_first: moment, open_cap: moment };
    let app = payments.app.clone();
    let charge = ChargeJob::new(app, gateway_with(&gateway.url, brief));
    let mut worker = few_at_once(&payments, charge);
    gateway.kill().await;
    assert_eq!(worker.step().await.unwrap().again, 4);
    for _trial in 0..3 {
        payments.make_due().await;
        let mut claimed = 0;
        until("a trial is due", async || {
            claimed = worker.step().await.unwrap().claimed;
            claimed > 0
        })
        .await;
        assert_eq!(claimed, 1, "one at a time");
    }
    gateway.start_again().await;
    let mut patience = TestWait::until("all are paid");
    loop {
        payments.make_due().await;
        worker.step().await.unwrap();
        let jobs = payments.jobs().await;
        if jobs.is_empty() {
            break;
        }
        patience.look_again(jobs).await;
    }
    assert_eq!(gateway.counts().await.charges, 10);
}
