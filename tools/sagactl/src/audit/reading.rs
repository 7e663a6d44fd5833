//! The first look: reads every source once, and judges every order by the facts of the sources.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use indicatif::ProgressBar;
use shared::topics::EVENT_RETENTION;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    AuditOptions, AuditTargets, counters,
    counters::CounterSums,
    counts,
    databases::ServiceDatabases,
    fact::OrderFact,
    gateway::GatewayReader,
    groups,
    invariant::{AuditFindings, AuditInvariant, AuditSource},
    judge::{JudgeRules, OrderVerdict, OrderView},
    mails,
    spill::FactSpill,
    topics::TopicReader,
};
use crate::service_name::ServiceName;
use crate::{http_client::http_client, screen::ProgressBoard};

/// The clocks of this machine and of the services may differ by this much.
const CLOCKS_DIFFER: Duration = Duration::from_mins(1);

/// Messages are held against the topics up to this long before the broker may delete them.
const RETENTION_MARGIN: Duration = Duration::from_hours(1);

/// Orders that are read again, at most.
pub(super) const SUSPECTS_MAX: usize = 10_000;

/// Orders that looked wrong, with what is known of their messages and mails.
pub(super) type SuspectOrders = BTreeMap<Uuid, Vec<OrderFact>>;

/// An audit on its way.
pub(super) struct AuditRun<'a> {
    targets: &'a AuditTargets,
    pub(super) options: &'a AuditOptions,
    http: reqwest::Client,
    pub(super) findings: AuditFindings,
    pub(super) databases: ServiceDatabases,
    pub(super) topics: Option<TopicReader>,
    pub(super) gateway: Option<GatewayReader>,
    pub(super) rules: JudgeRules,
    pub(super) orders: BTreeMap<&'static str, i64>,
    pub(super) counted: CounterSums,
    spill: Option<FactSpill>,
}

