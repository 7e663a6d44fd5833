//! A batch of requests, each of which has its effect once.
//!
//! ```text
//! look_up ──> unanswered ──> the caller handles those ──> answer: stores what is accepted, answers all
//! ```
//!
//! Refused requests are not stored: the same key may be tried again once the reason is gone.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::{AnswerRecord, HttpAnswer, RequestKey, ScopedKey, StoredAnswer, find, keep};
use crate::fault::Fault;

/// The action for one request of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IdempotencyVerdict {
    /// The request is new, or has no key: to be handled.
    First,
    /// The request was answered before: the same answer again.
    Replay(HttpAnswer),
    /// The request repeats an earlier one of this batch, at this index: the same answer.
    RepeatOf(usize),
    /// The key belongs to another request: to be refused.
    KeyReused,
}

/// The answer to one request of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdempotentAnswer<E> {
    /// The request is new and was accepted.
    Accepted {
        /// The answer as it was given the first time.
        answer: HttpAnswer,
        /// Whether the answer is a repeat.
        replayed: bool,
    },
    /// The request is refused, and its key is free.
    Refused(E),
    /// Its key belongs to another request.
    KeyReused,
}

/// The requests of a batch, with the answers to those that were answered before.
#[derive(Debug)]
pub struct IdempotentBatch<'k> {
    keys: Vec<Option<&'k RequestKey>>,
    verdicts: Vec<IdempotencyVerdict>,
}

impl<'k> IdempotentBatch<'k> {
    /// Finds the answers that were given before. A request without a key is always new.
    pub async fn look_up(
        conn: &mut PgConnection,
        keys: impl IntoIterator<Item = Option<&'k RequestKey>>,
    ) -> Result<Self, sqlx::Error> {
        let keys: Vec<Option<&RequestKey>> = keys.into_iter().collect();
        let names: Vec<ScopedKey> = keys.iter().flatten().map(|key| key.key.clone()).collect();
        let stored = find(conn, &names).await?;
        let verdicts = verdicts(&keys, &stored);
        Ok(Self { keys, verdicts })
    }

    /// The indexes of the requests that are to be handled, in order.
    pub fn unanswered(&self) -> Vec<usize> {
        let places = 0..self.verdicts.len();
        places.filter(|place| self.verdicts[*place] == IdempotencyVerdict::First).collect()
    }

    /// Stores the answers of accepted requests, and answers all requests in order. `handled` has an
    /// answer to each of the [unanswered](Self::unanswered) ones, in order.
    ///
    /// If another transaction answered one of the keys in the meantime, this is a collision: see
    /// [`keep`].
    pub async fn answer<E: Clone>(
        self,
        conn: &mut PgConnection,
        handled: Vec<Result<HttpAnswer, E>>,
    ) -> Result<Vec<IdempotentAnswer<E>>, Fault> {
        let (mut handled, mut records) = (handled.into_iter(), Vec::new());
        let mut answers: Vec<IdempotentAnswer<E>> = Vec::with_capacity(self.verdicts.len());
        for (key, verdict) in self.keys.into_iter().zip(self.verdicts) {
            answers.push(match verdict {
                IdempotencyVerdict::First => match handled.next() {
                    Some(Ok(answer)) => {
                        let record = |key: &RequestKey| {
                            let (request, answer) = (key.clone(), answer.clone());
                            AnswerRecord { request, answer }
                        };
                        records.extend(key.map(record));
                        IdempotentAnswer::Accepted { answer, replayed: false }
                    }
                    Some(Err(reason)) => IdempotentAnswer::Refused(reason),
                    None => unreachable!("each request that was unanswered has an answer"),
                },
                IdempotencyVerdict::Replay(answer) => {
                    IdempotentAnswer::Accepted { answer, replayed: true }
                }
                IdempotencyVerdict::RepeatOf(place) => answers[place].again(),
                IdempotencyVerdict::KeyReused => IdempotentAnswer::KeyReused,
            });
        }
        keep(conn, &records).await?;
        Ok(answers)
    }
}

impl<E: Clone> IdempotentAnswer<E> {
    fn again(&self) -> Self {
        match self {
            Self::Accepted { answer, .. } => {
                Self::Accepted { answer: answer.clone(), replayed: true }
            }
            Self::Refused(_) | Self::KeyReused => self.clone(),
        }
    }
}

pub(super) fn verdicts(
    keys: &[Option<&RequestKey>],
    stored: &HashMap<ScopedKey, StoredAnswer>,
) -> Vec<IdempotencyVerdict> {
    let mut seen: HashMap<&ScopedKey, usize> = HashMap::new();
    let mut verdicts: Vec<IdempotencyVerdict> = Vec::with_capacity(keys.len());
    for (place, key) in keys.iter().enumerate() {
        let Some(RequestKey { key, fingerprint }) = key else {
            verdicts.push(IdempotencyVerdict::First);
            continue;
        };
        let is_same = |first: usize| {
            keys[first].is_some_and(|earlier| fingerprint.is_of(&earlier.fingerprint))
        };
        verdicts.push(match (seen.get(key), stored.get(key)) {
            (_, Some(known)) if fingerprint.is_of(&known.fingerprint) => {
                IdempotencyVerdict::Replay(known.answer.clone())
            }
            (Some(first), None) if is_same(*first) => IdempotencyVerdict::RepeatOf(*first),
            (_, Some(_)) | (Some(_), None) => IdempotencyVerdict::KeyReused,
            (None, None) => {
                seen.insert(key, place);
                IdempotencyVerdict::First
            }
        });
    }
    verdicts
}
