//! Jobs that are born claimed: the transaction that stores a job hands it to a worker of this
//! process.
//!
//! ```text
//! reserve slots ──> insert as performing, attempt 1, leased ──> commit ──> hand over ──> attempt
//!       └── rolled back, existed already, or nobody knows: the slots are free again
//! ```
//!
//! The row is as after a claim, so all that holds of a claimed job holds of it: the attempt is
//! counted and committed before it is made, and a process that dies in between leaves an attempt
//! with an unknown outcome, which is found when the lease ends. If it is unknown whether the
//! transaction was committed, nothing is handed over, and the lease tells as well.
//!
//! **Architecture invariant:** a worker's slots are reserved before the insert. Jobs that are
//! reserved, handed over or performed are never more than the slots; with the outcomes that are not
//! settled yet, never more than [`UNSETTLED_FACTOR`] times the slots.
//!
//! **Architecture invariant:** what waits in the table comes first. When a worker wants to look for
//! due jobs and has no slot, or a look filled all the slots that it had, no job is born claimed
//! until a look has found fewer jobs than it had slots. A look while nothing is known to wait takes
//! half of the free slots only, so that new jobs need not wait for its end.
//!
//! A handler that has less [room](super::JobHandler::room) than the worker has slots is asked by
//! each claim: nothing is born claimed meanwhile.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use time::OffsetDateTime;
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use crate::message::TraceContext;

/// Jobs that a worker may hold for each of its slots, with those whose outcome is being settled.
const UNSETTLED_FACTOR: usize = 4;

/// A job whose row was inserted as performing, attempt 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BornJob {
    pub(crate) key: String,
    pub(crate) payload: Value,
    pub(crate) trace: Option<TraceContext>,
    /// Tells apart two lives of one name: with the attempt, the fence.
    pub(crate) created_at: OffsetDateTime,
    /// A moment before its lease began.
    pub(crate) reserved_at: Instant,
}

/// The workers of this process, by the kind of their jobs; one of each. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct WorkerRegistry(Arc<Mutex<HashMap<&'static str, Arc<WorkerSlots>>>>);

impl WorkerRegistry {
    /// Lets the worker of this kind look for due jobs. To be called after a commit.
    pub fn wake(&self, kind: &str) {
        if let Some(slots) = self.of(kind) {
            slots.woken.notify_one();
        }
    }

    /// From now on, jobs of this kind are handed to this worker, in place of an earlier one.
    pub(super) fn register(&self, kind: &'static str, slots: &Arc<WorkerSlots>) {
        self.all().insert(kind, Arc::clone(slots));
    }

    /// Slots for jobs of this kind, up to `n`; none if they are to go through the table.
    pub(super) fn reserve(&self, kind: &str, n: usize) -> Option<SlotReservation> {
        SlotReservation::of(&self.of(kind)?, n)
    }

    fn of(&self, kind: &str) -> Option<Arc<WorkerSlots>> {
        self.all().get(kind).cloned()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<&'static str, Arc<WorkerSlots>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a worker takes, and how much of it fits.
pub(super) struct WorkerSlots {
    slots_max: usize,
    /// How many jobs the handler would let begin.
    room: Box<dyn Fn() -> usize + Send + Sync>,
    state: Mutex<SlotState>,
    woken: Notify,
}

#[derive(Debug)]
struct SlotState {
    /// None: the worker takes no more.
    sender: Option<mpsc::UnboundedSender<BornJob>>,
    lease: Duration,
    /// Slots of jobs that are being stored, or were handed over and not received.
    reserved: usize,
    /// Slots of jobs that are being claimed or performed.
    held: usize,
    /// Outcomes that are not settled: they take no slot, but are not to pile up.
    unsettled: usize,
    table_first: bool,
}

impl fmt::Debug for WorkerSlots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerSlots").field("state", &self.state).finish_non_exhaustive()
    }
}

impl SlotState {
    fn free(&self, slots_max: usize) -> usize {
        let taken = self.reserved + self.held;
        let all = slots_max.saturating_mul(UNSETTLED_FACTOR);
        slots_max.saturating_sub(taken).min(all.saturating_sub(taken + self.unsettled))
    }
}

/// The slots of one look for due jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LookSlots {
    pub(super) n: usize,
    /// Others were left for jobs that are born meanwhile.
    pub(super) is_part: bool,
}

