//! A long list, page by page.
//!
//! The cursor is the last SKU of the page before: what is listed meanwhile appears in its place,
//! and nothing is shown twice.

use serde::{Deserialize, Serialize};
use shared::http::{Problem, problem};
use sqlx::PgPool;
use utoipa::{IntoParams, ToSchema};

use super::problems;
use crate::{
    domain::{naming::Sku, product::Product},
    store,
};

const LIMIT_DEFAULT: u16 = 50;
const LIMIT_MAX: u16 = 200;

/// Which page.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// `next_cursor` of the page before; none for the first page.
    cursor: Option<String>,
    /// Items on a page: 1 to 200, 50 if not said.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// In the order of their SKUs.
    items: Vec<T>,
    /// Ask with this for the next page; null after the last one.
    next_cursor: Option<String>,
}

impl PageQuery {
    /// Reads the page, each row as `view` shows it.
    pub(super) async fn read<T>(
        &self,
        pool: &PgPool,
        view: impl Fn(&Sku, &Product) -> T,
    ) -> Result<Page<T>, Problem> {
        let (after, limit) = self.checked()?;
        let mut conn = pool.acquire().await.map_err(|error| Problem::unavailable(&error))?;
        // One more than is shown tells whether there is a next page.
        let rows = store::listed(&mut conn, after.as_ref(), i64::from(limit) + 1).await;
        let mut rows = rows.map_err(|fault| problems::unreadable(&fault))?;
        let more = rows.len() > usize::from(limit);
        rows.truncate(limit.into());
        let next_cursor = rows.last().filter(|_| more).map(|(sku, _)| sku.to_string());
        let items = rows.iter().map(|(sku, product)| view(sku, product)).collect();
        Ok(Page { items, next_cursor })
    }

    fn checked(&self) -> Result<(Option<Sku>, u16), Problem> {
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            let detail = format!("limit is not between 1 and {LIMIT_MAX}");
            return Err(problem::MALFORMED_REQUEST.detail(detail));
        }
        let after = self.cursor.as_deref().map(|cursor| {
            Sku::parse(cursor).ok_or_else(|| {
                problem::MALFORMED_REQUEST.detail("cursor was not given by this list")
            })
        });
        Ok((after.transpose()?, limit))
    }
}
