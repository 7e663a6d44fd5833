//! Which messages of a batch flow, which wait, and which are dead.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
};

use sqlx::PgConnection;

use super::{
    guard::Fate,
    opening::{Opened, lanes},
};
use crate::{
    dead_letter::{self, DeadLetter, Lane, Place, Reason, lane::Blocking},
    fault::Fault,
    inbox,
    message::{Incoming, Message},
};

/// The messages of a batch by what is to become of them; numbers are places in the batch.
#[derive(Debug, Default)]
pub(super) struct Sorted<'b> {
    /// To be taken in.
    pub(super) flows: Vec<usize>,
    /// Known already.
    pub(super) repeats: Vec<usize>,
    /// To wait behind an open letter of their lane.
    pub(super) parked: Vec<usize>,
    /// Dead, with their letters.
    dead: Vec<(usize, DeadLetter<'b>)>,
    /// Lanes with an open letter, and that.
    blocked: HashMap<Lane, Blocking>,
}

impl<'b> Sorted<'b> {
    /// Sorts a batch by what was there before it. Costs one statement if there is no dead letter.
    pub(super) async fn sort<I>(
        conn: &mut PgConnection,
        opened: &[Opened<'b, I>],
    ) -> Result<Self, Fault> {
        let blocked = dead_letter::lane::blocked(conn, &lanes(opened)).await?;
        let known = known(conn, opened).await?;
        let mut sorted = Self { blocked, ..Self::default() };
        for (index, it) in opened.iter().enumerate() {
            let is_known = || known.contains(&index);
            match (sorted.blocker(it), &it.body) {
                (Blocker::Itself, _) => sorted.repeats.push(index),
                (Blocker::Behind | Blocker::None, Ok(_)) => sorted.flows.push(index),
                // Also behind: what was decided upon does not wait for a letter that came after it.
                (Blocker::Behind | Blocker::None, Err(_)) if is_known() => {
                    sorted.repeats.push(index);
                }
                (Blocker::Ahead, _) | (Blocker::Behind, Err(_)) => sorted.parked.push(index),
                (Blocker::None, Err((reason, detail))) => {
                    sorted.bury(index, it.letter(*reason, detail.clone()));
                }
            }
        }
        Ok(sorted)
    }

    /// Sorts out what was refused among those that flow. If a message behind one of them, in the
    /// same lane, has had its effect already, all of it is to be done again one by one.
    pub(super) async fn refuse<I>(
        &mut self,
        conn: &mut PgConnection,
        opened: &[Opened<'b, I>],
        refused: Vec<(usize, Reason, String)>,
    ) -> Result<(), Fault> {
        if refused.is_empty() {
            return Ok(());
        }
        let places: Vec<Place> =
            refused.iter().map(|(at, ..)| Place::of(opened[self.flows[*at]].incoming)).collect();
        let known = dead_letter::lane::known(conn, &places).await?;
        for ((at, reason, detail), place) in refused.into_iter().zip(places) {
            let index = self.flows[at];
            let it = &opened[index];
            if known.contains(&place) {
                self.repeats.push(index);
                continue;
            }
            if matches!(self.blocker(it), Blocker::Behind) && !self.give_way(opened, it.lane) {
                self.parked.push(index);
                continue;
            }
            let overtaken =
                self.flows[at + 1..].iter().any(|it| opened[*it].lane == opened[index].lane);
            if overtaken {
                return Err(Fault::poison(
                    "a message behind one that is refused would overtake it",
                ));
            }
            self.bury(index, it.letter(reason, detail));
        }
        // What waits, waits in the order in which it came.
        self.parked.sort_unstable();
        let dead: Vec<usize> = self.dead.iter().map(|(index, _)| *index).collect();
        let settled: HashSet<usize> =
            [&self.repeats, &self.parked, &dead].into_iter().flatten().copied().collect();
        self.flows.retain(|index| !settled.contains(index));
        Ok(())
    }

    /// A letter of this batch, in this lane, waits instead: one that comes before it was refused
    /// only now. False if the letter was there before the batch.
    fn give_way<I>(&mut self, opened: &[Opened<'b, I>], lane: Option<Lane>) -> bool {
        let Some(at) = self.dead.iter().position(|(index, _)| opened[*index].lane == lane) else {
            return false;
        };
        let (index, _letter) = self.dead.swap_remove(at);
        self.parked.push(index);
        true
    }

    /// These are known already, as the inbox says.
    pub(super) fn repeat(&mut self, repeats: &[usize]) {
        self.flows.retain(|index| !repeats.contains(index));
        self.repeats.extend(repeats);
    }

    fn bury(&mut self, index: usize, letter: DeadLetter<'b>) {
        if let Some(lane) = letter.lane {
            // Of one batch, offsets alone say what comes first.
            let blocking = Blocking { place: Place::of(letter.incoming), timestamp_ms: None };
            self.blocked.insert(lane, blocking);
        }
        self.dead.push((index, letter));
    }

    /// What became of each message, in the order of the batch.
    pub(super) fn fates(&self, n: usize) -> Vec<Fate> {
        let mut fates = vec![Fate::Fresh; n];
        for index in self.repeats.iter().chain(&self.parked) {
            fates[*index] = Fate::Neither;
        }
        for (index, _) in &self.dead {
            fates[*index] = Fate::Dead;
        }
        fates
    }

    /// What was taken in, and what is dead and why: all that was worked on.
    pub(super) fn worked_on<'o, I>(
        &self,
        opened: &'o [Opened<'b, I>],
    ) -> impl Iterator<Item = (&'o Message, Option<String>)> {
        let flows = self.flows.iter().map(|index| (index, None));
        let dead = self.dead.iter().map(|(index, it)| (index, Some(it.reason.code().to_owned())));
        flows
            .chain(dead)
            .filter_map(|(index, error)| Some((opened[*index].message.as_ref()?, error)))
    }

    /// The letters that are to be kept.
    pub(super) fn letters(&self) -> Vec<DeadLetter<'b>> {
        self.dead.iter().map(|(_, letter)| letter.clone()).collect()
    }

