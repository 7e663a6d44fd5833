CREATE TABLE messaging.job (
    kind       text NOT NULL,
    key        text NOT NULL,
    payload    jsonb NOT NULL,
    state      text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'performing', 'dead')),
    attempt    integer NOT NULL DEFAULT 0,
    due_at     timestamptz NOT NULL DEFAULT now(),
    in_doubt   boolean NOT NULL DEFAULT false,
    stopped    boolean NOT NULL DEFAULT false,
    last_error text,
    trace      text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, key)
) WITH (
    -- Most rows live for milliseconds and change twice: dead ones are to be swept up as they come.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0
);
-- What is claimed: waiting jobs that are due, and performed ones whose lease ran out.
CREATE INDEX job_due ON messaging.job (kind, due_at) WHERE state <> 'dead';
COMMENT ON TABLE messaging.job IS 'Work on the outside world, kept in the transaction that decided it, until its outcome is brought home.';
COMMENT ON COLUMN messaging.job.kind IS 'What is done.';
COMMENT ON COLUMN messaging.job.key IS 'For whom; the stable part of the effect''s idempotency key.';
COMMENT ON COLUMN messaging.job.payload IS 'What the worker needs to know.';
COMMENT ON COLUMN messaging.job.state IS 'waiting: for its time. performing: under a lease until due_at. dead: given up, kept for people.';
COMMENT ON COLUMN messaging.job.attempt IS 'Attempts begun. Counted and committed before the attempt is made: 0 means never tried. Also the fence: an outcome counts only for the attempt that it belongs to.';
COMMENT ON COLUMN messaging.job.due_at IS 'waiting: not before. performing: when the lease ends, and somebody else may claim it.';
COMMENT ON COLUMN messaging.job.in_doubt IS 'An earlier attempt ended without a known outcome: it may have happened.';
COMMENT ON COLUMN messaging.job.stopped IS 'Not wanted any more, while an attempt was being made: gone as soon as that fails or its lease ends.';
COMMENT ON COLUMN messaging.job.last_error IS 'Why the last attempt failed.';
COMMENT ON COLUMN messaging.job.trace IS 'traceparent of the decision.';
COMMENT ON COLUMN messaging.job.created_at IS 'When it was decided; tells apart two lives of one name.';
