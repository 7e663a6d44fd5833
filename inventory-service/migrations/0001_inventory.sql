-- Products with their stock, and what is held for orders. Migrations are additive: what is released
-- is never edited.

CREATE TABLE products (
    sku         text COLLATE "C" PRIMARY KEY,
    name        text NOT NULL,
    price_minor bigint NOT NULL CHECK (price_minor >= 0),
    currency    text NOT NULL,
    active      boolean NOT NULL,
    available   bigint NOT NULL CHECK (available >= 0),
    reserved    bigint NOT NULL CHECK (reserved >= 0),
    sold        bigint NOT NULL CHECK (sold >= 0),
    stocked     bigint NOT NULL,
    said        bigint NOT NULL,
    version     bigint NOT NULL,
    changed_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT products_stock_adds_up CHECK (available + reserved + sold = stocked)
) WITH (
    -- Few rows, written with each batch: room for new versions on the same page, swept up often.
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);
COMMENT ON TABLE products IS 'What the shop offers, and how much of it there is. One row: a reservation locks it in SKU order.';
COMMENT ON COLUMN products.sku IS 'What it is known by. Ordered by bytes, as the service orders them.';
COMMENT ON COLUMN products.name IS 'What people call it.';
COMMENT ON COLUMN products.price_minor IS 'The price of one, in minor units of its currency.';
COMMENT ON COLUMN products.currency IS 'ISO 4217.';
COMMENT ON COLUMN products.active IS 'Whether it can be ordered. What was accepted before is held all the same.';
COMMENT ON COLUMN products.available IS 'Can be reserved.';
COMMENT ON COLUMN products.reserved IS 'Held for orders that are on their way.';
COMMENT ON COLUMN products.sold IS 'Gone to orders that were confirmed.';
COMMENT ON COLUMN products.stocked IS 'Ever delivered: the first stock and all that came later.';
COMMENT ON COLUMN products.said IS 'Messages said about it so far: its next ce_sequence minus one.';
COMMENT ON COLUMN products.version IS 'Counts writes. Two transactions that both make the row are told apart by it.';
COMMENT ON COLUMN products.changed_at IS 'When it was written last, for people.';

CREATE TABLE reservations (
    order_id   uuid PRIMARY KEY,
    stage      text NOT NULL CHECK (stage IN ('fenced', 'reserved', 'sold', 'rejected', 'released')),
    lines      jsonb NOT NULL,
    said       bigint NOT NULL,
    version    bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT reservations_hold_lines CHECK ((stage IN ('reserved', 'sold')) = (lines <> '{}'))
) WITH (fillfactor = 80);
COMMENT ON TABLE reservations IS 'What is held for an order, and what became of it.';
COMMENT ON COLUMN reservations.order_id IS 'The order, as order-service names it.';
COMMENT ON COLUMN reservations.stage IS 'Where it stands; the saga''s table knows the ways. Fenced: cancelled before it was placed.';
COMMENT ON COLUMN reservations.lines IS 'What it holds now: SKU to quantity. Empty once nothing is held.';
COMMENT ON COLUMN reservations.said IS 'Messages said about the order so far: its next ce_sequence minus one.';
COMMENT ON COLUMN reservations.version IS 'Counts writes. Two transactions that both make the row are told apart by it.';
COMMENT ON COLUMN reservations.changed_at IS 'When it was written last, for people.';
