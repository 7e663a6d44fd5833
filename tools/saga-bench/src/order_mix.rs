//! The orders of a run: the n-th is always the same, and of twenty each way to end has its share.
//!
//! | n modulo 20 | what becomes of it |
//! | --- | --- |
//! | 1 | out of stock: cancelled |
//! | 2 | the charge is declined: cancelled |
//! | 3 | cancelled by the customer at once |
//! | 5 | confirmed, then cancelled by the customer and refunded |
//! | 4 | confirmed, with two lines |
//! | others | confirmed, with one line |

use order_service::{
    commands::PlaceOrder,
    domain::{
        catalogue::Sku,
        contact::{CustomerName, EmailAddress, PaymentMethod},
        draft::{Customer, DraftLine, OrderDraft},
        money::{Currency, Quantity},
    },
};
use serde_json::json;
use shared::{
    idempotency::{IdempotencyKey, RequestFingerprint, RequestKey, ScopedKey},
    message::TraceContext,
};

/// The product of which there is none.
pub const OUT_OF_STOCK: &str = "bench-none";
/// The means of payment that is declined.
pub const DECLINED: &str = "tok_chargeDeclined";
/// The products that orders choose from.
pub const PRODUCTS: u64 = 100;
/// Orders after which the mix repeats.
pub const PERIOD: u64 = 20;

/// When a customer cancels an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelTime {
    Never,
    AtOnce,
    OnceConfirmed,
}

/// When the n-th order is cancelled by its customer.
pub fn cancelled(n: u64) -> CancelTime {
    match n % PERIOD {
        3 => CancelTime::AtOnce,
        5 => CancelTime::OnceConfirmed,
        _others => CancelTime::Never,
    }
}

/// The name of the n-th product.
pub fn product(n: u64) -> String {
    format!("bench-{:04}", n % PRODUCTS)
}

/// The n-th order of a run.
pub fn order(run: &str, n: u64) -> anyhow::Result<PlaceOrder> {
    let skus = match n % PERIOD {
        1 => vec![OUT_OF_STOCK.to_owned()],
        4 => vec![product(n), product(n + 1)],
        _others => vec![product(n)],
    };
    let line =
        |sku: &String| anyhow::Ok(DraftLine { sku: Sku::parse(sku)?, quantity: Quantity::new(1)? });
    let lines = skus.iter().map(line).collect::<Result<Vec<_>, _>>()?;
    let method = if n % PERIOD == 2 { DECLINED } else { "tok_visa" };
    let email = format!("customer-{n:08}@example.org");
    let body = json!({ "lines": skus, "payment_method": method, "email": email });
    let customer = Customer {
        email: EmailAddress::parse(&email)?,
        name: Some(CustomerName::parse("Ada Lovelace")?),
    };
    let draft =
        OrderDraft::new(lines, Currency::parse("EUR")?, PaymentMethod::parse(method)?, customer)
            .map_err(|faults| anyhow::anyhow!("order {n} cannot be placed: {faults:?}"))?;
    let key = ScopedKey {
        scope: "POST /orders".to_owned(),
        key: IdempotencyKey::parse(&format!("{run}-{n:08}"))?,
    };
    let fingerprint = RequestFingerprint::of("POST", "/orders", &body);
    Ok(PlaceOrder { key: RequestKey { key, fingerprint }, draft, trace: TraceContext::start() })
}
