CREATE TABLE messaging.idempotency (
    scope       text NOT NULL,
    key         text NOT NULL,
    fingerprint bytea NOT NULL,
    status      smallint NOT NULL,
    location    text,
    body        text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_expiry ON messaging.idempotency (expires_at);
COMMENT ON TABLE messaging.idempotency IS 'Answers given under an Idempotency-Key, kept in the transaction of what they answer for.';
COMMENT ON COLUMN messaging.idempotency.scope IS 'Who asked, and what for: keys of different scopes never meet.';
COMMENT ON COLUMN messaging.idempotency.key IS 'The caller''s name for the request.';
COMMENT ON COLUMN messaging.idempotency.fingerprint IS 'SHA-256 of method, path and body: tells a repeat from another request under the same name.';
COMMENT ON COLUMN messaging.idempotency.status IS 'HTTP status of the answer.';
COMMENT ON COLUMN messaging.idempotency.location IS 'Location header of the answer.';
COMMENT ON COLUMN messaging.idempotency.body IS 'Body of the answer, JSON.';
COMMENT ON COLUMN messaging.idempotency.created_at IS 'When it was answered.';
COMMENT ON COLUMN messaging.idempotency.expires_at IS 'From then on the key is free again, and the row is purged.';
