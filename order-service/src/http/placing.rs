//! New orders, many at a time: one transaction for all that wait.
//!
//! ```text
//! answered before? ──> prices, one SELECT ──> app::execute ──> keep the answers
//! ```
//!
//! **Architecture invariant:** an order and the answer to whoever placed it are one fact: the answer
//! is kept in the transaction of the order. A key that is used again finds both, or neither. What
//! was refused is not kept: the same key may try again once the products are there.

use std::collections::{BTreeMap, HashMap};

use shared::{
    effects::Effects,
    fault::Fault,
    idempotency::{self, Fingerprint, Record, ScopedKey, Stored, Verdict},
    intake::Batch,
    message::TraceParent,
};
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::view::acceptance;
use crate::{
    app::{self, Addressed, Voice},
    domain::{
        catalogue::{Offer, Sku},
        draft::{self, Draft, Placement},
        order::Command,
    },
    store::catalogue,
};

/// Takes new orders in.
#[derive(Clone, Debug)]
pub struct Placing {
    /// What is needed to speak.
    pub voice: Voice,
    /// An order that has not ended after this long is cancelled.
    pub patience: Duration,
    /// The largest total of an order, in minor units of its currency.
    pub total_max: i64,
}

/// A new order, as it is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The customer's name for the request.
    pub key: ScopedKey,
    /// Tells a repeat from another request under that name.
    pub fingerprint: Fingerprint,
    /// What is wanted.
    pub draft: Draft,
    /// The trace that it belongs to.
    pub trace: TraceParent,
}

/// What the customer is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The order is accepted.
    Accepted {
        /// The answer as it was given the first time.
        answer: Stored,
        /// Whether it was given before.
        replayed: bool,
    },
    /// It cannot be ordered.
    NotOrderable(Vec<draft::Fault>),
    /// The key belongs to another request.
    OtherRequest,
}

/// An order that is to be, or what is wrong with it.
type Plan = Result<(Uuid, Placement), Vec<draft::Fault>>;

impl Batch for Placing {
    type Command = Wanted;
    type Answer = Answer;

    fn trace(wanted: &mut Wanted) -> Option<&mut TraceParent> {
        Some(&mut wanted.trace)
    }

    async fn take_in(
        &self,
        conn: &mut PgConnection,
        wanted: &[Wanted],
    ) -> Result<(Vec<Answer>, Effects), Fault> {
        let keys: Vec<ScopedKey> = wanted.iter().map(|it| it.key.clone()).collect();
        let answered = idempotency::find(conn, &keys).await?;
        let requests = wanted.iter().map(|it| (&it.key, it.fingerprint));
        let verdicts = idempotency::sort_out(requests, &answered);
        let first = |place: &usize| verdicts[*place] == Verdict::First;
        let places: Vec<usize> = (0..wanted.len()).filter(first).collect();

        let plans = self.plan(conn, wanted, &places).await?;
        let effects = self.carry_out(conn, wanted, &plans).await?;
        let mut answers = Vec::with_capacity(wanted.len());
        for (place, verdict) in verdicts.iter().enumerate() {
            let answer = match verdict {
                Verdict::First => first_answer(&wanted[place], &plans[&place])?,
                Verdict::Replay(stored) => replay((*stored).clone()),
                Verdict::RepeatOf(earlier) => again(&answers[*earlier]),
                Verdict::Mismatch => Answer::OtherRequest,
            };
            answers.push(answer);
        }
        let records = places.iter().filter_map(|place| record(&wanted[*place], &answers[*place]));
        idempotency::keep(conn, &records.collect::<Vec<_>>()).await?;
        Ok((answers, effects))
    }
}

impl Placing {
    /// Prices the new ones.
    async fn plan(
        &self,
        conn: &mut PgConnection,
        wanted: &[Wanted],
        places: &[usize],
    ) -> Result<BTreeMap<usize, Plan>, Fault> {
        let wishes = places.iter().flat_map(|place| wanted[*place].draft.wishes());
        let mut skus: Vec<&str> = wishes.map(|it| it.sku.as_str()).collect();
        skus.sort_unstable();
        skus.dedup();
        let offers = catalogue::offers(conn, &skus).await?;
        let now = self.voice.clock.now();
        let plan = |place: &usize| (*place, self.price(&wanted[*place].draft, &offers, now));
        Ok(places.iter().map(plan).collect())
    }

    fn price(&self, draft: &Draft, offers: &HashMap<Sku, Offer>, now: OffsetDateTime) -> Plan {
        let placement = draft.price(offers, now, now.saturating_add(self.patience))?;
        let placement = placement.at_most(self.total_max)?;
        Ok((self.voice.clock.new_id(), placement))
    }

    /// Places those that can be.
    async fn carry_out(
        &self,
        conn: &mut PgConnection,
        wanted: &[Wanted],
        plans: &BTreeMap<usize, Plan>,
    ) -> Result<Effects, Fault> {
        let command = |(place, plan): (&usize, &Plan)| {
            let (order_id, placement) = plan.as_ref().ok()?;
            Some(Addressed {
                order_id: *order_id,
                command: Command::Place(placement.clone()),
                heard: None,
                trace: Some(wanted[*place].trace),
            })
        };
        let commands: Vec<Addressed> = plans.iter().filter_map(command).collect();
        let outcome = app::execute(conn, &self.voice, &commands).await?;
        match outcome.answers.into_iter().find_map(Result::err) {
            None => Ok(outcome.effects),
            // Only if an id is minted twice: the next attempt has others.
            Some(rejection) => Err(Fault::transient(rejection)),
        }
    }
}

fn first_answer(wanted: &Wanted, plan: &Plan) -> Result<Answer, Fault> {
    match plan {
        Ok((order_id, placement)) => {
            let answer = acceptance(*order_id, placement, wanted.fingerprint)?;
            Ok(Answer::Accepted { answer, replayed: false })
        }
        Err(faults) => Ok(Answer::NotOrderable(faults.clone())),
    }
}

fn replay(answer: Stored) -> Answer {
    Answer::Accepted { answer, replayed: true }
}

/// To the same request within one batch: the same answer.
fn again(answer: &Answer) -> Answer {
    match answer {
        Answer::Accepted { answer, .. } => replay(answer.clone()),
        Answer::NotOrderable(_) | Answer::OtherRequest => answer.clone(),
    }
}

fn record(wanted: &Wanted, answer: &Answer) -> Option<Record> {
    match answer {
        Answer::Accepted { answer, .. } => {
            Some(Record { key: wanted.key.clone(), answer: answer.clone() })
        }
        Answer::NotOrderable(_) | Answer::OtherRequest => None,
    }
}