    /// Those that are to wait, with their lanes.
    pub(super) fn waiting<I>(&self, opened: &[Opened<'b, I>]) -> Vec<(Lane, &'b Incoming)> {
        let waits = |index: &usize| Some((opened[*index].lane?, opened[*index].incoming));
        self.parked.iter().filter_map(waits).collect()
    }

    /// Where the open letter of a message's lane stands, seen from the message.
    fn blocker<I>(&self, it: &Opened<'_, I>) -> Blocker {
        let Some(letter) = it.lane.and_then(|lane| self.blocked.get(&lane)) else {
            return Blocker::None;
        };
        let Blocking { place, timestamp_ms } = letter;
        if place.partition != it.incoming.partition {
            // The topic was given more partitions: what comes by another one comes later.
            return Blocker::Ahead;
        }
        let later =
            timestamp_ms.zip(it.incoming.timestamp_ms).is_some_and(|(its, ours)| ours > its);
        match it.incoming.offset.cmp(&place.offset) {
            Ordering::Equal if place.is(it.incoming) => Blocker::Itself,
            Ordering::Less if !later => Blocker::Behind,
            // Also below it: the topic began anew, and what it holds now comes after what it held.
            Ordering::Less | Ordering::Equal | Ordering::Greater => Blocker::Ahead,
        }
    }
}

/// Those that cannot be read and are known all the same, by their places in the batch: they have a
/// letter, or they were taken in by software that could read them.
async fn known<I>(
    conn: &mut PgConnection,
    opened: &[Opened<'_, I>],
) -> Result<HashSet<usize>, sqlx::Error> {
    let unread = || opened.iter().enumerate().filter(|(_, it)| it.body.is_err());
    let places: Vec<Place> = unread().map(|(_, it)| Place::of(it.incoming)).collect();
    let letters: HashSet<Place> =
        dead_letter::lane::known(conn, &places).await?.into_iter().collect();
    let messages: Vec<&Message> = unread().filter_map(|(_, it)| it.message.as_ref()).collect();
    let ids = inbox::known(conn, &messages).await?;
    let is_known = |it: &Opened<'_, I>| {
        letters.contains(&Place::of(it.incoming))
            || it.message.as_ref().is_some_and(|it| ids.contains(&it.envelope.id))
    };
    Ok(unread().filter(|(_, it)| is_known(it)).map(|(index, _)| index).collect())
}

/// Where an open letter stands in the lane.
enum Blocker {
    /// There is none.
    None,
    /// It is this very message, read again.
    Itself,
    /// It comes after the message: whatever comes before a letter is not kept back by it.
    Behind,
    /// It comes before the message.
    Ahead,
}
