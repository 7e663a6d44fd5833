//! The only entry through which notifications change, for messages and the results of jobs.

use std::collections::{BTreeSet, HashMap};

use shared::{
    clock::Clock,
    codec::{AvroCodec, EventMeta},
    decider::{self, Decision},
    effects::DecisionEffects,
    fault::Fault,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::notification::{
        CustomerContact, NotificationCause, NotificationEvent, OrderNotifications,
    },
    jobs::mail::{self, EmailMessage, MailText},
    request::NotificationRequest,
    store::{self, NotificationRows, RowChange},
    wire,
};

/// Executes commands on notifications.
#[derive(Clone, Debug)]
pub struct App {
    pub codec: AvroCodec,
    /// Source of the time and of new ids.
    pub clock: Clock,
    /// The domain part of each `Message-ID`, after the `@`.
    pub mail_domain: String,
}

/// The outcome of a batch.
#[derive(Debug, Default)]
pub struct BatchOutcome {
    /// For each request, in order: its events, or the reason for the refusal.
    pub answers: Vec<Decision<OrderNotifications>>,
    /// Messages to publish, and jobs to add or stop.
    pub effects: DecisionEffects,
}

impl App {
    /// Executes a batch, in order, as part of the caller's transaction, which saves the effects.
    pub async fn execute(
        &self,
        conn: &mut PgConnection,
        requests: &[NotificationRequest],
    ) -> Result<BatchOutcome, Fault> {
        let order_ids: BTreeSet<Uuid> = requests.iter().map(|request| request.order_id).collect();
        let order_ids: Vec<Uuid> = order_ids.into_iter().collect();
        let files = store::load_for_update(conn, &order_ids).await?;
        let mut states: HashMap<Uuid, OrderNotifications> =
            files.iter().map(|(id, file)| (*id, file.correspondence.clone())).collect();
        let mut said: HashMap<Uuid, i64> =
            files.iter().map(|(id, file)| (*id, file.said)).collect();
        let commands = requests.iter().map(|request| (&request.order_id, &request.command));
        let answers = decider::fold::<OrderNotifications, _>(&mut states, commands);
        let mut effects = DecisionEffects::default();
        for (request, answer) in requests.iter().zip(&answers) {
            let Ok(events) = answer else { continue };
            let said = said.entry(request.order_id).or_default();
            for event in events {
                self.follow(&mut effects, said, request, event)?;
            }
        }
        let unknown = NotificationRows::default();
        let changes: Vec<RowChange<'_>> = order_ids
            .iter()
            .filter_map(|order_id| {
                let before = files.get(order_id).unwrap_or(&unknown);
                let after = states
                    .get(order_id)
                    .filter(|order_notifications| **order_notifications != before.correspondence)?;
                let said = said.get(order_id).copied().unwrap_or_default();
                Some(RowChange { order_id: *order_id, before, after, said })
            })
            .collect();
        store::save(conn, &changes).await?;
        Ok(BatchOutcome { answers, effects })
    }

    /// The effects of an event: a message, a job, or a job to be stopped.
    fn follow(
        &self,
        effects: &mut DecisionEffects,
        said: &mut i64,
        request: &NotificationRequest,
        event: &NotificationEvent,
    ) -> Result<(), Fault> {
        let order_id = request.order_id;
        match event {
            NotificationEvent::FellDue { occasion, addressee, at } => {
                let mail = self.mail(order_id, occasion, addressee, *at);
                effects.jobs.push(mail::job(occasion.kind(), &mail, request.trace)?);
            }
            NotificationEvent::Skipped { occasion, was_due: true } => {
                effects.stop(mail::key(order_id, occasion.kind()));
            }
            NotificationEvent::Sent { at, .. } | NotificationEvent::Failed { at, .. } => {
                *said += 1;
                let meta = EventMeta {
                    id: self.clock.new_id(),
                    subject: order_id.to_string(),
                    sequence: *said,
                    at: *at,
                    trace: request.trace,
                };
                effects.messages.extend(wire::message(&self.codec, meta, order_id, event)?);
            }
            NotificationEvent::ContactKnown { .. }
            | NotificationEvent::Deferred { .. }
            | NotificationEvent::Skipped { was_due: false, .. } => {}
        }
        Ok(())
    }

    fn mail(
        &self,
        order_id: Uuid,
        occasion: &NotificationCause,
        addressee: &CustomerContact,
        written_at: time::OffsetDateTime,
    ) -> EmailMessage {
        EmailMessage {
            order_id,
            message_id: mail::message_id(order_id, occasion.kind(), &self.mail_domain),
            email: addressee.email.clone(),
            name: addressee.name.clone(),
            written_at,
            letter: MailText::write(order_id, occasion, addressee),
        }
    }
}
