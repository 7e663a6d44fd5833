//! The second look: orders that looked wrong are read again, until they are right or nothing about them
//! changes any more.
//!
//! **Bound:** `reading::SUSPECTS_MAX` orders. More are counted, and make the invariant *not checked*, unless one
//! of the first is wrong for good. Orders are judged in the order of their ids, so the oldest come first.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use tokio::time::sleep;
use uuid::Uuid;

use super::{
    fact::OrderFact,
    invariant::{AuditInvariant, AuditSource},
    judge::{OrderVerdict, OrderView},
    reading::{AuditRun, SuspectOrders},
    stillness::StillCount,
};

/// Suspects that are read at once.
const READ_AT_ONCE: usize = 500;

/// The pause before each look.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The result of one look at an order.
struct SecondView {
    stage: Option<&'static str>,
    verdicts: Vec<(AuditInvariant, OrderVerdict)>,
}

impl SecondView {
    fn violations(&self) -> impl Iterator<Item = &str> {
        self.verdicts.iter().filter_map(|(_, verdict)| match verdict {
            OrderVerdict::Violated(what) => Some(what.as_str()),
            OrderVerdict::Kept | OrderVerdict::Open | OrderVerdict::LeftOut => None,
        })
    }
}

/// Reads suspects again and counts what is found of each.
pub(super) async fn second_look(
    run: &mut AuditRun<'_>,
    mut suspects: SuspectOrders,
) -> anyhow::Result<()> {
    let mut stillness = StillCount::new(run.options.still_max, LOOK_AGAIN);
    while !suspects.is_empty() {
        sleep(LOOK_AGAIN).await;
        read_on(run, &mut suspects).await?;
        let mut views = BTreeMap::new();
        let ids: Vec<Uuid> = suspects.keys().copied().collect();
        for some in ids.chunks(READ_AT_ONCE) {
            views.extend(look(run, &suspects, some).await);
        }
        let wrong: Vec<String> =
            views.values().flat_map(SecondView::violations).map(str::to_owned).collect();
        let is_last = stillness.lasts(&wrong);
        for (id, view) in views {
            if is_last || view.violations().next().is_none() {
                suspects.remove(&id);
                run.tally(view.stage, view.verdicts);
            }
        }
    }
    Ok(())
}

/// Messages that have been published about suspects since.
async fn read_on(run: &mut AuditRun<'_>, suspects: &mut SuspectOrders) -> anyhow::Result<()> {
    let Some(mut reader) = run.topics.take() else { return Ok(()) };
    let mut known = std::mem::take(suspects);
    let reading = tokio::task::spawn_blocking(move || {
        let read = reader.read(|fact| {
            if let Some(facts) = known.get_mut(&fact.order_id) {
                facts.push(fact);
            }
            Ok(())
        });
        (reader, known, read)
    });
    let (reader, known, read) = reading.await.context("the topics are not read on")?;
    *suspects = known;
    run.topics = Some(reader);
    if let Err(error) = read {
        run.findings.unreadable(AuditSource::Broker, &error);
    }
    Ok(())
}

/// Judges these suspects by their rows, charges and messages as they are now.
async fn look(
    run: &mut AuditRun<'_>,
    suspects: &SuspectOrders,
    ids: &[Uuid],
) -> Vec<(Uuid, SecondView)> {
    let rows = loop {
        match run.databases.facts_of(ids).await {
            Ok(rows) => break rows,
            // They are read again without the database that failed.
            Err((service, error)) => run.note(service, error),
        }
    };
    let mut facts: BTreeMap<Uuid, Vec<OrderFact>> =
        ids.iter().map(|id| (*id, suspects.get(id).cloned().unwrap_or_default())).collect();
    for fact in rows {
        facts.entry(fact.order_id).or_default().push(fact);
    }
    for id in ids {
        let Some(gateway) = &run.gateway else { break };
        let known = facts.entry(*id).or_default();
        let take = |fact| {
            known.push(fact);
            Ok(())
        };
        if let Err(error) = gateway.read(Some(*id), take).await {
            run.findings.unreadable(AuditSource::Gateway, &error);
            break;
        }
    }
    let view = |(id, facts)| {
        let view = OrderView::from_facts(id, facts);
        (id, SecondView { stage: view.stage(), verdicts: run.checkable(&view) })
    };
    facts.into_iter().map(view).collect()
}
