//! An order that costs nothing: no charge, no refund, and it is done.

use contract::PaymentDone;
use shared::clock::Clock;
use uuid::Uuid;

use crate::{
    kit::Payments,
    simulator::{Counts, Simulator},
};

async fn assert_is_done(payments: &Payments, gateway: &Simulator, order_id: Uuid) {
    assert_eq!(payments.stage(order_id).await, "done");
    assert!(payments.jobs().await.is_empty());
    let message = payments.messages(order_id).await.remove(0);
    let done: PaymentDone = payments.codec.decode(&message).await.unwrap();
    assert_eq!((done.order_id, done.amount_minor), (order_id, 0));
    assert_eq!((done.charge_id.as_str(), done.currency.as_str()), ("free", "EUR"));
    assert_eq!(payments.charges(&gateway.url).step().await.unwrap().claimed, 0);
}

#[tokio::test]
async fn an_order_that_costs_nothing_is_paid_without_a_call_and_gets_nothing_back() {
    let (payments, gateway) = (Payments::start().await, Simulator::start().await);
    let others = &payments.others;
    let (first, second) = (Clock::System.new_id(), Clock::System.new_id());
    payments
        .process_batch(&[others.placed_for(first, "tok_visa", 0), others.reserved(first)])
        .await;
    payments
        .process_batch(&[others.reserved(second), others.placed_for(second, "tok_visa", 0)])
        .await;
    for order_id in [first, second] {
        assert_is_done(&payments, &gateway, order_id).await;
        payments.process_batch(&[others.cancelled(order_id)]).await;
        assert_eq!(payments.stage(order_id).await, "abandoned");
        assert_eq!(payments.said(order_id).await.len(), 1, "nobody hears of a refund of nothing");
        assert!(payments.jobs().await.is_empty());
    }
    let nothing = Counts { charges: 0, refunds: 0, attempts: 0, net_minor: 0 };
    assert_eq!(gateway.counts().await, nothing);
}
