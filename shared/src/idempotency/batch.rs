//! Many requests at once: which are new, which are repeats, which are imposters.

use std::{collections::HashMap, hash::BuildHasher};

use super::{Fingerprint, ScopedKey, Stored};

/// What is to be done about one request of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'s> {
    /// It is new: to be taken in, and its answer kept.
    First,
    /// It was answered before: the same answer again.
    Replay(&'s Stored),
    /// It repeats an earlier request of this batch (its place is given): the same answer.
    RepeatOf(usize),
    /// Its key belongs to another request: to be refused.
    Mismatch,
}

/// Sorts the requests of a batch out, in their order, given what was answered before.
pub fn sort_out<'k, 's, S: BuildHasher>(
    requests: impl IntoIterator<Item = (&'k ScopedKey, Fingerprint)>,
    answered: &'s HashMap<ScopedKey, Stored, S>,
) -> Vec<Verdict<'s>> {
    let mut seen: HashMap<&ScopedKey, (usize, Fingerprint)> = HashMap::new();
    requests
        .into_iter()
        .enumerate()
        .map(|(place, (key, fingerprint))| {
            if let Some(stored) = answered.get(key) {
                let same = fingerprint.is_of(&stored.fingerprint);
                return if same { Verdict::Replay(stored) } else { Verdict::Mismatch };
            }
            match seen.get(key) {
                None => {
                    seen.insert(key, (place, fingerprint));
                    Verdict::First
                }
                Some((first, of_first)) if fingerprint.is_of(of_first) => Verdict::RepeatOf(*first),
                Some(_) => Verdict::Mismatch,
            }
        })
        .collect()
}
