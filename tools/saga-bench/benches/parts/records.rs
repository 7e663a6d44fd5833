//! Encoding and decoding of every record, by its golden bytes; and of a message's headers.

use std::hint::black_box;

use divan::Bencher;
use shared::{
    codec::{DatumReader, Record, RecordShape},
    message::{MessageEnvelope, MessageHeaders},
};

use crate::fixture::event;

/// A module for a record: encode and decode.
macro_rules! record_benches {
    ($($module:ident: $record:ident = $golden:literal;)*) => { $(
        mod $module {
            use contract::$record;
            use divan::Bencher;

            const GOLDEN: &[u8] =
                include_bytes!(concat!("../../../../contract/tests/golden/", $golden, ".1.bin"));

            #[divan::bench]
            fn encode(bencher: Bencher<'_, '_>) {
                super::encode::<$record>(bencher, GOLDEN);
            }

            #[divan::bench]
            fn decode(bencher: Bencher<'_, '_>) {
                super::decode::<$record>(bencher, GOLDEN);
            }
        }
    )* };
}

record_benches! {
    order_placed: OrderPlaced = "order-placed";
    order_confirmed: OrderConfirmed = "order-confirmed";
    order_cancelled: OrderCancelled = "order-cancelled";
    stock_reserved: StockReserved = "stock-reserved";
    stock_rejected: StockRejected = "stock-rejected";
    stock_released: StockReleased = "stock-released";
    product_changed: ProductChanged = "product-changed";
    payment_done: PaymentDone = "payment-done";
    payment_failed: PaymentFailed = "payment-failed";
    payment_refunded: PaymentRefunded = "payment-refunded";
    payment_under_review: PaymentUnderReview = "payment-under-review";
    notification_sent: NotificationSent = "notification-sent";
    notification_failed: NotificationFailed = "notification-failed";
}

fn encode<R: Record>(bencher: Bencher<'_, '_>, golden: &[u8]) {
    let record = DatumReader::<R>::same().read(golden).unwrap();
    bencher.bench_local(|| {
        let mut bytes = Vec::new();
        RecordShape::of::<R>().write(black_box(&record), &mut bytes).unwrap();
        bytes
    });
}

fn decode<R: Record>(bencher: Bencher<'_, '_>, golden: &[u8]) {
    let reader = DatumReader::<R>::same();
    bencher.bench_local(|| reader.read(black_box(golden)).unwrap());
}

/// From an envelope to the column of the outbox.
#[divan::bench]
fn headers_to_bytes(bencher: Bencher<'_, '_>) {
    let envelope = MessageEnvelope::from_headers(&event(1, 1).headers).unwrap();
    bencher.bench_local(|| black_box(&envelope).to_headers().to_bytes());
}

/// From the column of the outbox to an envelope.
#[divan::bench]
fn headers_from_bytes(bencher: Bencher<'_, '_>) {
    let bytes = event(1, 1).headers.to_bytes();
    bencher.bench_local(|| {
        let headers = MessageHeaders::from_bytes(black_box(&bytes)).unwrap();
        MessageEnvelope::from_headers(&headers).unwrap()
    });
}
