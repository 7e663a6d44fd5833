//! Metrics of this service: how orders end, after how long, and how many have not ended.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use shared::{
    clock::{self, Clock},
    effects::MetricUpdate,
    sampled_metrics::{self, FAR_ENOUGH, MetricSampler, OVERLAP, ScanFloor},
};
use sqlx::PgConnection;
use time::Duration;
use uuid::Uuid;

use crate::{
    domain::order::{CancelReason, OrderEvent},
    store::open::{self, OpenCount},
};

const ORDERS: &str = "orders_total";
const DURATION: &str = "saga_duration_seconds";
const NO_REASON: &str = "none";

/// Describes the metrics and initialises the counters with 0.
pub(crate) fn describe() {
    describe_counter!(ORDERS, "Orders that were placed and that ended, by outcome and reason.");
    describe_histogram!(
        DURATION,
        Unit::Seconds,
        "From placing an order to its end, by outcome and reason. Of one that was confirmed and then cancelled, both."
    );
    describe_gauge!("orders_in_flight", "Orders that have not ended, by what they wait for.");
    describe_gauge!(
        "orders_oldest_age_seconds",
        "How long the oldest open order has been open, by what it waits for; 0 if there is none."
    );
    describe_gauge!("orders_overdue", "Orders that should have ended by now and have not.");
    for outcome in ["placed", "confirmed"] {
        orders(outcome, NO_REASON).increment(0);
    }
    for reason in CancelReason::ALL {
        orders("cancelled", reason.code()).increment(0);
    }
}

fn orders(outcome: &'static str, reason: &'static str) -> metrics::Counter {
    counter!(ORDERS, "outcome" => outcome, "reason" => reason)
}

/// The metrics to update once this event is committed.
pub(crate) fn of_event(event: &OrderEvent, since_placed: Duration) -> Vec<MetricUpdate> {
    let (outcome, reason) = match event {
        OrderEvent::Placed(_) => ("placed", NO_REASON),
        OrderEvent::Confirmed { .. } => ("confirmed", NO_REASON),
        OrderEvent::Cancelled { reason, .. } => ("cancelled", reason.code()),
        OrderEvent::Noted(_) => return vec![],
    };
    let labels = [("outcome", outcome), ("reason", reason)];
    let mut updates = vec![MetricUpdate::count(ORDERS, &labels)];
    if outcome != "placed" {
        updates.push(MetricUpdate::sample(DURATION, &labels, since_placed.as_seconds_f64()));
    }
    updates
}

/// Counts the orders that have not ended.
///
/// Ids are minted when an order is placed, so those of open orders are the latest.
#[derive(Debug, Default)]
pub struct OpenOrders(ScanFloor<Uuid>);

impl MetricSampler for OpenOrders {
    fn of(&self) -> &'static str {
        "orders"
    }

    async fn sample(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let recent = clock::first_id_at(Clock::System.now() - OVERLAP);
        let from = self.0.get().unwrap_or(Uuid::nil());
        let found = open::count(conn, from, FAR_ENOUGH).await?;
        let first = found.iter().map(|open_count| open_count.first).min();
        self.0.raise(first.map_or(recent, |first| first.min(recent)));
        for (stage, held) in [("stock", false), ("payment", true)] {
            let group = found.iter().find(|open_count| open_count.held == held);
            gauge!("orders_in_flight", "awaiting" => stage)
                .set(group.map_or(0, |open_count| sampled_metrics::rows(open_count.orders)));
            gauge!("orders_oldest_age_seconds", "awaiting" => stage)
                .set(group.map_or(0.0, |open_count| open_count.age.max(0.0)));
        }
        let overdue = |group: &OpenCount| sampled_metrics::rows(group.overdue);
        gauge!("orders_overdue").set(found.iter().map(overdue).sum::<u32>());
        Ok(())
    }
}
