-- What is needed to know that a message never came: the number of each message in the history, and
-- the order in which the history was written.

ALTER TABLE order_history
    ADD COLUMN sequence bigint,
    ADD COLUMN entry_no bigint GENERATED ALWAYS AS IDENTITY (CACHE 1);
CREATE INDEX order_history_by_entry ON order_history (entry_no);
COMMENT ON COLUMN order_history.sequence IS 'ce_sequence of the message: the n-th that its source has said of this order. Null: written before numbers were kept.';
COMMENT ON COLUMN order_history.entry_no IS 'Rises with each entry; taken before the commit, so a lower number can appear later. By it the check for losses knows what is new.';

CREATE TABLE loss_check (
    only_row      boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    checked_up_to bigint NOT NULL
);
INSERT INTO loss_check (checked_up_to) SELECT coalesce(max(entry_no), 0) FROM order_history;
COMMENT ON TABLE loss_check IS 'How far the history has been checked for messages that never came. One row, locked by whoever checks.';
COMMENT ON COLUMN loss_check.only_row IS 'Makes sure that there is one row.';
COMMENT ON COLUMN loss_check.checked_up_to IS 'entry_no of the last entry that was checked.';
