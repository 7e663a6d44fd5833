//! The addresses of a cluster, as targets of the audit.

use anyhow::Context as _;
use sagactl::{
    audit::{AuditOptions, AuditReport, AuditTargets, ServiceName, audit, counters},
    screen::ProgressBoard,
};

use super::{ProcessName, ServiceCluster};

/// Expectations of an audit, once everything has ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditExpectation {
    /// Dead letters that were provoked, over all services.
    pub dead_letters: i64,
}

/// Limit without progress of a group or of the next message: as long as a machine may stall.
const STILL_MAX: std::time::Duration = std::time::Duration::from_mins(2);

impl ProcessName {
    /// The member that runs a service.
    pub fn of(service: ServiceName) -> Self {
        match service {
            ServiceName::Orders => Self::Orders,
            ServiceName::Inventory => Self::Inventory,
            ServiceName::Payments => Self::Payments,
            ServiceName::Notify => Self::Notify,
        }
    }
}

impl ServiceCluster {
    /// The addresses of this cluster.
    pub fn audit_targets(&self) -> anyhow::Result<AuditTargets> {
        let mut targets = AuditTargets {
            broker: Some(self.broker()),
            gateway: Some(self.url(ProcessName::Gateway).parse()?),
            mails: Some(self.urls.mail_api.parse()?),
            ..AuditTargets::default()
        };
        for service in ServiceName::ALL {
            let member = ProcessName::of(service);
            let url = self.database(member).with_context(|| format!("{member} has no database"))?;
            targets.databases.insert(service, url.into());
            targets.admin.insert(service, self.admin(member).parse()?);
        }
        Ok(targets)
    }

    /// Checks every invariant, once all orders have ended and nothing is on its way.
    pub async fn audit(&self, expected: AuditExpectation) -> anyhow::Result<AuditReport> {
        let options = AuditOptions {
            at_rest: true,
            dead_letters: Some(expected.dead_letters.try_into()?),
            still_max: STILL_MAX,
            // Runs provoke what the other counters count.
            zero: vec![shared::sequence::FALLS],
            ..AuditOptions::default()
        };
        audit(&self.audit_targets()?, &options, &ProgressBoard::new()).await
    }

    /// Messages that a service has read again since it was started.
    pub async fn repeats(&self, member: ProcessName) -> anyhow::Result<u64> {
        self.counter(member, counters::REPEATS).await
    }

    /// The value of a service's counter since its start.
    pub async fn counter(&self, member: ProcessName, name: &str) -> anyhow::Result<u64> {
        let mut sums = counters::CounterSums::new();
        counters::read(&self.http, &self.admin(member).parse()?, &mut sums).await?;
        sums.get(name).copied().with_context(|| format!("{member} shows no {name}"))
    }
}
