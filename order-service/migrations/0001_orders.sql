-- The tables of order-service. Those of the roads are in the schema `messaging`, with migrations of
-- their own. Migrations are additive: what is released is never edited.

CREATE TABLE orders (
    order_id     uuid PRIMARY KEY,
    stage        text NOT NULL CHECK (stage IN ('pending', 'confirmed', 'cancelled')),
    reason       text,
    lines        jsonb NOT NULL,
    total_minor  bigint NOT NULL,
    currency     text NOT NULL,
    placed_at    timestamptz NOT NULL,
    due_at       timestamptz NOT NULL,
    confirmed_at timestamptz,
    cancelled_at timestamptz,
    said         bigint NOT NULL,
    CHECK ((stage = 'cancelled') = (reason IS NOT NULL)),
    CHECK ((stage = 'cancelled') = (cancelled_at IS NOT NULL)),
    CHECK (stage <> 'confirmed' OR confirmed_at IS NOT NULL)
);
-- Pages of GET /orders with a status. Without one, the primary key serves: ids sort by time.
CREATE INDEX orders_by_stage ON orders (stage, order_id);
-- The sweeper's: what is still open, by when it is due. Small, because orders end.
CREATE INDEX orders_overdue ON orders (due_at) WHERE stage = 'pending';

COMMENT ON TABLE orders IS 'Orders and where they stand. Holds nothing personal: whom to tell and how it is paid travel on in order-placed and are not kept here.';
COMMENT ON COLUMN orders.order_id IS 'A UUIDv7, so it sorts by when the order was accepted; the key of its messages.';
COMMENT ON COLUMN orders.stage IS 'Where it stands: pending, confirmed, cancelled.';
COMMENT ON COLUMN orders.reason IS 'Why it was cancelled: a stable code.';
COMMENT ON COLUMN orders.lines IS 'What was ordered, with the price of one at that time: [{sku, quantity, unit_price_minor}]. Never changes.';
COMMENT ON COLUMN orders.total_minor IS 'What it costs, in minor units.';
COMMENT ON COLUMN orders.currency IS 'Of what: ISO 4217.';
COMMENT ON COLUMN orders.placed_at IS 'When it was accepted.';
COMMENT ON COLUMN orders.due_at IS 'When it is cancelled if it has not ended by then.';
COMMENT ON COLUMN orders.confirmed_at IS 'When it was confirmed. Stays if it is cancelled afterwards.';
COMMENT ON COLUMN orders.cancelled_at IS 'When it was cancelled.';
COMMENT ON COLUMN orders.said IS 'How many messages it has said: the ce_sequence of the last one.';

CREATE TABLE order_history (
    order_id    uuid NOT NULL,
    message_id  uuid NOT NULL,
    source      text NOT NULL,
    what        text NOT NULL,
    detail      text,
    happened_at timestamptz NOT NULL,
    PRIMARY KEY (order_id, message_id)
);
COMMENT ON TABLE order_history IS 'What has happened to each order, for people: one row per message that it said or that was said of it. Written only while the order''s row is locked, so there is no foreign key to check.';
COMMENT ON COLUMN order_history.order_id IS 'The order.';
COMMENT ON COLUMN order_history.message_id IS 'ce_id of the message. With the order it knows a repeat.';
COMMENT ON COLUMN order_history.source IS 'ce_source of the message: which service says so.';
COMMENT ON COLUMN order_history.what IS 'What happened, in the words of the topics.';
COMMENT ON COLUMN order_history.detail IS 'What is particular about it, in a few words.';
COMMENT ON COLUMN order_history.happened_at IS 'ce_time of the message: when it happened, by its sender''s clock.';

CREATE TABLE products (
    sku         text COLLATE "C" PRIMARY KEY,
    sequence    bigint NOT NULL,
    name        text,
    price_minor bigint,
    currency    text,
    active      boolean,
    changed_at  timestamptz,
    CHECK (num_nulls(name, price_minor, currency, active, changed_at) IN (0, 5))
);
COMMENT ON TABLE products IS 'What inventory-service said last of each product, so that an order is priced without asking anybody. A product that is gone keeps its row and loses the rest, so that an older word read later does not bring it back.';
COMMENT ON COLUMN products.sku IS 'The product.';
COMMENT ON COLUMN products.sequence IS 'ce_sequence of the message that said so; an older one changes nothing.';
COMMENT ON COLUMN products.name IS 'What people call it; null: there is no such product any more.';
COMMENT ON COLUMN products.price_minor IS 'The price of one, in minor units.';
COMMENT ON COLUMN products.currency IS 'Of what: ISO 4217.';
COMMENT ON COLUMN products.active IS 'Whether it can be ordered.';
COMMENT ON COLUMN products.changed_at IS 'When it changed, by its owner''s clock.';
