//! Times of the orders of a run, in microseconds since it began, and their latencies as histograms.

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;

use super::tracker::OrderMoments;

/// The longest time that a histogram can hold, in microseconds.
const LONGEST_US: u64 = 3_600_000_000;

/// Digits to which a histogram is exact.
const DIGITS: u8 = 3;

/// Times of one order, in microseconds since the run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderTimes {
    /// From when its latencies count.
    pub since: u64,
    pub answered: u64,
    pub confirmed: Option<u64>,
    pub cancelled: Option<u64>,
    pub notified: Option<u64>,
}

/// From the POST of an order to which moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LatencyKind {
    /// The answer to its POST.
    Accepted,
    Confirmed,
    Cancelled,
    /// Its mail was handed over.
    Notified,
}

impl LatencyKind {
    pub const ALL: [Self; 4] = [Self::Accepted, Self::Confirmed, Self::Cancelled, Self::Notified];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "POST to 202",
            Self::Confirmed => "POST to confirmed",
            Self::Cancelled => "POST to cancelled",
            Self::Notified => "POST to mail handed over",
        }
    }

    /// What it is called in names of files.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
            Self::Notified => "notified",
        }
    }
}

impl OrderTimes {
    /// The times of an order of ours in a run that began then.
    pub fn of(order: &OrderMoments, began: Instant) -> Option<Self> {
        let micros = |at: Instant| {
            u64::try_from(at.saturating_duration_since(began).as_micros()).unwrap_or(LONGEST_US)
        };
        let placed = order.placed?;
        Some(Self {
            since: micros(placed.since),
            answered: micros(placed.answered),
            confirmed: order.confirmed.map(micros),
            cancelled: order.cancelled.map(micros),
            notified: order.notified.map(micros),
        })
    }

    /// When it was first confirmed or cancelled.
    pub fn ended(&self) -> Option<u64> {
        self.confirmed.into_iter().chain(self.cancelled).min()
    }

    /// A latency, in microseconds, if the order got there.
    pub fn latency(&self, kind: LatencyKind) -> Option<u64> {
        let at = match kind {
            LatencyKind::Accepted => Some(self.answered),
            LatencyKind::Confirmed => self.confirmed,
            LatencyKind::Cancelled => self.cancelled,
            LatencyKind::Notified => self.notified,
        };
        at.map(|at| at.saturating_sub(self.since))
    }
}

/// An empty histogram of microseconds, exact to three digits.
pub fn empty_histogram() -> anyhow::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, LONGEST_US, DIGITS).context("no histogram")
}

/// All latencies of one kind.
pub fn latencies(orders: &[OrderTimes], kind: LatencyKind) -> anyhow::Result<Histogram<u64>> {
    let mut histogram = empty_histogram()?;
    for latency in orders.iter().filter_map(|order| order.latency(kind)) {
        histogram.saturating_record(latency);
    }
    Ok(histogram)
}

/// The latencies of one kind, by the second in which they ended.
pub fn by_second(orders: &[OrderTimes], kind: LatencyKind) -> anyhow::Result<Vec<Histogram<u64>>> {
    let mut seconds: Vec<Histogram<u64>> = vec![];
    for order in orders {
        let Some(latency) = order.latency(kind) else { continue };
        let second = usize::try_from((order.since + latency) / 1_000_000)?;
        while seconds.len() <= second {
            // It grows with what it holds: there may be one for each second of hours.
            seconds.push(Histogram::new(DIGITS).context("no histogram")?);
        }
        seconds[second].record(latency.min(LONGEST_US)).context("a latency has no place")?;
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(since: u64, confirmed: Option<u64>) -> OrderTimes {
        let answered = since + 1_000;
        OrderTimes { since, answered, confirmed, cancelled: None, notified: None }
    }

    #[test]
    fn a_latency_is_in_the_second_in_which_it_ended() {
        let orders =
            [order(500_000, Some(700_000)), order(900_000, Some(2_100_000)), order(0, None)];
        let seconds = by_second(&orders, LatencyKind::Confirmed).unwrap();
        assert_eq!(seconds.iter().map(Histogram::len).collect::<Vec<_>>(), [1, 0, 1]);
        let all = latencies(&orders, LatencyKind::Confirmed).unwrap();
        assert_eq!(all.len(), 2);
        // Exact to three digits.
        assert!((199_000..=200_000).contains(&all.min()), "{}", all.min());
        assert_eq!(latencies(&orders, LatencyKind::Accepted).unwrap().len(), 3);
        assert_eq!(latencies(&orders, LatencyKind::Notified).unwrap().len(), 0);
    }
}
