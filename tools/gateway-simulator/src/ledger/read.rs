//! Queries of the ledger: one charge, pages of charges and refunds, the summary.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::ChargeLedger;
use crate::api::{
    answer::{ChargeObject, ListBody, RefundObject},
    refusal::RequestRefusal,
};

const LIMIT_DEFAULT: usize = 10;
const LIMIT_MAX: usize = 1_000;
const DUPLICATES_SHOWN_MAX: usize = 100;

/// The query of `GET /charges`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChargesQuery {
    order_id: Option<String>,
    key: Option<String>,
    limit: Option<usize>,
    starting_after: Option<String>,
}

/// The query of `GET /refunds`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefundsQuery {
    charge: Option<String>,
    limit: Option<usize>,
    starting_after: Option<String>,
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
        Ok(self.charges[*place].object.clone())
    }

    /// Charges as they stand now, newest first.
    pub(crate) fn charges(
        &self,
        query: &ChargesQuery,
    ) -> Result<ListBody<ChargeObject>, RequestRefusal> {
        let limit = checked(query.limit)?;
        let end = end_of(query.starting_after.as_deref(), &self.charge_by_id, self.charges.len())?;
        let places: Box<dyn Iterator<Item = usize>> = match (&query.key, &query.order_id) {
            (Some(key), _) => Box::new(self.kept.get(key).and_then(|kept| kept.charge).into_iter()),
            (None, Some(order_id)) => Box::new(
                self.orders.get(order_id).into_iter().flat_map(|o| o.charges.iter().rev().copied()),
            ),
            (None, None) => Box::new((0..end).rev()),
        };
        let wanted = |place: &usize| {
            let order = &self.charges[*place].object.metadata.order_id;
            *place < end && query.order_id.as_ref().is_none_or(|order_id| order_id == order)
        };
        Ok(list(places.filter(wanted).map(|place| self.charges[place].object.clone()), limit))
    }

    /// Refunds, of one charge or of all, newest first.
    pub(crate) fn refunds(
        &self,
        query: &RefundsQuery,
    ) -> Result<ListBody<RefundObject>, RequestRefusal> {
        let limit = checked(query.limit)?;
        let end = end_of(query.starting_after.as_deref(), &self.refund_by_id, self.refunds.len())?;
        let places: Box<dyn Iterator<Item = usize>> = match &query.charge {
            None => Box::new((0..end).rev()),
            Some(id) => {
                let place = self.charge_by_id.get(id);
                let place = *place.ok_or(RequestRefusal::NotFound("No such charge."))?;
                Box::new(self.charges[place].refunds.iter().rev().copied())
            }
        };
        let wanted = places.filter(|place| *place < end);
        Ok(list(wanted.map(|place| self.refunds[place].clone()), limit))
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
}

/// How many objects are wanted.
fn checked(limit: Option<usize>) -> Result<usize, RequestRefusal> {
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(RequestRefusal::Invalid(format!("limit must be from 1 to {LIMIT_MAX}")))
}

/// Where the page begins, counted from the oldest of `count`: everything on it is older.
fn end_of(
    starting_after: Option<&str>,
    places: &HashMap<String, usize>,
    count: usize,
) -> Result<usize, RequestRefusal> {
    let Some(id) = starting_after else { return Ok(count) };
    let unknown = || RequestRefusal::Invalid("starting_after is not on this list".to_owned());
    places.get(id).copied().ok_or_else(unknown)
}

fn list<T>(mut objects: impl Iterator<Item = T>, limit: usize) -> ListBody<T> {
    let data = objects.by_ref().take(limit).collect();
    ListBody { object: "list", data, has_more: objects.next().is_some() }
}
