-- What was kept long enough is found by its age, and not at the head of the ids: messages of a topic that was held are
-- published late and have low ids, and a few thousand of them at the head kept the rest from being deleted. While the
-- index is built (0.7 s for a million messages in memory) nothing can be settled: the relay publishes its batch again.
CREATE INDEX published_by_age ON messaging.published (published_at);
