//! A real Kafka, Postgres, schema registry and mail sink: given, in Docker, or as local processes.
