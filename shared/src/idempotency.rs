//! Idempotent requests: a repeat has no second effect and gets the same answer. `Idempotency-Key`
//! as in the IETF draft. The answer is stored in the transaction of its effect, so there is no
//! state "in progress" that a crash could leave behind: either both exist, or neither. Two
//! transactions that answer the same key conflict at the primary key; the second one waits, gets a
//! [`TransactionCollision`], and finds the first one's answer when it is processed again.
//!
//! An answer is kept for a day by the database's clock; then the key is free again.
//!
//! **Architecture invariant:** a key is bound to one fingerprint (method, path, body). A request
//! with another fingerprint is refused, never answered with the answer to another request.

use std::{collections::HashMap, time::Duration};

use sqlx::{PgConnection, Row as _};

use crate::fault::{Fault, TransactionCollision};

pub use self::{
    batch::{IdempotentAnswer, IdempotentBatch},
    client::{BadClient, ClientId},
    fingerprint::RequestFingerprint,
    key::{BadKey, IdempotencyKey},
};

mod batch;
mod client;
mod fingerprint;
mod key;

/// How long an answer is kept.
pub const KEPT: Duration = Duration::from_hours(24);

/// A key and the scope within which it is one: who asks, and what for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopedKey {
    /// The route, and the client where it says who it is: see [`ClientId::scope`].
    pub scope: String,
    /// The caller's name for the request.
    pub key: IdempotencyKey,
}

/// A key and the request that it is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// The caller's name for the request, among those of the same client on the same route.
    pub key: ScopedKey,
    /// Tells a repeat from another request with the same key.
    pub fingerprint: RequestFingerprint,
}

/// An answer over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The HTTP status of the stored answer.
    pub status: u16,
    /// The `Location` header, if any.
    pub location: Option<String>,
    /// The stored body, JSON.
    pub body: String,
}

/// An answer that was given, and to which request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The fingerprint of the request that was answered first.
    pub fingerprint: RequestFingerprint,
    /// The answer that was given to it.
    pub answer: HttpAnswer,
}

/// An answer to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerRecord {
    /// The key of the request that this answers.
    pub request: RequestKey,
    /// The answer to store under it.
    pub answer: HttpAnswer,
}

/// The answers that were given under these keys and have not expired.
pub async fn find(
    conn: &mut PgConnection,
    keys: &[ScopedKey],
) -> Result<HashMap<ScopedKey, StoredAnswer>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    sqlx::query(
        "SELECT scope, key, fingerprint, status, location, body
         FROM messaging.idempotency
         JOIN unnest($1::text[], $2::text[]) AS asked (scope, key) USING (scope, key)
         WHERE expires_at > now()",
    )
    .bind(keys.iter().map(|scoped_key| scoped_key.scope.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|scoped_key| scoped_key.key.as_str()).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(|row| {
        let key = IdempotencyKey::from_kept(row.try_get("key")?);
        let fingerprint: Vec<u8> = row.try_get("fingerprint")?;
        let fingerprint = RequestFingerprint::from_bytes(&fingerprint)
            .ok_or_else(|| sqlx::Error::Decode("a kept fingerprint is unreadable".into()))?;
        let status: i16 = row.try_get("status")?;
        let answer = HttpAnswer {
            status: u16::try_from(status).map_err(|error| sqlx::Error::Decode(error.into()))?,
            location: row.try_get("location")?,
            body: row.try_get("body")?,
        };
        let stored = StoredAnswer { fingerprint, answer };
        Ok((ScopedKey { scope: row.try_get("scope")?, key }, stored))
    })
    .collect()
}

/// Keeps the answers as part of the caller's transaction. Each key may stand there once.
///
/// If another transaction answered one of the keys in the meantime, this is a
/// [`TransactionCollision`]: the caller's transaction is to be undone and taken again, and will
/// then find that answer.
pub async fn keep(conn: &mut PgConnection, records: &[AnswerRecord]) -> Result<(), Fault> {
    if records.is_empty() {
        return Ok(());
    }
    // Sorted, so that two transactions with the same keys wait for each other and do not deadlock.
    let mut records: Vec<&AnswerRecord> = records.iter().collect();
    records.sort_unstable_by_key(|record| &record.request.key);
    let kept = sqlx::query(
        "INSERT INTO messaging.idempotency AS kept
             (scope, key, fingerprint, status, location, body, expires_at)
         SELECT scope, key, fingerprint, status, location, body, now() + make_interval(secs => $7)
         FROM unnest($1::text[], $2::text[], $3::bytea[], $4::int2[], $5::text[], $6::text[])
             AS asked (scope, key, fingerprint, status, location, body)
         ON CONFLICT (scope, key) DO UPDATE
         SET fingerprint = excluded.fingerprint, status = excluded.status,
             location = excluded.location, body = excluded.body,
             created_at = now(), expires_at = excluded.expires_at
         WHERE kept.expires_at <= now()",
    )
    .bind(records.iter().map(|record| record.request.key.scope.as_str()).collect::<Vec<_>>())
    .bind(records.iter().map(|record| record.request.key.key.as_str()).collect::<Vec<_>>())
    .bind(records.iter().map(|record| record.request.fingerprint.as_bytes()).collect::<Vec<_>>())
    .bind(records.iter().map(|record| record.answer.status.cast_signed()).collect::<Vec<_>>())
    .bind(records.iter().map(|record| record.answer.location.as_deref()).collect::<Vec<_>>())
    .bind(records.iter().map(|record| record.answer.body.as_str()).collect::<Vec<_>>())
    .bind(KEPT.as_secs_f64())
    .execute(conn)
    .await?
    .rows_affected();
    if kept == records.len() as u64 { Ok(()) } else { Err(Fault::transient(TransactionCollision)) }
}

/// Deletes up to `n_max` answers that have expired; says how many. To be called until it says less.
pub async fn purge(conn: &mut PgConnection, n_max: i64) -> Result<u64, sqlx::Error> {
    // An array is chosen once; a subquery could be run again for each row, and delete more. The
    // rows are locked, so their places stay what they are.
    let purged = sqlx::query(
        "DELETE FROM messaging.idempotency
         WHERE ctid = ANY (ARRAY (
             SELECT ctid FROM messaging.idempotency
             WHERE expires_at <= now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
         ))",
    )
    .bind(n_max)
    .execute(conn)
    .await?;
    Ok(purged.rows_affected())
}

#[cfg(test)]
mod tests;
