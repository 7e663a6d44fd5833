//! Settings: read once, from the command line and the environment, and checked before anything
//! starts.
//!
//! All services have the same settings and names: each flattens [`ServiceSettings`] into its own.
//! An invalid setting is reported in one line on standard error, without the values of secrets, and
//! the process exits with code 2.
//!
//! Every variable that is set and empty counts as not set: so a manifest can name a variable and
//! leave it to its default ([`ignore_empty`]).
//!
//! ```ignore
//! #[derive(clap::Parser)]
//! struct Settings {
//!     #[command(flatten)]
//!     common: config::Common,
//! }
//! impl config::Check for Settings {
//!     fn check(&self) -> Result<(), config::Invalid> {
//!         self.common.check()
//!     }
//! }
//! ```

use std::{
    ffi::OsString, io::Write as _, net::SocketAddr, path::PathBuf, process::ExitCode,
    time::Duration,
};

use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    consumer, db, kafka,
    published::{self, PublishedRetention},
    telemetry,
    topics::{CleanupPolicy, TopicSpec},
};

pub use self::{
    broker::{BrokerSecurity, BrokerSettings},
    duration::{BadDuration, duration_within, parse_duration},
    empty::ignore_empty,
    limits::LimitSettings,
    retry::{BadRetry, RetrySettings},
};

mod broker;
mod duration;
mod empty;
mod limits;
mod retry;

/// What every service needs to know.
#[derive(Clone, Debug, clap::Args)]
pub struct ServiceSettings {
    /// Where the database is: `postgres://user:password@host:port/database`.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = secret)]
    #[arg(required_unless_present = "database_url_file")]
    pub database_url: Option<SecretString>,
    /// A file that holds the database's URL, in place of `DATABASE_URL`.
    #[arg(long, env = "DATABASE_URL_FILE", conflicts_with = "database_url")]
    pub database_url_file: Option<PathBuf>,
    /// Connections to the database, at most.
    #[arg(long, env = "DATABASE_CONNECTIONS_MAX", default_value_t = 16)]
    pub database_connections_max: u32,
    /// Messages, commands or jobs that are worked on at once, at most: in one transaction of the consumer
    /// or of HTTP callers, in one batch of the relay, by one worker. Other limits may be lower. 1 is for
    /// measuring what batches are worth.
    #[arg(long, env = "BATCH_MAX", default_value_t = 1_000)]
    pub batch_max: u32,
    /// Where the broker is, and how it is spoken to.
    #[command(flatten)]
    pub broker: BrokerSettings,
    /// Where the schema registry is, with its path.
    #[arg(
        long,
        env = "SCHEMA_REGISTRY_URL",
        default_value = "http://127.0.0.1:8081/apis/ccompat/v7"
    )]
    pub schema_registry_url: String,
    /// Where the service answers the world.
    #[arg(long, env = "HTTP_LISTEN", default_value = "127.0.0.1:8080")]
    pub http_listen: SocketAddr,
    /// Where the service answers its operators: health and metrics.
    #[arg(long, env = "ADMIN_LISTEN", default_value = "127.0.0.1:9464")]
    pub admin_listen: SocketAddr,
    /// Dead letters in a row at which the consumer stops, because that many are more likely our
    /// fault than theirs; 0 is without limit.
    #[arg(long, env = "DEAD_LETTERS_IN_A_ROW_MAX", default_value_t = 1_000)]
    pub dead_letters_in_a_row_max: u32,
    /// Dead letters among the last 4000 messages, in percent, at which the consumer stops; 100 is
    /// without limit.
    #[arg(long, env = "DEAD_LETTERS_SHARE_MAX", default_value_t = 50)]
    pub dead_letters_share_max: u8,
    /// How long messages that were published are kept in the database, to be published again if the
    /// broker loses them; at most 7 days. 0s keeps none but the latest values of compacted topics.
    #[arg(long, env = "PUBLISHED_KEPT", default_value = "24h", value_parser = parse_duration)]
    pub published_kept: Duration,
    /// How log lines look.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: telemetry::LogFormat,
    /// Which log lines are written, as `level` or `target=level,...`.
    #[arg(long, env = "LOG_FILTER", default_value = "info")]
    pub log_filter: String,
    /// A collector's base URL, to which spans go by OTLP over HTTP, as in `http://127.0.0.1:4318`.
    /// Nothing is recorded without it.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Which share of the traces that begin here is recorded, from 0 to 1. A caller's `traceparent`
    /// says itself whether its trace is.
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value_t = 1.0)]
    pub trace_share: f64,
    /// How long the parts may take to stop: `500ms`, `8s`, `1m`.
    #[arg(long, env = "SHUTDOWN_GRACE", default_value = "8s", value_parser = parse_duration)]
    pub shutdown_grace: Duration,
    /// How much is let in.
    #[command(flatten)]
    pub limits: LimitSettings,
    /// Asks the process that runs beside this one, under the same settings, whether it is ready,
    /// and ends: with success if it is. For health checks in images that have no shell.
    #[arg(long, conflicts_with = "migrate")]
    pub health: bool,
    /// Brings the tables up to date, and ends. A service does so at its start, too; this is for a job
    /// that runs before.
    #[arg(long)]
    pub migrate: bool,
}

