//! Paging of long lists by cursor.
//!
//! The cursor is the last item of the previous page: an item added meanwhile appears in its place,
//! and no item is shown twice.
#![expect(unused_qualifications, reason = "utoipa's macro writes paths to the page's type")]

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

/// Items on a page: 1 to 200; 50 if the caller does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct PageLimit(u16);

/// A number of items that no page has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not between 1 and {max}", max = PageLimit::MAX)]
pub struct BadPageLimit(i64);

impl PageLimit {
    const DEFAULT: u16 = 50;
    const MAX: u16 = 200;

    /// Items to be shown, at most.
    pub fn items(self) -> i64 {
        i64::from(self.0)
    }

    /// Rows to be read: one more than is shown tells whether there is a next page.
    pub fn rows(self) -> i64 {
        i64::from(self.0) + 1
    }
}

impl Default for PageLimit {
    fn default() -> Self {
        Self(Self::DEFAULT)
    }
}

impl TryFrom<i64> for PageLimit {
    type Error = BadPageLimit;

    fn try_from(n: i64) -> Result<Self, BadPageLimit> {
        let limit = u16::try_from(n).ok().filter(|limit| (1..=Self::MAX).contains(limit));
        limit.map(Self).ok_or(BadPageLimit(n))
    }
}

impl PartialSchema for PageLimit {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(Self::MAX))
            .default(Some(Self::DEFAULT.into()))
            .into()
    }
}

impl ToSchema for PageLimit {
    fn name() -> Cow<'static, str> {
        "PageLimit".into()
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Page)]
pub struct ListPage<T> {
    /// What is on it, in the list's order.
    items: Vec<T>,
    /// Ask with this as `cursor` for the next page; null after the last one.
    next_cursor: Option<String>,
}

impl<T> ListPage<T> {
    /// A page of rows, of which one more was read than is shown, if there is one.
    pub fn of<R>(
        mut rows: Vec<R>,
        limit: PageLimit,
        cursor: impl Fn(&R) -> String,
        view: impl Fn(R) -> T,
    ) -> Self {
        let more = rows.len() > usize::from(limit.0);
        rows.truncate(limit.0.into());
        let next_cursor = rows.last().filter(|_| more).map(cursor);
        Self { items: rows.into_iter().map(view).collect(), next_cursor }
    }
}

impl<T> ListPage<Option<T>> {
    /// The same page without rows of which nothing can be shown.
    pub fn flatten(self) -> ListPage<T> {
        let Self { items, next_cursor } = self;
        ListPage { items: items.into_iter().flatten().collect(), next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A page of the numbers after `cursor` below `n`.
    fn page(n: u16, cursor: Option<u16>, limit: PageLimit) -> ListPage<u16> {
        let first = cursor.map_or(0, |n| n + 1);
        let rows: Vec<u16> = (first..n).take(usize::try_from(limit.rows()).unwrap()).collect();
        ListPage::of(rows, limit, ToString::to_string, |n| n)
    }

    proptest! {
        #[test]
        fn pages_hold_each_item_once_and_the_last_one_says_so(n in 0..500_u16, limit in 1..=200_u16) {
            let limit = PageLimit::try_from(i64::from(limit)).unwrap();
            let (mut seen, mut pages, mut cursor) = (vec![], 0, None);
            loop {
                let ListPage { items, next_cursor } = page(n, cursor, limit);
                prop_assert!(items.len() <= usize::from(limit.0));
                prop_assert!(pages == 0 || !items.is_empty(), "no page is asked for in vain");
                seen.extend(items);
                pages += 1;
                let Some(next) = next_cursor else { break };
                cursor = Some(next.parse().unwrap());
            }
            prop_assert_eq!(seen, (0..n).collect::<Vec<_>>());
        }

        #[test]
        fn only_a_number_of_items_that_a_page_can_have_is_a_limit(n in -300..300_i64) {
            prop_assert_eq!(PageLimit::try_from(n).is_ok(), (1..=200).contains(&n));
        }
    }
}
