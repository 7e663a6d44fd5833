//! `sagactl audit`: checks the invariants of a system that runs somewhere, or that was stopped
//! (`docs/audit.md`).

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use reqwest::Url;
use secrecy::SecretString;
use shared::config::{secret, secret_file};

use super::{AuditOptions, AuditOutcome, AuditReport, AuditTargets, ServiceName, audit};
use crate::{
    admin_urls::AdminUrls,
    broker_choice::BrokerChoice,
    screen::{ProgressBoard, columns, complain, say, say_json},
    service_client::ServiceClient,
    text_table::wrapped,
    which_system,
};

/// How the program ends if something could not be checked. 2 is a wrong command line.
const NOT_CHECKED: u8 = 3;

/// Continued lines are indented by this many spaces.
const NEXT_LINE: usize = 8;

/// Examples that are printed of each invariant.
const EXAMPLES_MAX: usize = 10;

/// What to do where no database is given, as on a machine that runs the compose stack.
const WITHOUT_DATABASES: &str = "No database is given. Those of the compose stack are opened by its own \
    containers only: `docker compose --profile audit run --rm audit`. Others: ORDERS_DATABASE_URL and so on.";

/// Where the system is and what it is held to.
///
/// Without any address it is the running demo, or else the compose stack, whose databases only its own
/// containers can open. An invariant whose sources are not all given is not checked. The exit code is 0
/// if all invariants are kept, 1 if one is violated, and 3 if one could not be checked.
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// Where the broker is, and how it is spoken to.
    #[command(flatten)]
    broker: BrokerChoice,
    #[command(flatten)]
    databases: DatabaseOptions,
    #[command(flatten)]
    addresses: AddressOptions,
    /// Nothing may be on its way: an open order, a message in an outbox and a waiting job are violations.
    #[arg(long)]
    at_rest: bool,
    /// Succeeds although invariants are not checked because an address is not given.
    #[arg(long)]
    partial: bool,
    /// Seconds without progress after which waiting ends: for what a group has not read, and for orders
    /// that look wrong and may only be on their way.
    #[arg(long, default_value_t = 10)]
    limit_seconds: u64,
    /// Seconds that a message may wait in an outbox, a job beyond its due time, and an order beyond its
    /// own.
    #[arg(long, default_value_t = 60)]
    wait_seconds: u64,
    /// Prints one JSON document on standard output and nothing else: the report.
    #[arg(long)]
    json: bool,
}

/// The four databases.
#[derive(Debug, Args)]
struct DatabaseOptions {
    /// The database of order-service, as its `DATABASE_URL`.
    #[arg(long, env = "ORDERS_DATABASE_URL", hide_env_values = true, value_parser = secret)]
    orders_database_url: Option<SecretString>,
    /// A file that holds it.
    #[arg(long, env = "ORDERS_DATABASE_URL_FILE", conflicts_with = "orders_database_url")]
    orders_database_url_file: Option<PathBuf>,
    /// The database of inventory-service.
    #[arg(long, env = "INVENTORY_DATABASE_URL", hide_env_values = true, value_parser = secret)]
    inventory_database_url: Option<SecretString>,
    /// A file that holds it.
    #[arg(long, env = "INVENTORY_DATABASE_URL_FILE", conflicts_with = "inventory_database_url")]
    inventory_database_url_file: Option<PathBuf>,
    /// The database of payment-service.
    #[arg(long, env = "PAYMENTS_DATABASE_URL", hide_env_values = true, value_parser = secret)]
    payments_database_url: Option<SecretString>,
    /// A file that holds it.
    #[arg(long, env = "PAYMENTS_DATABASE_URL_FILE", conflicts_with = "payments_database_url")]
    payments_database_url_file: Option<PathBuf>,
    /// The database of notify-service.
    #[arg(long, env = "NOTIFY_DATABASE_URL", hide_env_values = true, value_parser = secret)]
    notify_database_url: Option<SecretString>,
    /// A file that holds it.
    #[arg(long, env = "NOTIFY_DATABASE_URL_FILE", conflicts_with = "notify_database_url")]
    notify_database_url_file: Option<PathBuf>,
}

/// Where the rest is.
#[derive(Debug, Args)]
struct AddressOptions {
    /// Does not read the broker: topics and consumer groups are not checked.
    #[arg(long)]
    no_broker: bool,
    /// The payment gateway.
    #[arg(long = "gateway-url", env = "GATEWAY_URL")]
    gateway: Option<Url>,
    /// The API of the mail sink (Mailpit).
    #[arg(long = "mail-api-url", env = "MAIL_API_URL")]
    mail_api: Option<Url>,
    #[command(flatten)]
    admin: AdminUrls,
}

