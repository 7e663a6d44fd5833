//! Mail to a customer, as a durable job: delivered at least once, recognisable as the same mail.
//!
//! A connection that is lost after the mail was handed over leaves the outcome open. The mail is
//! then sent again, byte for byte the same and under the same `Message-ID`, by which servers and
//! readers recognise a copy. Each such attempt may be one more mail for the customer: after
//! [`EmailJob::doubts`] of them the job is given up, in doubt, and waits for a person.
//!
//! **Architecture invariant:** the job contains all data of an attempt. Nothing is read from the
//! database before sending: code that decides that a mail is not to be sent any more stops its job.
//!
//! **Architecture invariant:** personal data leaves this module only to the mail server; failures
//! contain the code of a server's answer, never its text.

use std::time::SystemTime;

use lettre::{
    Address, Message,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};
use shared::{
    effects::DecisionEffects,
    fault::{self, Fault},
    jobs::{AttemptFailure, ClaimedJob, DoubtLimit, JobHandler, JobResult},
    message::TraceContext,
    telemetry::spans::{KeyValue, Kind as SpanKind, OpenSpan},
};
use sqlx::PgConnection;
use time::OffsetDateTime;

pub use smtp::{SmtpClient, SmtpSecurity, SmtpServer, SmtpSettings, StepLimits, UrlError};

use crate::{
    app::App,
    domain::notification::NotificationCommand,
    jobs::mail::{self, EmailMessage},
    metrics::MailOutcome,
    request::NotificationRequest,
};
use smtp::SmtpMessage;

mod smtp;

#[derive(Debug)]
pub struct EmailJob {
    /// The application that records the results.
    pub app: App,
    /// The sender of the mails.
    pub from: Mailbox,
    /// The client of the mail server.
    pub smtp: SmtpClient,
    /// How often a mail may be handed over without an answer.
    pub doubts: DoubtLimit,
}

/// Why a mail cannot be composed.
#[derive(Debug, thiserror::Error)]
enum ComposeError {
    // Without the parser's own text: it quotes the input.
    #[error("the job does not hold a mail")]
    Payload,
    #[error("the address is not one")]
    Address,
    #[error("the mail cannot be written down")]
    Format(#[source] lettre::error::Error),
}

fn write(from: &Mailbox, mail: &EmailMessage) -> Result<SmtpMessage, ComposeError> {
    let to: Address = mail.email.parse().map_err(|_why| ComposeError::Address)?;
    let name = mail.name.as_deref().map(mail::one_line).filter(|name| !name.is_empty());
    let order = HeaderName::new_from_ascii_str("X-Order-Id");
    // RFC 3834: the mail is automatic, and no program is to answer it.
    let by_itself = HeaderName::new_from_ascii_str("Auto-Submitted");
    let message = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(name, to.clone()))
        .subject(&mail.letter.subject)
        .date(SystemTime::from(mail.written_at))
        .message_id(Some(format!("<{}>", mail.message_id)))
        .raw_header(HeaderValue::new(order, mail.order_id.to_string()))
        .raw_header(HeaderValue::new(by_itself, "auto-generated".to_owned()))
        .multipart(body(mail))
        .map_err(ComposeError::Format)?;
    Ok(SmtpMessage { from: from.email.clone(), to, content: message.formatted() })
}

/// The letter as plain text and as HTML. The boundary is the same in every copy; the text of a
/// letter never contains such a line.
fn body(mail: &EmailMessage) -> MultiPart {
    let boundary = format!("letter-{}", mail.order_id.simple());
    MultiPart::alternative()
        .boundary(boundary)
        .singlepart(SinglePart::plain(mail.letter.text()))
        .singlepart(SinglePart::html(mail.letter.html()))
}

impl JobHandler for EmailJob {
    const KIND: &'static str = mail::KIND;
    type Done = String;

    fn doubts(&self) -> Option<DoubtLimit> {
        Some(self.doubts)
    }

    /// Sends the mail; answers with its `Message-ID`.
    async fn perform(&self, job: &ClaimedJob) -> Result<String, AttemptFailure> {
        let never = |error: ComposeError| AttemptFailure::Permanent { source: error.into() };
        let mail: EmailMessage = serde_json::from_value(job.payload.clone())
            .map_err(|_unread| never(ComposeError::Payload))?;
        let parcel = write(&self.from, &mail).map_err(never)?;
        let caller = job.trace.as_ref().map(|trace| trace.parent);
        let mut span = OpenSpan::begin(SpanKind::Client, caller, || "hand over mail".into());
        let (host, port) = self.smtp.server();
        span.note(|| {
            [
                KeyValue::new("network.protocol.name", "smtp"),
                KeyValue::new("server.address", host.to_owned()),
                KeyValue::new("server.port", i64::from(port)),
            ]
        });
        // A future dropped from here on was waiting for the answer: all other steps end by
        // themselves.
        let mut counted = MailOutcome("open");
        let outcome = self.smtp.send(&parcel).await;
        span.end_with(outcome.as_ref().err().map(|error| fault::chain(error)));
        let (word, answer) = match outcome {
            Ok(()) => ("taken", Ok(mail.message_id)),
            Err(error @ smtp::SmtpError::NotTaken { .. }) => ("not-taken", Err(refused(error))),
            Err(error @ smtp::SmtpError::Refused { .. }) => ("refused", Err(refused(error))),
            Err(error @ smtp::SmtpError::Open { .. }) => {
                ("open", Err(AttemptFailure::InDoubt { source: error.into() }))
            }
            Err(error @ smtp::SmtpError::Address { .. }) => {
                ("address", Err(AttemptFailure::Permanent { source: error.into() }))
            }
        };
        counted.0 = word;
        answer
    }

    /// Records the outcome of the mails, and publishes it.
    async fn settle(
        &self,
        conn: &mut PgConnection,
        ended: &[(ClaimedJob, JobResult<String>)],
    ) -> Result<DecisionEffects, Fault> {
        let now = self.app.clock.now();
        let results: Vec<NotificationRequest> =
            ended.iter().filter_map(|(job, end)| result(job, end, now)).collect();
        let outcome = self.app.execute(conn, &results).await?;
        for (request, answer) in results.iter().zip(&outcome.answers) {
            let Err(rejection) = answer else { continue };
            let NotificationRequest { order_id, trace, .. } = request;
            let trace_id = trace.as_ref().map(TraceContext::trace_id);
            tracing::error!(%order_id, trace_id, %rejection, "the result of a mail was refused");
        }
        Ok(outcome.effects)
    }
}

fn refused(error: smtp::SmtpError) -> AttemptFailure {
    AttemptFailure::NoEffect { source: error.into(), retry_after: None }
}

/// The command for the order that follows from a job's end.
fn result(
    job: &ClaimedJob,
    end: &JobResult<String>,
    at: OffsetDateTime,
) -> Option<NotificationRequest> {
    let Some((order_id, kind)) = mail::read_key(&job.key) else {
        tracing::error!(key = job.key, "a job ended whose name is not one of ours");
        return None;
    };
    let command = match end {
        JobResult::Done(message_id) => {
            NotificationCommand::RecordSent { kind, message_id: message_id.clone(), at }
        }
        JobResult::GaveUp { in_doubt, reason } => {
            let doubt = if *in_doubt { "; it may have been taken all the same" } else { "" };
            NotificationCommand::RecordGivenUp { kind, reason: format!("{reason}{doubt}"), at }
        }
    };
    Some(NotificationRequest { order_id, command, trace: job.trace.clone() })
}

#[cfg(test)]
mod tests;
