//! What the leading relay knows of the log. Nobody else writes it while this one leads.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use sqlx::PgConnection;

use crate::published::{self, Offsets, Partition};

/// The log is looked at this often while all is well.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// And this often while it does not say of every partition where it ends.
const LOOK_SOON: Duration = Duration::from_secs(1);
/// What is published again and not confirmed is tried again after this long.
const AGAIN_LATER: Duration = Duration::from_secs(5);

/// What is recorded of the log, and when it is compared with it.
#[derive(Debug)]
pub(super) struct Known {
    /// The highest confirmed offset of each partition.
    up_to: BTreeMap<Partition, i64>,
    /// Since when something can be published again: it has to wait after a failure.
    again: Option<Instant>,
    /// None: now.
    next_look: Option<Instant>,
}

impl Known {
    pub(super) async fn read(conn: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let up_to = published::up_to(conn).await?;
        let again = published::is_to_say_again(conn).await?.then(Instant::now);
        Ok(Self { up_to, again, next_look: None })
    }

    /// The log may have changed: it is looked at before anything else is published.
    pub(super) fn doubt(&mut self) {
        self.next_look = None;
    }

    /// The partitions that are to be compared with the log now: all of them, or none if that was done
    /// a moment ago.
    pub(super) fn take_due(&mut self) -> Vec<Partition> {
        let now = Instant::now();
        if self.next_look.is_some_and(|it| it > now) {
            return vec![];
        }
        self.next_look = Some(now + LOOK_AGAIN);
        self.up_to.keys().cloned().collect()
    }

    /// The log did not say everything.
    pub(super) fn look_soon(&mut self) {
        self.next_look = Some(Instant::now() + LOOK_SOON);
    }

    /// The highest confirmed offset of each partition.
    pub(super) fn up_to(&self) -> &BTreeMap<Partition, i64> {
        &self.up_to
    }

    /// These topics lost messages, which are to be published again.
    pub(super) fn lost(&mut self, topics: &BTreeSet<&str>) {
        self.up_to.retain(|(topic, _), _| !topics.contains(topic.as_str()));
        self.again = Some(Instant::now());
    }

    /// All that was kept of them is published again.
    pub(super) fn said_again(&mut self) {
        self.again = None;
    }

    /// Whether lost messages are being published again.
    pub(super) fn is_saying_again(&self) -> bool {
        self.again.is_some()
    }

    /// Whether the next of them are to be published now.
    pub(super) fn may_say_again(&self) -> bool {
        self.again.is_some_and(|it| it <= Instant::now())
    }

    /// They were not confirmed: others are not kept back by that.
    pub(super) fn say_again_later(&mut self) {
        self.again = Some(Instant::now() + AGAIN_LATER);
        self.doubt();
    }

    /// Takes note of what is recorded.
    pub(super) fn reached(&mut self, offsets: Offsets) {
        let last = offsets.0.into_iter().map(|(partition, it)| (partition, it.last));
        self.up_to.extend(last);
    }
}
