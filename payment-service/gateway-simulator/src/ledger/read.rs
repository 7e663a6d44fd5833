//! What can be read in the ledger: one charge, pages of charges and refunds, the summary.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Ledger, Refund};
use crate::api::{
    answer::{ChargeObject, List, RefundObject},
    refusal::Refusal,
};

const LIMIT_DEFAULT: usize = 10;
const LIMIT_MAX: usize = 1_000;
const DUPLICATES_SHOWN_MAX: usize = 100;

/// Which part of a list.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Page {
    pub(crate) limit: Option<usize>,
    pub(crate) starting_after: Option<String>,
}

impl Page {
    fn limit(&self) -> Result<usize, Refusal> {
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        if (1..=LIMIT_MAX).contains(&limit) {
            return Ok(limit);
        }
        Err(Refusal::Invalid(format!("limit must be from 1 to {LIMIT_MAX}")))
    }
}

/// Which charges.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) order_id: Option<String>,
    pub(crate) key: Option<String>,
}

/// Counts for the checks of tests and tools.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    charges: usize,
    declined: usize,
    refunds: usize,
    attempts: usize,
    in_progress: usize,
    orders: usize,
    charged_amount: BTreeMap<String, u64>,
    refunded_amount: BTreeMap<String, u64>,
    net_amount: BTreeMap<String, u64>,
    duplicates: Duplicates,
}

/// Orders with more than one charge that still holds money.
#[derive(Debug, Serialize)]
struct Duplicates {
    count: usize,
    /// The first hundred.
    order_ids: Vec<String>,
}

impl Ledger {
    /// One charge as it stands now.
    pub(crate) fn charge(&self, id: &str) -> Result<ChargeObject, Refusal> {
        let place = self.charge_by_id.get(id).ok_or(Refusal::NotFound("No such charge."))?;
        Ok(self.charges[*place].object())
    }

    /// Charges as they stand now, newest first.
    pub(crate) fn charges(
        &self,
        filter: &Filter,
        page: &Page,
    ) -> Result<List<ChargeObject>, Refusal> {
        let (limit, end) = (page.limit()?, self.end_of(page, Self::charge_place)?);
        let end = end.unwrap_or(self.charges.len());
        let places: Box<dyn Iterator<Item = usize>> = match (&filter.key, &filter.order_id) {
            (Some(key), _) => Box::new(self.kept.get(key).and_then(|kept| kept.charge).into_iter()),
            (None, Some(order_id)) => Box::new(
                self.orders.get(order_id).into_iter().flat_map(|o| o.charges.iter().rev().copied()),
            ),
            (None, None) => Box::new((0..end).rev()),
        };
        let wanted = |place: &usize| {
            let charge = &self.charges[*place];
            *place < end
                && filter.order_id.as_ref().is_none_or(|order_id| *order_id == charge.order_id)
        };
        Ok(list(places.filter(wanted).map(|place| self.charges[place].object()), limit))
    }

    /// Refunds, of one charge or of all, newest first.
    pub(crate) fn refunds(
        &self,
        charge: Option<&str>,
        page: &Page,
    ) -> Result<List<RefundObject>, Refusal> {
        let (limit, end) = (page.limit()?, self.end_of(page, Self::refund_place)?);
        let end = end.unwrap_or(self.refunds.len());
        let places: Box<dyn Iterator<Item = usize>> = match charge {
            None => Box::new((0..end).rev()),
            Some(id) => {
                let place = self.charge_place(id).ok_or(Refusal::NotFound("No such charge."))?;
                Box::new(self.charges[place].refunds.iter().rev().copied())
            }
        };
        let objects =
            places.filter(|place| *place < end).map(|place| self.refund(&self.refunds[place]));
        Ok(list(objects, limit))
    }

    /// The counts.
    pub(crate) fn summary(&self) -> Summary {
        let refunded = |currency: &str| self.refunded.get(currency).copied().unwrap_or(0);
        let net = |(currency, sum): (&String, &u64)| (currency.clone(), sum - refunded(currency));
        Summary {
            charges: self.charges.len(),
            declined: self.declined,
            refunds: self.refunds.len(),
            attempts: self.attempts,
            in_progress: self.held.len(),
            orders: self.orders.len(),
            charged_amount: self.charged.clone(),
            refunded_amount: self.refunded.clone(),
            net_amount: self.charged.iter().map(net).collect(),
            duplicates: Duplicates {
                count: self.duplicates.len(),
                order_ids: self.duplicates.iter().take(DUPLICATES_SHOWN_MAX).cloned().collect(),
            },
        }
    }

    fn charge_place(&self, id: &str) -> Option<usize> {
        self.charge_by_id.get(id).copied()
    }

    fn refund_place(&self, id: &str) -> Option<usize> {
        self.refund_by_id.get(id).copied()
    }

    /// Where the page begins, counted from the oldest: everything on it is older.
    fn end_of(
        &self,
        page: &Page,
        place: fn(&Self, &str) -> Option<usize>,
    ) -> Result<Option<usize>, Refusal> {
        let Some(id) = &page.starting_after else { return Ok(None) };
        let unknown = || Refusal::Invalid("starting_after is not on this list".to_owned());
        place(self, id).map(Some).ok_or_else(unknown)
    }

    fn refund(&self, refund: &Refund) -> RefundObject {
        let charge = &self.charges[refund.charge];
        RefundObject {
            id: refund.id.clone(),
            object: "refund",
            charge: charge.id.clone(),
            amount: refund.amount,
            currency: charge.currency.clone(),
            status: "succeeded",
            created: refund.created,
        }
    }
}

fn list<T>(mut objects: impl Iterator<Item = T>, limit: usize) -> List<T> {
    let data = objects.by_ref().take(limit).collect();
    List { object: "list", data, has_more: objects.next().is_some() }
}
