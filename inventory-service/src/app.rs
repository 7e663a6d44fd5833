//! The one road by which anything here changes: load, decide, save, say.
//!
//! HTTP and the consumer both come through [`App::execute`], many commands at a time.

use shared::{
    clock::Clock,
    codec::{Codec, Says},
    decider::{self, Decision},
    effects::Effects,
    fault::Fault,
    message::{Outgoing, TraceParent},
};
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{
    domain::{
        inventory::{Command, Event, Inventory},
        product::Product,
    },
    store::{self, Rows},
    wire::{self, Saying},
};

/// What the road needs beside a transaction.
#[derive(Clone, Debug)]
pub struct App {
    /// Writes what is said.
    pub codec: Codec,
    /// Tells the time and mints ids of what is said.
    pub clock: Clock,
}

/// A command and the trace that it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What is asked.
    pub command: Command,
    /// On whose behalf.
    pub trace: Option<TraceParent>,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What happened, or why nothing may.
    pub decision: Decision<Inventory>,
    /// The product that the command was about, as it is right after it.
    pub product: Option<Product>,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// One per command, in their order.
    pub answers: Vec<Answer>,
    /// To be saved by the road, in the same transaction.
    pub effects: Effects,
}

impl App {
    /// Takes commands in, in order, within the transaction given.
    pub async fn execute(
        &self,
        conn: &mut PgConnection,
        requests: &[Request],
    ) -> Result<Outcome, Fault> {
        let commands = requests.iter().map(|it| &it.command);
        let mut rows = store::load_for_update(conn, commands).await?;
        let now = self.clock.now();
        let mut outcome = Outcome::default();
        for Request { command, trace } in requests {
            let decision = decider::step::<Inventory>(&mut rows.inventory, command);
            for event in decision.iter().flatten() {
                let message = self.message(&mut rows, event, now, *trace)?;
                outcome.effects.messages.extend(message);
            }
            let product = product_of(command, &rows.inventory);
            outcome.answers.push(Answer { decision, product });
        }
        store::save(conn, &rows).await?;
        count(&outcome.answers);
        Ok(outcome)
    }

    /// What is said of an event, numbered under the lock of the row that it is about.
    fn message(
        &self,
        rows: &mut Rows,
        event: &Event,
        at: OffsetDateTime,
        trace: Option<TraceParent>,
    ) -> Result<Option<Outgoing>, Fault> {
        let Some((subject, saying)) = Saying::of(event, at) else { return Ok(None) };
        let says = Says {
            id: self.clock.new_id(),
            subject: wire::key(&subject),
            sequence: rows.next_sequence(subject),
            at,
            trace,
        };
        saying.message(&self.codec, says).map(Some)
    }
}

fn product_of(command: &Command, inventory: &Inventory) -> Option<Product> {
    match command {
        Command::Reservation { .. } => None,
        Command::Product { sku, .. } => inventory.products.get(sku).cloned(),
    }
}

const DECIDED: &str = "inventory_decided_total";
/// What is counted beside events: answers that are no.
const REFUSED: &str = "refused";

/// Gives the number its line of help, and shows it from 0 on.
pub(crate) fn describe() {
    metrics::describe_counter!(DECIDED, "Events that were decided, by kind.");
    for event in [
        "reserved",
        "rejected",
        "sold",
        "released",
        "fenced",
        "listed",
        "changed",
        "restocked",
        REFUSED,
    ] {
        metrics::counter!(DECIDED, "event" => event).increment(0);
    }
}

/// Counts what was decided. A batch that is taken in again is counted again.
fn count(answers: &[Answer]) {
    for answer in answers {
        match &answer.decision {
            Ok(events) => {
                for event in events {
                    metrics::counter!(DECIDED, "event" => event.name()).increment(1);
                }
            }
            Err(_rejection) => {
                metrics::counter!(DECIDED, "event" => REFUSED).increment(1);
            }
        }
    }
}
