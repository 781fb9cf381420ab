# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the scripts share; sourced, after `set -euo pipefail`.
# shellcheck disable=SC2034 # the package lists are for the scripts that source this

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${QURING_BUILD_DIR:-$ROOT/build}

# What a build needs; unit and sim tests besides; a server; the fuzz targets; and tests/install.
BUILD_PACKAGES=(gcc libc6-dev cmake ninja-build pkg-config
    liburing-dev libpq-dev libsqlite3-dev libssl-dev)
TEST_PACKAGES=(g++ libcriterion-dev python3)
SERVER_PACKAGES=(postgresql pgbouncer openssl)
FUZZ_PACKAGES=(clang llvm libclang-rt-dev)
INSTALL_PACKAGES=(make meson)

say() { printf '%s\n' "== $*"; }
warn() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
    warn "$*"
    exit 1
}

# need_packages NAME...: installs the Debian packages that are missing.
need_packages() {
    local name log missing=() as=()
    if ! command -v apt-get dpkg-query >/dev/null; then
        warn "not a Debian system: taking it that the equivalents of these are there: $*"
        return 0
    fi
    for name; do
        dpkg-query -W -f '${Status}\n' "$name" 2>/dev/null | grep -q '^install ok installed' ||
            missing+=("$name")
    done
    ((${#missing[@]})) || return 0

    if ((EUID != 0)); then
        command -v sudo >/dev/null || die "packages are missing; an administrator must run:" \
            "apt-get update && apt-get install --no-install-recommends ${missing[*]}"
        as=(sudo)
    fi
    say "installing ${missing[*]}"
    log=$(mktemp)
    if ! "${as[@]}" apt-get update >"$log" 2>&1 ||
        ! "${as[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
        tail -n 20 "$log" >&2
        die "these packages could not be installed: ${missing[*]} (the log is $log)"
    fi
    rm -f "$log"
}

# build_errors LOG: what went wrong in it, without the commands that did; its end where that can't be told.
build_errors() {
    local errors
    errors=$(awk '/^FAILED: / { print; show = 1; getline; next }
        /^CMake Error/ { show = 1 }
        /^\[[0-9]+\/[0-9]+\]/ || /^ninja: / { show = 0 }
        show' "$1" | head -n 40)
    if [[ $errors ]]; then
        printf '%s\n' "$errors"
    else
        tail -n 20 "$1"
    fi
}

# build PRESET [TARGET...]: configures and builds into $BUILD/PRESET; speaks only when it fails.
build() {
    local preset=$1 log=$BUILD/$1.log
    local targets=("${@:2}")
    mkdir -p "$BUILD"
    if ! { cmake -S "$ROOT" --preset "$preset" -B "$BUILD/$preset" &&
        cmake --build "$BUILD/$preset" ${targets[0]:+--target "${targets[@]}"}; } >"$log" 2>&1; then
        build_errors "$log" >&2
        warn "building $preset failed (the log is $log)"
        return 1
    fi
}

# test_counts LOG: prints how many tests passed, failed and were skipped; fails where ctest did not come to its end.
test_counts() {
    local bad all missed
    read -r bad all < <(sed -nE \
        's/^[0-9]+% tests passed, ([0-9]+) tests failed out of ([0-9]+)$/\1 \2/p' "$1") || return
    missed=$(grep -cE '^\s*[0-9]+ - .* \((Skipped|Disabled)\)$' "$1" || true)
    echo "$((all - bad - missed)) $bad $missed"
}

# ---- Private PostgreSQL clusters -----------------------------------------------------------------

PG_DIR=  # all of them; empty while there are none
PG_AS=() # how to run something as their owner: PostgreSQL refuses root

# pg_cluster_start [COUNT]: makes that many clusters, or one, each with a data directory, a port and a password of its
# own; exports, for the first,
#   QURING_TEST_PG_URL         over loopback TCP     QURING_TEST_PG_DATA  its data directory
#   QURING_TEST_PG_SOCKET_URL  over its unix socket  QURING_TEST_PG_CTL   start|stop|restart [-m MODE]
#   QURING_TEST_PG_TLS_URL     TCP, verify-full      PGPASSFILE, QURING_TEST_PG_PASSWORD  of the superuser quring
#   QURING_TEST_PGBOUNCER_URL  through PgBouncer in transaction mode, where it is installed
# and PGSSLMODE=disable, so that only the TLS URL is encrypted. QURING_TEST_PG_CLUSTERS is a directory: its file
# NUMBER/environment has the same for each of them, and `ctest --resource-spec-file "$QURING_TEST_PG_CLUSTERS/ctest.json"`
# gives every one to one test at a time.
# They are gone when the calling script ends, in whatever way. QURING_TEST_PG_FSYNC=off makes them faster;
# QURING_TEST_PG_BIN names the folder of another server's programs than the newest that is installed.
pg_cluster_start() {
    local bin number ids=()
    bin=${QURING_TEST_PG_BIN:-$(find /usr/lib/postgresql/*/bin -maxdepth 0 2>/dev/null | sort -V | tail -n 1)}
    [[ $bin ]] || bin=$(pg_config --bindir)
    PG_DIR=$(mktemp -d /tmp/quring-pg.XXXXXX) # short: a socket path holds 107 bytes
    chmod 755 "$PG_DIR"
    trap pg_cluster_stop EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    pg_cluster_watch

    if ((EUID == 0)); then
        PG_AS=(runuser -u "$(id -un postgres 2>/dev/null || echo nobody)" --)
    fi
    export PGSSLMODE=disable QURING_TEST_PG_CLUSTERS=$PG_DIR
    for ((number = ${1:-1}; number >= 1; number--)); do # the first comes last, and its environment stays
        ids+=("{\"id\": \"$number\"}")
        pg_cluster_make "$PG_DIR/$number" "$bin"
    done
    (IFS=, && echo "{\"version\": {\"major\": 1, \"minor\": 0}, \"local\": [{\"servers\": [${ids[*]}]}]}") >"$PG_DIR/ctest.json"
}

# pg_cluster_make DIRECTORY BIN: one that runs, with what it exports in DIRECTORY/environment
pg_cluster_make() {
    local port password
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    mkdir -m 755 "$1"
    pg_cluster_create "$1" "$2" "$password"
    port=$(pg_cluster_listen "$1")
    export QURING_TEST_PG_DATA=$1/data QURING_TEST_PG_CTL=$1/ctl
    export PGPASSFILE=$1/pgpass QURING_TEST_PG_PASSWORD=$password
    export QURING_TEST_PG_URL="postgresql://quring@127.0.0.1:$port/quring"
    export QURING_TEST_PG_TLS_URL="$QURING_TEST_PG_URL?sslmode=verify-full&sslrootcert=$1/server.crt"
    export QURING_TEST_PG_SOCKET_URL="postgresql://quring@/quring?host=$1/data&port=$port"
    PATH=$2:$PATH createdb -h 127.0.0.1 -p "$port" -U quring -w quring
    [[ ! -x /usr/sbin/pgbouncer ]] || pg_cluster_pool "$1/pool" "$port" "$password"
    declare -p PGPASSFILE "${!QURING_TEST_PG@}" >"$1/environment"
}

# pg_cluster_pool DIRECTORY PORT PASSWORD: two server connections for any number of clients
pg_cluster_pool() {
    local pool=$1 port try
    mkdir -m 700 "$pool"
    for try in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 12000))
        cat >"$pool/pgbouncer.ini" <<END
[databases]
quring = host=127.0.0.1 port=$2 user=quring password=$3
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
max_client_conn = 300
logfile = $pool/log
pidfile = $pool/pid
END
        [[ -z ${PG_AS[*]} ]] || chown -R "${PG_AS[2]}" "$pool"
        (cd / && "${PG_AS[@]}" /usr/sbin/pgbouncer -q -d "$pool/pgbouncer.ini") || continue
        export QURING_TEST_PGBOUNCER_URL="postgresql://quring@127.0.0.1:$port/quring?sslmode=disable"
        return
    done
    warn "no PgBouncer could be started (try $try)"
}

# pg_cluster_create DIRECTORY BIN PASSWORD
pg_cluster_create() {
    local data=$1/data
    mkdir -m 700 "$data"
    (umask 077 && echo "*:*:*:quring:$3" >"$1/pgpass" && echo "$3" >"$1/password")
    [[ -z ${PG_AS[*]} ]] || chown "${PG_AS[2]}" "$data" "$1/password"
    (cd / && "${PG_AS[@]}" "$2/initdb" -D "$data" -U quring --pwfile="$1/password" \
        -A scram-sha-256 -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null)
    openssl req -new -x509 -days 7 -nodes -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 \
        -keyout "$1/server.key" -out "$1/server.crt" 2>/dev/null
    chmod 600 "$1/server.key"
    [[ -z ${PG_AS[*]} ]] || chown "${PG_AS[2]}" "$1/server.key"
    "${PG_AS[@]}" tee -a "$data/postgresql.conf" >/dev/null <<END
listen_addresses = '127.0.0.1'
unix_socket_directories = '$data'
password_encryption = scram-sha-256
ssl = on
ssl_cert_file = '$1/server.crt'
ssl_key_file = '$1/server.key'
max_connections = 200
recovery_init_sync_method = syncfs
fsync = ${QURING_TEST_PG_FSYNC:-on}
include '$1/port.conf'
END
    cat >"$1/ctl" <<END
#!/bin/sh
cd / && exec ${PG_AS[*]} $2/pg_ctl -s -w -t 60 -D $data -l $data/server.log "\$@"
END
    chmod 755 "$1/ctl"
}

# pg_cluster_listen DIRECTORY: starts it on a port that is free, which is only known once it is bound. Prints the port.
pg_cluster_listen() {
    local port try
    for try in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 12000)) # below the ephemeral ports
        echo "port = $port" >"$1/port.conf"
        if "$1/ctl" start >&2; then
            echo "$port"
            return
        fi
        warn "no PostgreSQL on port $port (try $try)"
    done
    cat "$1/data/server.log" >&2
    return 1
}

pg_cluster_stop() {
    [[ $PG_DIR && -d $PG_DIR ]] || return 0
    local cluster pid
    for cluster in "$PG_DIR"/[0-9]*; do
        pid=
        { read -r pid <"$cluster/pool/pid"; } 2>/dev/null && kill -9 "$pid"
        pid=
        "$cluster/ctl" stop -m immediate -t 10 >/dev/null 2>&1 || true
        if { read -r pid <"$cluster/data/postmaster.pid"; } 2>/dev/null &&
            [[ $(readlink "/proc/$pid/cwd") == "$cluster/data" ]]; then
            kill -9 "$pid"
        fi
    done
    rm -rf "$PG_DIR"
    PG_DIR=
}

# A script that is killed outright cannot clean up; this small process then does.
pg_cluster_watch() {
    setsid bash -c "$(declare -p PG_DIR && declare -f pg_cluster_stop)
        while kill -0 $$ && [[ -d \$PG_DIR ]]; do sleep 1; done
        pg_cluster_stop" >/dev/null 2>&1 </dev/null &
}
