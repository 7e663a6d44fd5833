-- How old a charge's key may be, and more reasons to ask a person. What a row may be only grows, so
-- rows that are there need no check.

ALTER TABLE payments
    ADD COLUMN charge_asked_at timestamptz,
    DROP CONSTRAINT payments_review_check,
    ADD CONSTRAINT payments_review_check CHECK (review IN (
        'wrong-amount', 'refund-failed', 'charge-disputed', 'charge-unknown', 'charge-in-doubt'))
        NOT VALID,
    -- A charge that nobody knows of waits for a person and has no name.
    DROP CONSTRAINT payments_check2,
    ADD CONSTRAINT payments_charge_known CHECK (
        (stage IN ('done', 'refunding', 'refunded')
            OR (stage = 'needs-review' AND review <> 'charge-in-doubt')) = (charge_id IS NOT NULL))
        NOT VALID;
COMMENT ON COLUMN payments.charge_asked_at IS 'When its charge was asked for: the charge''s key at the gateway was first used later, if at all. Null: never, or before this column was.';
