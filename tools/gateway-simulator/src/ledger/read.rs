//! Queries of the ledger: one charge, pages of charges and refunds, the summary.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ChargeLedger, LedgerRefund};
use crate::api::{
    answer::{ChargeObject, ListBody, RefundObject},
    refusal::RequestRefusal,
};

const LIMIT_DEFAULT: usize = 10;
const LIMIT_MAX: usize = 1_000;
const DUPLICATES_SHOWN_MAX: usize = 100;

/// Which part of a list.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct PageRange {
    pub(crate) limit: Option<usize>,
    pub(crate) starting_after: Option<String>,
}

impl PageRange {
    fn limit(&self) -> Result<usize, RequestRefusal> {
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        if (1..=LIMIT_MAX).contains(&limit) {
            return Ok(limit);
        }
        Err(RequestRefusal::Invalid(format!("limit must be from 1 to {LIMIT_MAX}")))
    }
}

#[derive(Debug, Default)]
pub(crate) struct ChargeFilter {
    pub(crate) order_id: Option<String>,
    pub(crate) key: Option<String>,
}

/// Counts for the checks of tests and tools.
#[derive(Debug, Serialize)]
pub(crate) struct LedgerSummary {
    charges: usize,
    declined: usize,
    refunds: usize,
    attempts: usize,
    in_progress: usize,
    orders: usize,
    charged_amount: BTreeMap<String, u64>,
    refunded_amount: BTreeMap<String, u64>,
    net_amount: BTreeMap<String, u64>,
    duplicates: DuplicateCharges,
}

/// Orders with more than one charge that still holds money.
#[derive(Debug, Serialize)]
struct DuplicateCharges {
    count: usize,
    order_ids: Vec<String>,
}

impl ChargeLedger {
    /// One charge as it stands now.
    pub(crate) fn charge(&self, id: &str) -> Result<ChargeObject, RequestRefusal> {
        let place = self.charge_by_id.get(id).ok_or(RequestRefusal::NotFound("No such charge."))?;
        Ok(self.charges[*place].object())
    }

    /// Charges as they stand now, newest first.
    pub(crate) fn charges(
        &self,
        filter: &ChargeFilter,
        page: &PageRange,
    ) -> Result<ListBody<ChargeObject>, RequestRefusal> {
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
        page: &PageRange,
    ) -> Result<ListBody<RefundObject>, RequestRefusal> {
        let (limit, end) = (page.limit()?, self.end_of(page, Self::refund_place)?);
        let end = end.unwrap_or(self.refunds.len());
        let places: Box<dyn Iterator<Item = usize>> = match charge {
            None => Box::new((0..end).rev()),
            Some(id) => {
                let place =
                    self.charge_place(id).ok_or(RequestRefusal::NotFound("No such charge."))?;
                Box::new(self.charges[place].refunds.iter().rev().copied())
            }
        };
        let objects =
            places.filter(|place| *place < end).map(|place| self.refund(&self.refunds[place]));
        Ok(list(objects, limit))
    }

    pub(crate) fn summary(&self) -> LedgerSummary {
        let refunded = |currency: &str| self.refunded.get(currency).copied().unwrap_or(0);
        let net = |(currency, sum): (&String, &u64)| (currency.clone(), sum - refunded(currency));
        LedgerSummary {
            charges: self.charges.len(),
            declined: self.declined,
            refunds: self.refunds.len(),
            attempts: self.attempts,
            in_progress: self.held.len(),
            orders: self.orders.len(),
            charged_amount: self.charged.clone(),
            refunded_amount: self.refunded.clone(),
            net_amount: self.charged.iter().map(net).collect(),
            duplicates: DuplicateCharges {
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
        page: &PageRange,
        place: fn(&Self, &str) -> Option<usize>,
    ) -> Result<Option<usize>, RequestRefusal> {
        let Some(id) = &page.starting_after else { return Ok(None) };
        let unknown = || RequestRefusal::Invalid("starting_after is not on this list".to_owned());
        place(self, id).map(Some).ok_or_else(unknown)
    }

    fn refund(&self, refund: &LedgerRefund) -> RefundObject {
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

fn list<T>(mut objects: impl Iterator<Item = T>, limit: usize) -> ListBody<T> {
    let data = objects.by_ref().take(limit).collect();
    ListBody { object: "list", data, has_more: objects.next().is_some() }
}
