-- A dead job by the id that it has in the list of dead letters: an operator's decision about one of them read them all.
-- Few jobs are dead, so the index is small; while it is built no job can be stored.
CREATE INDEX job_letter ON messaging.job ((md5(kind || '/' || key)::uuid)) WHERE state = 'dead';
