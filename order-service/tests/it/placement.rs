//! Orders that are placed without HTTP.

use order_service::{
    app::BatchOutcome,
    domain::{
        catalogue::Sku,
        contact::{EmailAddress, PaymentMethod},
        draft::{Customer, DraftLine, OrderDraft},
        money::{Currency, Quantity},
        order::OrderCommand,
    },
    request::OrderRequest,
    store::catalogue,
};
use shared::{db, effects::WorkerWakers, fault::Fault};
use uuid::Uuid;

use crate::kit::{PATIENCE, Shop};

impl Shop {
    /// A request for two teas, 500 cents.
    pub(crate) async fn placement(&self) -> OrderRequest {
        let wish =
            DraftLine { sku: Sku::parse("tea").unwrap(), quantity: Quantity::new(2).unwrap() };
        let draft = OrderDraft::new(
            vec![wish],
            Currency::parse("EUR").unwrap(),
            PaymentMethod::parse("tok_visa").unwrap(),
            Customer { email: EmailAddress::parse("ada@example.org").unwrap(), name: None },
        );
        let mut conn = self.pool.acquire().await.unwrap();
        let offers = catalogue::offers(&mut conn, &["tea"]).await.unwrap();
        let now = self.clock.now();
        let placement = draft.unwrap().price(&offers, now, now + PATIENCE).unwrap();
        let (order_id, command) = (self.clock.new_id(), OrderCommand::Place(placement));
        OrderRequest { order_id, command, heard: None, trace: None }
    }

    /// Executes a batch.
    pub(crate) async fn execute(&self, requests: &[OrderRequest]) -> Result<BatchOutcome, Fault> {
        let mut tx = db::begin(&self.pool).await?;
        let outcome = self.app.execute(&mut tx, requests).await?;
        drop(outcome.effects.clone().save(&mut tx, &WorkerWakers::default()).await?);
        tx.commit().await?;
        Ok(outcome)
    }

    /// Places an order for two teas, 500 cents.
    pub(crate) async fn place(&self) -> Uuid {
        let request = self.placement().await;
        assert!(self.execute(std::slice::from_ref(&request)).await.unwrap().answers[0].is_ok());
        request.order_id
    }
}
