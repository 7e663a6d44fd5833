//! The one road by which a correspondence changes; messages and the results of jobs both come
//! through here.

use std::collections::{BTreeSet, HashMap};

use shared::{
    clock::Clock,
    codec::{Codec, Says},
    decider,
    effects::Effects,
    fault::Fault,
    message::TraceParent,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::notification::{Addressee, Command, Correspondence, Event, Occasion, Rejection},
    jobs::mail::{self, EmailMessage, Letter},
    store::{self, Change, File},
    wire,
};

/// What the road needs.
#[derive(Clone, Debug)]
pub struct App {
    /// Writes what is said.
    pub codec: Codec,
    /// Says when, and mints ids.
    pub clock: Clock,
    /// Stands behind the `@` of each `Message-ID`.
    pub mail_domain: String,
}

/// A command and whom it is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Addressed {
    /// The order.
    pub order_id: Uuid,
    /// What is asked.
    pub command: Command,
    /// The trace that whatever follows belongs to.
    pub trace: Option<TraceParent>,
}

/// What a batch led to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What is to be said and done.
    pub effects: Effects,
    /// Commands that were refused: each its place in the batch, and why.
    pub refused: Vec<(usize, Rejection)>,
}

impl App {
    /// Takes commands in, in order: one load, one fold in memory, one save.
    pub async fn execute(
        &self,
        conn: &mut PgConnection,
        commands: &[&Addressed],
    ) -> Result<Outcome, Fault> {
        let order_ids: Vec<Uuid> =
            commands.iter().map(|it| it.order_id).collect::<BTreeSet<_>>().into_iter().collect();
        let files = store::load_for_update(conn, &order_ids).await?;
        let mut states: HashMap<Uuid, Correspondence> =
            files.iter().map(|(id, file)| (*id, file.correspondence.clone())).collect();
        let mut said: HashMap<Uuid, i64> = files.iter().map(|(id, it)| (*id, it.said)).collect();
        let answers = decider::fold::<Correspondence, _>(
            &mut states,
            commands.iter().map(|it| (&it.order_id, &it.command)),
        );
        let mut outcome = Outcome::default();
        for (index, (command, answer)) in commands.iter().zip(answers).enumerate() {
            match answer {
                Ok(events) => {
                    let said = said.entry(command.order_id).or_default();
                    for event in &events {
                        self.follow(&mut outcome.effects, said, command, event)?;
                    }
                }
                Err(rejection) => outcome.refused.push((index, rejection)),
            }
        }
        let unknown = File::default();
        let changes: Vec<Change<'_>> = order_ids
            .iter()
            .filter_map(|order_id| {
                let before = files.get(order_id).unwrap_or(&unknown);
                let after = states.get(order_id).filter(|it| **it != before.correspondence)?;
                let said = said.get(order_id).copied().unwrap_or_default();
                Some(Change { order_id: *order_id, before, after, said })
            })
            .collect();
        store::save(conn, &changes).await?;
        Ok(outcome)
    }

    /// What follows from an event: a message, a job, or a job to be stopped.
    fn follow(
        &self,
        effects: &mut Effects,
        said: &mut i64,
        command: &Addressed,
        event: &Event,
    ) -> Result<(), Fault> {
        let order_id = command.order_id;
        match event {
            Event::FellDue { occasion, addressee, at } => {
                let mail = self.mail(order_id, occasion, addressee, *at);
                effects.jobs.push(mail::job(occasion.kind(), &mail, command.trace)?);
            }
            Event::Skipped { occasion, was_due: true } => {
                effects.stop(mail::key(order_id, occasion.kind()));
            }
            Event::Sent { at, .. } | Event::Failed { at, .. } => {
                *said += 1;
                let says = Says {
                    id: self.clock.new_id(),
                    subject: order_id.to_string(),
                    sequence: *said,
                    at: *at,
                    trace: command.trace,
                };
                effects.messages.extend(wire::message(&self.codec, says, order_id, event)?);
            }
            Event::ContactKnown { .. }
            | Event::Deferred { .. }
            | Event::Skipped { was_due: false, .. } => {}
        }
        Ok(())
    }

    fn mail(
        &self,
        order_id: Uuid,
        occasion: &Occasion,
        addressee: &Addressee,
        written_at: time::OffsetDateTime,
    ) -> EmailMessage {
        EmailMessage {
            order_id,
            message_id: mail::message_id(order_id, occasion.kind(), &self.mail_domain),
            email: addressee.email.clone(),
            name: addressee.name.clone(),
            written_at,
            letter: Letter::write(order_id, occasion, addressee),
        }
    }
}
