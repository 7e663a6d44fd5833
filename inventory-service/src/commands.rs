//! HTTP commands: list, change and restock products. Each batch is one transaction.
//!
//! ```text
//! stored answers ──> App::execute ──> store the answers
//! ```
//!
//! **Architecture invariant:** a request with an `Idempotency-Key` has its effect once; a repeated
//! request gets the stored answer. Refusals are not stored: the same key may be tried again once
//! the reason for the refusal is gone.

use axum::http::StatusCode;
use shared::{
    batcher::BatchHandler,
    effects::DecisionEffects,
    fault::Fault,
    idempotency::{HttpAnswer, IdempotentAnswer, IdempotentBatch, RequestKey},
    message::{TraceContext, TraceParent},
};
use sqlx::PgConnection;

use crate::{
    app::{App, CommandResult},
    domain::{
        inventory::{InventoryCommand, InventoryEvent},
        naming::Sku,
        product::{self, Product},
        rejection::InventoryRejection,
    },
    http::view,
    request::StockRequest,
};

/// A command for a product, as HTTP callers send it.
#[derive(Clone, Debug)]
pub struct ChangeProduct {
    pub sku: Sku,
    pub command: product::ProductCommand,
    /// The idempotency key that the caller chose.
    pub key: Option<RequestKey>,
    /// The trace that the command belongs to.
    pub trace: Option<TraceContext>,
}

#[derive(Clone, Debug)]
pub struct ChangeProducts {
    pub app: App,
}

impl BatchHandler for ChangeProducts {
    type Command = ChangeProduct;
    type Answer = IdempotentAnswer<InventoryRejection>;

    fn trace(change: &mut ChangeProduct) -> Option<&mut TraceParent> {
        change.trace.as_mut().map(|trace| &mut trace.parent)
    }

    async fn handle_batch(
        &self,
        conn: &mut PgConnection,
        commands: &[Self::Command],
    ) -> Result<(Vec<Self::Answer>, DecisionEffects), Fault> {
        let keys = commands.iter().map(|change| change.key.as_ref());
        let batch = IdempotentBatch::look_up(conn, keys).await?;
        let new: Vec<&ChangeProduct> =
            batch.unanswered().into_iter().map(|place| &commands[place]).collect();
        let requests: Vec<StockRequest> = new.iter().map(|change| change.request()).collect();
        let outcome = self.app.execute(conn, &requests).await?;
        let results = new.into_iter().zip(outcome.answers);
        let answers = results.map(|(change, result)| change.answer(result)).collect();
        Ok((batch.answer(conn, answers).await?, outcome.effects))
    }
}

impl ChangeProduct {
    fn request(&self) -> StockRequest {
        let (sku, command) = (self.sku.clone(), self.command.clone());
        let trace = self.trace.clone();
        StockRequest { command: InventoryCommand::Product { sku, command }, trace }
    }

    fn answer(&self, result: CommandResult) -> Result<HttpAnswer, InventoryRejection> {
        let events = result.decision?;
        let Some(product) = result.product else {
            unreachable!("{} exists after {:?}", self.sku, self.command)
        };
        let is_new = events.iter().any(InventoryEvent::is_new_product);
        Ok(HttpAnswer {
            status: if is_new { StatusCode::CREATED } else { StatusCode::OK }.as_u16(),
            location: is_new.then(|| format!("/products/{}", self.sku)),
            body: self.body(&product),
        })
    }

    fn body(&self, product: &Product) -> String {
        let body = match &self.command {
            product::ProductCommand::Put { .. } | product::ProductCommand::Introduce { .. } => {
                serde_json::to_string(&view::ProductView::of(&self.sku, product))
            }
            product::ProductCommand::Restock { .. } => {
                serde_json::to_string(&view::StockView::of(&self.sku, product.stock))
            }
        };
        body.unwrap_or_else(|error| unreachable!("numbers and texts are JSON: {error}"))
    }
}
