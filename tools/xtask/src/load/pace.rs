//! When requests begin: in a closed loop when a client is free, in an open loop when they are due.
//!
//! **Invariant:** in an open loop a latency counts from when its request was due, whether or not it could
//! be sent then. A service that stands still so delays every request of that time, not only the few
//! that were on their way (no coordinated omission).

use std::{sync::Arc, thread, time::Duration};

use tokio::{
    sync::{Mutex, mpsc},
    time::Instant,
};

use super::LoadOptions;

/// Requests that are due and wait for a client, at most as many as a run can have.
const DUE_MAX: usize = 16_384;

/// A request that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueRequest {
    /// The number of its order.
    pub n: u64,
    /// From when its latency counts.
    pub since: Instant,
}

/// Hands requests out to clients. Clones hand out from the same row.
#[derive(Clone, Debug)]
pub struct RequestPace(Arc<Mutex<PaceState>>);

#[derive(Debug)]
enum PaceState {
    /// The next one is for the client that asks.
    Closed { next: u64, end: u64 },
    /// A thread says when one is due.
    Open(mpsc::Receiver<DueRequest>),
}

impl RequestPace {
    /// The requests `from..end`, which begin now.
    pub fn start(options: &LoadOptions, from: u64, end: u64) -> Self {
        let state = match options.rate {
            None => PaceState::Closed { next: from, end },
            Some(rate) => PaceState::Open(start_clock(rate, from, end)),
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// The next request, once it may be sent; none after the last.
    pub async fn next(&self) -> Option<DueRequest> {
        match &mut *self.0.lock().await {
            PaceState::Closed { next, end } if *next < *end => {
                *next += 1;
                Some(DueRequest { n: *next - 1, since: Instant::now() })
            }
            PaceState::Closed { .. } => None,
            PaceState::Open(due) => due.recv().await,
        }
    }
}

/// How long after the first one the n-th request is due.
pub fn due_after(n: u64, rate: f64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "a load has far fewer than 2^52 requests")]
    let n = n as f64;
    Duration::from_secs_f64(n / rate)
}

/// A thread that sleeps until each request is due: the runtime's timer is a millisecond coarse.
fn start_clock(rate: f64, from: u64, end: u64) -> mpsc::Receiver<DueRequest> {
    let (send, due) = mpsc::channel(DUE_MAX);
    let began = Instant::now();
    thread::spawn(move || {
        for n in from..end {
            let since = began + due_after(n - from, rate);
            thread::sleep(since.saturating_duration_since(Instant::now()));
            // Nobody places any more: the run has failed.
            if send.blocking_send(DueRequest { n, since }).is_err() {
                return;
            }
        }
    });
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Latencies at a service that answers one request at a time, the n-th after `work(n)`.
    fn latencies(rate: f64, requests: u64, work: impl Fn(u64) -> Duration) -> Vec<Duration> {
        let mut free = Duration::ZERO;
        let latency = |n| {
            let due = due_after(n, rate);
            free = free.max(due) + work(n);
            free.saturating_sub(due)
        };
        (0..requests).map(latency).collect()
    }

    #[test]
    fn a_service_that_stands_still_delays_each_request_that_was_due_meanwhile() {
        let ms = Duration::from_millis;
        let work = |n| if n == 0 { ms(100) } else { ms(1) };
        let seen = latencies(100.0, 20, work);
        assert_eq!(seen[0], ms(100));
        // Due after 50 ms, sent after 104 ms: it took 1 ms to answer, and its caller waited 55.
        assert_eq!(seen[5], ms(55));
        assert_eq!(seen[15], ms(1));
        assert_eq!(seen.iter().filter(|latency| **latency > ms(10)).count(), 10);
    }

    #[tokio::test]
    async fn an_open_loop_counts_from_the_time_at_which_a_request_was_due() {
        let options = LoadOptions { rate: Some(1_000.0), ..LoadOptions::default() };
        let pace = RequestPace::start(&options, 5, 9);
        let mut due = vec![];
        while let Some(request) = pace.next().await {
            assert!(request.since <= Instant::now(), "it is not handed out before");
            due.push(request);
        }
        assert_eq!(due.iter().map(|request| request.n).collect::<Vec<_>>(), [5, 6, 7, 8]);
        let distances = due.windows(2).map(|pair| pair[1].since - pair[0].since);
        // However late each was handed out.
        assert!(distances.into_iter().all(|distance| distance == Duration::from_millis(1)));
    }

    #[tokio::test]
    async fn a_closed_loop_hands_each_request_out_once() {
        let pace = RequestPace::start(&LoadOptions::default(), 0, 2);
        let other = pace.clone();
        assert_eq!(pace.next().await.unwrap().n, 0);
        assert_eq!(other.next().await.unwrap().n, 1);
        assert_eq!(pace.next().await, None);
    }
}
