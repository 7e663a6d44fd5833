//! The rows of a batch: locked and read, changed in memory, written with their next version.
//!
//! **Architecture invariant:** a row is written only over the version that was read. `FOR UPDATE`
//! cannot lock a row that is not there yet: of two transactions that insert it, the second finds a
//! version that it did not expect, is rolled back, and its batch is processed again.
//!
//! **Architecture invariant:** messages are numbered under the lock of their key's row, so
//! `ce_sequence` counts the messages of each key without gaps.

use std::{collections::HashMap, hash::Hash};

use crate::{
    decider::{self, Decider, Decision},
    fault::{Fault, TransactionCollision},
};

/// A row as it was read, under lock.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedRow<S> {
    /// The decider's state that the row holds.
    pub state: S,
    /// The number of messages published about its key: the `ce_sequence` of the last one.
    pub said: i64,
    /// The number of times that the row was written.
    pub version: i64,
}

/// A row to write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChangedRow<'r, K, S> {
    /// The key of the row.
    pub key: &'r K,
    /// The state that was read; `None` if there was no row.
    pub before: Option<&'r S>,
    /// The state to write.
    pub after: &'r S,
    /// The number of messages published about the key, those of this batch included.
    pub said: i64,
    /// The version to write: one more than was read.
    pub version: i64,
}

/// The rows of a batch, by their keys.
#[derive(Clone, Debug)]
pub struct LockedRows<K, D: Decider> {
    states: HashMap<K, D::State>,
    loaded: HashMap<K, LoadedRow<D::State>>,
    said: HashMap<K, i64>,
    initial: D::State,
}

impl<K: Clone + Eq + Hash + Ord, D: Decider> LockedRows<K, D> {
    /// These rows were read and are locked until the transaction ends.
    pub fn new(loaded: impl IntoIterator<Item = (K, LoadedRow<D::State>)>) -> Self {
        let loaded: HashMap<_, _> = loaded.into_iter().collect();
        Self {
            states: loaded.iter().map(|(key, row)| (key.clone(), row.state.clone())).collect(),
            said: loaded.iter().map(|(key, row)| (key.clone(), row.said)).collect(),
            loaded,
            initial: D::initial(),
        }
    }

    /// Decides the commands in their order, each on the state that the one before left.
    pub fn decide<'c>(
        &mut self,
        commands: impl IntoIterator<Item = (&'c K, &'c D::Command)>,
    ) -> Vec<Decision<D>>
    where
        K: 'c,
        D::Command: 'c,
    {
        decider::fold::<D, K>(&mut self.states, commands)
    }

    /// The state of a key, as the batch has left it so far.
    pub fn state(&self, key: &K) -> &D::State {
        self.states.get(key).unwrap_or(&self.initial)
    }

    /// The number of the next message about this key, which is thereby used.
    pub fn next_sequence(&mut self, key: &K) -> i64 {
        let said = self.said.entry(key.clone()).or_default();
        *said += 1;
        *said
    }

    /// The rows to write, in the order of their keys, so that two batches cannot deadlock: those
    /// whose state has changed, and those about which a message is published.
    pub fn changed(&self) -> Vec<ChangedRow<'_, K, D::State>> {
        let mut rows: Vec<_> = self
            .states
            .iter()
            .filter_map(|(key, after)| {
                let loaded = self.loaded.get(key);
                let said = self.said.get(key).copied().unwrap_or(0);
                let before = loaded.map(|row| &row.state);
                let has_changed = before.unwrap_or(&self.initial) != after
                    || loaded.map_or(0, |row| row.said) != said;
                let version = loaded.map_or(0, |row| row.version) + 1;
                has_changed.then_some(ChangedRow { key, before, after, said, version })
            })
            .collect();
        rows.sort_unstable_by(|one, other| one.key.cmp(other.key));
        rows
    }
}

/// Checks that as many rows were written as were to be: each found the version that was read.
///
/// A transient fault if not: another transaction came first, and the batch is processed again.
pub fn all_written(written: u64, rows: usize) -> Result<(), Fault> {
    if written == rows as u64 {
        return Ok(());
    }
    Err(Fault::transient(TransactionCollision))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts up; refuses to count down.
    #[derive(Clone, Debug)]
    struct Counter;

    impl Decider for Counter {
        type State = i32;
        type Command = i32;
        type Event = i32;
        type Rejection = ();

        fn initial() -> i32 {
            0
        }

        fn decide(_: &i32, command: &i32) -> Result<Vec<i32>, ()> {
            if *command < 0 { Err(()) } else { Ok(vec![*command]) }
        }

        fn evolve(state: i32, event: &i32) -> i32 {
            state + event
        }
    }

    fn rows() -> LockedRows<&'static str, Counter> {
        let row = |state, said, version| LoadedRow { state, said, version };
        LockedRows::new([("known", row(5, 3, 7)), ("silent", row(1, 0, 1))])
    }

    #[test]
    fn commands_of_one_key_follow_each_other() {
        let mut rows = rows();
        let answers = rows.decide([(&"known", &1), (&"new", &2), (&"known", &-1), (&"known", &3)]);
        assert_eq!(answers, [Ok(vec![1]), Ok(vec![2]), Err(()), Ok(vec![3])]);
        assert_eq!((*rows.state(&"known"), *rows.state(&"new"), *rows.state(&"none")), (9, 2, 0));
    }

    #[test]
    fn messages_are_numbered_after_those_that_were_published() {
        let mut rows = rows();
        let numbers = ["known", "new", "known"].map(|key| rows.next_sequence(&key));
        assert_eq!(numbers, [4, 1, 5]);
    }

    #[test]
    fn rows_are_written_sorted_by_key_if_their_state_changed_or_a_message_was_numbered() {
        let mut rows = rows();
        drop(rows.decide([(&"new", &2), (&"known", &0), (&"silent", &0), (&"refused", &-1)]));
        rows.next_sequence(&"known");
        let expected = [
            ChangedRow { key: &"known", before: Some(&5), after: &5, said: 4, version: 8 },
            ChangedRow { key: &"new", before: None, after: &2, said: 0, version: 1 },
        ];
        assert_eq!(rows.changed(), expected);
    }

    #[test]
    fn a_row_that_was_not_written_is_a_collision() {
        assert!(all_written(2, 2).is_ok());
        assert!(matches!(all_written(1, 2), Err(Fault::Transient(_))));
    }
}
