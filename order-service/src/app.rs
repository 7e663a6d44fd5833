//! The only entry through which an order changes, for HTTP, messages and the deadline.
//!
//! ```text
//! requests ──> load and lock ──> decide in memory ──> save what changed · history · messages
//! ```
//!
//! **Architecture invariant:** a batch is one load, one fold, one save, however many requests it
//! holds; several requests for one order run one after the other in memory.

use shared::{
    clock::Clock,
    codec::{AvroCodec, EventMeta},
    decider::Decision,
    effects::DecisionEffects,
    fault::Fault,
    message::TraceContext,
};
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{
    NAME,
    domain::order::{Order, OrderEvent, OrderRejection},
    metrics,
    request::OrderRequest,
    store::{self, OrderRows, history::HistoryEntry},
    wire,
};

/// Executes commands on orders.
#[derive(Clone, Debug)]
pub struct App {
    pub codec: AvroCodec,
    /// Source of the time and of new ids.
    pub clock: Clock,
}

/// The outcome of a batch.
#[derive(Clone, Debug, Default)]
pub struct BatchOutcome {
    /// For each request, in order: its order after the whole batch, or the reason for the refusal.
    pub answers: Vec<Result<Order, OrderRejection>>,
    pub effects: DecisionEffects,
}

impl App {
    /// Executes a batch, in order, as part of the caller's transaction, which saves the effects.
    pub async fn execute(
        &self,
        conn: &mut PgConnection,
        requests: &[OrderRequest],
    ) -> Result<BatchOutcome, Fault> {
        let mut rows = store::load_for_update(conn, requests).await?;
        let commands = requests.iter().map(|request| (&request.order_id, &request.command));
        let decisions = rows.locked.decide(commands);
        let mut effects = DecisionEffects::default();
        for (request, decision) in requests.iter().zip(&decisions) {
            for event in decision.iter().flatten() {
                self.take_effect(request, event, &mut rows, &mut effects)?;
            }
        }
        store::save(conn, &rows).await?;
        let answer = |(request, decision): (&OrderRequest, Decision<Order>)| {
            decision?;
            rows.locked.state(&request.order_id).as_ref().copied().ok_or(OrderRejection::Unknown)
        };
        Ok(BatchOutcome { answers: requests.iter().zip(decisions).map(answer).collect(), effects })
    }

    /// Adds the effects of an event: the message about it, and its entry in the order's history.
    fn take_effect(
        &self,
        request: &OrderRequest,
        event: &OrderEvent,
        rows: &mut OrderRows,
        effects: &mut DecisionEffects,
    ) -> Result<(), Fault> {
        if let OrderEvent::Placed(placement) = event {
            rows.placed.insert(request.order_id, placement.clone());
        }
        let entry = match (event.said_at(), &request.heard) {
            (Some(at), _) => self.publish(request, event, at, (rows, effects))?,
            (None, Some(heard)) => HistoryEntry {
                message_id: heard.message_id,
                source: heard.source.clone(),
                sequence: heard.sequence,
                what: wire::what(event),
                facts: wire::facts(event),
                happened_at: heard.at,
            },
            // Only messages lead to events that are only noted.
            (None, None) => return Ok(()),
        };
        rows.history.push((request.order_id, entry));
        Ok(())
    }

    fn publish(
        &self,
        request: &OrderRequest,
        event: &OrderEvent,
        at: OffsetDateTime,
        (rows, effects): (&mut OrderRows, &mut DecisionEffects),
    ) -> Result<HistoryEntry, Fault> {
        let order_id = request.order_id;
        let meta = EventMeta {
            id: self.clock.new_id(),
            subject: order_id.to_string(),
            sequence: rows.locked.next_sequence(&order_id),
            at,
            trace: Some(request.trace.clone().unwrap_or_else(TraceContext::start)),
        };
        let (message_id, sequence) = (meta.id, meta.sequence);
        effects.messages.extend(wire::encode(&self.codec, order_id, event, || meta)?);
        let placed_at = rows.locked.state(&order_id).as_ref().map_or(at, |order| order.placed_at);
        effects.metrics.extend(metrics::of_event(event, at - placed_at));
        Ok(HistoryEntry {
            message_id,
            source: contract::source(NAME),
            sequence,
            what: wire::what(event),
            facts: wire::facts(event),
            happened_at: at,
        })
    }
}
