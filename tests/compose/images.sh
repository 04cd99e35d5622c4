# The images of everything that a stack runs, made without a registry.

base=$registry/base:$suite

make_images() {
    make_base
    for name in postgres redis rabbitmq prometheus standin; do
        make_image "$name" "$here/$name"
    done
    make_envoy
}

make_base() {
    docker image inspect "$base" > /dev/null 2>&1 && return
    command -v debootstrap > /dev/null || get_packages debootstrap
    [ "$(id -u)" = 0 ] || fail "only root can make the base image; or tag one of yours as $base"
    say "making the base image of Debian $suite"
    local root=$cache/root
    rm -rf --one-file-system "$root"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
        "$suite" "$root" "$mirror" > "$cache/debootstrap.log" 2>&1 ||
        fail "debootstrap failed: $(tail -n 3 "$cache/debootstrap.log")"
    tar -C "$root" -c --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' \
        --exclude='./usr/share/locale/*' --exclude='./var/lib/apt/lists/*' \
        --exclude='./var/cache/apt/*.bin' --exclude='./var/cache/apt/archives/*.deb' \
        --exclude='./dev/*' . | docker import - "$base" > /dev/null
    rm -rf --one-file-system "$root"
}

# In the host's network: a container's may have no way out to the mirror.
make_image() {
    say "making $registry/$1"
    DOCKER_BUILDKIT=0 docker build --quiet --network host --build-arg "BASE=$base" \
        --tag "$registry/$1:$suite" "$2" > "$cache/$1.log" 2>&1 ||
        fail "docker build failed: $(tail -n 3 "$cache/$1.log")"
}

make_envoy() {
    mkdir -p "$cache/envoy"
    cp "$here/envoy/Dockerfile" "$cache/envoy/"
    cp -u "$("$python" -c 'from pulse_cli.components import find_envoy; print(find_envoy())')" \
        "$cache/envoy/envoy"
    make_image envoy "$cache/envoy"
}
