#!/usr/bin/env bash
# OpenSSL as Debian has it, to link with: a static library and its headers. For root.
set -euo pipefail
! pkg-config --exists libssl 2>/dev/null || exit 0
apt=(apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
"${apt[@]}" update
DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends libssl-dev pkg-config >/dev/null