/// A setting that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct InvalidSetting {
    name: &'static str,
    reason: String,
}

impl InvalidSetting {
    /// The setting `name` (as in the environment) cannot be, for this reason. The reason is printed:
    /// it must not hold a secret.
    pub fn new(name: &'static str, reason: impl Into<String>) -> Self {
        Self { name, reason: reason.into() }
    }
}

/// Settings that can be checked beyond their types.
pub trait CheckSettings {
    /// What is wrong with them.
    fn check(&self) -> Result<(), InvalidSetting>;
}

impl CheckSettings for ServiceSettings {
    fn check(&self) -> Result<(), InvalidSetting> {
        self.database()?;
        within("DATABASE_CONNECTIONS_MAX", self.database_connections_max.into(), 2, 1_000)?;
        within("BATCH_MAX", self.batch_max.into(), 1, 1_000)?;
        within("DEAD_LETTERS_SHARE_MAX", self.dead_letters_share_max.into(), 1, 100)?;
        if self.published_kept > published::KEPT_MAX {
            return Err(InvalidSetting::new(
                "PUBLISHED_KEPT",
                "topics keep nothing longer than 7 days",
            ));
        }
        self.broker.check()?;
        telemetry::check_filter(&self.log_filter)
            .map_err(|error| InvalidSetting::new("LOG_FILTER", error.to_string()))?;
        http_url("SCHEMA_REGISTRY_URL", &self.schema_registry_url)?;
        self.limits.check()?;
        if let Some(endpoint) =
            self.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty())
        {
            http_url("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)?;
        }
        if !(0.0..=1.0).contains(&self.trace_share) {
            return Err(InvalidSetting::new(
                "OTEL_TRACES_SAMPLER_ARG",
                "it is not between 0 and 1",
            ));
        }
        if self.shutdown_grace < Duration::from_secs(1) {
            return Err(InvalidSetting::new(
                "SHUTDOWN_GRACE",
                "less than 1s leaves no time to stop",
            ));
        }
        Ok(())
    }
}

impl ServiceSettings {
    /// How the database is used.
    pub fn database(&self) -> Result<db::DatabaseSettings, InvalidSetting> {
        let url = match (&self.database_url, &self.database_url_file) {
            (Some(url), _) => url.clone(),
            (None, Some(file)) => secret_file("DATABASE_URL_FILE", file)?,
            (None, None) => return Err(InvalidSetting::new("DATABASE_URL", "it is not set")),
        };
        let settings = db::DatabaseSettings {
            connections_max: self.database_connections_max,
            ..db::DatabaseSettings::new(url)
        };
        // The parser's own words could hold the password.
        let known = ["postgres://", "postgresql://"]
            .iter()
            .any(|text| settings.url.expose_secret().starts_with(text));
        if !known || db::options(&settings, "check").is_err() {
            return Err(InvalidSetting::new("DATABASE_URL", "it is not a postgres:// URL"));
        }
        Ok(settings)
    }

