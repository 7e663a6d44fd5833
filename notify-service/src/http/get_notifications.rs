//! `GET /notifications/{order_id}`

use axum::extract::State;
use shared::{
    fault::Fault,
    http::{Json, Path, Problem, ProblemDocument, problem},
};
use sqlx::PgPool;
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
    Path(order_id): Path<Uuid>,
) -> Result<Json<CorrespondenceView>, Problem> {
    let found = async { store::read(&mut *pool.acquire().await?, order_id).await };
    let known = found.await.map_err(|fault: Fault| match fault {
        Fault::Transient(error) => Problem::unavailable(&*error),
        Fault::Poison(error) => Problem::internal(&*error),
    })?;
    let unknown = || problem::NOT_FOUND.detail("nothing has been heard of such an order");
    known.map(|it| Json(CorrespondenceView::of(order_id, &it))).ok_or_else(unknown)
}
