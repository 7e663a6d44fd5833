//! Problem types of this service, in addition to those that all services share.

use axum::http::StatusCode;
use shared::http::{Problem, ProblemType, problem};

use crate::domain::{product::InvalidOffer, rejection::InventoryRejection};

/// The product does not exist.
pub(super) const PRODUCT_UNKNOWN: ProblemType = ProblemType {
    code: "product-unknown",
    title: "There is no such product",
    status: StatusCode::NOT_FOUND,
};

/// No product can be known by this.
pub(super) const SKU_INVALID: ProblemType = ProblemType {
    code: "sku-invalid",
    title: "This cannot be a SKU",
    status: StatusCode::UNPROCESSABLE_ENTITY,
};

/// More was delivered than there can be.
pub(super) const STOCK_LIMIT: ProblemType = ProblemType {
    code: "stock-limit",
    title: "There cannot be so much of a product",
    status: StatusCode::UNPROCESSABLE_ENTITY,
};

#[cfg(test)]
pub(super) const ALL: &[ProblemType] = &[PRODUCT_UNKNOWN, SKU_INVALID, STOCK_LIMIT];

/// Why a command was refused.
pub(super) fn rejected(rejection: InventoryRejection) -> Problem {
    match rejection {
        InventoryRejection::UnknownProduct => PRODUCT_UNKNOWN.problem(),
        InventoryRejection::StockLimit => STOCK_LIMIT.detail(rejection.to_string()),
        // Rejections of order commands, which do not come over HTTP.
        InventoryRejection::NeverReserved
        | InventoryRejection::WasRejected
        | InventoryRejection::WasFenced => Problem::internal(&rejection),
    }
}

/// The problem for an offer that is not valid.
pub(super) fn invalid_offer(invalid: InvalidOffer) -> Problem {
    let pointer = match invalid {
        InvalidOffer::Name => "/name",
        InvalidOffer::Price => "/price_minor",
        InvalidOffer::Currency => "/currency",
    };
    problem::INVALID_BODY.problem().with_error(pointer, "out-of-range", invalid.to_string())
}