fn millis(moment: OffsetDateTime) -> i64 {
    i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

impl<'a> AuditRun<'a> {
    pub(super) fn new(
        targets: &'a AuditTargets,
        options: &'a AuditOptions,
        now: OffsetDateTime,
    ) -> anyhow::Result<Self> {
        let rules = JudgeRules {
            at_rest: options.at_rest,
            overdue_ms: millis(now - options.wait_max),
            retained_ms: millis(now - EVENT_RETENTION + RETENTION_MARGIN),
            all_read: false,
            mails_ms: (i64::MIN, i64::MAX),
            read_ms: millis(now - CLOCKS_DIFFER),
        };
        Ok(Self {
            targets,
            options,
            http: http_client()?,
            findings: AuditFindings::default(),
            databases: ServiceDatabases::default(),
            topics: None,
            gateway: None,
            rules,
            orders: BTreeMap::new(),
            counted: CounterSums::new(),
            spill: Some(FactSpill::new().context("no temporary file")?),
        })
    }

    /// A database that failed is not asked again; what needs it is not checked.
    pub(super) fn note(&mut self, service: ServiceName, error: sqlx::Error) {
        self.findings.unreadable(AuditSource::Database(service), &error.into());
    }

    pub(super) async fn read_databases(&mut self, board: &ProgressBoard) -> anyhow::Result<()> {
        for service in ServiceName::ALL {
            let source = AuditSource::Database(service);
            let Some(url) = self.targets.databases.get(&service) else {
                self.findings.not_given(source);
                continue;
            };
            if let Err(error) = self.databases.open(service, url).await {
                self.findings.unreadable(source, &error);
            }
        }
        self.read_orders(board).await?;
        for service in ServiceName::ALL {
            let Some(conn) = self.databases.get(service) else { continue };
            let counted = counts::read(conn, service, self.options, &mut self.findings).await;
            if let Err(error) = counted {
                self.note(service, error);
            }
        }
        counts::expected_dead_letters(self.options, &mut self.findings);
        Ok(())
    }

    async fn read_orders(&mut self, board: &ProgressBoard) -> anyhow::Result<()> {
        let bar = board.count("orders", 0);
        let mut after = Uuid::nil();
        loop {
            match self.databases.page(after).await {
                Ok((ids, facts)) => {
                    for fact in facts {
                        push(self.spill.as_mut(), fact)?;
                    }
                    bar.inc_length(ids.len() as u64);
                    bar.inc(ids.len() as u64);
                    let Some(last) = ids.last() else { break };
                    after = *last;
                }
                // The page is read again without the database that failed.
                Err((service, error)) => self.note(service, error),
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    pub(super) async fn read_topics(&mut self, board: &ProgressBoard) -> anyhow::Result<()> {
        let Some(broker) = self.targets.broker.clone() else {
            self.findings.not_given(AuditSource::Broker);
            return Ok(());
        };
        let (still_max, bar) = (self.options.still_max, board.count("messages", 0));
        let mut spill = self.spill.take().context("facts are read no more")?;
        let reading = tokio::task::spawn_blocking(move || {
            let reading = TopicReader::new(&broker, still_max).and_then(|mut reader| {
                let read = reader.read(|fact| push_counted(Some(&mut spill), fact, &bar));
                read.map(|()| reader)
            });
            bar.finish_and_clear();
            (spill, reading)
        });
        let (spill, reading) = reading.await?;
        self.spill = Some(spill);
        match reading {
            Ok(reader) => self.topics = Some(reader),
            Err(error) => self.findings.unreadable(AuditSource::Broker, &error),
        }
        Ok(())
    }

    pub(super) async fn read_groups(&mut self) -> anyhow::Result<()> {
        let Some(broker) = self.targets.broker.clone().filter(|_| self.topics.is_some()) else {
            return Ok(());
        };
        let still_max = self.options.still_max;
        let asking = tokio::task::spawn_blocking(move || groups::unread(&broker, still_max));
        match asking.await? {
            Ok(unread) => {
                let is_orders = |(service, _): &(_, _)| *service == ServiceName::Orders;
                self.rules.all_read = !unread.iter().any(is_orders);
                let tally = self.findings.of(AuditInvariant::TopicsRead);
                tally.checked += ServiceName::ALL.len() as u64;
                for (service, what) in unread {
                    tally.violation(format!("{service}: {what}"));
                }
            }
            Err(error) => self.findings.unreadable(AuditSource::Broker, &error),
        }
        Ok(())
    }

    pub(super) async fn read_gateway(&mut self, board: &ProgressBoard) {
        let Some(base) = self.targets.gateway.clone() else {
            return self.findings.not_given(AuditSource::Gateway);
        };
        let bar = board.count("charges", 0);
        let reader = GatewayReader::new(self.http.clone(), base);
        match reader.read(None, |fact| push_counted(self.spill.as_mut(), fact, &bar)).await {
            Ok(()) => self.gateway = Some(reader),
            Err(error) => self.findings.unreadable(AuditSource::Gateway, &error),
        }
        bar.finish_and_clear();
    }

    pub(super) async fn read_mails(&mut self, board: &ProgressBoard, now: OffsetDateTime) {
        let Some(base) = &self.targets.mails else {
            return self.findings.not_given(AuditSource::Mails);
        };
        let bar = board.count("mails", 0);
        let take = |fact| push_counted(self.spill.as_mut(), fact, &bar);
        match mails::read(&self.http, base, take).await {
            Ok(since) => {
                let since = since.map_or(i64::MIN, |since| millis(since) + 1_000);
                self.rules.mails_ms = (since, millis(now));
            }
            Err(error) => self.findings.unreadable(AuditSource::Mails, &error),
        }
        bar.finish_and_clear();
    }

    pub(super) async fn read_counters(&mut self) {
        for service in ServiceName::ALL {
            let source = AuditSource::Admin(service);
            let Some(admin) = self.targets.admin.get(&service) else {
                self.findings.not_given(source);
                continue;
            };
            if let Err(error) = counters::read(&self.http, admin, &mut self.counted).await {
                self.findings.unreadable(source, &error);
            }
        }
        for name in &self.options.zero {
            let Some(n) = self.counted.get(*name) else {
                // A counter that is not shown proves nothing.
                let error = anyhow::anyhow!("no service shows {name}");
                self.findings.unreadable(AuditSource::Admin(ServiceName::Orders), &error);
                continue;
            };
            let tally = self.findings.of(AuditInvariant::CountersZero);
            tally.checked += 1;
            if *n > 0 {
                tally.violation(format!("{name} is {n}"));
            }
        }
    }

    /// Judges every order by all facts; answers those that look wrong.
    pub(super) fn judge(&mut self, board: &ProgressBoard) -> anyhow::Result<SuspectOrders> {
        let mut sorted = self.spill.take().context("facts are judged once")?.sorted()?;
        let (bar, mut suspects) = (board.count("judged", 0), SuspectOrders::default());
        let mut view: Option<OrderView> = None;
        loop {
            let fact = sorted.next()?;
            let is_next =
                |view: &mut OrderView| fact.is_none_or(|fact| fact.order_id != view.order_id);
            if let Some(done) = view.take_if(is_next) {
                bar.inc_length(1);
                bar.inc(1);
                self.first_verdicts(done, &mut suspects);
            }
            let Some(fact) = fact else { break };
            view.get_or_insert_with(|| OrderView::of(fact.order_id)).add(&fact);
        }
        bar.finish_and_clear();
        Ok(suspects)
    }

    fn first_verdicts(&mut self, view: OrderView, suspects: &mut SuspectOrders) {
        if let Some(topics) = &mut self.topics {
            topics.count_repeats(view.repeats);
        }
        let verdicts = self.checkable(&view);
        if !verdicts.iter().any(|(_, verdict)| matches!(verdict, OrderVerdict::Violated(_))) {
            return self.tally(view.stage(), verdicts);
        }
        if suspects.len() < SUSPECTS_MAX {
            suspects.insert(view.order_id, view.into_kept());
            return;
        }
        for (invariant, verdict) in verdicts {
            match verdict {
                OrderVerdict::Violated(_) => self.findings.of(invariant).unconfirmed += 1,
                OrderVerdict::Kept | OrderVerdict::Open | OrderVerdict::LeftOut => {
                    self.tally(None, vec![(invariant, verdict)]);
                }
            }
        }
        *self.orders.entry(view.stage().unwrap_or("unknown")).or_default() += 1;
    }

    /// The verdicts whose sources could all be read.
    pub(super) fn checkable(&self, view: &OrderView) -> Vec<(AuditInvariant, OrderVerdict)> {
        let mut verdicts = view.verdicts(&self.rules);
        verdicts.retain(|(invariant, _)| self.findings.can_check(*invariant));
        verdicts
    }

    /// Counts the verdicts on one order, or on a key that is none.
    pub(super) fn tally(
        &mut self,
        stage: Option<&'static str>,
        verdicts: Vec<(AuditInvariant, OrderVerdict)>,
    ) {
        if let Some(stage) = stage {
            *self.orders.entry(stage).or_default() += 1;
        }
        for (invariant, verdict) in verdicts {
            let tally = self.findings.of(invariant);
            tally.checked += 1;
            match verdict {
                OrderVerdict::Kept => (),
                OrderVerdict::Open => tally.open += 1,
                OrderVerdict::LeftOut => tally.left_out += 1,
                OrderVerdict::Violated(what) => tally.violation(what),
            }
        }
    }
}

fn push_counted(
    spill: Option<&mut FactSpill>,
    fact: OrderFact,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    bar.inc_length(1);
    bar.inc(1);
    push(spill, fact)
}

fn push(spill: Option<&mut FactSpill>, fact: OrderFact) -> anyhow::Result<()> {
    let spill = spill.context("facts are read no more")?;
    spill.push(fact).context("the temporary file cannot be written")
}
