#!/bin/sh
# The alerts with the full address of each runbook: standard input to standard output. RUNBOOKS_URL is where docs/runbooks is
# served. Grafana makes a link of an annotation as it stands in the file, so the address cannot be left to a template.
set -eu
case ${RUNBOOKS_URL:-} in
  http://?* | https://?*) ;;
  *)
    echo "RUNBOOKS_URL is '${RUNBOOKS_URL:-}'. Set it to the http:// or https:// address under which docs/runbooks is served." >&2
    exit 2
    ;;
esac
base=$(printf '%s' "${RUNBOOKS_URL%/}" | sed 's/[&|\\]/\\&/g')
exec sed "s|\${RUNBOOKS_URL}|$base|"
