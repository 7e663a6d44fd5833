-- The tables of the roads. They live in their own schema, so that a service's own tables and these
-- can change independently. Migrations are additive: what is released is never edited.

CREATE TABLE messaging.outbox (
    outbox_id  bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    message_id uuid NOT NULL,
    topic      text NOT NULL,
    key        bytea,
    headers    bytea NOT NULL,
    payload    bytea,
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (
    -- Rows live for milliseconds: dead ones are to be swept up as fast as they come.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0
);
COMMENT ON TABLE messaging.outbox IS 'Messages kept in the transaction of the change that caused them, until the relay has published them.';
COMMENT ON COLUMN messaging.outbox.outbox_id IS 'Order of publication. Taken while the row of the key is locked, so it rises per key in commit order. CACHE 1: a larger cache would hand out old numbers later.';
COMMENT ON COLUMN messaging.outbox.message_id IS 'The message''s name for good (ce_id).';
COMMENT ON COLUMN messaging.outbox.topic IS 'Where it goes, without the deployment''s prefix.';
COMMENT ON COLUMN messaging.outbox.key IS 'Messages of one key stay in order.';
COMMENT ON COLUMN messaging.outbox.headers IS 'Kafka headers in the form of shared::message::Headers.';
COMMENT ON COLUMN messaging.outbox.payload IS 'Encoded body; null is a tombstone.';
COMMENT ON COLUMN messaging.outbox.created_at IS 'When it was kept: start of its transaction.';

CREATE TABLE messaging.relay_lease (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch       bigint NOT NULL,
    holder      text NOT NULL,
    acquired_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE messaging.relay_lease IS 'Which relay may settle the outbox. One row.';
COMMENT ON COLUMN messaging.relay_lease.only_row IS 'Makes sure that there is one row.';
COMMENT ON COLUMN messaging.relay_lease.epoch IS 'Rises with each new leader; checked in the transaction that deletes.';
COMMENT ON COLUMN messaging.relay_lease.holder IS 'Service and process of the leader, for people.';
COMMENT ON COLUMN messaging.relay_lease.acquired_at IS 'Since when.';

CREATE TABLE messaging.inbox (
    message_id   uuid PRIMARY KEY,
    content_hash bigint NOT NULL
);
COMMENT ON TABLE messaging.inbox IS 'Messages that were taken in. Inserted before their effect, in its transaction.';
COMMENT ON COLUMN messaging.inbox.message_id IS 'ce_id, a UUIDv7: its first 48 bits are the time, by which old rows are purged.';
COMMENT ON COLUMN messaging.inbox.content_hash IS 'Tells a repeat from another message under the same id.';

CREATE TABLE messaging.dead_letter (
    dead_letter_id uuid PRIMARY KEY,
    topic          text NOT NULL,
    partition      integer NOT NULL,
    "offset"       bigint NOT NULL,
    key            bytea,
    headers        bytea NOT NULL,
    payload        bytea,
    reason         text NOT NULL,
    detail         text NOT NULL,
    failed_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (topic, partition, "offset")
);
COMMENT ON TABLE messaging.dead_letter IS 'Messages that can never be taken in, as they came, with the reason.';
COMMENT ON COLUMN messaging.dead_letter.dead_letter_id IS 'Its name; also the ce_id of nothing: the copy on the dead-letter topic carries it in a header.';
COMMENT ON COLUMN messaging.dead_letter.topic IS 'Where it was read, without the deployment''s prefix.';
COMMENT ON COLUMN messaging.dead_letter.partition IS 'Partition it was read from.';
COMMENT ON COLUMN messaging.dead_letter."offset" IS 'Place in that partition. With topic and partition it knows a repeat.';
COMMENT ON COLUMN messaging.dead_letter.key IS 'Its key, as it came.';
COMMENT ON COLUMN messaging.dead_letter.headers IS 'Its headers, as they came, in the form of shared::message::Headers.';
COMMENT ON COLUMN messaging.dead_letter.payload IS 'Its body, as it came.';
COMMENT ON COLUMN messaging.dead_letter.reason IS 'The kind of fault: a stable code.';
COMMENT ON COLUMN messaging.dead_letter.detail IS 'What exactly is wrong.';
COMMENT ON COLUMN messaging.dead_letter.failed_at IS 'When it was given up.';
