//! The only entry through which a payment changes, for messages, jobs and operators.

use std::collections::{BTreeSet, HashMap};

use shared::{
    clock::Clock,
    codec::{AvroCodec, EventMeta},
    decider::{self, Decision},
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
    store::{self, PaymentRow},
    wire,
};

/// The outcome of a batch.
#[derive(Debug)]
pub struct BatchOutcome {
    /// For each request, in order: its events, or the reason for the refusal.
    pub answers: Vec<Decision<Payment>>,
    /// Messages to publish, and jobs to add or stop.
    pub effects: DecisionEffects,
}

/// Executes commands on payments.
#[derive(Clone, Debug)]
pub struct App {
    pub codec: AvroCodec,
    /// Source of the time and of new ids.
    pub clock: Clock,
}

impl App {
    /// Executes a batch, in order, as part of the caller's transaction, which saves the effects.
    pub async fn execute(
        &self,
        conn: &mut PgConnection,
        requests: &[PaymentRequest],
    ) -> Result<BatchOutcome, Fault> {
        let order_ids: BTreeSet<Uuid> = requests.iter().map(|request| request.order_id).collect();
        let order_ids: Vec<Uuid> = order_ids.into_iter().collect();
        let mut kept = store::load_for_update(conn, &order_ids).await?;
        let commands = commands(conn, requests, &kept).await?;

        let mut payments: HashMap<Uuid, Payment> =
            kept.iter().map(|(id, row)| (*id, row.payment.clone())).collect();
        let pairs =
            requests.iter().zip(&commands).map(|(request, command)| (&request.order_id, command));
        let answers = decider::fold::<Payment, Uuid>(&mut payments, pairs);

        let mut effects = DecisionEffects::default();
        let mut changed = BTreeSet::new();
        for (request, events) in requests.iter().zip(&answers) {
            let Ok(events) = events else { continue };
            let kept = kept.entry(request.order_id).or_insert_with(PaymentRow::unheard);
            for event in events {
                changed.insert(request.order_id);
                self.take_effect(request, event, kept, &mut effects)?;
            }
        }
        for order_id in &changed {
            if let (Some(kept), Some(payment)) = (kept.get_mut(order_id), payments.remove(order_id))
            {
                kept.payment = payment;
                kept.version += 1;
            }
        }
        let rows: Vec<(Uuid, &PaymentRow)> =
            changed.iter().filter_map(|id| Some((*id, kept.get(id)?))).collect();
        store::save(conn, &rows, self.clock.now()).await?;
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
        let kept = store::load_for_update(conn, &[order_id]).await?;
        Ok(kept.get(&order_id).and_then(|it| requests::awaited(&it.payment)) == Some(kind))
    }

    /// Adds the effects of an event: messages, jobs to add and jobs to stop.
    fn take_effect(
        &self,
        request: &PaymentRequest,
        event: &PaymentEvent,
        kept: &mut PaymentRow,
        effects: &mut DecisionEffects,
    ) -> Result<(), Fault> {
        let order_id = request.order_id;
        let trace = request.trace;
        let meta = || {
            kept.said += 1;
            EventMeta {
                id: self.clock.new_id(),
                subject: order_id.to_string(),
                sequence: kept.said,
                at: self.clock.now(),
                trace,
            }
        };
        effects.messages.extend(wire::message(&self.codec, order_id, event, meta)?);
        if matches!(event, PaymentEvent::ChargeDue { .. }) {
            kept.charge_asked_at = Some(self.clock.now());
        }
        let context = JobContext { charge_asked_at: kept.charge_asked_at, trace };
        requests::follow(effects, order_id, event, context)?;
        metrics::count(order_id, event, trace);
        Ok(())
    }
}

/// The commands of a batch. For a cancellation this function determines, under a lock until the
/// transaction ends, whether the charge was tried; a charge that this batch itself requests was
/// not.
async fn commands(
    conn: &mut PgConnection,
    batch: &[PaymentRequest],
    kept: &HashMap<Uuid, PaymentRow>,
) -> Result<Vec<PaymentCommand>, Fault> {
    let is_charging = |id: &Uuid| {
        matches!(kept.get(id), Some(PaymentRow { payment: Payment::Charging { .. }, .. }))
    };
    let doubtful: BTreeSet<Uuid> = batch
        .iter()
        .filter(|request| request.action == PaymentAction::Cancel)
        .map(|it| it.order_id)
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
