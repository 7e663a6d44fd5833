//! The REST API to read and change products and stock.
//!
//! Reads query the database directly. Changes go through [`commands`](crate::commands), so that
//! many callers share one transaction.

use axum::Router;
use shared::{
    batcher::CommandBatcher,
    http::{ApiPages, OwnProblems, ProblemPage, api_routes, describe},
};
use sqlx::PgPool;
use utoipa::{OpenApi as _, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::commands::ChangeProducts;

mod get_product;
mod get_stock;
mod list_products;
mod list_stock;
mod paging;
mod problems;
mod put_product;
mod restock;
pub(crate) mod view;

/// State that the endpoints share.
#[derive(Clone, Debug)]
pub struct InventoryApi {
    /// The batcher for commands.
    pub batcher: CommandBatcher<ChangeProducts>,
    /// The database pool for reads.
    pub pool: PgPool,
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "inventory-service", description = "Products and their stock."),
    tags(
        (name = "products", description = "What the shop offers"),
        (name = "stock", description = "How much of it there is"),
    ),
)]
struct ApiDocument;

fn described() -> OpenApiRouter<InventoryApi> {
    OpenApiRouter::with_openapi(ApiDocument::openapi())
        .routes(routes!(list_products::list_products))
        .routes(routes!(get_product::get_product, put_product::put_product))
        .routes(routes!(restock::restock))
        .routes(routes!(list_stock::list_stock))
        .routes(routes!(get_stock::get_stock))
}

/// The endpoints, their description under `/openapi.json`, Swagger UI under `/swagger-ui`, and the
/// pages behind problem types.
pub fn routes(api: InventoryApi) -> Router {
    let (router, description) = described().with_state(api).split_for_parts();
    api_routes(router, ApiPages { document: describe(description, OWN), problems: PAGES })
}

/// The description of the API: what `openapi.json` holds.
pub fn document() -> OpenApi {
    describe(described().into_openapi(), OWN)
}

/// The problems that only this service answers, by operation.
const OWN: &OwnProblems = &[
    ("get_product", &[problems::PRODUCT_UNKNOWN]),
    ("get_stock", &[problems::PRODUCT_UNKNOWN]),
    ("put_product", &[problems::SKU_INVALID]),
    ("restock", &[problems::PRODUCT_UNKNOWN, problems::STOCK_LIMIT]),
];

/// The pages of this service's own problems.
const PAGES: &[ProblemPage] = shared::pages!["product-unknown", "sku-invalid", "stock-limit"];

#[cfg(test)]
mod tests {
    use shared::http::has_pages;

    use super::*;

    #[test]
    fn each_problem_has_its_page() {
        assert_eq!(has_pages(problems::ALL, PAGES), Ok(()));
        assert_eq!(PAGES.len(), problems::ALL.len());
    }
}
