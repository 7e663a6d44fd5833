//! `sagactl orders`: places, follows, lists and cancels orders, over the public API of
//! order-service.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use reqwest::{StatusCode, Url};
use serde::Serialize;
use shared::clock::Clock;
use uuid::Uuid;

use self::client::{ORDERS_URL, OrderClient, OrderLook, OrderWish, PlaceAnswer, ShownOrder};
use crate::{
    invocation,
    refusal::explain,
    screen::{columns, complain, say, say_json},
    service_client::UnansweredCall,
    service_name::ServiceName,
    text_table::wrapped,
    which_system::ServiceAddress,
};

pub mod client;
mod render;
mod watch;

/// How the program ends if the order was cancelled. 2 is a wrong command line.
const CANCELLED: u8 = 3;
/// How it ends if the order is still pending when the limit is over.
const STILL_PENDING: u8 = 4;

/// What the exit codes of these commands mean, at the end of `--help`.
const EXIT_CODES: &str = "Exit codes: 0 done (`watch` and `place --wait`: the order is confirmed); \
    1 refused, not found or not reached; 2 wrong command line; 3 the order was cancelled; 4 it is \
    still pending when the limit is over.";

/// Continued lines are indented by this many spaces.
const NEXT_LINE: usize = 2;

/// How often a request that was told to come back is sent again, at most.
const BUSY_MAX: u32 = 10;

