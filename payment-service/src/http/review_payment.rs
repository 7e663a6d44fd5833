//! `POST /payments/{order_id}/review`, at the operators' port: decides what no rule can.
//!
//! The body is `{"decision": "accept"}` (the amount that was charged is right) or `{"decision":
//! "refund"}` (it goes back, or goes back again; a charge in doubt is looked for again) or
//! `{"decision": "settle"}` (the customer has the money: nothing was charged, or it went back by
//! another way). Deciding the same twice is once. Answers 204.

use axum::{Router, extract::State, http::StatusCode, routing::post};
use serde::Deserialize;
use shared::{
    batcher::CommandBatcher,
    http::{IndexLink, JsonBody, OperatorRoutes, PathParams, Problem, RequestContext},
};
use uuid::Uuid;

use super::problem::NOT_UNDER_REVIEW;
use crate::{
    commands::ReviewPayments,
    domain::payment::PaymentCommand,
    request::{PaymentAction, PaymentRequest},
};

/// What an operator decides.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ReviewDecision {
    Accept,
    Refund,
    Settle,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReviewBody {
    decision: ReviewDecision,
}

/// The routes for operators.
pub fn operators(reviews: CommandBatcher<ReviewPayments>) -> OperatorRoutes {
    const PATH: &str = "/payments/{order_id}/review";
    let about = "Decides about a payment: `{\"decision\": \"accept\"}`, `refund` or `settle`";
    OperatorRoutes {
        routes: Router::new().route(PATH, post(review_payment)).with_state(reviews),
        links: vec![IndexLink::of("POST", PATH, about)],
    }
}

async fn review_payment(
    State(reviews): State<CommandBatcher<ReviewPayments>>,
    PathParams(order_id): PathParams<Uuid>,
    context: RequestContext,
    JsonBody(ReviewBody { decision }): JsonBody<ReviewBody>,
) -> Result<StatusCode, Problem> {
    let command = match decision {
        ReviewDecision::Accept => PaymentCommand::Accept,
        ReviewDecision::Refund => PaymentCommand::Refund,
        ReviewDecision::Settle => PaymentCommand::Settle,
    };
    let action = PaymentAction::Command(command);
    let decided =
        reviews.submit(PaymentRequest { order_id, action, trace: Some(context.trace) }).await?;
    tracing::info!(%order_id, ?decision, taken = decided.is_ok(), "an operator decided");
    match decided {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(_refused) => Err(NOT_UNDER_REVIEW.detail(format!(
            "the payment of this order waits for another decision, or for none: its stage is at \
             /payments/{order_id} of the public port"
        ))),
    }
}
