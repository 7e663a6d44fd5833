//! The ledger: all charges, and the answer of each key.
//!
//! Pure: no file, no clock, no lock. [`ChargeLedger::decide`] returns the record of a request and
//! changes nothing; [`ChargeLedger::apply`] applies a record. Replay uses the same function.
//!
//! **Architecture invariant:** the ledger is a function of its records. A key that has a record
//! has that answer until all keys are forgotten; a request that never had one was not executed.

mod read;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    api::{
        ApiRequest, CardToken, ChargeRequest, RefundRequest,
        answer::{self, ApiAnswer, ChargeObject, RefundObject},
        refusal::{self, RequestRefusal},
    },
    journal::{ChargedRecord, DeclinedRecord, JournalRecord, RefundedRecord},
};

pub(crate) use read::{ChargesQuery, RefundsQuery};

/// A charge and what became of it.
#[derive(Debug)]
struct LedgerCharge {
    object: ChargeObject,
    disputed: bool,
    /// Places in `refunds`, rising.
    refunds: Vec<usize>,
}

/// The effect of a key, and its stored answer.
#[derive(Debug)]
struct KeyRecord {
    request: ApiRequest,
    answer: ApiAnswer,
    charge: Option<usize>,
}

#[derive(Debug, Default)]
struct OrderCharges {
    /// Places in `charges`, rising.
    charges: Vec<usize>,
    /// The number of charges that still hold money.
    unrefunded: usize,
}

/// The state of a key for a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum KeyStanding {
    Fresh,
    /// Executed: this is its answer.
    Kept(ApiAnswer),
    /// Not to be executed.
    Refused(RequestRefusal),
}

/// The book. Charges and refunds stand in the order in which they were executed.
#[derive(Debug, Default)]
pub(crate) struct ChargeLedger {
    gateway: String,
    charges: Vec<LedgerCharge>,
    refunds: Vec<RefundObject>,
    charge_by_id: HashMap<String, usize>,
    refund_by_id: HashMap<String, usize>,
    orders: HashMap<String, OrderCharges>,
    /// Orders with more than one charge that still holds money.
    duplicates: BTreeSet<String>,
    kept: HashMap<String, KeyRecord>,
    held: HashMap<String, ApiRequest>,
    charged: BTreeMap<String, u64>,
    refunded: BTreeMap<String, u64>,
    declined: usize,
    attempts: usize,
}

impl ChargeLedger {
    /// The state of `key` for `request`.
    pub(crate) fn standing(&self, key: &str, request: &ApiRequest) -> KeyStanding {
        if let Some(kept) = self.kept.get(key) {
            if kept.request == *request {
                return KeyStanding::Kept(kept.answer.clone());
            }
            return KeyStanding::Refused(RequestRefusal::KeyReused);
        }
        match self.held.get(key) {
            None => KeyStanding::Fresh,
            Some(held) if held == request => KeyStanding::Refused(RequestRefusal::KeyInUse),
            Some(_) => KeyStanding::Refused(RequestRefusal::KeyReused),
        }
    }

    /// Marks a fresh key as being executed; forgotten with the process, as nothing has happened.
    pub(crate) fn hold(&mut self, key: String, request: ApiRequest) {
        self.held.insert(key, request);
    }

    pub(crate) fn release(&mut self, key: &str) {
        self.held.remove(key);
    }

    /// The record of a new request.
    pub(crate) fn decide(
        &self,
        key: &str,
        request: &ApiRequest,
        now_ms: u64,
    ) -> Result<JournalRecord, RequestRefusal> {
        match request {
            ApiRequest::Charge(request) => Ok(self.decide_charge(key, request, now_ms)),
            ApiRequest::Refund(request) => self.decide_refund(key, request, now_ms),
        }
    }

    fn decide_charge(&self, key: &str, request: &ChargeRequest, at_ms: u64) -> JournalRecord {
        let (key, request) = (key.to_owned(), request.clone());
        if let Some(decline) = request.source.decline() {
            let decline_code = decline.decline_code.to_owned();
            let body = refusal::decline_body(&decline);
            return JournalRecord::Decline(DeclinedRecord {
                at_ms,
                key,
                request,
                decline_code,
                status: 402,
                body,
            });
        }
        let amount = request.amount + u64::from(request.source == CardToken::WrongAmount);
        let id = format!("ch_{}{:012}", self.gateway, self.charges.len() + 1);
        let object = ChargeObject::new(id.clone(), amount, &request, at_ms);
        let body = answer::to_json(&object);
        JournalRecord::Charge(ChargedRecord { at_ms, key, request, id, amount, status: 200, body })
    }

