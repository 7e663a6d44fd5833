//! What became of each order, as this tool saw it: answers from the clients that place them, ends and mails
//! from the topics.
//!
//! **Invariant:** each moment is the first at which something was seen; a message that comes again changes
//! nothing. A message may come before the answer to its order's POST.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use tokio::{sync::oneshot, time::Instant};
use uuid::Uuid;

/// What a message on a topic says of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenEvent {
    Confirmed,
    /// For this reason, if it could be read.
    Cancelled(&'static str),
    Notified,
    /// A notification was given up.
    Unnotified,
}

/// The moments of one order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderMoments {
    /// From when its latency counts, and when its POST was answered. None: it is not one of ours.
    pub placed: Option<PlacedMoments>,
    pub confirmed: Option<Instant>,
    pub cancelled: Option<Instant>,
    pub reason: Option<&'static str>,
    /// When its first notification was handed over.
    pub notified: Option<Instant>,
    /// When its first notification was given up.
    pub unnotified: Option<Instant>,
}

/// When a POST began and was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedMoments {
    pub since: Instant,
    pub answered: Instant,
}

impl OrderMoments {
    /// When it was first confirmed or cancelled.
    pub fn ended(&self) -> Option<Instant> {
        earliest(self.confirmed, self.cancelled)
    }

    /// When its first notification was handed over or given up.
    pub fn told(&self) -> Option<Instant> {
        earliest(self.notified, self.unnotified)
    }

    /// How it stands in the end, and why.
    pub fn outcome(&self) -> String {
        match (self.cancelled, self.confirmed, self.reason) {
            (Some(_), _, Some(reason)) => format!("cancelled, {reason}"),
            (Some(_), _, None) => "cancelled".to_owned(),
            (None, Some(_), _) => "confirmed".to_owned(),
            (None, None, _) => "pending".to_owned(),
        }
    }

    fn note(&mut self, event: SeenEvent, at: Instant) {
        let moment = match event {
            SeenEvent::Confirmed => &mut self.confirmed,
            SeenEvent::Cancelled(reason) => {
                self.reason = Some(reason).filter(|reason| !reason.is_empty());
                &mut self.cancelled
            }
            SeenEvent::Notified => &mut self.notified,
            SeenEvent::Unnotified => &mut self.unnotified,
        };
        moment.get_or_insert(at);
    }
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// How far the orders of a run are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LoadProgress {
    pub accepted: u64,
    /// Orders that are confirmed or cancelled.
    pub ended: u64,
    /// A notification was handed over or given up.
    pub told: u64,
}

/// Knows the orders of a run. Clones know the same.
#[derive(Clone, Debug, Default)]
pub struct OrderTracker(Arc<Mutex<TrackedOrders>>);

#[derive(Debug, Default)]
struct TrackedOrders {
    orders: HashMap<Uuid, OrderMoments>,
    progress: LoadProgress,
    waiting: HashMap<Uuid, oneshot::Sender<()>>,
}

impl OrderTracker {
    fn known<T>(&self, look: impl FnOnce(&mut TrackedOrders) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An order was accepted: its POST began then and was answered now.
    pub fn accepted(&self, id: Uuid, since: Instant) {
        let placed = PlacedMoments { since, answered: Instant::now() };
        self.known(|known| {
            known.change(id, |order| order.placed = Some(order.placed.unwrap_or(placed)));
        });
    }

    /// A message about an order was read.
    pub fn seen(&self, id: Uuid, event: SeenEvent) {
        let now = Instant::now();
        self.known(|known| known.change(id, |order| order.note(event, now)));
    }

    /// Waits until an order is confirmed or cancelled.
    pub async fn end_of(&self, id: Uuid) {
        let ending = self.known(|known| {
            if known.orders.get(&id).is_some_and(|order| order.ended().is_some()) {
                return None;
            }
            let (send, ending) = oneshot::channel();
            known.waiting.insert(id, send);
            Some(ending)
        });
        if let Some(ending) = ending {
            // An error is the end of the run.
            ending.await.ok();
        }
    }

    /// How far the orders are.
    pub fn progress(&self) -> LoadProgress {
        self.known(|known| known.progress)
    }

    /// All orders of this run; they are forgotten here.
    pub fn take(&self) -> Vec<OrderMoments> {
        let known = self.known(std::mem::take);
        known.orders.into_values().filter(|order| order.placed.is_some()).collect()
    }
}

impl TrackedOrders {
    fn change(&mut self, id: Uuid, change: impl FnOnce(&mut OrderMoments)) {
        let order = self.orders.entry(id).or_default();
        let before = LoadProgress::of(order);
        change(order);
        let after = LoadProgress::of(order);
        self.progress.accepted += after.accepted - before.accepted;
        self.progress.ended += after.ended - before.ended;
        self.progress.told += after.told - before.told;
        if order.ended().is_some()
            && let Some(waiting) = self.waiting.remove(&id)
        {
            // A client that has gone needs no answer.
            waiting.send(()).ok();
        }
    }
}

impl LoadProgress {
    /// What one order adds.
    fn of(order: &OrderMoments) -> Self {
        let is_ours = order.placed.is_some();
        Self {
            accepted: is_ours.into(),
            ended: (is_ours && order.ended().is_some()).into(),
            told: (is_ours && order.told().is_some()).into(),
        }
    }

    /// Whether this number of orders were accepted, have ended, and were notified.
    pub fn is_all_of(self, orders: u64) -> bool {
        self == Self { accepted: orders, ended: orders, told: orders }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_order_counts_once_whatever_comes_first_and_however_often() {
        let tracker = OrderTracker::default();
        let [ours, early, others] = [1, 2, 3].map(Uuid::from_u128);
        tracker.accepted(ours, Instant::now());
        tracker.seen(early, SeenEvent::Confirmed);
        tracker.seen(others, SeenEvent::Notified);
        assert_eq!(tracker.progress(), LoadProgress { accepted: 1, ended: 0, told: 0 });
        tracker.accepted(early, Instant::now());
        for _ in 0..2 {
            tracker.seen(ours, SeenEvent::Confirmed);
            tracker.seen(ours, SeenEvent::Cancelled("requested"));
        }
        // Known already: there is nothing to wait for.
        tracker.end_of(ours).await;
        tracker.seen(ours, SeenEvent::Unnotified);
        tracker.seen(early, SeenEvent::Notified);
        assert!(tracker.progress().is_all_of(2), "{:?}", tracker.progress());
        let mut outcomes: Vec<_> = tracker.take().iter().map(OrderMoments::outcome).collect();
        outcomes.sort();
        assert_eq!(outcomes, ["cancelled, requested", "confirmed"]);
        assert_eq!(tracker.progress(), LoadProgress::default());
    }

    #[tokio::test]
    async fn a_client_that_waits_is_told_of_the_end() {
        let tracker = OrderTracker::default();
        let id = Uuid::from_u128(1);
        tracker.accepted(id, Instant::now());
        let waiting = tracker.end_of(id);
        let ending = async {
            // Polled after the wait has begun.
            tracker.seen(id, SeenEvent::Cancelled(""));
        };
        tokio::join!(waiting, ending);
    }

    #[test]
    fn only_the_first_moment_counts() {
        let mut order = OrderMoments::default();
        let (first, second) = (Instant::now(), Instant::now() + std::time::Duration::from_secs(1));
        order.note(SeenEvent::Cancelled("requested"), first);
        order.note(SeenEvent::Cancelled("requested"), second);
        order.note(SeenEvent::Confirmed, second);
        assert_eq!(order.ended(), Some(first));
    }
}
