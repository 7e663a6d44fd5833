-- Lost messages are found from outside, by `sagactl audit`: the check inside the service goes, and with it an identity
-- column and an index on the table with the most inserts.
--
-- Instances of the version before work on beside this: what they insert into the history does not name the column.
-- Only their own check for losses names it and the table; it fails, says so in a warning, and tries again with a
-- backoff until the instance is replaced. Nothing is lost and nobody becomes unready.
ALTER TABLE order_history DROP COLUMN entry_no;
DROP TABLE loss_check;
COMMENT ON COLUMN order_history.sequence IS 'ce_sequence of the message: the n-th that its source has said of this order. Null: written before numbers were kept. `sagactl audit` finds by it that a message never came.';
