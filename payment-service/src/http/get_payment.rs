//! `GET /payments/{order_id}`

use axum::extract::State;
use shared::http::{JsonBody, PathParams, Problem, ProblemDocument, look_up, problem};
use sqlx::PgPool;
use uuid::Uuid;

use super::view::PaymentView;
use crate::store;

/// What became of the payment of an order.
#[utoipa::path(
    get,
    path = "/payments/{order_id}",
    tag = "payments",
    params(("order_id" = Uuid, Path, description = "The order.")),
    responses(
        (status = 200, description = "The payment.", body = PaymentView),
        (status = 400, description = "That is no order id.", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 404, description = "Nothing has been heard of such an order.",
            body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The database is out of reach.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get_payment(
    State(pool): State<PgPool>,
    PathParams(order_id): PathParams<Uuid>,
) -> Result<JsonBody<PaymentView>, Problem> {
    let shown = look_up(&pool, async |conn| store::find(conn, order_id).await).await?;
    let view = shown.as_ref().and_then(PaymentView::of);
    let unknown = || {
        problem::NOT_FOUND.detail(format!(
            "nothing has been heard of the order {order_id}: an order that was just placed is known \
             here a moment later"
        ))
    };
    view.map(JsonBody).ok_or_else(unknown)
}
