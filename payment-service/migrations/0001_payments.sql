-- One row per order that anything was heard of. Migrations are additive: what is released is never
-- edited.

CREATE TABLE payments (
    order_id         uuid PRIMARY KEY,
    stage            text NOT NULL CHECK (stage IN (
                         'awaiting-stock', 'awaiting-order', 'charging', 'cancelling', 'unresolved',
                         'done', 'refunding', 'refunded', 'needs-review', 'failed', 'abandoned',
                         'fenced')),
    amount_minor     bigint,
    currency         text,
    method           text,
    charge_id        text,
    charged_minor    bigint,
    charged_currency text,
    refund_id        text,
    review           text CHECK (review IN ('wrong-amount', 'refund-failed')),
    failure          text CHECK (failure IN ('declined', 'unavailable')),
    decline_code     text,
    said             bigint NOT NULL CHECK (said >= 0),
    version          bigint NOT NULL CHECK (version > 0),
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    CHECK (num_nulls(amount_minor, currency, method) IN (0, 3)),
    CHECK (num_nulls(charge_id, charged_minor, charged_currency) IN (0, 3)),
    CHECK ((stage IN ('done', 'refunding', 'refunded', 'needs-review')) = (charge_id IS NOT NULL)),
    CHECK ((stage = 'refunded') = (refund_id IS NOT NULL)),
    CHECK ((stage = 'needs-review') = (review IS NOT NULL)),
    CHECK ((stage = 'failed') = (failure IS NOT NULL)),
    CHECK (coalesce(failure, '') = 'declined' OR decline_code IS NULL)
);
COMMENT ON TABLE payments IS 'One payment per order, with what is known at its stage.';
COMMENT ON COLUMN payments.order_id IS 'The order; a UUIDv7, so rows sort by the time of the order.';
COMMENT ON COLUMN payments.stage IS 'Where it stands; the table is in domain/payment.rs.';
COMMENT ON COLUMN payments.amount_minor IS 'What the order asks to be paid, in minor units.';
COMMENT ON COLUMN payments.currency IS 'ISO 4217, upper case.';
COMMENT ON COLUMN payments.method IS 'The gateway''s token for the customer''s means of payment; never shown.';
COMMENT ON COLUMN payments.charge_id IS 'The gateway''s name for the charge.';
COMMENT ON COLUMN payments.charged_minor IS 'What the gateway says was charged, in minor units.';
COMMENT ON COLUMN payments.charged_currency IS 'ISO 4217, upper case.';
COMMENT ON COLUMN payments.refund_id IS 'The gateway''s name for the refund.';
COMMENT ON COLUMN payments.review IS 'Why a person has to decide.';
COMMENT ON COLUMN payments.failure IS 'Why it was not paid.';
COMMENT ON COLUMN payments.decline_code IS 'The gateway''s code for a decline.';
COMMENT ON COLUMN payments.said IS 'How many messages this payment has said: the last ce_sequence.';
COMMENT ON COLUMN payments.version IS 'Rises with each change; tells when two transactions made the same new row.';
COMMENT ON COLUMN payments.created_at IS 'When it was first heard of.';
COMMENT ON COLUMN payments.updated_at IS 'When it last changed.';

-- Operators look for the few rows of one stage among many of others.
CREATE INDEX payments_by_stage ON payments (stage, order_id);
