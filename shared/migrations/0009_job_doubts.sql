-- How often nobody learned what became of an attempt: for work whose far side does not know a repeat by its
-- key, such attempts are counted and limited apart from the others. Rows that are in doubt already have been so
-- at least once.
ALTER TABLE messaging.job ADD COLUMN doubts integer NOT NULL DEFAULT 0;
UPDATE messaging.job SET doubts = 1 WHERE in_doubt AND state <> 'dead';
COMMENT ON COLUMN messaging.job.doubts IS 'Attempts of this life that ended without a known outcome: each may have happened.';
