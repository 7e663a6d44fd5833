-- Messages are not parked behind a dead letter any more: each is processed when it comes, in any order, and a dead
-- letter that is redriven is a very late message (ADR 19).
--
-- A pod of the version before this one cannot read the columns that go, and holds its batches back until it is replaced
-- (docs/kubernetes.md).
LOCK TABLE messaging.dead_letter, messaging.parked IN ACCESS EXCLUSIVE MODE;

-- What is parked now becomes open letters. Each service redrives those of the reason 'parked' at its start.
INSERT INTO messaging.dead_letter
    (dead_letter_id, topic, partition, "offset", timestamp_ms, key, headers, payload, reason, detail, attempts,
     failed_at, last_failed_at)
SELECT gen_random_uuid(), topic, partition, "offset", timestamp_ms, key, headers, payload, 'parked',
       'an earlier version of this service had parked it behind another dead letter', 0, parked_at, parked_at
FROM messaging.parked
ON CONFLICT (topic, partition, "offset", digest) DO NOTHING;

-- Decided upon, and only kept open for what was parked behind it.
UPDATE messaging.dead_letter SET closed_at = now() WHERE settled IS NOT NULL AND closed_at IS NULL;

DROP VIEW messaging.open_letter;
DROP TABLE messaging.parked;
ALTER TABLE messaging.dead_letter DROP COLUMN lane;
COMMENT ON COLUMN messaging.dead_letter.attempts IS 'How often processing it has failed.';
COMMENT ON COLUMN messaging.dead_letter.settled IS 'What was decided; null while it is open.';
COMMENT ON COLUMN messaging.dead_letter.closed_at IS 'When that was. Kept for a while, so that the same message is known again.';

CREATE VIEW messaging.open_letter AS
SELECT dead_letter_id AS letter_id, 'message' AS source, topic, key, reason, detail, attempts,
       failed_at, last_failed_at
FROM messaging.dead_letter
WHERE closed_at IS NULL
UNION ALL
SELECT md5(kind || '/' || key)::uuid, 'job', kind, convert_to(key, 'UTF8'),
       CASE WHEN in_doubt THEN 'in-doubt' ELSE 'gave-up' END, coalesce(last_error, ''), attempt,
       due_at, due_at
FROM messaging.job
WHERE state = 'dead';
COMMENT ON VIEW messaging.open_letter IS 'All that waits for an operator: messages that could not be processed, and jobs that were given up. A job''s id is made of its kind and key, the same over all its lives.';
