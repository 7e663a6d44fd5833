#!/usr/bin/env bash
# A Docker engine with Compose and buildx on a Debian machine without a service manager, from Debian's packages
# and Go modules. For root.
#   engine.sh start   installs what is missing, starts the engine unless one answers, waits until it does
#   engine.sh stop    stops the engine that this script started, and no other
set -euo pipefail

readonly compose=v2.40.3 buildx=v0.29.1
readonly state=/run/saga-engine
readonly plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
ours() { [[ -s $state/pid && $(ps -o comm= -p "$(<"$state/pid")") == dockerd ]]; }

install_engine() {
  local missing=() apt=(apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3) tool
  for tool in dockerd:docker.io docker:docker.io iptables:iptables ps:procps debootstrap:debootstrap; do
    command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
  done
  ((${#missing[@]})) || return 0
  "${apt[@]}" update
  DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null
}

start_engine() {
  answers && return 0
  # --ip: what is published without an address is on loopback.
  setsid nohup dockerd --ip 127.0.0.1 --log-level warn >"$state/log" 2>&1 </dev/null 9>&- &
  echo $! >"$state/pid"
  for _ in $(seq 120); do
    answers && return 0
    ours || break
    sleep 0.25
  done
  tail -20 "$state/log" >&2
  exit 1
}

# `go install MODULE@VERSION` refuses these modules for the `exclude` lines in their go.mod; so each is fetched and
# built as the main module.
install_plugin() { # name module version package version-variable
  local name=$1 module=$2 version=$3 package=$4 variable=$5 source
  ! docker "${name#docker-}" version 2>/dev/null | grep -qF "$version" || return 0
  source=$(cd / && go mod download -json "$module@$version" | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p')
  mkdir -p "$plugins"
  (cd "$source" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X $variable=$version" \
    -o "$plugins/.$name.new" "$package")
  mv "$plugins/.$name.new" "$plugins/$name"
}

start() {
  mkdir -p "$state"
  exec 9>"$state/lock"
  flock 9
  install_engine
  start_engine
  install_plugin docker-compose github.com/docker/compose/v2 "$compose" ./cmd \
    github.com/docker/compose/v2/internal.Version
  install_plugin docker-buildx github.com/docker/buildx "$buildx" ./cmd/buildx \
    github.com/docker/buildx/version.Version
  docker version --format 'engine {{.Server.Version}}, client {{.Client.Version}}'
}

stop() {
  ours || { echo "no engine of this script's is running"; return 0; }
  local pid
  pid=$(<"$state/pid")
  kill "$pid"
  while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
  rm -f "$state/pid"
}

case ${1:-start} in
  start) start ;;
  stop) stop ;;
  *) sed -n '4,5s/^# *//p' "$0" >&2; exit 2 ;;
esac
