-- Counts the writes of each order, as the other services count theirs: a row is written only over the version that was
-- read. Instances of the version before work on beside this: they leave the number as it is, under the row's lock.
ALTER TABLE orders ADD COLUMN version bigint NOT NULL DEFAULT 1;
COMMENT ON COLUMN orders.version IS 'How often the row was written.';