/// The same order is being worked on: an earlier request of one's own, which ends soon.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// The service says when it wants to be asked again, and is not believed beyond this.
const BUSY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Where order-service is, and what to do there.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct OrderOptions {
    /// Base URL of order-service's public API (default: the running demo's, or else the compose
    /// stack's at 127.0.0.1:8001).
    #[arg(long, env = ORDERS_URL, global = true)]
    url: Option<Url>,
    /// Prints one JSON document on standard output and nothing else: the order, or of a list
    /// `{"items": [...], "more": true or false}`.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: OrderCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum OrderCommand {
    /// Places an order, and says the command that follows it.
    #[command(after_help = EXIT_CODES)]
    Place(PlaceOptions),
    /// Follows an order until it has ended, and shows what happens to it.
    #[command(after_help = EXIT_CODES)]
    Watch {
        /// Id of the order.
        #[arg(value_parser = order_id)]
        id: Uuid,
        #[command(flatten)]
        limit: WaitOptions,
    },
    /// Shows one order and its history.
    Show {
        /// Id of the order.
        #[arg(value_parser = order_id)]
        id: Uuid,
    },
    /// Lists orders, the newest first.
    List {
        /// Only orders with this status.
        #[arg(long, value_enum)]
        status: Option<OrderStatus>,
        /// Maximum number of orders; page after page is read.
        #[arg(long, visible_alias = "max", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
    /// Cancels an order that is pending, or was confirmed a short time ago.
    Cancel {
        /// Id of the order.
        #[arg(value_parser = order_id)]
        id: Uuid,
    },
}

/// What is ordered, by whom, and how it is paid.
#[derive(Clone, Debug, Args)]
struct PlaceOptions {
    /// A product, by its stock keeping unit.
    #[arg(long, default_value = "coffee-beans", conflicts_with = "lines")]
    sku: String,
    /// How many of it.
    #[arg(long, default_value_t = 1, conflicts_with = "lines")]
    quantity: i32,
    /// A product and how many of it; may be repeated, in place of --sku and --quantity.
    #[arg(long = "line", value_name = "SKU=N", value_parser = order_line)]
    lines: Vec<(String, i32)>,
    /// The customer's mail address.
    #[arg(long, default_value = "ada@example.org")]
    email: String,
    /// The token of the payment method.
    #[arg(long, default_value = "tok_visa")]
    payment_method: String,
    /// The currency's code, as in ISO 4217.
    #[arg(long, default_value = "EUR")]
    currency: String,
    /// The Idempotency-Key: the same key again is the same order (default: a new one).
    #[arg(long, value_parser = order_key)]
    key: Option<String>,
    /// Follows the order until it has ended.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    limit: WaitOptions,
}

#[derive(Clone, Copy, Debug, Args)]
struct WaitOptions {
    /// Seconds after which the order is no longer waited for.
    #[arg(long, default_value_t = 60)]
    limit_seconds: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OrderStatus {
    Pending,
    Confirmed,
    Cancelled,
}

/// A list as one JSON document.
#[derive(Serialize)]
struct OrderList {
    items: Vec<ShownOrder>,
    /// Whether there are more than were asked for.
    more: bool,
}

fn order_id(text: &str) -> Result<Uuid, String> {
    text.parse().map_err(|_not_an_id| {
        let list = invocation::command("orders list");
        format!("an order's id is a UUID, as `{list}` shows it")
    })
}

/// `SKU=N`, or a SKU of which one is meant.
fn order_line(text: &str) -> Result<(String, i32), String> {
    let (sku, quantity) = text.rsplit_once('=').unwrap_or((text, "1"));
    match quantity.parse() {
        Ok(quantity) if !sku.is_empty() => Ok((sku.to_owned(), quantity)),
        _ => Err("a line is SKU=N, as in coffee-beans=2".to_owned()),
    }
}

/// A key as it stands between quotes in its header.
fn order_key(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    if (1..=255).contains(&text.len()) && text.bytes().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err("a key is 1 to 255 visible ASCII characters, without quotes and backslashes".to_owned())
}

impl PlaceOptions {
    fn wish(&self) -> OrderWish {
        let one = || vec![(self.sku.clone(), self.quantity)];
        OrderWish {
            lines: if self.lines.is_empty() { one() } else { self.lines.clone() },
            currency: self.currency.clone(),
            payment_method: self.payment_method.clone(),
            email: self.email.clone(),
        }
    }
}

impl WaitOptions {
    fn limit(self) -> Duration {
        Duration::from_secs(self.limit_seconds)
    }
}

impl OrderStatus {
    fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Does what was asked.
pub async fn run(options: OrderOptions) -> anyhow::Result<ExitCode> {
    let given = options.url.as_ref().map(Url::as_str);
    let orders = OrderClient::new(ServiceAddress::public(ServiceName::Orders, ORDERS_URL, given))?;
    let json = options.json;
    match options.command {
        OrderCommand::Place(place) => place_order(&orders, &place, json).await,
        OrderCommand::Watch { id, limit } => follow(&orders, id, limit, json).await,
        OrderCommand::Show { id } => show(&orders, id, json).await,
        OrderCommand::List { status, limit } => {
            list(&orders, status, usize::try_from(limit)?, json).await
        }
        OrderCommand::Cancel { id } => cancel(&orders, id, json).await,
    }
}

async fn place_order(
    orders: &OrderClient,
    options: &PlaceOptions,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let key = options.key.clone();
    let key = key.unwrap_or_else(|| format!("sagactl-{}", Clock::System.new_id()));
    let wish = options.wish();
    let order = accepted(async || orders.place(&key, &wish).await).await;
    let order = order.map_err(|failure| {
        if !failure.may_have_arrived {
            return failure.error;
        }
        failure.error.context(format!(
            "whether the order was placed is not known: the same again with `--key {key}` finds out"
        ))
    })?;
    if options.wait {
        if !json {
            say_line(&format!("order {} is accepted, {}", order.id, render::total(&order)));
        }
        let again = invocation::command(&format!("orders watch {}", order.id));
        return follow(orders, order.id, options.limit, json)
            .await
            .with_context(|| format!("order {} was placed: `{again}` goes on", order.id));
    }
    if json {
        say_json(&order)?;
    } else {
        say_line(&render::standing(&order));
        say(invocation::command(&format!("orders watch {}", order.id)));
    }
    Ok(ExitCode::SUCCESS)
}

/// A sentence, in lines that fit the terminal.
fn say_line(line: &str) {
    say(wrapped(line, columns(), NEXT_LINE));
}

async fn follow(
    orders: &OrderClient,
    id: Uuid,
    limit: WaitOptions,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let order = watch::follow(orders, id, limit.limit(), !json).await?;
    if json {
        say_json(&order)?;
    } else {
        say_line(&render::standing(&order));
    }
    Ok(match order.status.as_str() {
        "confirmed" => ExitCode::SUCCESS,
        "cancelled" => ExitCode::from(CANCELLED),
        _pending => {
            let again = invocation::command(&format!("orders watch {id}"));
            complain(format_args!("not ended after {} s: `{again}` goes on", limit.limit_seconds));
            ExitCode::from(STILL_PENDING)
        }
    })
}

async fn show(orders: &OrderClient, id: Uuid, json: bool) -> anyhow::Result<ExitCode> {
    let order = match orders.look(id, Duration::ZERO).await? {
        OrderLook::Seen(order) => order,
        OrderLook::Unknown => return Err(watch::unknown(id)),
        OrderLook::Busy(_) => anyhow::bail!("order-service is busy: try again later"),
    };
    if json {
        say_json(&order)?;
    } else {
        render::whole(&order).into_iter().for_each(say);
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(
    orders: &OrderClient,
    status: Option<OrderStatus>,
    limit: usize,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let (items, more) = orders.list(status.map(OrderStatus::name), limit).await?;
    if json {
        say_json(&OrderList { items, more })?;
    } else if items.is_empty() {
        say(format_args!("no such orders: `{}` places one", invocation::command("orders place")));
    } else {
        render::table(&items, columns()).into_iter().for_each(say);
        if more {
            complain(format_args!("… and more than these {limit} (--limit)"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn cancel(orders: &OrderClient, id: Uuid, json: bool) -> anyhow::Result<ExitCode> {
    let order = accepted(async || match orders.cancel(id).await? {
        PlaceAnswer::Refused(StatusCode::NOT_FOUND, _) => Err(watch::unknown(id)),
        answer @ (PlaceAnswer::Accepted(_) | PlaceAnswer::Busy(_) | PlaceAnswer::Refused(..)) => {
            Ok(answer)
        }
    })
    .await
    .map_err(|failure| failure.error)?;
    if json {
        say_json(&order)?;
    } else {
        say_line(&render::standing(&order));
    }
    Ok(ExitCode::SUCCESS)
}

/// A request that was not accepted.
struct FailedRequest {
    error: anyhow::Error,
    /// Whether it, or one before it, may have had its effect.
    may_have_arrived: bool,
}

/// Asks again while the service is busy; what it refuses is an error.
async fn accepted(
    ask: impl AsyncFn() -> anyhow::Result<PlaceAnswer>,
) -> Result<ShownOrder, FailedRequest> {
    let mut asked = 0;
    loop {
        asked += 1;
        let answer = ask().await.map_err(|error| {
            let call = error.downcast_ref::<UnansweredCall>();
            let arrived = call.is_none_or(|call| call.may_have_arrived);
            FailedRequest { error, may_have_arrived: arrived || asked > 1 }
        })?;
        let pause = match answer {
            PlaceAnswer::Accepted(order) => return Ok(order),
            PlaceAnswer::Refused(_, problem) if client::is_busy(&problem) => BUSY_PAUSE,
            PlaceAnswer::Refused(status, problem) => {
                let error = anyhow::Error::msg(explain(status, &problem));
                return Err(FailedRequest { error, may_have_arrived: false });
            }
            PlaceAnswer::Busy(pause) => pause.min(BUSY_PAUSE_MAX),
        };
        if asked >= BUSY_MAX {
            let error = format!("order-service was busy at each of {asked} requests");
            // It is also busy when it does not know whether a request was processed.
            return Err(FailedRequest { error: anyhow::Error::msg(error), may_have_arrived: true });
        }
        complain("  order-service is busy; it is asked again");
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_sku_and_how_many() {
        assert_eq!(order_line("coffee-beans=2"), Ok(("coffee-beans".to_owned(), 2)));
        assert_eq!(order_line("lamp"), Ok(("lamp".to_owned(), 1)));
        for wrong in ["lamp=", "=2", "lamp=two", "lamp=2.0"] {
            assert!(order_line(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_is_one_that_its_header_can_hold() {
        assert_eq!(order_key("my-order_7"), Ok("my-order_7".to_owned()));
        for wrong in ["", "two words", "\"", "\\", "Käse", "a\nb", &"k".repeat(256)] {
            assert!(order_key(wrong).is_err(), "{wrong}");
        }
    }
}
