//! A fixed sample of each record, and a generator of random ones.

use std::fmt::Debug;

use proptest::{collection::vec, option, prelude::*};
use shared::codec::Record;
use time::{Duration, OffsetDateTime, macros::datetime};
use uuid::{Uuid, uuid};

use super::{
    MissingLine, NotificationFailed, NotificationSent, OrderCancelled, OrderConfirmed, OrderLine,
    OrderPlaced, PaymentDone, PaymentFailed, PaymentRefunded, PaymentUnderReview, ProductChanged,
    StockLine, StockRejected, StockReleased, StockReserved,
};

/// Calls a function that is generic over a record once for each.
macro_rules! for_each_record {
    ($function:ident) => {{
        $function::<$crate::OrderPlaced>();
        $function::<$crate::OrderConfirmed>();
        $function::<$crate::OrderCancelled>();
        $function::<$crate::StockReserved>();
        $function::<$crate::StockRejected>();
        $function::<$crate::StockReleased>();
        $function::<$crate::ProductChanged>();
        $function::<$crate::PaymentDone>();
        $function::<$crate::PaymentFailed>();
        $function::<$crate::PaymentRefunded>();
        $function::<$crate::PaymentUnderReview>();
        $function::<$crate::NotificationSent>();
        $function::<$crate::NotificationFailed>();
    }};
}
pub(crate) use for_each_record;

/// A record that tests can make samples of.
pub(crate) trait SampleRecord: Record + Clone + Debug + PartialEq {
    /// Always the same value: its golden bytes are in the repository.
    fn sample() -> Self;
    /// Any valid value of this record, for property tests.
    fn any() -> BoxedStrategy<Self>;
}

const ORDER: Uuid = uuid!("01970000-0000-7000-8000-0000000000a1");
const NOON: OffsetDateTime = datetime!(2026-01-02 12:00:00.123456 UTC);

fn moment() -> impl Strategy<Value = OffsetDateTime> {
    // From year -9999 to 9999, as far as the type goes.
    (-377_705_116_800_000_000..253_402_300_800_000_000_i64)
        .prop_map(|micros| OffsetDateTime::UNIX_EPOCH + Duration::microseconds(micros))
}

fn id() -> impl Strategy<Value = Uuid> {
    any::<[u8; 16]>().prop_map(Uuid::from_bytes)
}

fn stock_lines() -> impl Strategy<Value = Vec<StockLine>> {
    vec((any::<String>(), any::<i32>()), 0..5).prop_map(|lines| {
        lines.into_iter().map(|(sku, quantity)| StockLine { sku, quantity }).collect()
    })
}

impl SampleRecord for OrderPlaced {
    fn sample() -> Self {
        Self {
            order_id: ORDER,
            lines: vec![
                OrderLine { sku: "MUG-01".to_owned(), quantity: 2, unit_price_minor: 1_250 },
                OrderLine { sku: "TEE-M".to_owned(), quantity: 1, unit_price_minor: 1_999 },
            ],
            total_minor: 4_499,
            currency: "EUR".to_owned(),
            payment_method: "tok_visa".to_owned(),
            email: "ada@example.com".to_owned(),
            customer_name: Some("Ada Lovelace \u{1f9ee}".to_owned()),
            placed_at: NOON,
            due_at: NOON + Duration::minutes(5),
        }
    }

    fn any() -> BoxedStrategy<Self> {
        let line = (any::<String>(), any::<i32>(), any::<i64>()).prop_map(
            |(sku, quantity, unit_price_minor)| OrderLine { sku, quantity, unit_price_minor },
        );
        let texts = (any::<String>(), any::<String>(), any::<String>());
        let name = option::of(any::<String>());
        (id(), vec(line, 0..5), any::<i64>(), texts, name, moment(), moment())
            .prop_map(|(order_id, lines, total_minor, texts, customer_name, placed_at, due_at)| {
                let (currency, payment_method, email) = texts;
                Self {
                    order_id,
                    lines,
                    total_minor,
                    currency,
                    payment_method,
                    email,
                    customer_name,
                    placed_at,
                    due_at,
                }
            })
            .boxed()
    }
}

impl SampleRecord for OrderConfirmed {
    fn sample() -> Self {
        Self { order_id: ORDER, total_minor: 4_499, currency: "EUR".to_owned(), confirmed_at: NOON }
    }

    fn any() -> BoxedStrategy<Self> {
        (id(), any::<i64>(), any::<String>(), moment())
            .prop_map(|(order_id, total_minor, currency, confirmed_at)| Self {
                order_id,
                total_minor,
                currency,
                confirmed_at,
            })
            .boxed()
    }
}

impl SampleRecord for OrderCancelled {
    fn sample() -> Self {
        Self {
            order_id: ORDER,
            reason: "out-of-stock".to_owned(),
            cancelled_by: "system".to_owned(),
            cancelled_at: NOON,
        }
    }

    fn any() -> BoxedStrategy<Self> {
        (id(), any::<String>(), any::<String>(), moment())
            .prop_map(|(order_id, reason, cancelled_by, cancelled_at)| Self {
                order_id,
                reason,
                cancelled_by,
                cancelled_at,
            })
            .boxed()
    }
}

impl SampleRecord for StockReserved {
    fn sample() -> Self {
        let lines = vec![StockLine { sku: "MUG-01".to_owned(), quantity: 2 }];
        Self { order_id: ORDER, lines, reserved_at: NOON }
    }

