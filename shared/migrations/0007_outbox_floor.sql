-- Up to where the outbox is empty for good, so that nobody walks over rows that are gone and cannot be
-- vacuumed, because an old snapshot (a backup, a report) could still want to see them.

CREATE TABLE messaging.outbox_floor (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    floor    bigint NOT NULL
);
INSERT INTO messaging.outbox_floor (floor) VALUES (0);
COMMENT ON TABLE messaging.outbox_floor IS 'Where a look at the outbox begins. One row; written once per thousand messages.';
COMMENT ON COLUMN messaging.outbox_floor.only_row IS 'Makes sure that there is one row.';
COMMENT ON COLUMN messaging.outbox_floor.floor IS 'No row of the outbox has this outbox_id or a lower one, and no open transaction can still bring one. A row and not a sequence: a dump has to see it as it sees the outbox.';
