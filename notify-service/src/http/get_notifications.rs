//! `GET /notifications/{order_id}`

use axum::extract::State;
use shared::http::{JsonBody, PathParams, Problem, ProblemDocument, look_up, problem};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::view::CorrespondenceView;
use crate::store;

/// What the customer of an order was told, and what is still to be told.
#[utoipa::path(
    get,
    path = "/notifications/{order_id}",
    tag = "notifications",
    params(("order_id" = Uuid, Path, description = "The order.")),
    responses(
        (status = 200, description = "Its notices.", body = CorrespondenceView),
        (status = 400, description = "That is no order id.", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 404, description = "Nothing has been heard of such an order.",
            body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The database is out of reach.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get_notifications(
    State(pool): State<PgPool>,
    PathParams(order_id): PathParams<Uuid>,
) -> Result<JsonBody<CorrespondenceView>, Problem> {
    let look = async |conn: &mut PgConnection| store::read(conn, order_id).await;
    let known = look_up(&pool, look).await?;
    let unknown = || {
        problem::NOT_FOUND.detail(format!(
            "nothing has been heard of the order {order_id}: an order that was just placed is known \
             here a moment later"
        ))
    };
    known
        .map(|correspondence| JsonBody(CorrespondenceView::of(order_id, &correspondence)))
        .ok_or_else(unknown)
}
