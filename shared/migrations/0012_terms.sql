-- Two stable codes get the terms of the field.
--
-- A pod of the version before this one writes the earlier codes until it is replaced. A letter that it writes with one is listed and
-- can be redriven or discarded like any other; the gauge dead_letters, which has one series per known reason, does not count it,
-- and `--reason reused-id` does not find it. A decision that it records keeps the earlier outcome.
-- Copies on dead-letter topics keep the code with which they were published.

-- The id of an earlier message, with other content.
UPDATE messaging.dead_letter SET reason = 'reused-id' WHERE reason = 'imposter';

-- A redrive after which the message was processed.
UPDATE messaging.dead_letter_decision SET outcome = 'processed' WHERE outcome = 'taken-in';
COMMENT ON COLUMN messaging.dead_letter_decision.outcome IS 'What came of it: processed, still-dead, put-back, discarded.';

COMMENT ON TABLE messaging.inbox IS 'Messages that were processed. Inserted before their effect, in its transaction.';
COMMENT ON TABLE messaging.dead_letter IS 'Messages that cannot be processed, as they came, with the reason.';
