//! Pages of products: `next_cursor` is the last SKU of the page.

use serde::Deserialize;
use shared::http::{ListPage, PageLimit, Problem, look_up, problem};
use sqlx::{PgConnection, PgPool};
use utoipa::IntoParams;

use crate::{
    domain::{naming::Sku, product::Product},
    store,
};

/// The page to show: its start and its length.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// `next_cursor` of the page before; none for the first page.
    #[param(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    cursor: Option<String>,
    /// Items on a page.
    #[param(inline)]
    limit: Option<PageLimit>,
}

impl PageQuery {
    /// Reads the page, each row as `view` shows it.
    pub(super) async fn read<T>(
        &self,
        pool: &PgPool,
        view: impl Fn(&Sku, &Product) -> T,
    ) -> Result<ListPage<T>, Problem> {
        let limit = self.limit.unwrap_or_default();
        let after = self.cursor.as_deref().map(|cursor| {
            let unknown = || {
                problem::MALFORMED_REQUEST
                    .detail("cursor: is not the next_cursor of a page of this list")
            };
            Sku::parse(cursor).ok_or_else(unknown)
        });
        let after = after.transpose()?;
        let look =
            async |conn: &mut PgConnection| store::listed(conn, after.as_ref(), limit.rows()).await;
        let rows = look_up(pool, look).await?;
        Ok(ListPage::of(
            rows,
            limit,
            |(sku, _)| sku.to_string(),
            |(sku, product)| view(&sku, &product),
        ))
    }
}
