//! The only entry through which notifications change, for messages and the results of jobs.

use shared::{
    clock::Clock,
    codec::{AvroCodec, EventMeta},
    decider::Decision,
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
    store::{self, NotificationRows},
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
        let mut rows = store::load_for_update(conn, requests).await?;
        let commands = requests.iter().map(|request| (&request.order_id, &request.command));
        let answers = rows.decide(commands);
        let mut effects = DecisionEffects::default();
        for (request, answer) in requests.iter().zip(&answers) {
            for event in answer.iter().flatten() {
                self.take_effect(request, event, &mut rows, &mut effects)?;
            }
        }
        store::save(conn, &rows).await?;
        Ok(BatchOutcome { answers, effects })
    }

    /// Adds the effects of an event: a message, a job, or a job to be stopped.
    fn take_effect(
        &self,
        request: &NotificationRequest,
        event: &NotificationEvent,
        rows: &mut NotificationRows,
        effects: &mut DecisionEffects,
    ) -> Result<(), Fault> {
        let order_id = request.order_id;
        match event {
            NotificationEvent::FellDue { occasion, addressee, at } => {
                let mail = self.mail(order_id, occasion, addressee, *at);
                effects.jobs.push(mail::job(occasion.kind(), &mail, request.trace.clone())?);
            }
            NotificationEvent::Skipped { occasion, was_due: true } => {
                effects.stop(mail::key(order_id, occasion.kind()));
            }
            NotificationEvent::Sent { at, .. } | NotificationEvent::Failed { at, .. } => {
                let meta = || EventMeta {
                    id: self.clock.new_id(),
                    subject: order_id.to_string(),
                    sequence: rows.next_sequence(&order_id),
                    at: *at,
                    trace: request.trace.clone(),
                };
                effects.messages.extend(wire::encode(&self.codec, order_id, event, meta)?);
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
