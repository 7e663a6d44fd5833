#!/usr/bin/env bash
# What `cargo verify` needs to try containers on a bare Debian machine: an engine, and images. An image that a registry
# gives is fetched, for any other a stand-in is built.
set -euo pipefail
cd "$(dirname "$0")"
./engine.sh start
fetched=yes
for image in debian:bookworm-slim rust:1.95-slim-bookworm apache/kafka:4.3.1 postgres:18.6-alpine3.24 \
  axllent/mailpit:v1.30.5 apicurio/apicurio-registry:3.3.3; do
  docker image inspect "$image" >/dev/null 2>&1 || timeout 120 docker pull --quiet "$image" 2>/dev/null || fetched=no
done
[[ $fetched == yes ]] || ./stand-ins.sh
# An engine may answer and start nothing: better known now than from a hundred tests.
timeout 60 docker run --rm --publish 127.0.0.1::7777 debian:bookworm-slim true
echo "containers: an engine answers, starts containers and publishes their ports"
