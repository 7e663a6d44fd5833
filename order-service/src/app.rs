//! The only entry through which an order changes, for HTTP, messages and the deadline.
//!
//! ```text
//! commands ──> load and lock ──> fold in memory ──> save what changed · note history · say
//! ```
//!
//! **Architecture invariant:** a batch is one load, one fold, one save, however many commands it
//! holds; several commands for one order run one after the other in memory. Messages are numbered
//! under the lock of their order, so `ce_sequence` counts the messages of each order without gaps.

use std::collections::HashMap;

use shared::{
    clock::Clock,
    codec::{AvroCodec, EventMeta},
    contract,
    decider::{Decision, fold},
    effects::DecisionEffects,
    fault::Fault,
    message::TraceParent,
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    NAME,
    domain::order::{Order, OrderEvent, OrderRejection},
    metrics,
    request::OrderRequest,
    store::{self, NewOrder, OrderRow, history::HistoryEntry},
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
    /// Messages to be published.
    pub effects: DecisionEffects,
}

impl App {
    /// Executes a batch, in order, as part of the caller's transaction, which saves the effects.
    pub async fn execute(
        &self,
        conn: &mut PgConnection,
        requests: &[OrderRequest],
    ) -> Result<BatchOutcome, Fault> {
        let mut ids: Vec<Uuid> = requests.iter().map(|request| request.order_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let known = store::load_for_update(conn, &ids).await?;
        let mut states: HashMap<Uuid, Option<Order>> =
            known.iter().map(|(id, kept)| (*id, Some(kept.order))).collect();
        let decisions = fold::<Order, _>(
            &mut states,
            requests.iter().map(|request| (&request.order_id, &request.command)),
        );

        let mut ledger = BatchLedger::new(self, &known);
        for (request, decision) in requests.iter().zip(&decisions) {
            for event in decision.iter().flatten() {
                ledger.enter(request, event)?;
            }
        }
        let BatchLedger { said, entries, effects, .. } = ledger;
        let stands = |id: &Uuid| {
            let order = states.get(id).copied().flatten()?;
            Some(OrderRow { order, said: said.get(id).copied().unwrap_or(0) })
        };
        store::insert(conn, &new(requests, &decisions, stands)).await?;
        let changed = ids.iter().filter_map(|id| {
            let (before, after) = (known.get(id)?, stands(id)?);
            (*before != after).then_some((*id, after))
        });
        store::update(conn, &changed.collect::<Vec<_>>()).await?;
        store::history::note(conn, &entries).await?;

        let answer = |(request, decision): (&OrderRequest, Decision<Order>)| {
            decision?;
            states.get(&request.order_id).copied().flatten().ok_or(OrderRejection::Unknown)
        };
        Ok(BatchOutcome { answers: requests.iter().zip(decisions).map(answer).collect(), effects })
    }
}

/// The orders that were placed in this batch.
fn new<'c>(
    requests: &'c [OrderRequest],
    decisions: &'c [Decision<Order>],
    stands: impl Fn(&Uuid) -> Option<OrderRow>,
) -> Vec<NewOrder<'c>> {
    let placed = |(request, decision): (&'c OrderRequest, &'c Decision<Order>)| {
        let placement = decision.iter().flatten().find_map(|event| match event {
            OrderEvent::Placed(placement) => Some(placement),
            OrderEvent::Confirmed { .. } | OrderEvent::Cancelled { .. } | OrderEvent::Noted(_) => {
                None
            }
        })?;
        let order_id = request.order_id;
        Some(NewOrder { order_id, placement, kept: stands(&order_id)? })
    };
    requests.iter().zip(decisions).filter_map(placed).collect()
}

/// The messages and the history entries of a batch, in order.
struct BatchLedger<'v> {
    app: &'v App,
    said: HashMap<Uuid, i64>,
    placed_at: HashMap<Uuid, OffsetDateTime>,
    entries: Vec<(Uuid, HistoryEntry)>,
    effects: DecisionEffects,
}

impl<'v> BatchLedger<'v> {
    fn new(app: &'v App, known: &HashMap<Uuid, OrderRow>) -> Self {
        Self {
            app,
            said: known.iter().map(|(id, kept)| (*id, kept.said)).collect(),
            placed_at: known.iter().map(|(id, kept)| (*id, kept.order.placed_at)).collect(),
            entries: vec![],
            effects: DecisionEffects::default(),
        }
    }

    /// Publishes an event of this service; adds any event to the history.
    fn enter(&mut self, request: &OrderRequest, event: &OrderEvent) -> Result<(), Fault> {
        let order_id = request.order_id;
        let entry = match (event.said_at(), &request.heard) {
            (Some(at), _) => self.say(request, event, at)?,
            (None, Some(heard)) => HistoryEntry {
                message_id: heard.message_id,
                source: heard.source.clone(),
                sequence: heard.sequence,
                what: wire::what(event),
                detail: wire::detail(event),
                happened_at: heard.at,
            },
            // Only messages lead to events that are only noted.
            (None, None) => return Ok(()),
        };
        self.entries.push((order_id, entry));
        Ok(())
    }

    fn say(
        &mut self,
        request: &OrderRequest,
        event: &OrderEvent,
        at: OffsetDateTime,
    ) -> Result<HistoryEntry, Fault> {
        let order_id = request.order_id;
        let said = self.said.entry(order_id).or_insert(0);
        *said += 1;
        let meta = EventMeta {
            id: self.app.clock.new_id(),
            subject: order_id.to_string(),
            sequence: *said,
            at,
            trace: Some(request.trace.unwrap_or_else(TraceParent::start)),
        };
        let (message_id, sequence) = (meta.id, meta.sequence);
        self.effects.messages.extend(wire::message(&self.app.codec, meta, order_id, event)?);
        let placed_at = *self.placed_at.entry(order_id).or_insert(at);
        metrics::count(event, at - placed_at);
        Ok(HistoryEntry {
            message_id,
            source: contract::source(NAME),
            sequence,
            what: wire::what(event),
            detail: wire::detail(event),
            happened_at: at,
        })
    }
}
