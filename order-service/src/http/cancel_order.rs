//! `POST /orders/{order_id}/cancel`

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use shared::http::{Json, Path, Problem, ProblemDocument, RequestContext};
use uuid::Uuid;

use super::{Api, cancelling::Unwanted, problem::rejected, view::Standing};

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
        (status = 202, description = "It is cancelled.", body = Standing, headers(
            ("Location" = String, description = "Where the order is."),
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
    State(api): State<Api>,
    context: RequestContext,
    Path(order_id): Path<Uuid>,
) -> Result<Response, Problem> {
    let unwanted = Unwanted { order_id, trace: context.trace };
    let order = api.cancelling.submit(unwanted).await?.map_err(|it| rejected(&it))?;
    let location = [(header::LOCATION, format!("/orders/{order_id}"))];
    Ok((StatusCode::ACCEPTED, location, Json(Standing::of(order_id, &order))).into_response())
}
