//! The REST API of notices: read-only, and without the contact.

use axum::Router;
use shared::http::{ApiPages, HttpSettings, api_routes, describe, finish};
use sqlx::PgPool;
use utoipa::{OpenApi as _, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

mod get_notifications;
mod view;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "notify-service", description = "What the customer of each order was told."),
    tags((name = "notifications", description = "At most one of each kind per order."))
)]
struct ApiDocument;

fn routes() -> OpenApiRouter<PgPool> {
    OpenApiRouter::with_openapi(ApiDocument::openapi())
        .routes(routes!(get_notifications::get_notifications))
}

/// The description of the API, as it is committed in `openapi.json`.
pub fn document() -> OpenApi {
    describe(routes().into_openapi(), &[])
}

/// The public API, with its description and its pages.
pub fn router(pool: PgPool, settings: &HttpSettings) -> Router {
    let (router, description) = routes().with_state(pool).split_for_parts();
    let pages = ApiPages { document: describe(description, &[]), problems: &[] };
    finish(api_routes(router, pages), settings)
}
