//! The one road by which an order changes: HTTP, messages and the deadline all come through here.
//!
//! ```text
//! commands ──> load and lock ──> fold in memory ──> save what changed · note history · say
//! ```
//!
//! **Architecture invariant:** a batch is one load, one fold, one save, however many commands it
//! holds; several commands for one order follow each other in memory. Messages are numbered under
//! the lock of their order, so `ce_sequence` counts what each order has said, without gaps.

use std::collections::HashMap;

use shared::{
    clock::Clock,
    codec::{Codec, Says},
    contract,
    decider::{Decision, fold},
    effects::Effects,
    fault::Fault,
    message::{Envelope, TraceParent},
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    NAME,
    domain::order::{Command, Event, Order, Rejection},
    numbers,
    store::{self, Kept, New, history::Entry},
    wire,
};

/// What is needed to speak.
#[derive(Clone, Debug)]
pub struct Voice {
    /// Puts events into bytes.
    pub codec: Codec,
    /// Mints the ids of messages.
    pub clock: Clock,
}

/// A command, the order that it is for, and where it comes from.
#[derive(Clone, Debug)]
pub struct Addressed {
    /// The order.
    pub order_id: Uuid,
    /// What is asked of it.
    pub command: Command,
    /// The message that brought it, if one did.
    pub heard: Option<Heard>,
    /// The trace that it belongs to.
    pub trace: Option<TraceParent>,
}

/// A message that brought a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its `ce_id`.
    pub message_id: Uuid,
    /// Its `ce_source`.
    pub source: String,
    /// Its `ce_sequence`.
    pub sequence: i64,
    /// Its `ce_time`.
    pub at: OffsetDateTime,
}

impl From<&Envelope> for Heard {
    fn from(envelope: &Envelope) -> Self {
        Self {
            message_id: envelope.id,
            source: envelope.source.to_string(),
            sequence: envelope.sequence,
            at: envelope.time,
        }
    }
}

/// What became of a batch.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// To each command in order: how its order stands after the whole batch, or why the answer is
    /// no.
    pub answers: Vec<Result<Order, Rejection>>,
    /// What is to be said.
    pub effects: Effects,
}

/// Takes commands in, in order, within the transaction given.
pub async fn execute(
    conn: &mut PgConnection,
    voice: &Voice,
    commands: &[Addressed],
) -> Result<Outcome, Fault> {
    let mut ids: Vec<Uuid> = commands.iter().map(|it| it.order_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let known = store::load_for_update(conn, &ids).await?;
    let mut states: HashMap<Uuid, Option<Order>> =
        known.iter().map(|(id, kept)| (*id, Some(kept.order))).collect();
    let decisions =
        fold::<Order, _>(&mut states, commands.iter().map(|it| (&it.order_id, &it.command)));

    let mut ledger = Ledger::new(voice, &known);
    for (addressed, decision) in commands.iter().zip(&decisions) {
        for event in decision.iter().flatten() {
            ledger.enter(addressed, event)?;
        }
    }
    let Ledger { said, entries, effects, .. } = ledger;
    let stands = |id: &Uuid| {
        let order = states.get(id).copied().flatten()?;
        Some(Kept { order, said: said.get(id).copied().unwrap_or(0) })
    };
    store::insert(conn, &new(commands, &decisions, stands)).await?;
    let changed = ids.iter().filter_map(|id| {
        let (before, after) = (known.get(id)?, stands(id)?);
        (*before != after).then_some((*id, after))
    });
    store::update(conn, &changed.collect::<Vec<_>>()).await?;
    store::history::note(conn, &entries).await?;

    let answer = |(addressed, decision): (&Addressed, Decision<Order>)| {
        decision?;
        states.get(&addressed.order_id).copied().flatten().ok_or(Rejection::Unknown)
    };
    Ok(Outcome { answers: commands.iter().zip(decisions).map(answer).collect(), effects })
}

/// The orders that were placed in this batch.
fn new<'c>(
    commands: &'c [Addressed],
    decisions: &'c [Decision<Order>],
    stands: impl Fn(&Uuid) -> Option<Kept>,
) -> Vec<New<'c>> {
    let placed = |(addressed, decision): (&'c Addressed, &'c Decision<Order>)| {
        let placement = decision.iter().flatten().find_map(|event| match event {
            Event::Placed(placement) => Some(placement),
            Event::Confirmed { .. } | Event::Cancelled { .. } | Event::Noted(_) => None,
        })?;
        let order_id = addressed.order_id;
        Some(New { order_id, placement, kept: stands(&order_id)? })
    };
    commands.iter().zip(decisions).filter_map(placed).collect()
}

/// What a batch says and what is noted of it, in order.
struct Ledger<'v> {
    voice: &'v Voice,
    said: HashMap<Uuid, i64>,
    placed_at: HashMap<Uuid, OffsetDateTime>,
    entries: Vec<(Uuid, Entry)>,
    effects: Effects,
}

impl<'v> Ledger<'v> {
    fn new(voice: &'v Voice, known: &HashMap<Uuid, Kept>) -> Self {
        Self {
            voice,
            said: known.iter().map(|(id, kept)| (*id, kept.said)).collect(),
            placed_at: known.iter().map(|(id, kept)| (*id, kept.order.placed_at)).collect(),
            entries: vec![],
            effects: Effects::default(),
        }
    }

    /// Says an event that is ours, notes it in any case.
    fn enter(&mut self, addressed: &Addressed, event: &Event) -> Result<(), Fault> {
        let order_id = addressed.order_id;
        let entry = match (event.said_at(), &addressed.heard) {
            (Some(at), _) => self.say(addressed, event, at)?,
            (None, Some(heard)) => Entry {
                message_id: heard.message_id,
                source: heard.source.clone(),
                sequence: heard.sequence,
                what: wire::what(event),
                detail: wire::detail(event),
                happened_at: heard.at,
            },
            // Only a message brings something to be noted.
            (None, None) => return Ok(()),
        };
        self.entries.push((order_id, entry));
        Ok(())
    }

    fn say(
        &mut self,
        addressed: &Addressed,
        event: &Event,
        at: OffsetDateTime,
    ) -> Result<Entry, Fault> {
        let order_id = addressed.order_id;
        let said = self.said.entry(order_id).or_insert(0);
        *said += 1;
        let says = Says {
            id: self.voice.clock.new_id(),
            subject: order_id.to_string(),
            sequence: *said,
            at,
            trace: Some(addressed.trace.unwrap_or_else(TraceParent::start)),
        };
        let (message_id, sequence) = (says.id, says.sequence);
        self.effects.messages.extend(wire::say(&self.voice.codec, says, order_id, event)?);
        let placed_at = *self.placed_at.entry(order_id).or_insert(at);
        numbers::count(event, at - placed_at);
        Ok(Entry {
            message_id,
            source: contract::source(NAME),
            sequence,
            what: wire::what(event),
            detail: wire::detail(event),
            happened_at: at,
        })
    }
}
