//! Messages that can never be taken in, kept as they came, with the reason.
//!
//! A dead letter is a row here and a copy on `<service>.dlq`, both in one transaction with the
//! inbox: nothing is lost, and the partition goes on.
//!
//! **Architecture invariant:** only what is proven to be the message's own fault comes here. A
//! database, broker or registry that is away is no reason.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    clock::Clock,
    fault::Fault,
    message::{Headers, Incoming, Outgoing},
    outbox,
};

/// Why a message is dead. The code is stable: people and dashboards count by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The outside cannot be read: headers missing or malformed, key and subject differ.
    Envelope,
    /// The body is not what its topic carries.
    Body,
    /// Its id was used before, for something else.
    Imposter,
    /// The decider says that this can never happen.
    Contradiction,
    /// Taking it in fails, alone and every time.
    Unprocessable,
}

impl Reason {
    /// The code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Envelope => "envelope",
            Self::Body => "body",
            Self::Imposter => "imposter",
            Self::Contradiction => "contradiction",
            Self::Unprocessable => "unprocessable",
        }
    }
}

/// A message that can never be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter<'m> {
    /// As it came.
    pub incoming: &'m Incoming,
    /// The kind of fault.
    pub reason: Reason,
    /// What exactly is wrong.
    pub detail: String,
}

/// Keeps the letters and answers with their copies for the service's dead-letter topic.
///
/// A letter is known by its place in the log, so one that is read again is not kept twice.
pub async fn keep(
    conn: &mut PgConnection,
    service: &str,
    clock: &Clock,
    letters: &[DeadLetter<'_>],
) -> Result<Vec<Outgoing>, Fault> {
    if letters.is_empty() {
        return Ok(vec![]);
    }
    let ids: Vec<Uuid> = letters.iter().map(|_| clock.new_id()).collect();
    let field = |pick: fn(&DeadLetter<'_>) -> Vec<u8>| letters.iter().map(pick).collect::<Vec<_>>();
    let kept: Vec<Uuid> = sqlx::query_scalar(
        "INSERT INTO messaging.dead_letter
             (dead_letter_id, topic, partition, \"offset\", key, headers, payload, reason, detail)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::int4[], $4::int8[], $5::bytea[],
                              $6::bytea[], $7::bytea[], $8::text[], $9::text[])
         ON CONFLICT (topic, partition, \"offset\") DO NOTHING
         RETURNING dead_letter_id",
    )
    .bind(&ids)
    .bind(letters.iter().map(|it| it.incoming.topic.as_str()).collect::<Vec<_>>())
    .bind(letters.iter().map(|it| it.incoming.partition).collect::<Vec<_>>())
    .bind(letters.iter().map(|it| it.incoming.offset).collect::<Vec<_>>())
    .bind(letters.iter().map(|it| it.incoming.key.as_deref()).collect::<Vec<_>>())
    .bind(field(|it| it.incoming.headers.to_bytes()))
    .bind(letters.iter().map(|it| it.incoming.payload.as_deref()).collect::<Vec<_>>())
    .bind(letters.iter().map(|it| it.reason.code()).collect::<Vec<_>>())
    .bind(letters.iter().map(|it| printable(&it.detail)).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    Ok(ids
        .iter()
        .zip(letters)
        .filter(|(id, _)| kept.contains(id))
        .map(|(id, letter)| copy(service, *id, letter))
        .collect())
}

/// The copy for people and tools: the bytes as they came, and the names that tools know.
fn copy(service: &str, id: Uuid, letter: &DeadLetter<'_>) -> Outgoing {
    let incoming = letter.incoming;
    // The copy is for looking at. What fills a whole message would not fit with its reason: the
    // row has all of it, the copy then goes without.
    let fits = |bytes: usize| bytes < outbox::MESSAGE_BYTES_MAX / 4;
    let mut headers = Headers::default();
    if fits(incoming.headers.to_bytes().len()) {
        headers = incoming.headers.clone();
    }
    headers.push("kafka_dlt-original-topic", &incoming.topic);
    headers.push("kafka_dlt-original-partition", &incoming.partition.to_string());
    headers.push("kafka_dlt-original-offset", &incoming.offset.to_string());
    if let Some(timestamp_ms) = incoming.timestamp_ms {
        headers.push("kafka_dlt-original-timestamp", &timestamp_ms.to_string());
    }
    headers.push("kafka_dlt-exception-message", &printable(&letter.detail));
    headers.push("dead-letter-id", &id.to_string());
    headers.push("dead-letter-reason", letter.reason.code());
    Outgoing {
        id,
        topic: format!("{service}.dlq").into(),
        key: incoming.key.clone().filter(|it| fits(it.len())),
        headers,
        payload: incoming.payload.clone().filter(|it| fits(it.len())),
    }
}

/// A reason quotes what a stranger sent: cut to a readable length, and without what a text column
/// refuses.
fn printable(detail: &str) -> String {
    detail.chars().filter(|it| !it.is_control()).take(1_000).collect()
}
