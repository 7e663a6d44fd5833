//! The only entry through which a payment changes, for messages, jobs and operators.

use std::collections::BTreeSet;

use shared::{
    clock::Clock,
    codec::{AvroCodec, EventMeta},
    decider::Decision,
    effects::DecisionEffects,
    fault::Fault,
    jobs::lock_untouched,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::payment::{Payment, PaymentCommand, PaymentEvent},
    jobs::requests::{self, JobContext},
    metrics,
    request::{PaymentAction, PaymentRequest},
    store::{self, PaymentRows},
    wire,
};

/// Executes commands on payments.
#[derive(Clone, Debug)]
pub struct App {
    pub codec: AvroCodec,
    /// Source of the time and of new ids.
    pub clock: Clock,
}

/// The outcome of a batch.
#[derive(Clone, Debug, Default)]
pub struct BatchOutcome {
    /// For each request, in order: its events, or the reason for the refusal.
    pub answers: Vec<Decision<Payment>>,
    /// Messages to publish, and jobs to add or stop.
    pub effects: DecisionEffects,
}

impl App {
    /// Executes a batch, in order, as part of the caller's transaction, which saves the effects.
    pub async fn execute(
        &self,
        conn: &mut PgConnection,
        requests: &[PaymentRequest],
    ) -> Result<BatchOutcome, Fault> {
        let mut rows = store::load_for_update(conn, requests).await?;
        let commands = commands(conn, requests, &rows).await?;
        let order_ids = requests.iter().map(|request| &request.order_id);
        let answers = rows.locked.decide(order_ids.zip(&commands));
        let mut effects = DecisionEffects::default();
        for (request, answer) in requests.iter().zip(&answers) {
            for event in answer.iter().flatten() {
                self.take_effect(request, event, &mut rows, &mut effects)?;
            }
        }
        store::save(conn, &rows).await?;
        Ok(BatchOutcome { answers, effects })
    }

    /// Whether a payment waits for the outcome of this kind of job. The answer holds until the
    /// transaction ends.
    pub(crate) async fn waits_for(
        &self,
        conn: &mut PgConnection,
        kind: &'static str,
        key: &str,
    ) -> Result<bool, Fault> {
        let order_id = Uuid::parse_str(key).map_err(Fault::poison)?;
        let rows = store::lock(conn, &[order_id]).await?;
        Ok(requests::awaited(rows.locked.state(&order_id)) == Some(kind))
    }

    /// Adds the effects of an event: messages, jobs to add and jobs to stop.
    fn take_effect(
        &self,
        request: &PaymentRequest,
        event: &PaymentEvent,
        rows: &mut PaymentRows,
        effects: &mut DecisionEffects,
    ) -> Result<(), Fault> {
        let (order_id, trace, now) = (request.order_id, &request.trace, self.clock.now());
        let meta = || EventMeta {
            id: self.clock.new_id(),
            subject: order_id.to_string(),
            sequence: rows.locked.next_sequence(&order_id),
            at: now,
            trace: trace.clone(),
        };
        effects.messages.extend(wire::encode(&self.codec, order_id, event, meta)?);
        if matches!(event, PaymentEvent::ChargeDue { .. }) {
            rows.charge_asked_at.insert(order_id, now);
        }
        let charge_asked_at = rows.charge_asked_at.get(&order_id).copied();
        requests::follow(
            effects,
            order_id,
            event,
            JobContext { charge_asked_at, trace: trace.clone() },
        )?;
        effects.metrics.extend(metrics::of_event(event));
        metrics::report(order_id, event, trace.as_ref());
        Ok(())
    }
}

/// The commands of a batch. For a cancellation this function determines, under a lock until the
/// transaction ends, whether the charge was tried; a charge that this batch itself requests was
/// not.
async fn commands(
    conn: &mut PgConnection,
    batch: &[PaymentRequest],
    rows: &PaymentRows,
) -> Result<Vec<PaymentCommand>, Fault> {
    let is_charging = |id: &Uuid| matches!(rows.locked.state(id), Payment::Charging { .. });
    let doubtful: BTreeSet<Uuid> = batch
        .iter()
        .filter(|request| request.action == PaymentAction::Cancel)
        .map(|request| request.order_id)
        .filter(is_charging)
        .collect();
    let untouched: BTreeSet<String> = if doubtful.is_empty() {
        BTreeSet::new()
    } else {
        let keys: Vec<String> = doubtful.iter().map(Uuid::to_string).collect();
        lock_untouched(conn, requests::CHARGE, &keys).await?.into_iter().collect()
    };
    let command = |request: &PaymentRequest| match &request.action {
        PaymentAction::Command(command) => command.clone(),
        PaymentAction::Cancel => PaymentCommand::OrderCancelled {
            charge_untouched: !is_charging(&request.order_id)
                || untouched.contains(&request.order_id.to_string()),
        },
    };
    Ok(batch.iter().map(command).collect())
}
