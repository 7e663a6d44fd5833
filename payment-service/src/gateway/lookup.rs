//! Lookups in the gateway's lists, without an idempotency key: the charges of an order, the refunds
//! of a charge.
//!
//! **Architecture invariant:** a list can show that money moved, never that it did not: the list
//! may lag, be truncated, or belong to another account. Entries of another order are ignored,
//! whatever the query was.

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use shared::{
    fault,
    jobs::{AttemptFailure, ClaimedJob},
};

use super::{GatewayClient, answer::ReplyVerdict};
use crate::domain::payment::{Currency, GatewayCharge, Money};

/// The gateway's list for an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupResult {
    /// One charge that was made.
    Charged(GatewayCharge),
    /// One charge, and it was not made: the bank said no.
    Declined,
    /// Nothing, more than one, or one that has not ended.
    Unclear,
}

/// A job's attempts before this one are given for the name of a refund that was made before. A
/// refund may not have fewer attempts: its last one would end in a dead job, though the money is
/// back.
pub const NAMED_WITHIN: u32 = 3;

/// Stands where the name of a refund would that the gateway says was made and does not list.
const UNLISTED: &str = "unlisted";

/// Statuses for an API key that may charge but not list, until its rights change.
const MAY_NOT_LIST: [StatusCode; 2] = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];

/// Statuses of a gateway, or of a proxy in front of it, that has no such list.
const NO_SUCH_LIST: [StatusCode; 5] = [
    StatusCode::BAD_REQUEST,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::GONE,
    StatusCode::NOT_IMPLEMENTED,
];

/// An order has one charge; a second one on the list is one too many.
const LOOKED_AT: &str = "10";

#[derive(Deserialize)]
struct ChargePage<T> {
    data: Vec<T>,
}

#[derive(Deserialize)]
struct ListedCharge {
    id: String,
    amount: i64,
    currency: String,
    status: String,
    #[serde(default)]
    metadata: ListedMetadata,
}

#[derive(Default, Deserialize)]
struct ListedMetadata {
    order_id: Option<String>,
}

#[derive(Deserialize)]
struct ListedRefund {
    id: String,
}

impl GatewayClient {
    /// The list entries for the order of this job.
    pub(crate) async fn look_up(&self, job: &ClaimedJob) -> Result<LookupResult, AttemptFailure> {
        let query = [("order_id", job.key.as_str()), ("limit", LOOKED_AT)];
        let listed: Option<ChargePage<ListedCharge>> = self.list("charges", job, query).await?;
        let charges = listed.map(|charge_page| charge_page.data).unwrap_or_default();
        Ok(judge(&job.key, charges))
    }

    /// The gateway's name for the refund of this charge, which was made. That is known without the
    /// list: a list that stays away costs the refund its name, and is no failure.
    pub(super) async fn look_up_refund(
        &self,
        job: &ClaimedJob,
        charge_id: &str,
    ) -> Result<String, AttemptFailure> {
        let query = [("charge", charge_id), ("limit", "1")];
        let listed: Option<ChargePage<ListedRefund>> = match self.list("refunds", job, query).await
        {
            Ok(listed) => listed,
            Err(failure) if i64::from(job.attempt) < i64::from(NAMED_WITHIN) => {
                return Err(failure);
            }
            Err(failure) => {
                let (order_id, error) = (&job.key, fault::chain(&failure));
                tracing::warn!(order_id, charge_id, error, "a refund is known without its name");
                None
            }
        };
        let first = listed.and_then(|page| page.data.into_iter().next());
        Ok(first.map_or_else(|| UNLISTED.to_owned(), |listed_refund| listed_refund.id))
    }

    /// A list; none if the gateway has no such list.
    async fn list<T: for<'r> Deserialize<'r>>(
        &self,
        path: &'static str,
        job: &ClaimedJob,
        query: [(&str, &str); 2],
    ) -> Result<Option<T>, AttemptFailure> {
        let with = |request: reqwest::RequestBuilder| request.query(&query);
        let reply = self.call(Method::GET, path, job, with).await?;
        match reply.verdict() {
            // What is no list says nothing, like a list that is not there or that we may not see: a
            // person decides in the end, instead of nobody.
            ReplyVerdict::Done => Ok(reply.read().ok()),
            ReplyVerdict::Never | ReplyVerdict::Declined | ReplyVerdict::KeyReused => Ok(None),
            ReplyVerdict::NotNow if MAY_NOT_LIST.contains(&reply.status()) => Ok(None),
            ReplyVerdict::NotNow => Err(reply.not_now()),
            // Even if a proxy says so: asked again, the list would not be there either.
            ReplyVerdict::Open if NO_SUCH_LIST.contains(&reply.status()) => Ok(None),
            ReplyVerdict::Open => Err(reply.open()),
        }
    }
}

/// The meaning of the list for an order.
fn judge(order_id: &str, charges: Vec<ListedCharge>) -> LookupResult {
    let is_ours = |charge: &ListedCharge| charge.metadata.order_id.as_deref() == Some(order_id);
    let mut ours = charges.into_iter().filter(is_ours);
    let (Some(one), None) = (ours.next(), ours.next()) else { return LookupResult::Unclear };
    match (one.status.as_str(), Currency::parse(&one.currency)) {
        ("succeeded", Some(currency)) => {
            let amount = Money { minor: one.amount, currency };
            LookupResult::Charged(GatewayCharge { id: one.id, amount })
        }
        ("failed", _) => LookupResult::Declined,
        _ => LookupResult::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn charge(order: &str, status: &str) -> Value {
        json!({ "id": "ch_1", "amount": 42, "currency": "eur", "status": status,
            "metadata": { "order_id": order } })
    }

    fn judged(charges: &[Value]) -> LookupResult {
        let charges = charges.iter().cloned();
        judge("order-1", charges.map(|value| serde_json::from_value(value).unwrap()).collect())
    }

    #[test]
    fn one_charge_of_the_order_is_the_charge() {
        let found = judged(&[charge("order-2", "succeeded"), charge("order-1", "succeeded")]);
        let LookupResult::Charged(GatewayCharge { id, amount }) = found else {
            panic!("{found:?}")
        };
        assert_eq!((id.as_str(), amount.minor, amount.currency.as_str()), ("ch_1", 42, "EUR"));
        assert_eq!(judged(&[charge("order-1", "failed")]), LookupResult::Declined);
    }

    #[test]
    fn no_charge_two_charges_and_those_of_others_say_nothing() {
        let ours = charge("order-1", "succeeded");
        let unmarked =
            json!({ "id": "ch_1", "amount": 42, "currency": "EUR", "status": "succeeded" });
        for charges in
            [vec![], vec![charge("order-2", "succeeded")], vec![unmarked], vec![ours.clone(), ours]]
        {
            assert_eq!(judged(&charges), LookupResult::Unclear, "{charges:?}");
        }
    }

    #[test]
    fn a_charge_that_is_being_made_says_nothing_yet() {
        assert_eq!(judged(&[charge("order-1", "pending")]), LookupResult::Unclear);
    }
}
