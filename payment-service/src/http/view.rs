//! A payment as it is shown.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    domain::payment::{Money, PaymentFailure, PaymentStage},
    store::ShownPayment,
};

/// A payment. What is not known at its stage is left out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Payment)]
pub(super) struct PaymentView {
    /// The order that it is for.
    order_id: Uuid,
    /// The payment's stage at this moment.
    stage: StageName,
    /// What the order asks to be paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<MoneyView>,
    /// By what means, masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "tok_****")]
    payment_method: Option<String>,
    /// The charge at the gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    charge: Option<ChargeView>,
    /// The gateway's name for the refund.
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_id: Option<String>,
    /// Why it was not paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureView>,
    /// Why a person has to decide: `wrong-amount`, `refund-failed`, `charge-disputed`, `charge-unknown`
    /// or `charge-in-doubt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "wrong-amount")]
    review: Option<&'static str>,
    /// When it was first heard of.
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

/// An amount of money.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Money)]
pub(super) struct MoneyView {
    /// The amount in the currency's minor units.
    #[schema(example = 4200)]
    minor: i64,
    /// The currency's code, as in ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
}

/// The charge at the gateway.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Charge)]
pub(super) struct ChargeView {
    /// The gateway's name for it.
    #[schema(example = "ch_1")]
    id: String,
    /// The amount that was charged.
    amount: MoneyView,
}

/// Why a payment was not made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Failure)]
pub(super) struct FailureView {
    /// Why it failed: `declined` or `unavailable`.
    #[schema(example = "declined")]
    reason: &'static str,
    /// The gateway's code for a decline.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "insufficient_funds")]
    code: Option<String>,
}

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = Stage)]
pub(super) enum StageName {
    /// The order is known; its stock is not held yet.
    AwaitingStock,
    /// The stock is held; the order has not been read yet.
    AwaitingOrder,
    /// The charge is on its way.
    Charging,
    /// The order was cancelled while the charge was being tried: its outcome decides.
    Cancelling,
    /// Nobody knows yet whether the charge happened.
    Unresolved,
    /// Paid for, or free of charge.
    Done,
    /// The money is on its way back.
    Refunding,
    /// The customer has the money back.
    Refunded,
    /// A person has to decide.
    NeedsReview,
    /// No money was taken.
    Failed,
    /// The order was cancelled and nothing was paid.
    Abandoned,
    /// The cancellation came first: nothing will ever be paid.
    Fenced,
}

macro_rules! same_names {
    ($($name:ident),*) => {
        impl From<PaymentStage> for StageName {
            fn from(stage: PaymentStage) -> Self {
                match stage { $(PaymentStage::$name => Self::$name),* }
            }
        }
        impl From<StageName> for PaymentStage {
            fn from(name: StageName) -> Self {
                match name { $(StageName::$name => Self::$name),* }
            }
        }
    };
}
same_names! {
    AwaitingStock, AwaitingOrder, Charging, Cancelling, Unresolved, Done, Refunding, Refunded,
    NeedsReview, Failed, Abandoned, Fenced
}

impl From<&Money> for MoneyView {
    fn from(money: &Money) -> Self {
        Self { minor: money.minor, currency: money.currency.as_str().to_owned() }
    }
}

impl From<&PaymentFailure> for FailureView {
    fn from(failure: &PaymentFailure) -> Self {
        match failure {
            PaymentFailure::Declined { code } => {
                Self { reason: "declined", code: Some(code.clone()) }
            }
            PaymentFailure::Unavailable => Self { reason: "unavailable", code: None },
        }
    }
}

impl PaymentView {
    /// None while nothing has been heard of it; such a payment has no row.
    pub(super) fn of(shown: &ShownPayment) -> Option<Self> {
        let ShownPayment { order_id, payment, created_at, updated_at } = shown;
        let terms = payment.terms();
        Some(Self {
            order_id: *order_id,
            stage: payment.stage()?.into(),
            amount: terms.map(|payment_terms| (&payment_terms.amount).into()),
            payment_method: terms.map(|payment_terms| payment_terms.method.masked()),
            charge: payment.charge().map(|charge| ChargeView {
                id: charge.id.clone(),
                amount: (&charge.amount).into(),
            }),
            refund_id: payment.refund_id().map(ToOwned::to_owned),
            failure: payment.failure().map(Into::into),
            review: payment.review_code(),
            created_at: *created_at,
            updated_at: *updated_at,
        })
    }
}
