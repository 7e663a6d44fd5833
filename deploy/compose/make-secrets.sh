#!/bin/sh
# One password per database role, made at the first start and kept from then on. Every container mounts
# the folder that is meant for it: postgres knows all, a service its own URL, the registry its own line.
set -eu
umask 022
for role in superuser registry orders inventory payments notify; do
  file=/secrets/postgres/$role
  if [ ! -s "$file" ]; then
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$file.new"
    mv "$file.new" "$file"
  fi
  password=$(cat "$file")
  case $role in
    superuser) ;;
    registry) echo "apicurio.datasource.password=$password" >/secrets/registry/registry.properties ;;
    *) echo "postgres://$role:$password@postgres:5432/$role" >"/secrets/$role/database-url" ;;
  esac
done
