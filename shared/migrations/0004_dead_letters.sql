-- Dead letters that can be mended: what waits behind one, what was decided about it and by whom.

ALTER TABLE messaging.dead_letter
    ADD COLUMN timestamp_ms bigint,
    ADD COLUMN lane bytea,
    ADD COLUMN attempts integer NOT NULL DEFAULT 1,
    ADD COLUMN last_failed_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN settled text CHECK (settled IN ('redriven', 'discarded')),
    ADD COLUMN closed_at timestamptz;
-- At most one open letter per lane: whatever comes after it waits behind it.
CREATE UNIQUE INDEX dead_letter_lane ON messaging.dead_letter (lane) WHERE closed_at IS NULL;
-- The list, oldest first.
CREATE INDEX dead_letter_open ON messaging.dead_letter (failed_at, dead_letter_id) WHERE closed_at IS NULL;
-- What is old and closed is purged.
CREATE INDEX dead_letter_closed ON messaging.dead_letter (closed_at) WHERE closed_at IS NOT NULL;
COMMENT ON COLUMN messaging.dead_letter.timestamp_ms IS 'When the broker took it, in milliseconds since 1970.';
COMMENT ON COLUMN messaging.dead_letter.lane IS 'SHA-256 of topic and key: later messages of this lane wait behind it. Null if its outside cannot be read, so that nobody knows whose it is: nothing waits then.';
COMMENT ON COLUMN messaging.dead_letter.attempts IS 'How often taking it in has failed.';
COMMENT ON COLUMN messaging.dead_letter.last_failed_at IS 'When that was last.';
COMMENT ON COLUMN messaging.dead_letter.settled IS 'What was decided of the letter itself; null while nothing is. What waits behind it may still wait.';
COMMENT ON COLUMN messaging.dead_letter.closed_at IS 'Since when it is settled and nothing waits behind it. Kept for a while, so that the same place in the log is known again.';

CREATE TABLE messaging.parked (
    parked_id    bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    lane         bytea NOT NULL,
    topic        text NOT NULL,
    partition    integer NOT NULL,
    "offset"     bigint NOT NULL,
    timestamp_ms bigint,
    key          bytea,
    headers      bytea NOT NULL,
    payload      bytea,
    parked_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (topic, partition, "offset")
);
CREATE INDEX parked_lane ON messaging.parked (lane, parked_id);
COMMENT ON TABLE messaging.parked IS 'Messages that wait behind an open dead letter of their topic and key, as they came.';
COMMENT ON COLUMN messaging.parked.parked_id IS 'The order in which they came, and in which they go on.';
COMMENT ON COLUMN messaging.parked.lane IS 'Whose lane: as in dead_letter.';
COMMENT ON COLUMN messaging.parked.topic IS 'Where it was read, without the deployment''s prefix.';
COMMENT ON COLUMN messaging.parked.partition IS 'Partition it was read from.';
COMMENT ON COLUMN messaging.parked."offset" IS 'Place in that partition. With topic and partition it knows a repeat.';
COMMENT ON COLUMN messaging.parked.timestamp_ms IS 'When the broker took it, in milliseconds since 1970.';
COMMENT ON COLUMN messaging.parked.key IS 'Its key, as it came.';
COMMENT ON COLUMN messaging.parked.headers IS 'Its headers, as they came, in the form of shared::message::Headers.';
COMMENT ON COLUMN messaging.parked.payload IS 'Its body, as it came.';
COMMENT ON COLUMN messaging.parked.parked_at IS 'Since when it waits.';

CREATE TABLE messaging.dead_letter_decision (
    decision_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    letter_id   uuid NOT NULL,
    source      text NOT NULL CHECK (source IN ('message', 'job')),
    topic       text NOT NULL,
    key         text,
    action      text NOT NULL CHECK (action IN ('redrive', 'discard')),
    outcome     text NOT NULL,
    decided_by  text NOT NULL,
    reason      text,
    decided_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX dead_letter_decision_letter ON messaging.dead_letter_decision (letter_id, decision_id);
COMMENT ON TABLE messaging.dead_letter_decision IS 'Who decided what about which dead letter, when and why. Nothing here is changed or deleted.';
COMMENT ON COLUMN messaging.dead_letter_decision.decision_id IS 'Rises with time.';
COMMENT ON COLUMN messaging.dead_letter_decision.letter_id IS 'The letter, as open_letter names it.';
COMMENT ON COLUMN messaging.dead_letter_decision.source IS 'What it was: message, or job.';
COMMENT ON COLUMN messaging.dead_letter_decision.topic IS 'The message''s topic, or the job''s kind.';
COMMENT ON COLUMN messaging.dead_letter_decision.key IS 'Its key, as text.';
COMMENT ON COLUMN messaging.dead_letter_decision.action IS 'What was asked for: redrive, or discard.';
COMMENT ON COLUMN messaging.dead_letter_decision.outcome IS 'What came of it: taken-in, still-dead, put-back, discarded.';
COMMENT ON COLUMN messaging.dead_letter_decision.decided_by IS 'Who asked, in their own word.';
COMMENT ON COLUMN messaging.dead_letter_decision.reason IS 'Why; of a discard always.';
COMMENT ON COLUMN messaging.dead_letter_decision.decided_at IS 'When.';

-- Jobs that were given up, oldest first.
CREATE INDEX job_dead ON messaging.job (due_at) WHERE state = 'dead';

CREATE VIEW messaging.open_letter AS
SELECT dead_letter_id AS letter_id, 'message' AS source, topic, key, reason, detail, attempts,
       failed_at, last_failed_at, settled, lane
FROM messaging.dead_letter
WHERE closed_at IS NULL
UNION ALL
SELECT md5(kind || '/' || key)::uuid, 'job', kind, convert_to(key, 'UTF8'),
       CASE WHEN in_doubt THEN 'in-doubt' ELSE 'gave-up' END, coalesce(last_error, ''), attempt,
       due_at, due_at, NULL, NULL
FROM messaging.job
WHERE state = 'dead';
COMMENT ON VIEW messaging.open_letter IS 'All that waits for an operator: messages that could not be taken in, and jobs that were given up. A job is named by its kind and key, the same over all its lives.';
