//! The only entry through which products and reservations change, for HTTP and for messages.

use shared::{
    clock::Clock,
    codec::{AvroCodec, EventMeta},
    decider::{self, Decision},
    effects::DecisionEffects,
    fault::Fault,
    message::{OutgoingMessage, TraceParent},
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
    store::{self, LockedRows},
    wire::{self, StockRecord},
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
    /// One outcome per command, in the order of the commands.
    pub answers: Vec<CommandResult>,
    /// Messages to be published.
    pub effects: DecisionEffects,
}

impl App {
    /// Executes a batch, in order, as part of the caller's transaction, which saves the effects.
    pub async fn execute(
        &self,
        conn: &mut PgConnection,
        requests: &[StockRequest],
    ) -> Result<BatchOutcome, Fault> {
        let commands = requests.iter().map(|request| &request.command);
        let mut rows = store::load_for_update(conn, commands).await?;
        let now = self.clock.now();
        let mut outcome = BatchOutcome::default();
        for StockRequest { command, trace } in requests {
            let decision = decider::step::<Inventory>(&mut rows.inventory, command);
            for event in decision.iter().flatten() {
                let message = self.message(&mut rows, event, now, *trace)?;
                outcome.effects.messages.extend(message);
            }
            let product = product_of(command, &rows.inventory);
            outcome.answers.push(CommandResult { decision, product });
        }
        store::save(conn, &rows).await?;
        metrics::count(outcome.answers.iter().map(|result| &result.decision));
        Ok(outcome)
    }

    /// The message for an event, numbered under the lock of the row that the event changes.
    fn message(
        &self,
        rows: &mut LockedRows,
        event: &InventoryEvent,
        at: OffsetDateTime,
        trace: Option<TraceParent>,
    ) -> Result<Option<OutgoingMessage>, Fault> {
        let Some((subject, record)) = StockRecord::of(event, at) else { return Ok(None) };
        let meta = EventMeta {
            id: self.clock.new_id(),
            subject: wire::key(&subject),
            sequence: rows.next_sequence(subject),
            at,
            trace,
        };
        record.message(&self.codec, meta).map(Some)
    }
}

fn product_of(command: &InventoryCommand, inventory: &Inventory) -> Option<Product> {
    match command {
        InventoryCommand::Reservation { .. } => None,
        InventoryCommand::Product { sku, .. } => inventory.products.get(sku).cloned(),
    }
}
