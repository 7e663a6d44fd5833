//! `POST /orders/{order_id}/cancel`

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use shared::http::{JsonBody, PathParams, Problem, ProblemDocument, RequestContext};
use uuid::Uuid;

use super::{OrderApi, problem::rejected, view::OrderStanding};
use crate::commands::CancelOrder;

/// The order of the examples.
const ORDER: &str = "01a20fcc-a92c-76ef-87b5-a07309aa9900";

/// Cancels an order.
///
/// A pending order is cancelled; so is a confirmed one, while the window for that lasts. What was
/// charged is given back and what was held is let go behind this answer. Asking again gets the same
/// answer, as does asking for an order that was cancelled for another reason.
#[utoipa::path(
    post,
    path = "/orders/{order_id}/cancel",
    tag = "orders",
    params(("order_id" = Uuid, Path, description = "The order.")),
    responses(
        (status = 202, description = "It is cancelled. What comes of that is under `Location`.",
            body = OrderStanding, headers(
                ("Location" = String, description = "Where the order is."),
            ),
            examples(
                ("by you" = (summary = "It was pending or confirmed: charged or not, it is given up",
                    value = json!({ "id": ORDER, "status": "cancelled", "reason": "requested" }))),
                ("before you" = (summary = "It had been cancelled for another reason",
                    value = json!({ "id": ORDER, "status": "cancelled", "reason": "out-of-stock" }))),
            )),
        (status = 400, description = "That is no order id.", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such order.", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 409, description = "It was confirmed too long ago; or something else happens to it at this moment: ask again.",
            body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Not now: ask again after `Retry-After`.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn cancel_order(
    State(api): State<OrderApi>,
    context: RequestContext,
    PathParams(order_id): PathParams<Uuid>,
) -> Result<Response, Problem> {
    let order = CancelOrder { order_id, trace: context.trace };
    let order =
        api.cancel.submit(order).await?.map_err(|rejection| rejected(order_id, &rejection))?;
    let location = [(header::LOCATION, format!("/orders/{order_id}"))];
    Ok((StatusCode::ACCEPTED, location, JsonBody(OrderStanding::of(order_id, &order)))
        .into_response())
}
