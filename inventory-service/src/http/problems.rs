//! Problem types of this service, in addition to those that all services share.

use axum::http::StatusCode;
use shared::http::{Problem, ProblemExample, ProblemType, problem};

use crate::domain::{product::InvalidOffer, rejection::InventoryRejection};

/// The product does not exist.
pub(super) const PRODUCT_UNKNOWN: ProblemType = ProblemType {
    code: "product-unknown",
    title: "There is no such product",
    status: StatusCode::NOT_FOUND,
    example: &ProblemExample::Detail(
        "no product has the SKU 'desk-lamb': GET /products lists those that are there",
    ),
};

/// No product can be known by this.
pub(super) const SKU_INVALID: ProblemType = ProblemType {
    code: "sku-invalid",
    title: "This cannot be a SKU",
    status: StatusCode::UNPROCESSABLE_ENTITY,
    example: &ProblemExample::Detail(
        "'desk lamp' is not 1 to 64 letters from A to Z, digits, '-', '_' and '.': choose another SKU",
    ),
};

/// More was delivered than there can be.
pub(super) const STOCK_LIMIT: ProblemType = ProblemType {
    code: "stock-limit",
    title: "There cannot be so much of a product",
    status: StatusCode::UNPROCESSABLE_ENTITY,
    example: &ProblemExample::Detail(
        "there cannot be more than 1000000000000 of a product: deliver less, or list another product",
    ),
};

#[cfg(test)]
pub(super) const ALL: &[ProblemType] = &[PRODUCT_UNKNOWN, SKU_INVALID, STOCK_LIMIT];

/// Why a command about the product of this SKU was refused.
pub(super) fn rejected(sku: &str, rejection: InventoryRejection) -> Problem {
    match rejection {
        InventoryRejection::UnknownProduct => unknown(sku),
        InventoryRejection::StockLimit => {
            STOCK_LIMIT.detail(format!("{rejection}: deliver less, or list another product"))
        }
        // Rejections of order commands, which do not come over HTTP.
        InventoryRejection::NeverReserved
        | InventoryRejection::WasRejected
        | InventoryRejection::WasFenced => Problem::internal(&rejection),
    }
}

/// No product has this SKU.
pub(super) fn unknown(sku: &str) -> Problem {
    let detail =
        format!("no product has the SKU '{sku}': GET /products lists those that are there");
    PRODUCT_UNKNOWN.detail(detail)
}

/// No product can have this SKU.
pub(super) fn not_a_sku(sku: &str) -> Problem {
    SKU_INVALID.detail(format!(
        "'{sku}' is not 1 to 64 letters from A to Z, digits, '-', '_' and '.': choose another SKU"
    ))
}

/// The problem for an offer that is not valid.
pub(super) fn invalid_offer(invalid: InvalidOffer) -> Problem {
    let pointer = match invalid {
        InvalidOffer::Name => "/name",
        InvalidOffer::Price => "/price_minor",
        InvalidOffer::Currency => "/currency",
    };
    problem::INVALID_BODY.in_parts().with_error(pointer, "out-of-range", invalid.to_string())
}
