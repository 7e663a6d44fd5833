-- Topics that the relay holds back, so that others go on; and records that no topic takes.

CREATE TABLE messaging.held_topic (
    topic    text PRIMARY KEY,
    since    timestamptz NOT NULL DEFAULT now(),
    retry_at timestamptz NOT NULL,
    attempts integer NOT NULL,
    code     text NOT NULL,
    detail   text NOT NULL
);
COMMENT ON TABLE messaging.held_topic IS 'Topics whose messages wait in the outbox because the broker refuses them; messages of other topics go on. Written by the relay that leads, read by all instances.';
COMMENT ON COLUMN messaging.held_topic.topic IS 'Its name, without the deployment''s prefix.';
COMMENT ON COLUMN messaging.held_topic.since IS 'When it was held.';
COMMENT ON COLUMN messaging.held_topic.retry_at IS 'When it is tried again, alone and record by record.';
COMMENT ON COLUMN messaging.held_topic.attempts IS 'How often it was tried since it is held.';
COMMENT ON COLUMN messaging.held_topic.code IS 'The code of the broker''s last error, as librdkafka names it.';
COMMENT ON COLUMN messaging.held_topic.detail IS 'What exactly the broker, or its client, said.';

ALTER TABLE messaging.dead_letter ADD COLUMN message_id uuid;
COMMENT ON COLUMN messaging.dead_letter.message_id IS 'Of a record of our own that the broker never takes (reason unpublishable): the id under which it was in the outbox. Its partition is then -1 and its offset the outbox_id. Null of a message that was read.';
