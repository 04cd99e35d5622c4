# Makes the cluster at the first start, as whoever the container runs as.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # initdb wants a name for its user.
    printf 'postgres:x:%s:%s::/:/bin/false\n' "$(id -u)" "$(id -g)" > /tmp/passwd
    printf 'postgres:x:%s:\n' "$(id -g)" > /tmp/group
    LD_PRELOAD=libnss_wrapper.so NSS_WRAPPER_PASSWD=/tmp/passwd NSS_WRAPPER_GROUP=/tmp/group \
        initdb --pgdata="$PGDATA" --username="$POSTGRES_USER" \
        --pwfile="$POSTGRES_PASSWORD_FILE" $POSTGRES_INITDB_ARGS
    echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
fi
exec "$@"
