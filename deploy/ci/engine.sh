#!/usr/bin/env bash
# A Docker engine with Compose and buildx on a Debian machine without a service manager, from Debian's packages.
# For root.
#   engine.sh start   installs what is missing, starts the engine unless one answers, waits until it does
#   engine.sh stop    stops the engine that this script started, and no other
set -euo pipefail

# Debian 12 has neither Compose 2 nor buildx: they come from Debian 13, unpacked beside the client and not installed.
readonly plugins_suite=trixie
readonly state=/run/saga-engine
readonly plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins
readonly apt=(apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
ours() { [[ -s $state/pid && $(ps -o comm= -p "$(<"$state/pid")") == dockerd ]]; }

install_engine() {
  local missing=() tool
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
  local pid=$!
  echo "$pid" >"$state/pid"
  for _ in $(seq 1200); do
    answers && return 0
    # Not by its name: on a busy machine it is still setsid or nohup for a while.
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.25
  done
  tail -20 "$state/log" >&2
  exit 1
}

install_plugins() {
  local stage mirror options
  ! { docker compose version && docker buildx version; } >/dev/null 2>&1 || return 0
  # shellcheck disable=SC2016 # apt's own placeholder
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' | head -1)
  stage=$(mktemp -d)
  mkdir -p "$stage"/{lists,cache/archives}/partial "$plugins"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $plugins_suite main" >"$stage/sources.list"
  # As root apt would hand downloads to a user who cannot write here.
  options=(-o Dir::Etc::sourcelist="$stage/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$stage/lists"
    -o Dir::Cache="$stage/cache" -o APT::Sandbox::User=root -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false)
  "${apt[@]}" "${options[@]}" update
  (cd "$stage" && "${apt[@]}" "${options[@]}" download docker-compose docker-buildx)
  for package in "$stage"/*.deb; do
    dpkg -x "$package" "$stage/unpacked"
  done
  install -m 755 "$stage"/unpacked/usr/libexec/docker/cli-plugins/docker-{compose,buildx} "$plugins"
  rm -rf "$stage"
}

start() {
  mkdir -p "$state"
  exec 9>"$state/lock"
  flock 9
  install_engine
  start_engine
  install_plugins
  docker version --format 'engine {{.Server.Version}}, client {{.Client.Version}}'
  echo "compose $(docker compose version --short), $(docker buildx version | cut -d' ' -f1,2)"
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
