#!/usr/bin/env bash
# Runs the compose target's tests on a bare Debian machine: no registry, no engine needed before.
#
# The engine, docker compose, the base image and the stores' images all come from Debian's
# packages, Envoy and the services' packages from Python's. What is made is kept in a folder for
# the next run. An engine that runs already is used; else root runs one of its own in namespaces of
# its own, which the kernel empties however this script ends: no process, mount, network or
# firewall rule outlives it. Usage: run.sh PYTHON [pytest's arguments]
#   COMPOSE_CACHE   that folder (default: ~/.cache/pulse-compose)
#   DEBIAN_MIRROR   where Debian's packages come from (default: where this machine's do)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
python=$1
bin=$(cd "$(dirname "$python")" && pwd)
cache=${COMPOSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pulse-compose}
run=/run/pulse-compose
registry=pulse-test
group=pulse-compose

. "$here/machine.sh"
. "$here/images.sh"

engine_answers() { docker version --format '{{.Server.Version}}' > /dev/null 2>&1; }

# To the kernel, all containers together weigh as much as one other process: beside many they would
# starve. They shall weigh as much as twenty (version 2 of control groups, then version 1).
give_weight() {
    local root=/sys/fs/cgroup
    if [ -e "$root/cgroup.controllers" ]; then
        mkdir -p "$root/$group" && echo 2000 > "$root/$group/cpu.weight"
    else
        mkdir -p "$root/cpu/$group" && echo 20480 > "$root/cpu/$group/cpu.shares"
    fi 2> /dev/null || say "containers will be slow where much else runs"
}

# The engine's files of one run lie in memory of the namespace, so that none is left to the next.
start_engine() {
    mount -t tmpfs pulse-compose "$run"
    give_weight
    export DOCKER_HOST=unix://$run/docker.sock
    dockerd --host "$DOCKER_HOST" --pidfile "$run/docker.pid" --exec-root "$run/exec" \
        --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "$group" \
        --data-root "$cache/engine" "$@" > "$cache/dockerd.log" 2>&1 &
    engine=$!
    trap stop_engine EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    for _ in $(seq 1200); do
        engine_answers && return
        kill -0 "$engine" 2> /dev/null || break
        sleep 0.1
    done
    fail "dockerd did not start: $(tail -n 3 "$cache/dockerd.log")"
}

stop_engine() {
    kill "$engine" 2> /dev/null || return 0
    timeout 30 tail --pid "$engine" -f /dev/null || echo "dockerd had to be killed" >&2
}

# A run that was killed leaves them, and they would be started again.
clear_engine() {
    docker ps --all --quiet | xargs --no-run-if-empty docker rm --force --volumes > /dev/null
    docker network prune --force > /dev/null
    docker image prune --force > /dev/null
}

run_tests() {
    say "running the tests"
    export COMPOSE_TEST_REGISTRY=$registry COMPOSE_TEST_SUITE=$suite
    export COMPOSE_TEST_WHEELS=$cache/wheels
    "$bin/pytest" -qx "$here" "$here/../unit/test_render_compose.py" "$@"
}

# One stage of this script as the first process of its own namespaces.
apart() {
    COMPOSE_TEST_STAGE=$1 began=$began setpriv --pdeathsig KILL \
        unshare --mount-proc --pid --fork --kill-child "${@:2}"
}

case ${COMPOSE_TEST_STAGE:-} in
    images) # in the machine's network, without a change to it
        start_engine --bridge none --iptables=false
        clear_engine
        make_images
        exit
        ;;
    tests)
        ip link set lo up
        start_engine
        run_tests "${@:2}"
        exit
        ;;
esac

mkdir -p "$cache"
exec 9> "$cache/lock"
flock --nonblock 9 || { say "waiting for another run" && flock 9; }
command -v docker > /dev/null || get_packages docker.io iptables
have_compose
make_wheels
if engine_answers; then
    make_images
    run_tests "${@:2}"
else
    [ "$(id -u)" = 0 ] || fail "no Docker Engine answers, and only root can start one"
    command -v dockerd > /dev/null && command -v iptables > /dev/null || get_packages docker.io iptables
    command -v ip > /dev/null || get_packages iproute2
    command -v debootstrap > /dev/null || get_packages debootstrap
    mkdir -p "$run"
    apart images "$0" "$@"
    apart tests --net "$0" "$@"
fi