impl WorkerSlots {
    /// Slots of a worker that takes nothing before its first look has shown how much waits in the
    /// table.
    pub(super) fn new(
        slots_max: usize,
        room: impl Fn() -> usize + Send + Sync + 'static,
    ) -> (Arc<Self>, HandedJobs) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let state = SlotState {
            sender: Some(sender),
            lease: Duration::ZERO,
            reserved: 0,
            held: 0,
            unsettled: 0,
            table_first: true,
        };
        let (state, woken) = (Mutex::new(state), Notify::new());
        let slots = Arc::new(Self { slots_max, room: Box::new(room), state, woken });
        (Arc::clone(&slots), HandedJobs { slots, receiver })
    }

    /// The lease that a job is born with.
    pub(super) fn lend_for(&self, lease: Duration) {
        self.state().lease = lease;
    }

    /// Waits until the table is to be looked at. A wake-up that came before counts.
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Takes slots for a look; none if none is free, or the handler has no room.
    pub(super) fn begin_look(&self) -> LookSlots {
        let room = (self.room)();
        let mut state = self.state();
        let free = state.free(self.slots_max);
        let wanted = if state.table_first { free } else { free.div_ceil(2) };
        let n = wanted.min(room);
        state.table_first |= n == 0;
        state.held += n;
        LookSlots { n, is_part: wanted < free && room >= self.slots_max }
    }

    /// Ends a look that filled its slots or not.
    pub(super) fn end_look(&self, is_full: bool) {
        self.state().table_first = is_full;
    }

    /// What the worker holds: attempts, and outcomes that are not settled.
    pub(super) fn hold(&self, attempts: usize, unsettled: usize) {
        let mut state = self.state();
        (state.held, state.unsettled) = (attempts, unsettled);
    }

    /// Takes no more. The receiver ends as soon as all reservations are handed over or dropped.
    pub(super) fn close(&self) {
        self.state().sender = None;
    }

    fn state(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The jobs that were handed to a worker and not received yet.
#[derive(Debug)]
pub(super) struct HandedJobs {
    slots: Arc<WorkerSlots>,
    receiver: mpsc::UnboundedReceiver<BornJob>,
}

impl HandedJobs {
    /// Waits for a job; the worker holds its slot from now on. None once the slots are closed and
    /// no more can come.
    pub(super) async fn next(&mut self) -> Option<BornJob> {
        let job = self.receiver.recv().await?;
        self.note();
        Some(job)
    }

    /// A job that is here now.
    pub(super) fn here(&mut self) -> Option<BornJob> {
        let job = self.receiver.try_recv().ok()?;
        self.note();
        Some(job)
    }

    fn note(&self) {
        let mut state = self.slots.state();
        state.reserved = state.reserved.saturating_sub(1);
        state.held += 1;
    }
}

/// Slots of a worker for jobs that are being stored. Dropping it frees those that are not used.
#[derive(Debug)]
pub(super) struct SlotReservation {
    slots: Arc<WorkerSlots>,
    sender: mpsc::UnboundedSender<BornJob>,
    left: usize,
    lease: Duration,
    reserved_at: Instant,
}

impl SlotReservation {
    fn of(slots: &Arc<WorkerSlots>, n: usize) -> Option<Self> {
        if (slots.room)() < slots.slots_max {
            return None;
        }
        let mut state = slots.state();
        let left = if state.table_first { 0 } else { state.free(slots.slots_max).min(n) };
        if left == 0 {
            return None;
        }
        let (sender, lease) = (state.sender.clone()?, state.lease);
        state.reserved += left;
        drop(state);
        let (slots, reserved_at) = (Arc::clone(slots), Instant::now());
        Some(Self { slots, sender, left, lease, reserved_at })
    }

    /// The number of its slots.
    pub(super) fn len(&self) -> usize {
        self.left
    }

    /// How long the lease of its jobs is.
    pub(super) fn lease(&self) -> Duration {
        self.lease
    }

    /// A moment before the leases begin.
    pub(super) fn reserved_at(&self) -> Instant {
        self.reserved_at
    }

    /// Hands jobs to the worker. A worker that is gone leaves them to their leases.
    pub(super) fn hand_over(mut self, jobs: Vec<BornJob>) {
        for job in jobs {
            if self.sender.send(job).is_ok() {
                self.left = self.left.saturating_sub(1);
            }
        }
    }
}

impl Drop for SlotReservation {
    fn drop(&mut self) {
        if self.left == 0 {
            return;
        }
        let mut state = self.slots.state();
        state.reserved = state.reserved.saturating_sub(self.left);
        // A look may have waited for these slots.
        let is_waited_for = state.table_first;
        drop(state);
        if is_waited_for {
            self.slots.woken.notify_one();
        }
    }
}
