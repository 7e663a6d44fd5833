//! Mapping between a payment and its columns.

use std::collections::HashMap;

use shared::locked_rows::ChangedRow;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{IncompleteRow, ShownPayment};
use crate::domain::payment::{
    CHARGE_IN_DOUBT, Currency, GatewayCharge, Money, Payment, PaymentFailure, PaymentStage,
    PaymentTerms, PaymentToken, ReviewReason,
};

#[derive(Debug, FromRow)]
pub(super) struct StoredRow {
    pub(super) order_id: Uuid,
    stage: String,
    amount_minor: Option<i64>,
    currency: Option<String>,
    method: Option<String>,
    charge_id: Option<String>,
    charged_minor: Option<i64>,
    charged_currency: Option<String>,
    refund_id: Option<String>,
    review: Option<String>,
    failure: Option<String>,
    decline_code: Option<String>,
    pub(super) said: i64,
    pub(super) version: i64,
    pub(super) charge_asked_at: Option<OffsetDateTime>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl StoredRow {
    pub(super) fn payment(self) -> Result<Payment, sqlx::Error> {
        let (order_id, stage) = (self.order_id, self.stage.clone());
        self.read().ok_or_else(|| sqlx::Error::Decode(IncompleteRow { order_id, stage }.into()))
    }

    pub(super) fn shown(self) -> Result<ShownPayment, sqlx::Error> {
        let (order_id, created_at, updated_at) = (self.order_id, self.created_at, self.updated_at);
        Ok(ShownPayment { order_id, payment: self.payment()?, created_at, updated_at })
    }

    fn read(self) -> Option<Payment> {
        let terms = money(self.amount_minor, self.currency.as_deref())
            .zip(self.method)
            .map(|(amount, method)| PaymentTerms { amount, method: PaymentToken::new(method) });
        let charge = money(self.charged_minor, self.charged_currency.as_deref())
            .zip(self.charge_id)
            .map(|(amount, id)| GatewayCharge { id, amount });
        Some(match PaymentStage::parse(&self.stage)? {
            PaymentStage::AwaitingStock => Payment::AwaitingStock { terms: terms? },
            PaymentStage::AwaitingOrder => Payment::AwaitingOrder,
            PaymentStage::Charging => Payment::Charging { terms: terms? },
            PaymentStage::Cancelling => Payment::Cancelling { terms: terms? },
            PaymentStage::Unresolved => Payment::Unresolved { terms: terms? },
            PaymentStage::Done => Payment::Done { terms: terms?, charge: charge? },
            PaymentStage::Refunding => Payment::Refunding { terms: terms?, charge: charge? },
            PaymentStage::Refunded => {
                let refund_id = self.refund_id?;
                Payment::Refunded { terms: terms?, charge: charge?, refund_id }
            }
            PaymentStage::NeedsReview if self.review.as_deref() == Some(CHARGE_IN_DOUBT) => {
                Payment::InDoubt { terms: terms? }
            }
            PaymentStage::NeedsReview => {
                let review = ReviewReason::parse(self.review.as_deref()?)?;
                Payment::NeedsReview { terms: terms?, charge: charge?, review }
            }
            PaymentStage::Failed => {
                let failure = failure(self.failure.as_deref()?, self.decline_code)?;
                Payment::Failed { terms: terms?, failure }
            }
            PaymentStage::Abandoned => Payment::Abandoned { terms },
            PaymentStage::Fenced => Payment::Fenced,
        })
    }
}

fn money(minor: Option<i64>, currency: Option<&str>) -> Option<Money> {
    Some(Money { minor: minor?, currency: Currency::parse(currency?)? })
}

fn failure(code: &str, decline_code: Option<String>) -> Option<PaymentFailure> {
    match (code, decline_code) {
        ("declined", Some(code)) => Some(PaymentFailure::Declined { code }),
        ("unavailable", None) => Some(PaymentFailure::Unavailable),
        _ => None,
    }
}

/// Payments as columns, for one statement.
#[derive(Debug, Default)]
pub(super) struct RowColumns<'p> {
    pub(super) order_id: Vec<Uuid>,
    pub(super) stage: Vec<&'static str>,
    pub(super) amount_minor: Vec<Option<i64>>,
    pub(super) currency: Vec<Option<&'p str>>,
    pub(super) method: Vec<Option<&'p str>>,
    pub(super) charge_id: Vec<Option<&'p str>>,
    pub(super) charged_minor: Vec<Option<i64>>,
    pub(super) charged_currency: Vec<Option<&'p str>>,
    pub(super) refund_id: Vec<Option<&'p str>>,
    pub(super) review: Vec<Option<&'static str>>,
    pub(super) failure: Vec<Option<&'static str>>,
    pub(super) decline_code: Vec<Option<&'p str>>,
    pub(super) said: Vec<i64>,
    pub(super) version: Vec<i64>,
    pub(super) charge_asked_at: Vec<Option<OffsetDateTime>>,
}

impl<'p> RowColumns<'p> {
    pub(super) fn of(
        changed: &[ChangedRow<'p, Uuid, Payment>],
        charge_asked_at: &HashMap<Uuid, OffsetDateTime>,
    ) -> Self {
        let mut columns = Self::default();
        for row in changed {
            // A payment that has changed has been heard of.
            if let Some(stage) = row.after.stage() {
                columns.push(row, stage);
                columns.charge_asked_at.push(charge_asked_at.get(row.key).copied());
            }
        }
        columns
    }

    fn push(&mut self, row: &ChangedRow<'p, Uuid, Payment>, stage: PaymentStage) {
        let payment = row.after;
        let terms = payment.terms();
        let charge = payment.charge();
        self.order_id.push(*row.key);
        self.stage.push(stage.code());
        self.amount_minor.push(terms.map(|payment_terms| payment_terms.amount.minor));
        self.currency.push(terms.map(|payment_terms| payment_terms.amount.currency.as_str()));
        self.method.push(terms.map(|payment_terms| payment_terms.method.expose()));
        self.charge_id.push(charge.map(|charge| charge.id.as_str()));
        self.charged_minor.push(charge.map(|charge| charge.amount.minor));
        self.charged_currency.push(charge.map(|charge| charge.amount.currency.as_str()));
        self.refund_id.push(payment.refund_id());
        self.review.push(payment.review_code());
        let (failure, decline_code) = match payment.failure() {
            None => (None, None),
            Some(PaymentFailure::Declined { code }) => (Some("declined"), Some(code.as_str())),
            Some(PaymentFailure::Unavailable) => (Some("unavailable"), None),
        };
        self.failure.push(failure);
        self.decline_code.push(decline_code);
        self.said.push(row.said);
        self.version.push(row.version);
    }
}