impl AuditArguments {
    /// The sources that are given; if none is, those of the system that is found. Sources of two
    /// systems are never mixed: what is missing beside given ones is not checked.
    async fn targets(&self) -> anyhow::Result<AuditTargets> {
        let given = AuditTargets {
            broker: None,
            databases: self.databases.urls()?,
            gateway: self.addresses.gateway.clone(),
            mails: self.addresses.mail_api.clone(),
            admin: self.addresses.admin.given(),
        };
        let is_given = self.broker.is_given()
            || given.gateway.is_some()
            || given.mails.is_some()
            || !(given.databases.is_empty() && given.admin.is_empty());
        let targets = if is_given { given } else { found_targets().await? };
        let broker = match self.addresses.no_broker {
            true => None,
            false if is_given => Some(self.broker.settings()?),
            false => Some(self.broker.settings_of(which_system::found())?),
        };
        Ok(AuditTargets { broker, ..targets })
    }
}

/// The sources of the system that is found, but for its broker. If nothing runs, that is said at
/// once, and not as one source after the other that cannot be read. A demo is known to run, also
/// while one of its services is down.
async fn found_targets() -> anyhow::Result<AuditTargets> {
    let found = which_system::found();
    if found.demo.is_none() {
        let orders = AdminUrls::default().address(ServiceName::Orders);
        ServiceClient::new(orders)?.reach("livez").await?;
    }
    let addresses = &found.addresses;
    let mut targets = AuditTargets {
        gateway: Some(addresses.gateway.parse()?),
        mails: Some(addresses.mail_api.parse()?),
        ..AuditTargets::default()
    };
    for (service, parts) in &addresses.services {
        targets.admin.insert(*service, parts.admin_url.parse()?);
        let database = parts.database_url.clone().map(SecretString::from);
        targets.databases.extend(database.map(|url| (*service, url)));
    }
    Ok(targets)
}

impl DatabaseOptions {
    fn urls(&self) -> anyhow::Result<BTreeMap<ServiceName, SecretString>> {
        let mut urls = BTreeMap::new();
        let given = [
            &self.orders_database_url,
            &self.inventory_database_url,
            &self.payments_database_url,
            &self.notify_database_url,
        ];
        let files = [
            ("ORDERS_DATABASE_URL_FILE", &self.orders_database_url_file),
            ("INVENTORY_DATABASE_URL_FILE", &self.inventory_database_url_file),
            ("PAYMENTS_DATABASE_URL_FILE", &self.payments_database_url_file),
            ("NOTIFY_DATABASE_URL_FILE", &self.notify_database_url_file),
        ];
        for ((service, url), (name, file)) in ServiceName::ALL.into_iter().zip(given).zip(files) {
            let read = |file: &PathBuf| secret_file(name, file);
            let url = url
                .clone()
                .map_or_else(|| file.as_ref().map(read).transpose(), |url| Ok(Some(url)))?;
            urls.extend(url.map(|url| (service, url)));
        }
        Ok(urls)
    }
}

/// Checks, prints one line for each invariant, and fails if one is violated or could not be checked.
pub async fn run(options: AuditArguments) -> anyhow::Result<ExitCode> {
    let targets = options.targets().await?;
    let held_to = AuditOptions {
        at_rest: options.at_rest,
        still_max: Duration::from_secs(options.limit_seconds),
        wait_max: Duration::from_secs(options.wait_seconds),
        ..AuditOptions::default()
    };
    let report = audit(&targets, &held_to, &ProgressBoard::new()).await?;
    let report = if options.partial { report.without_missing_sources() } else { report };
    if options.json {
        say_json(&report)?;
    } else {
        print(&report);
    }
    if targets.databases.is_empty() && report.outcome == AuditOutcome::NotChecked {
        complain(WITHOUT_DATABASES);
    }
    Ok(match report.outcome {
        AuditOutcome::Kept => ExitCode::SUCCESS,
        AuditOutcome::Violated => ExitCode::FAILURE,
        AuditOutcome::NotChecked => ExitCode::from(NOT_CHECKED),
    })
}

/// One line for each invariant, with examples of what is wrong.
pub fn print(report: &AuditReport) {
    let lines = |text: String| say(wrapped(&text, columns(), NEXT_LINE));
    for result in &report.invariants {
        lines(format!("  {result}"));
        for example in result.examples.iter().take(EXAMPLES_MAX) {
            lines(format!("      {example}"));
        }
    }
    lines(format!(
        "  {} messages on the topics, {} repeats; services have read {} again",
        report.topics.messages, report.topics.repeats, report.repeats
    ));
}
