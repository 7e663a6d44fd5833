//! HTTP commands: place and cancel orders. Each batch is one transaction.
//!
//! ```text
//! stored answers ──> prices, one SELECT ──> App::execute ──> store the answers
//! ```
//!
//! **Architecture invariant:** the answer to the customer is stored in the order's transaction. A
//! key that is used again finds both order and answer, or neither. Refusals are not stored: the
//! same key may try again once the products are there.

use std::collections::HashMap;

use shared::{
    batcher::BatchHandler,
    effects::DecisionEffects,
    fault::Fault,
    idempotency::{IdempotentAnswer, IdempotentBatch, RequestKey},
    message::{TraceContext, TraceParent},
};
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{
    app::App,
    domain::{
        catalogue::{ProductOffer, Sku},
        draft::{self, OrderDraft, PlacedOrder},
        order::{Order, OrderCommand, OrderRejection},
    },
    http::view::acceptance,
    request::OrderRequest,
    store::catalogue,
};

/// A command to place a new order.
#[derive(Clone, Debug)]
pub struct PlaceOrder {
    /// The idempotency key that the customer chose.
    pub key: RequestKey,
    pub draft: OrderDraft,
    /// The trace that it belongs to.
    pub trace: TraceContext,
}

#[derive(Clone, Debug)]
pub struct PlaceOrders {
    pub app: App,
    /// An order that has not ended after this long is cancelled.
    pub patience: Duration,
    /// The largest total of an order, in minor units of its currency.
    pub total_max: i64,
}

/// A placement, or the reasons why the order cannot be placed.
type OrderPlan = Result<(Uuid, PlacedOrder), Vec<draft::DraftFault>>;

impl BatchHandler for PlaceOrders {
    type Command = PlaceOrder;
    type Answer = IdempotentAnswer<Vec<draft::DraftFault>>;

    fn trace(order: &mut PlaceOrder) -> Option<&mut TraceParent> {
        Some(&mut order.trace.parent)
    }

    async fn handle_batch(
        &self,
        conn: &mut PgConnection,
        commands: &[Self::Command],
    ) -> Result<(Vec<Self::Answer>, DecisionEffects), Fault> {
        let keys = commands.iter().map(|order| Some(&order.key));
        let batch = IdempotentBatch::look_up(conn, keys).await?;
        let new: Vec<&PlaceOrder> =
            batch.unanswered().into_iter().map(|place| &commands[place]).collect();
        let plans = self.plan(conn, &new).await?;
        let effects = self.place(conn, &new, &plans).await?;
        let answer = |plan: OrderPlan| match plan {
            Ok((order_id, placement)) => acceptance(order_id, &placement).map(Ok),
            Err(faults) => Ok(Err(faults)),
        };
        let answers = plans.into_iter().map(answer).collect::<Result<_, Fault>>()?;
        Ok((batch.answer(conn, answers).await?, effects))
    }
}

impl PlaceOrders {
    async fn plan(
        &self,
        conn: &mut PgConnection,
        orders: &[&PlaceOrder],
    ) -> Result<Vec<OrderPlan>, Fault> {
        let wishes = orders.iter().flat_map(|order| order.draft.wishes());
        let mut skus: Vec<&str> = wishes.map(|wish| wish.sku.as_str()).collect();
        skus.sort_unstable();
        skus.dedup();
        let offers = catalogue::offers(conn, &skus).await?;
        let now = self.app.clock.now();
        Ok(orders.iter().map(|order| self.price(&order.draft, &offers, now)).collect())
    }

    fn price(
        &self,
        draft: &OrderDraft,
        offers: &HashMap<Sku, ProductOffer>,
        now: OffsetDateTime,
    ) -> OrderPlan {
        let placement = draft.price(offers, now, now.saturating_add(self.patience))?;
        let placement = placement.at_most(self.total_max)?;
        Ok((self.app.clock.new_id(), placement))
    }

    async fn place(
        &self,
        conn: &mut PgConnection,
        orders: &[&PlaceOrder],
        plans: &[OrderPlan],
    ) -> Result<DecisionEffects, Fault> {
        let request = |(order, plan): (&&PlaceOrder, &OrderPlan)| {
            let (order_id, placement) = plan.as_ref().ok()?;
            let command = OrderCommand::Place(placement.clone());
            let trace = Some(order.trace.clone());
            Some(OrderRequest { order_id: *order_id, command, heard: None, trace })
        };
        let requests: Vec<OrderRequest> = orders.iter().zip(plans).filter_map(request).collect();
        let outcome = self.app.execute(conn, &requests).await?;
        match outcome.answers.into_iter().find_map(Result::err) {
            None => Ok(outcome.effects),
            // Only if this batch generated an id twice: the next attempt generates other ids.
            Some(rejection) => Err(Fault::transient(rejection)),
        }
    }
}

/// A command to cancel an order.
#[derive(Clone, Debug)]
pub struct CancelOrder {
    pub order_id: Uuid,
    /// The trace that it belongs to.
    pub trace: TraceContext,
}

#[derive(Clone, Debug)]
pub struct CancelOrders {
    pub app: App,
    /// A confirmed order can be cancelled for this long.
    pub window: Duration,
}

impl BatchHandler for CancelOrders {
    type Command = CancelOrder;
    type Answer = Result<Order, OrderRejection>;

    fn trace(order: &mut CancelOrder) -> Option<&mut TraceParent> {
        Some(&mut order.trace.parent)
    }

    async fn handle_batch(
        &self,
        conn: &mut PgConnection,
        commands: &[Self::Command],
    ) -> Result<(Vec<Self::Answer>, DecisionEffects), Fault> {
        let now = self.app.clock.now();
        let request = |order: &CancelOrder| OrderRequest {
            order_id: order.order_id,
            command: OrderCommand::Cancel { now, window: self.window },
            heard: None,
            trace: Some(order.trace.clone()),
        };
        let requests: Vec<OrderRequest> = commands.iter().map(request).collect();
        let outcome = self.app.execute(conn, &requests).await?;
        Ok((outcome.answers, outcome.effects))
    }
}
