-- Products with their stock, and what is held for orders. Migrations are additive: what is released
-- is never edited.

CREATE TABLE product (
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
    CONSTRAINT product_stock_adds_up CHECK (available + reserved + sold = stocked)
) WITH (
    -- Few rows, written with each batch: room for new versions on the same page, swept up often.
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);
COMMENT ON TABLE product IS 'What the shop offers, and how much of it there is. One row: a reservation locks it in SKU order.';
COMMENT ON COLUMN product.sku IS 'What it is known by. Ordered by bytes, as the service orders them.';
COMMENT ON COLUMN product.name IS 'What people call it.';
COMMENT ON COLUMN product.price_minor IS 'The price of one, in minor units of its currency.';
COMMENT ON COLUMN product.currency IS 'ISO 4217.';
COMMENT ON COLUMN product.active IS 'Whether it can be ordered. What was accepted before is held all the same.';
COMMENT ON COLUMN product.available IS 'Can be reserved.';
COMMENT ON COLUMN product.reserved IS 'Held for orders that are on their way.';
COMMENT ON COLUMN product.sold IS 'Gone to orders that were confirmed.';
COMMENT ON COLUMN product.stocked IS 'Ever delivered: the first stock and all that came later.';
COMMENT ON COLUMN product.said IS 'Messages said about it so far: its next ce_sequence minus one.';
COMMENT ON COLUMN product.version IS 'Counts writes. Two transactions that both make the row are told apart by it.';
COMMENT ON COLUMN product.changed_at IS 'When it was written last, for people.';

CREATE TABLE reservation (
    order_id   uuid PRIMARY KEY,
    stage      text NOT NULL CHECK (stage IN ('fenced', 'reserved', 'sold', 'rejected', 'released')),
    lines      jsonb NOT NULL,
    said       bigint NOT NULL,
    version    bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT reservation_holds_lines CHECK ((stage IN ('reserved', 'sold')) = (lines <> '{}'))
) WITH (fillfactor = 80);
COMMENT ON TABLE reservation IS 'What is held for an order, and what became of it.';
COMMENT ON COLUMN reservation.order_id IS 'The order, as order-service names it.';
COMMENT ON COLUMN reservation.stage IS 'Where it stands; the saga''s table knows the ways. Fenced: cancelled before it was placed.';
COMMENT ON COLUMN reservation.lines IS 'What it holds now: SKU to quantity. Empty once nothing is held.';
COMMENT ON COLUMN reservation.said IS 'Messages said about the order so far: its next ce_sequence minus one.';
COMMENT ON COLUMN reservation.version IS 'Counts writes. Two transactions that both make the row are told apart by it.';
COMMENT ON COLUMN reservation.changed_at IS 'When it was written last, for people.';
