-- What customers are told. Rows of one order are written together, under the lock of its row in
-- `correspondences`. Room is left in the pages: each row is updated a few times, soon after its birth.

CREATE TABLE correspondences (
    order_id      uuid PRIMARY KEY,
    version       bigint NOT NULL CHECK (version > 0),
    said          bigint NOT NULL CHECK (said >= 0),
    email         text,
    customer_name text,
    total_minor   bigint,
    currency      text,
    CHECK ((email IS NULL) = (total_minor IS NULL) AND (email IS NULL) = (currency IS NULL)),
    CHECK (email IS NOT NULL OR customer_name IS NULL)
) WITH (fillfactor = 80);
COMMENT ON TABLE correspondences IS 'Who is told about an order. The only place beside messaging.jobs where contacts are kept.';
COMMENT ON COLUMN correspondences.order_id IS 'The order.';
COMMENT ON COLUMN correspondences.version IS 'How often the row was written. A writer that did not see the last version writes nothing.';
COMMENT ON COLUMN correspondences.said IS 'How many messages this order has said through this service: the last ce_sequence.';
COMMENT ON COLUMN correspondences.email IS 'Where mail goes; null until order-placed was read. Personal.';
COMMENT ON COLUMN correspondences.customer_name IS 'What the customer is called, if known. Personal.';
COMMENT ON COLUMN correspondences.total_minor IS 'What the order costs, in minor units.';
COMMENT ON COLUMN correspondences.currency IS 'Of total_minor; ISO 4217.';

CREATE TABLE notices (
    order_id     uuid NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('confirmed', 'cancelled', 'refunded')),
    amount_minor bigint,
    currency     text,
    reason       text,
    stage        text NOT NULL CHECK (stage IN ('waiting-for-contact', 'due', 'sent', 'failed', 'skipped')),
    at           timestamptz,
    message_id   text,
    failure      text,
    PRIMARY KEY (order_id, kind),
    CHECK ((kind = 'cancelled') = (reason IS NOT NULL)),
    CHECK ((kind = 'cancelled') = (amount_minor IS NULL) AND (kind = 'cancelled') = (currency IS NULL)),
    CHECK ((stage IN ('due', 'sent', 'failed')) = (at IS NOT NULL)),
    CHECK ((stage = 'sent') = (message_id IS NOT NULL)),
    CHECK ((stage = 'failed') = (failure IS NOT NULL))
) WITH (fillfactor = 80);
COMMENT ON TABLE notices IS 'What there is to tell about an order, at most one of each kind. No foreign key: each is written beside its row in correspondences, under that row''s lock.';
COMMENT ON COLUMN notices.order_id IS 'The order.';
COMMENT ON COLUMN notices.kind IS 'What is told.';
COMMENT ON COLUMN notices.amount_minor IS 'confirmed: what the order cost; refunded: what was given back. In minor units.';
COMMENT ON COLUMN notices.currency IS 'Of amount_minor; ISO 4217.';
COMMENT ON COLUMN notices.reason IS 'cancelled: why, in the words of the contract.';
COMMENT ON COLUMN notices.stage IS 'How far it has come.';
COMMENT ON COLUMN notices.at IS 'Since when it is due, or when it was sent or given up.';
COMMENT ON COLUMN notices.message_id IS 'sent: the Message-ID of the mail.';
COMMENT ON COLUMN notices.failure IS 'failed: why. Nothing personal.';
