#!/bin/sh
# One database and one role per service; a role opens its own and no other. Runs once, on an empty
# data directory. Development passwords: the name again.
set -eu
for name in orders inventory payments notify registry; do
  psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres -v name="$name" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'name';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
done
