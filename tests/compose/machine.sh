# What this machine needs: programs from Debian's packages, wheels from Python's.

began=${began:-$(date +%s)}

say() { printf '[%4d s] %s\n' $(($(date +%s) - began)) "$*" >&2; }
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

# That of the same suite, for other repositories may come first; else the first, which may have it.
mirror=${DEBIAN_MIRROR:-$(
    apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(SITE)' 'Created-By: Packages' |
        awk -v suite="$suite" '$2 == "main" && !first { first = $3 }
            $1 == suite && $2 == "main" && !found { found = $3 }
            END { print found ? found : first }'
)}
[ -n "$mirror" ] || fail "apt knows no place of Debian's packages: name one in DEBIAN_MIRROR"

# Another apt-get may be at work, and the lists of packages may be old, missing or partly refused.
get_packages() {
    say "installing $*"
    [ "$(id -u)" = 0 ] || fail "not root, and missing: $*; apt-get install them"
    local get=(apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
    local some=("${get[@]}" install -y --no-install-recommends "$@")
    export DEBIAN_FRONTEND=noninteractive
    "${some[@]}" > "$cache/apt.log" 2>&1 && return
    "${get[@]}" update >> "$cache/apt.log" 2>&1 || true
    "${some[@]}" >> "$cache/apt.log" 2>&1 || fail "apt-get failed: $(tail -n 3 "$cache/apt.log")"
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
        -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt" -o APT::Sandbox::User=root
        -o Acquire::Retries=3)
    {
        rm -rf "$apt"/docker-compose_*.deb "$apt/unpacked"
        apt-get "${options[@]}" update &&
            (cd "$apt" && apt-get "${options[@]}" download docker-compose) &&
            dpkg -x "$apt"/docker-compose_*.deb "$apt/unpacked" &&
            cp "$apt/unpacked/usr/libexec/docker/cli-plugins/docker-compose" \
                "$DOCKER_CONFIG/cli-plugins/"
    } > "$cache/apt.log" 2>&1 || fail "apt-get failed: $(tail -n 3 "$cache/apt.log")"
}

# On the host, whose pip may have a mirror, a proxy or certificates that no image should hold.
make_wheels() {
    "$bin/pulse" -C "$cache" render docker -o "$cache/rendered" --json > /dev/null
    local wanted
    wanted=$(cat "$cache"/rendered/docker/{requirements,constraints}.txt | sha256sum)
    [ "$version $wanted" = "$(cat "$cache/wheels/.made-from" 2> /dev/null)" ] && return
    say "collecting wheels"
    rm -rf "$cache/wheels"
    "$bin/python" -m pip wheel --quiet --wheel-dir "$cache/wheels" \
        --constraint "$cache/rendered/docker/constraints.txt" \
        --requirement "$cache/rendered/docker/requirements.txt" >&2
    printf '%s' "$version $wanted" > "$cache/wheels/.made-from"
}
