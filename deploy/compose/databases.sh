#!/bin/sh
# One database and one role per service; a role opens its own and no other. Runs once, on an empty
# data folder, before the server listens to anybody else.
set -eu
for name in orders inventory payments notify registry; do
  psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    -v name="$name" -v password="$(cat "/run/secrets/postgres/$name")" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
done
# Nobody but the superuser has anything to do there.
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
  -c 'REVOKE CONNECT ON DATABASE postgres FROM PUBLIC'
