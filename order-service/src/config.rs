//! This service's settings, read once.

use std::time::Duration;

use shared::config::{self, CheckSettings, InvalidSetting, ServiceSettings, duration_within};

use crate::domain::money::Money;

/// Owns orders: the public REST API, the order's saga, its deadline.
#[derive(Clone, Debug, clap::Parser)]
#[command(version)]
pub struct OrderSettings {
    /// What every service has.
    #[command(flatten)]
    pub common: ServiceSettings,
    /// An order that has not ended after this long is cancelled.
    #[arg(long, env = "ORDER_PATIENCE", default_value = "5m")]
    #[arg(value_parser = config::parse_duration)]
    pub order_patience: Duration,
    /// The largest total of an order, in minor units of its currency: what the payment gateway charges
    /// at once. A larger one is refused when it is placed.
    #[arg(long, env = "ORDER_TOTAL_MAX", default_value_t = 99_999_999)]
    pub order_total_max: i64,
    /// A customer can take a confirmed order back for this long.
    #[arg(long, env = "CANCEL_WINDOW", default_value = "30m")]
    #[arg(value_parser = config::parse_duration)]
    pub cancel_window: Duration,
    /// Orders that are overdue are looked for this often.
    #[arg(long, env = "SWEEP_POLL", default_value = "1s")]
    #[arg(value_parser = config::parse_duration)]
    pub sweep_poll: Duration,
    /// Overdue orders are cancelled while this service, with all its instances, has read everything
    /// that had been said to it up to this long ago.
    #[arg(long, env = "SWEEP_BEHIND_MAX", default_value = "10s")]
    #[arg(value_parser = config::parse_duration)]
    pub sweep_behind_max: Duration,
    /// Commands that may wait in the queue of a batcher; more are refused at once.
    #[arg(long, env = "COMMAND_QUEUE_MAX", default_value_t = 5_000)]
    pub command_queue_max: u32,
    /// Prints the description of the API and ends; needs no other setting.
    #[arg(long)]
    pub openapi: bool,
}

/// Whether the command line asks for the description of the API, whatever else is set or missing.
pub fn asks_for_openapi() -> bool {
    std::env::args_os().skip(1).any(|os_string| os_string == "--openapi")
}

impl CheckSettings for OrderSettings {
    fn check(&self) -> Result<(), InvalidSetting> {
        self.common.check()?;
        duration_within("ORDER_PATIENCE", self.order_patience, Duration::from_secs(1)..=DAYS_MAX)?;
        duration_within("CANCEL_WINDOW", self.cancel_window, Duration::ZERO..=DAYS_MAX)?;
        duration_within("SWEEP_POLL", self.sweep_poll, Duration::from_millis(10)..=MINUTE)?;
        duration_within(
            "SWEEP_BEHIND_MAX",
            self.sweep_behind_max,
            Duration::from_secs(3)..=MINUTE,
        )?;
        config::within("ORDER_TOTAL_MAX", self.order_total_max, 1, Money::MINOR_MAX)?;
        config::within("COMMAND_QUEUE_MAX", self.command_queue_max.into(), 1, 1_000_000)
    }
}

const MINUTE: Duration = Duration::from_mins(1);
const DAYS_MAX: Duration = Duration::from_hours(30 * 24);