    fn decide_refund(
        &self,
        key: &str,
        request: &RefundRequest,
        at_ms: u64,
    ) -> Result<JournalRecord, RequestRefusal> {
        let place = *self
            .charge_by_id
            .get(&request.charge)
            .ok_or(RequestRefusal::NotFound("No such charge."))?;
        let charge = &self.charges[place];
        let left = charge.object.amount - charge.object.amount_refunded;
        let amount = request.amount.unwrap_or(left);
        if charge.disputed {
            return Err(RequestRefusal::Disputed);
        }
        if left == 0 {
            return Err(RequestRefusal::AlreadyRefunded);
        }
        if amount > left {
            return Err(RequestRefusal::RefundTooLarge);
        }
        let id = format!("re_{}{:012}", self.gateway, self.refunds.len() + 1);
        let object = RefundObject::new(id.clone(), &charge.object, amount, at_ms);
        let (key, request, body) = (key.to_owned(), request.clone(), answer::to_json(&object));
        Ok(JournalRecord::Refund(RefundedRecord {
            at_ms,
            key,
            request,
            id,
            amount,
            status: 200,
            body,
        }))
    }

    /// Takes a record in.
    pub(crate) fn apply(&mut self, record: JournalRecord) {
        match record {
            JournalRecord::Opened(opened) => self.gateway = opened.gateway,
            JournalRecord::Charge(charged) => self.apply_charge(charged),
            JournalRecord::Decline(declined) => {
                self.declined += 1;
                let DeclinedRecord { key, request, status, body, .. } = declined;
                self.keep(key, ApiRequest::Charge(request), into_answer(status, body), None);
            }
            JournalRecord::Refund(refunded) => self.apply_refund(refunded),
            JournalRecord::Forgot(_) => self.kept.clear(),
            JournalRecord::Attempt(_) => self.attempts += 1,
        }
    }

    fn apply_charge(&mut self, charged: ChargedRecord) {
        let ChargedRecord { at_ms, key, request, id, amount, status, body } = charged;
        let (place, order_id) = (self.charges.len(), request.metadata.order_id.clone());
        let order = self.orders.entry(order_id.clone()).or_default();
        order.charges.push(place);
        order.unrefunded += 1;
        if order.unrefunded > 1 {
            self.duplicates.insert(order_id);
        }
        *self.charged.entry(request.currency.clone()).or_default() += amount;
        self.charge_by_id.insert(id.clone(), place);
        self.charges.push(LedgerCharge {
            object: ChargeObject::new(id, amount, &request, at_ms),
            disputed: request.source == CardToken::Disputed,
            refunds: Vec::new(),
        });
        self.keep(key, ApiRequest::Charge(request), into_answer(status, body), Some(place));
    }

    fn apply_refund(&mut self, refunded: RefundedRecord) {
        let RefundedRecord { at_ms, key, request, id, amount, status, body } = refunded;
        let place = self.refunds.len();
        let charge_place =
            *self.charge_by_id.get(&request.charge).expect("a refund follows its charge");
        let charge = &mut self.charges[charge_place];
        charge.refunds.push(place);
        let charge = &mut charge.object;
        charge.amount_refunded += amount;
        charge.refunded = charge.amount_refunded == charge.amount;
        *self.refunded.entry(charge.currency.clone()).or_default() += amount;
        if charge.refunded
            && let Some(order) = self.orders.get_mut(&charge.metadata.order_id)
        {
            order.unrefunded -= 1;
            if order.unrefunded <= 1 {
                self.duplicates.remove(&charge.metadata.order_id);
            }
        }
        self.refund_by_id.insert(id.clone(), place);
        self.refunds.push(RefundObject::new(id, charge, amount, at_ms));
        self.keep(key, ApiRequest::Refund(request), into_answer(status, body), None);
    }

    fn keep(&mut self, key: String, request: ApiRequest, answer: ApiAnswer, charge: Option<usize>) {
        self.kept.insert(key, KeyRecord { request, answer, charge });
    }
}

fn into_answer(status: u16, body: String) -> ApiAnswer {
    ApiAnswer { status, body: body.into() }
}
