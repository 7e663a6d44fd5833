-- What tracing systems have added to the trace of a job goes on to what follows from its outcome.
--
-- A column without a default: no row is written. An instance of the version before neither writes nor reads it; a job that it
-- makes goes on without.
ALTER TABLE messaging.job ADD COLUMN trace_state text;
COMMENT ON COLUMN messaging.job.trace_state IS 'tracestate of the decision, beside its traceparent in trace.';
