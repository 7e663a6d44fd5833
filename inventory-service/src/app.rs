//! The only entry through which products and reservations change, for HTTP and for messages.

use shared::{
    clock::Clock,
    codec::{AvroCodec, EventMeta},
    decider::{self, Decision},
    effects::DecisionEffects,
    fault::Fault,
};
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{
    domain::{
        inventory::{Inventory, InventoryCommand, InventoryEvent},
        product::Product,
    },
    metrics,
    request::StockRequest,
    store::{self, MessageSubject, StockRows},
    wire,
};

/// Executes commands on products and reservations.
#[derive(Clone, Debug)]
pub struct App {
    pub codec: AvroCodec,
    /// Source of the time and of new ids.
    pub clock: Clock,
}

/// The outcome of one command.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandResult {
    /// The event, if any, or the reason for a rejection.
    pub decision: Decision<Inventory>,
    /// The product named by the command, as it is directly after the command.
    pub product: Option<Product>,
}

/// The outcome of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchOutcome {
    /// For each request, in order: its events and its product, or the reason for the refusal.
    pub answers: Vec<CommandResult>,
    pub effects: DecisionEffects,
}

impl App {
    /// Executes a batch, in order, as part of the caller's transaction, which saves the effects.
    pub async fn execute(
        &self,
        conn: &mut PgConnection,
        requests: &[StockRequest],
    ) -> Result<BatchOutcome, Fault> {
        let mut rows = store::load_for_update(conn, requests).await?;
        let now = self.clock.now();
        let mut outcome = BatchOutcome::default();
        for request in requests {
            let decision = decider::step::<Inventory>(&mut rows.inventory, &request.command);
            for event in decision.iter().flatten() {
                self.take_effect(request, event, (now, &mut rows), &mut outcome.effects)?;
            }
            outcome.effects.metrics.extend(metrics::of_decision(&decision));
            let product = product_of(&request.command, &rows.inventory);
            outcome.answers.push(CommandResult { decision, product });
        }
        store::save(conn, &rows).await?;
        Ok(outcome)
    }

    /// Adds the message about an event, numbered under the lock of the row that the event changes.
    fn take_effect(
        &self,
        request: &StockRequest,
        event: &InventoryEvent,
        (at, rows): (OffsetDateTime, &mut StockRows),
        effects: &mut DecisionEffects,
    ) -> Result<(), Fault> {
        let meta = || {
            let subject = MessageSubject::of(event);
            EventMeta {
                id: self.clock.new_id(),
                subject: subject.to_string(),
                sequence: rows.next_sequence(&subject),
                at,
                trace: request.trace.clone(),
            }
        };
        effects.messages.extend(wire::encode(&self.codec, event, meta)?);
        Ok(())
    }
}

fn product_of(command: &InventoryCommand, inventory: &Inventory) -> Option<Product> {
    match command {
        InventoryCommand::Reservation { .. } => None,
        InventoryCommand::Product { sku, .. } => inventory.products.get(sku).cloned(),
    }
}