    fn any() -> BoxedStrategy<Self> {
        (id(), stock_lines(), moment())
            .prop_map(|(order_id, lines, reserved_at)| Self { order_id, lines, reserved_at })
            .boxed()
    }
}

impl SampleRecord for StockRejected {
    fn sample() -> Self {
        let missing = vec![MissingLine { sku: "MUG-01".to_owned(), requested: 2, available: 1 }];
        Self { order_id: ORDER, missing, rejected_at: NOON }
    }

    fn any() -> BoxedStrategy<Self> {
        let line = (any::<String>(), any::<i32>(), any::<i32>())
            .prop_map(|(sku, requested, available)| MissingLine { sku, requested, available });
        (id(), vec(line, 0..5), moment())
            .prop_map(|(order_id, missing, rejected_at)| Self { order_id, missing, rejected_at })
            .boxed()
    }
}

impl SampleRecord for StockReleased {
    fn sample() -> Self {
        let lines = vec![StockLine { sku: "MUG-01".to_owned(), quantity: 2 }];
        Self { order_id: ORDER, lines, released_at: NOON }
    }

    fn any() -> BoxedStrategy<Self> {
        (id(), stock_lines(), moment())
            .prop_map(|(order_id, lines, released_at)| Self { order_id, lines, released_at })
            .boxed()
    }
}

impl SampleRecord for ProductChanged {
    fn sample() -> Self {
        Self {
            sku: "MUG-01".to_owned(),
            name: "Mug".to_owned(),
            price_minor: 1_250,
            currency: "EUR".to_owned(),
            active: true,
            changed_at: NOON,
        }
    }

    fn any() -> BoxedStrategy<Self> {
        let texts = (any::<String>(), any::<String>(), any::<String>());
        (texts, any::<i64>(), any::<bool>(), moment())
            .prop_map(|((sku, name, currency), price_minor, active, changed_at)| Self {
                sku,
                name,
                price_minor,
                currency,
                active,
                changed_at,
            })
            .boxed()
    }
}

impl SampleRecord for PaymentDone {
    fn sample() -> Self {
        Self {
            order_id: ORDER,
            charge_id: "ch_1".to_owned(),
            amount_minor: 4_499,
            currency: "EUR".to_owned(),
            paid_at: NOON,
        }
    }

    fn any() -> BoxedStrategy<Self> {
        (id(), any::<String>(), any::<i64>(), any::<String>(), moment())
            .prop_map(|(order_id, charge_id, amount_minor, currency, paid_at)| Self {
                order_id,
                charge_id,
                amount_minor,
                currency,
                paid_at,
            })
            .boxed()
    }
}

impl SampleRecord for PaymentFailed {
    fn sample() -> Self {
        let code = Some("insufficient_funds".to_owned());
        Self { order_id: ORDER, reason: "declined".to_owned(), code, failed_at: NOON }
    }

    fn any() -> BoxedStrategy<Self> {
        (id(), any::<String>(), option::of(any::<String>()), moment())
            .prop_map(|(order_id, reason, code, failed_at)| Self {
                order_id,
                reason,
                code,
                failed_at,
            })
            .boxed()
    }
}

impl SampleRecord for PaymentRefunded {
    fn sample() -> Self {
        Self {
            order_id: ORDER,
            refund_id: "re_1".to_owned(),
            amount_minor: 4_499,
            currency: "EUR".to_owned(),
            refunded_at: NOON,
        }
    }

    fn any() -> BoxedStrategy<Self> {
        (id(), any::<String>(), any::<i64>(), any::<String>(), moment())
            .prop_map(|(order_id, refund_id, amount_minor, currency, refunded_at)| Self {
                order_id,
                refund_id,
                amount_minor,
                currency,
                refunded_at,
            })
            .boxed()
    }
}

impl SampleRecord for PaymentUnderReview {
    fn sample() -> Self {
        let (operation, reason) = ("refund".to_owned(), "refund-failed".to_owned());
        Self { order_id: ORDER, operation, reason, since: NOON }
    }

    fn any() -> BoxedStrategy<Self> {
        (id(), any::<String>(), any::<String>(), moment())
            .prop_map(|(order_id, operation, reason, since)| Self {
                order_id,
                operation,
                reason,
                since,
            })
            .boxed()
    }
}

impl SampleRecord for NotificationSent {
    fn sample() -> Self {
        Self {
            order_id: ORDER,
            channel: "email".to_owned(),
            kind: "confirmed".to_owned(),
            message_id: "a1.confirmed.email@shop".to_owned(),
            sent_at: NOON,
        }
    }

    fn any() -> BoxedStrategy<Self> {
        (id(), any::<String>(), any::<String>(), any::<String>(), moment())
            .prop_map(|(order_id, channel, kind, message_id, sent_at)| Self {
                order_id,
                channel,
                kind,
                message_id,
                sent_at,
            })
            .boxed()
    }
}

impl SampleRecord for NotificationFailed {
    fn sample() -> Self {
        Self {
            order_id: ORDER,
            channel: "email".to_owned(),
            kind: "confirmed".to_owned(),
            reason: "550 no such mailbox".to_owned(),
            failed_at: NOON,
        }
    }

    fn any() -> BoxedStrategy<Self> {
        (id(), any::<String>(), any::<String>(), any::<String>(), moment())
            .prop_map(|(order_id, channel, kind, reason, failed_at)| Self {
                order_id,
                channel,
                kind,
                reason,
                failed_at,
            })
            .boxed()
    }
}
