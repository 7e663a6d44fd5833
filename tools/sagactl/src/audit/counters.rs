//! Counters of the services since their start, read from their admin ports.
//!
//! A killed service has lost its earlier counts; topics are checked from their beginning in any
//! case. If a service has several instances, the counters of the one that answers are read.

use std::collections::BTreeMap;

use reqwest::Url;

/// Messages that were read again, which is harmless.
pub const REPEATS: &str = shared::sequence::REPEATS;

/// Counters of what must not happen, of all services.
pub const MUST_BE_ZERO: [&str; 5] = [
    shared::sequence::FALLS,
    "log_losses_total",
    "consumer_offset_resets_total",
    "payment_contradictions_total",
    "payment_keys_reused_total",
];

pub type CounterSums = BTreeMap<String, u64>;

/// Adds the counters of one service, those of one name together.
pub async fn read(
    http: &reqwest::Client,
    admin: &Url,
    sums: &mut CounterSums,
) -> anyhow::Result<()> {
    let url = admin.join("metrics")?;
    let page = http.get(url).send().await?.error_for_status()?.text().await?;
    for (name, n) in numbers(&page) {
        *sums.entry(name.to_owned()).or_insert(0) += n;
    }
    Ok(())
}

/// The whole numbers on a page of metrics, without their labels.
fn numbers(page: &str) -> impl Iterator<Item = (&str, u64)> {
    page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (series, n) = line.rsplit_once(' ')?;
        let name = series.split('{').next()?;
        Some((name, n.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_whatever_their_labels() {
        let page = "# TYPE a counter\na{topic=\"x y\"} 3\na 4\nb{le=\"0.5\"} 0.25\n\n";
        assert_eq!(numbers(page).collect::<Vec<_>>(), [("a", 3), ("a", 4)]);
    }
}
