//! What people may see of payments: read-only, and without the means of payment.

use axum::Router;
use shared::http::{Settings, finish, problem_pages};
use sqlx::PgPool;
use utoipa::{OpenApi as _, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;

mod get_payment;
mod list_payments;
mod view;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "payment-service", description = "What became of the payment of each order."),
    tags((name = "payments", description = "One payment per order."))
)]
struct Api;

fn routes() -> OpenApiRouter<PgPool> {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(get_payment::get_payment))
        .routes(routes!(list_payments::list_payments))
}

/// The description of the API, as it is committed in `openapi.json`.
pub fn document() -> OpenApi {
    routes().into_openapi()
}

/// The public API, with its description and its pages.
pub fn router(pool: PgPool, settings: &Settings) -> Router {
    let (router, api) = routes().with_state(pool).split_for_parts();
    let pages = SwaggerUi::new("/swagger-ui").url("/openapi.json", api);
    finish(router.merge(pages).merge(problem_pages(&[])), settings)
}