    /// A limit of a batch that is no higher than all of them may be.
    pub(crate) fn batch_limit(&self, usual: usize) -> usize {
        usual.min(self.batch_max as usize)
    }

    /// How many messages may die before the consumer stops.
    pub(crate) fn dead_letter_limits(&self) -> consumer::FailureLimits {
        let in_a_row_max = Some(self.dead_letters_in_a_row_max).filter(|limit| *limit > 0);
        consumer::FailureLimits { in_a_row_max, share_max: self.dead_letters_share_max }
    }

    /// How long published messages are kept: of compacted topics, the latest of each key for ever.
    pub(crate) fn published_retention(&self, topics: &[TopicSpec]) -> PublishedRetention {
        let latest = topics.iter().filter(|spec| spec.cleanup == CleanupPolicy::Compact);
        PublishedRetention {
            span: self.published_kept,
            latest: latest.map(|spec| spec.name).collect(),
        }
    }

    /// How the broker is used, by a client of this name.
    pub fn kafka(&self, client_id: &str) -> Result<kafka::KafkaSettings, InvalidSetting> {
        self.broker.settings(client_id)
    }
}

/// Reads and checks the settings. What is wrong has been printed when this is an error, and so has
/// `--help`.
pub fn parse<T: clap::Parser + CheckSettings>() -> Result<T, ExitCode> {
    parse_from(std::env::args_os())
}

/// As [`parse`], from these arguments.
pub fn parse_from<T: clap::Parser + CheckSettings>(
    args: impl IntoIterator<Item = OsString>,
) -> Result<T, ExitCode> {
    let settings = match read::<T>(args) {
        Ok(settings) => settings,
        Err(error) if error.use_stderr() => {
            let complaint = one_line(&error.to_string());
            let empty = empty::hint::<T>(&complaint);
            drop(writeln!(std::io::stderr(), "{complaint}{empty}"));
            return Err(ExitCode::from(2));
        }
        // `--help` and the like.
        Err(error) => {
            drop(error.print());
            return Err(ExitCode::SUCCESS);
        }
    };
    match settings.check() {
        Ok(()) => Ok(settings),
        Err(invalid) => {
            drop(writeln!(std::io::stderr(), "error: {invalid}"));
            Err(ExitCode::from(2))
        }
    }
}

fn read<T: clap::Parser>(args: impl IntoIterator<Item = OsString>) -> Result<T, clap::Error> {
    let matches = ignore_empty(T::command()).try_get_matches_from(args)?;
    T::from_arg_matches(&matches).map_err(|error| error.format(&mut T::command()))
}

/// What is wrong, without the advice that follows it.
fn one_line(complaint: &str) -> String {
    let wrong = complaint.split("\n\n").next().unwrap_or_default();
    wrong.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A parser of secrets: it takes anything, so that no message of the command line shows one.
pub fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

/// A secret that is kept in a file, without the line's end.
pub fn secret_file(
    name: &'static str,
    path: &std::path::Path,
) -> Result<SecretString, InvalidSetting> {
    match std::fs::read_to_string(path) {
        // Some editors begin a file with a byte order mark.
        Ok(text) if !bare(&text).is_empty() => Ok(SecretString::from(bare(&text))),
        Ok(_) => Err(InvalidSetting::new(name, format!("{} is empty", path.display()))),
        Err(error) => Err(InvalidSetting::new(name, format!("{}: {error}", path.display()))),
    }
}

fn bare(text: &str) -> &str {
    text.trim_start_matches('\u{feff}').trim()
}

/// Checks that a number is between two others.
pub fn within(name: &'static str, value: i64, least: i64, most: i64) -> Result<(), InvalidSetting> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(InvalidSetting::new(name, format!("{value} is not between {least} and {most}")))
}

/// Checks that a text is a URL that HTTP can go to.
pub fn http_url(name: &'static str, text: &str) -> Result<(), InvalidSetting> {
    match reqwest::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(()),
        Ok(_) => Err(InvalidSetting::new(name, "it is not an http:// or https:// URL")),
        Err(error) => Err(InvalidSetting::new(name, format!("it is not a URL: {error}"))),
    }
}

#[cfg(test)]
mod tests;
