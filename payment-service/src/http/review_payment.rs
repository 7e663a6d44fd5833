//! `POST /payments/{order_id}/review`, at the operators' port: decides what no rule can.
//!
//! The body is `{"decision": "accept"}` (the amount that was charged is right) or `{"decision":
//! "refund"}` (it goes back, or goes back again; a charge in doubt is looked for again) or
//! `{"decision": "settle"}` (the customer has the money: nothing was charged, or it went back by
//! another way). Deciding the same twice is once. Answers 204.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{Router, extract::State, http::StatusCode, routing::post};
use serde::Deserialize;
use shared::{
    http::{Json, Path, Problem, RequestContext, problem},
    intake::Intake,
};
use uuid::Uuid;

use super::problem::NOT_UNDER_REVIEW;
use crate::{
    app::App,
    domain::payment::Command,
    request::{PaymentAction, PaymentRequest},
};

/// Where decisions go in. The operators' server is there before what is behind the door.
#[derive(Clone, Debug, Default)]
pub struct ReviewDoor(Arc<OnceLock<Intake<App>>>);

impl ReviewDoor {
    /// Lets decisions in from now on.
    pub fn open(&self, intake: Intake<App>) {
        self.0.get_or_init(|| intake);
    }
}

/// What an operator decides.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Decision {
    Accept,
    Refund,
    Settle,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Review {
    decision: Decision,
}

/// The routes for operators.
pub fn operators(door: ReviewDoor) -> Router {
    Router::new().route("/payments/{order_id}/review", post(review_payment)).with_state(door)
}

async fn review_payment(
    State(door): State<ReviewDoor>,
    Path(order_id): Path<Uuid>,
    context: RequestContext,
    Json(Review { decision }): Json<Review>,
) -> Result<StatusCode, Problem> {
    let soon = Duration::from_secs(1);
    let intake = door.0.get().ok_or_else(|| problem::UNAVAILABLE.problem().retry_after(soon))?;
    let command = match decision {
        Decision::Accept => Command::Accept,
        Decision::Refund => Command::Refund,
        Decision::Settle => Command::Settle,
    };
    let action = PaymentAction::Command(command);
    let decided =
        intake.submit(PaymentRequest { order_id, action, trace: Some(context.trace) }).await?;
    tracing::info!(%order_id, ?decision, taken = decided.is_ok(), "an operator decided");
    match decided {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(rejection) => Err(NOT_UNDER_REVIEW.detail(rejection.to_string())),
    }
}
