//! What the services themselves counted, read from their admin ports.
//!
//! A service that was killed has lost what it counted before; what stands on the topics is checked
//! from their beginning in any case.

use std::collections::BTreeMap;

use anyhow::Context as _;

use crate::{
    client,
    fleet::{Fleet, Member},
};

const REPEATS: &str = "sequence_repeats_total";

/// Messages that were read again, and two counters that must stay 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Messages that were taken in before.
    pub repeats: u64,
    /// Messages read behind a later one of their subject.
    pub falls: u64,
    /// Messages that never came.
    pub losses: u64,
}

/// What all services together have counted since they were started.
pub async fn read(fleet: &Fleet) -> anyhow::Result<Counted> {
    let sums = sums(fleet, &Member::SERVICES).await?;
    // A counter that is not shown proves nothing.
    let sum = |name: &str| sums.get(name).copied().with_context(|| format!("no {name}"));
    Ok(Counted {
        repeats: sum(REPEATS)?,
        falls: sum("sequence_falls_total")?,
        losses: sum("sequence_losses_total")?,
    })
}

/// Messages that a service has read again since it was started.
pub async fn repeats(fleet: &Fleet, member: Member) -> anyhow::Result<u64> {
    let sums = sums(fleet, &[member]).await?;
    sums.get(REPEATS).copied().with_context(|| format!("{member} shows no {REPEATS}"))
}

/// The counters of these services by name, those of one name together.
async fn sums(fleet: &Fleet, members: &[Member]) -> anyhow::Result<BTreeMap<String, u64>> {
    let http = client::http()?;
    let mut sums = BTreeMap::new();
    for member in members {
        let url = format!("{}/metrics", fleet.admin(*member));
        let page = http.get(url).send().await?.error_for_status()?.text().await?;
        for (name, n) in numbers(&page) {
            *sums.entry(name.to_owned()).or_insert(0) += n;
        }
    }
    Ok(sums)
}

/// The whole numbers on a page of metrics, without their labels.
fn numbers(page: &str) -> impl Iterator<Item = (&str, u64)> {
    page.lines().filter(|it| !it.starts_with('#')).filter_map(|line| {
        let (series, n) = line.rsplit_once(' ')?;
        let name = series.split('{').next()?;
        Some((name, n.parse().ok()?))
    })
}

/// Counters that must stay 0 and are not.
pub fn faults(counted: Counted) -> Vec<String> {
    let must_be_0 = [("fell behind a later one", counted.falls), ("never came", counted.losses)];
    let wrong = must_be_0.into_iter().filter(|(_, n)| *n > 0);
    wrong.map(|(what, n)| format!("{n} messages {what}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_whatever_their_labels() {
        let page = "# TYPE a counter\na{topic=\"x y\"} 3\na 4\nb{le=\"0.5\"} 0.25\n\n";
        assert_eq!(numbers(page).collect::<Vec<_>>(), [("a", 3), ("a", 4)]);
    }

    #[test]
    fn repeats_are_no_fault_and_the_others_are() {
        let counted = Counted { repeats: 7, ..Counted::default() };
        assert_eq!(faults(counted), [""; 0]);
        assert_eq!(
            faults(Counted { falls: 1, losses: 2, ..counted }),
            ["1 messages fell behind a later one", "2 messages never came"]
        );
    }
}
