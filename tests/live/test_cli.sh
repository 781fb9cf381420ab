#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The quring command as a user meets it: test_cli.sh PATH_TO_QURING PATH_TO_WITHOUT_IO_URING [PART]...
# The parts are usage, run and bench, over SQLite; and run_pg and bench_pg, over PostgreSQL where
# QURING_TEST_PG_URL is set (in a database of their own). All of them when none is named; 77 where none of them can run.
set -euo pipefail

QURING=${1:?usage: test_cli.sh PATH_TO_QURING PATH_TO_WITHOUT_IO_URING [PART]...}
WITHOUT_IO_URING=${2:?usage: test_cli.sh PATH_TO_QURING PATH_TO_WITHOUT_IO_URING [PART]...}
WORK=$(mktemp -d /tmp/quring-cli.XXXXXX)
PG=${QURING_TEST_PG_URL:-} # in test_*_pg: the database of its own
PG_ADMIN=$PG
PG_DB=quring_cli_$$
checks=0 failures=0
status=0 out='' err=''
export TMPDIR=$WORK/tmp LC_ALL=C.UTF-8 # temporary databases show in one place
mkdir "$TMPDIR"
unset DATABASE_URL COLUMNS

finish() {
    [[ $PG == "$PG_ADMIN" ]] || "$QURING" run "$PG_ADMIN" -c "drop database if exists $PG_DB with (force)" || true
    rm -rf "$WORK"
}
trap finish EXIT

# ---- Checks --------------------------------------------------------------------------------------

# run COMMAND...: sets status, out and err. (A trailing x keeps line feeds at the end of out.)
run() {
    status=0
    "$@" >"$WORK/out" 2>"$WORK/err" </dev/null || status=$?
    out=$(cat "$WORK/out" && echo x) out=${out%x}
    err=$(cat "$WORK/err")
}

# check NAME CONDITION...: counts it, and says what there was instead.
check() {
    local name=$1
    shift
    checks=$((checks + 1))
    "$@" && return
    failures=$((failures + 1))
    printf 'FAILED: %s: %s\n  status %s\n  out: %s\n  err: %s\n' \
        "$name" "$*" "$status" "${out:0:2000}" "${err:0:2000}" >&2
}
# shellcheck disable=SC2317 # these are called by check
is() { [[ $1 == "$2" ]]; }
# shellcheck disable=SC2317
has() { [[ $1 == *"$2"* ]]; }
# shellcheck disable=SC2317
lacks() { [[ $1 != *"$2"* ]]; }

# gives NAME STATUS OUTPUT COMMAND...: exactly this, and nothing on standard error.
gives() {
    local name=$1 wanted=$2 text=$3
    run "${@:4}"
    check "$name" is "$status" "$wanted"
    check "$name" is "$out" "$text"
    check "$name" is "$err" ""
}

# fails NAME STATUS MESSAGE COMMAND...: with this on standard error.
fails() {
    local name=$1 wanted=$2 text=$3
    run "${@:4}"
    check "$name" is "$status" "$wanted"
    check "$name" has "$err" "$text"
}

# until_it COMMAND...: waits until it succeeds; a minute is for ever.
until_it() {
    local end=$((SECONDS + 300))
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.05
    done
}

# ended PID: what a command in the background came to; sets status, out and err.
ended() {
    status=0
    wait "$1" 2>/dev/null || status=$?
    out=$(cat "$WORK/out") err=$(cat "$WORK/err")
}

# safe NAME: what was printed, on both ways out, moves no terminal.
safe() {
    check "$1: safe characters" is "" "$(python3 - "$WORK/out" "$WORK/err" <<'END'
import sys, unicodedata
for name in sys.argv[1:]:
    for c in open(name, encoding="utf-8", newline="").read(): # which is strict
        bidi = unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        if (unicodedata.category(c) in ("Cc", "Zl", "Zp") and c not in "\n\t") or bidi or c in "\u200e\u200f\u061c":
            print(name, ascii(c))
END
)"
}

# wrong MESSAGE ARGUMENT...: wrong usage is one line on standard error, and exit status 2.
wrong() {
    fails "wrong: ${*:2}" 2 "$1" "$QURING" "${@:2}"
    check "wrong: ${*:2}" is "$out" ""
    check "wrong: ${*:2}" is "$(wc -l <"$WORK/err")" 1
}

# ---- Usage ---------------------------------------------------------------------------------------

test_usage() {
    local command
    gives version 0 "quring $(sed -n 's/.*QURING_VERSION_M[AI][JN]OR //p' "$ROOT/include/quring/quring.h" |
        paste -sd.).$(sed -n 's/.*QURING_VERSION_PATCH //p' "$ROOT/include/quring/quring.h")"$'\n' "$QURING" --version
    for command in "" run bench probe; do
        # shellcheck disable=SC2086 # empty: none
        run "$QURING" $command --help
        check "help $command" is "$status" 0
        check "help $command" has "$out" "usage: quring $command"
        check "help $command" is "$err" ""
        check "help $command" is "$(awk 'length > 100' "$WORK/out")" ""
    done
    wrong "give a command"
    wrong "there is no such command" nonsense
    for command in run bench probe; do
        run "$QURING" $command -h
        check "help $command" is "$status,$err" "0,"
        check "help $command" has "$out" "usage: quring $command"
    done
    wrong "which database" run
    wrong "one URL only" run sqlite:// sqlite://
    wrong "there is no option --foo" run sqlite:// --foo
    wrong "there is no option -y" run sqlite:// -y
    wrong "-x=on: an option of one letter takes no =" run sqlite:// -x=on
    wrong "-x goes with --format table" run sqlite:// -x --format json
    wrong "give auto, on or off" run sqlite:// --expanded=never
    wrong "-c needs a value" run sqlite:// -c
    wrong "give table, csv, json, ndjson or document" run sqlite:// --format xml
    wrong "No such file" run sqlite:// -c "select 1" -f "$WORK/nosuch"
    wrong "No such file" run sqlite:// -f "$WORK/nosuch"
    wrong "Is a directory" run sqlite:// -f "$WORK"
    # shellcheck disable=SC2016 # placeholders, not variables
    wrong 'line 2: the statement uses $1, and 0 --param were given' run sqlite:// -c $'select 1;\nselect $1'
    # shellcheck disable=SC2016
    wrong 'from $1 to $65535' run sqlite:// -c 'select $99999999999999999999'
    wrong "this is not a URL" run mysql://u:hidden@h/d -c "select 1"
    wrong "there is no option --nonsense" bench --nonsense
    wrong "takes no value" bench --json=1
    wrong "from 1 to 10000" bench -c 0
    wrong "from 1 to 65535" bench -d 1x
    wrong "from 0.001" bench -T -1
    wrong "from 0.001" bench -R nan
    wrong "from 0.001" bench --warmup 0
    wrong "from 0.001" bench -T 0x10
    wrong "from 0.001" bench -T .
    wrong "Is a directory" bench -f "$WORK"
    wrong "whole number" bench -n 1e6
    wrong "whole number" bench -n 99999999999999999999
    wrong "-T or -n" bench -T 1 -n 1
    wrong "pgbench's select-only, simple-update or tpcb-like" bench -b nonsense
    printf 'begin;\nselect 1;\n' >"$WORK/own.sql" # without END: no transaction of the library
    wrong "leave out -d, or say -d 1" bench -f "$WORK/own.sql" -d 2
    wrong "leave out --commit" bench -f "$WORK/own.sql" --commit group
    wrong "leave out --gather" bench -f "$WORK/own.sql" --gather 100
    wrong "--gather" bench --gather 100001
    wrong "--commit is for statements outside of transactions" bench -b simple-update --commit group
    wrong "would have a database in memory of its own" bench sqlite:// -i -b select -f "$WORK/own.sql"
    wrong "would have a database in memory of its own" bench sqlite:///:memory: -b select -f "$WORK/own.sql"
    wrong "quring bench: " bench sqlite:x -i -b simple-update
    wrong "a weight is" bench -b select@0
    wrong "each or group" bench --commit never
    wrong "write --commit each or --commit group" bench --sync group
    wrong "write --commit each or --commit group" bench --sync=each
    wrong "in flight" bench -c 10000 -d 65535
    wrong "-c 10000 -d 50, with transactions: at most 1048576 queries" bench -c 10000 -d 50 -b tpcb-like
    wrong "-s goes with -i" bench -s 2 sqlite://
    wrong "--rounds goes with several URLs" bench --rounds 2 sqlite://
    wrong "fewer queries than rounds" bench -n 2 sqlite:// sqlite://
    wrong "this is not a URL" bench sqlite:// ftp://x -i
    wrong "$WORK/nosuch: there is no such file, and this is not a URL of a database" run "$WORK/nosuch" -c "select 1"
    wrong "$WORK/nosuch: there is no such file, and this is not a URL of a database" bench "$WORK/nosuch"
    wrong "No such file" bench -f "$WORK/nosuch"
    wrong "this is not a URL" bench ftp://x
    wrong "$WORK/nosuch: there is no such file" probe "$WORK/nosuch"
    wrong "one URL only" probe sqlite:// sqlite://
}

# No message repeats a password, also one that is mislaid in a URL, or in a place where a URL does not belong.
test_secrets() {
    local url
    for url in 'postgresql://u:hidden@[::1]x/d' 'postgresql://u:hid%zzen@127.0.0.1/d' 'mysql://u:hidden@h/d' \
        'u:hidden@h/d' 'sqlite://u:hidden@h/x' 'postgresql://u:12/hidden@127.0.0.1:1/d' \
        'postgresql://u:hidden/x@127.0.0.1:1/d' 'postgresql://u:hid@hidden@127.0.0.1:1/d' \
        'postgresql://u:hidden/x?y=1@127.0.0.1:1/d' 'postgresql://u:hidden?x@127.0.0.1:1/d' \
        'postgresql://127.0.0.1:1/d?password=x&hidden' 'postgresql://127.0.0.1:1/d?sslpassword=hidden&x' \
        'host=127.0.0.1 port=1 password=x hidden' "host=127.0.0.1 port=x password='hid den" \
        "host=127.0.0.1 port=1 password = 'hi\\'hidden' user=u" 'postgresql://u:hidden@127.0.0.1:1,127.0.0.1:x/d'; do
        for command in "run $url -c select" "bench $url -n 1" "run sqlite:// $url" "bench sqlite:// $url" "$url" \
            "run sqlite:// -f $url" "run sqlite:// --format $url" "bench -f $url" "bench -c $url" "bench --commit $url" \
            "bench -b $url" "probe $url" "run --$url" "run sqlite:// --help=$url"; do
            IFS=' ' read -r -a words <<<"${command/$url/@}"
            run timeout 300 "$QURING" "${words[@]/@/"$url"}"
            check "no password: $command" lacks "$err$out" hid
            check "no password: $command" is "$((status == 1 || status == 2))" 1
        done
    done
    wrong "write @ / : ? # % as %40 %2F" run postgresql://u:x/y@h/d -c "select 1"
    wrong "write @ / : ? # % as %40 %2F" run postgresql://u:x@y@h/d -c "select 1"
}

test_probe() {
    run "$QURING" probe
    check probe is "$status" 0
    check probe has "$out" "io_uring     available"
    check probe has "$out" "memlock"
    run "$QURING" probe --json
    check "probe --json" is "$status" 0
    check "probe --json" is True \
        "$(python3 -c 'import json,sys; print(json.load(sys.stdin)["available"])' <"$WORK/out")"
}

# A database that answers, and some that do not.
test_probe_db() {
    local url=$1 name=$2
    run "$QURING" probe "$url"
    check "probe $name" is "$status $(grep -cE "^database     up: $name [0-9.]+.*, answered after [0-9.]+ ms$" <<<"$out")" "0 1"
    run "$QURING" probe "$url" --json
    check "probe $name" is "$(probed "d['state'], d['server'].split()[0], d['why'], d['sqlstate']")" "('UP', '$name', None, None)"
}
probed() { python3 -c "import json,sys; d = json.load(sys.stdin)['database']; print(($1))" <"$WORK/out"; }

test_probe_no_db() {
    run "$QURING" probe --json
    check "probe none" is "$status $(probed d)" "0 None"
    run "$QURING" probe postgresql://u:hidden@127.0.0.1:1/d
    check "probe no server" is "$status" 1
    check "probe no server" has "$out" "database     can't be reached: connection to server at"
    check "probe no server" has "$out" "Connection refused"
    check "probe no server" lacks "$out$err" hidden
    run "$QURING" probe "sqlite:///$WORK/nosuch/x.db" --json
    check "probe no file" is "$status $(probed "d['state'], d['server'], 'unable to open' in d['why']")" "1 ('TRYING', None, True)"
    run "$QURING" probe "sqlite:///$WORK/nosuch.db"
    check "probe no file" has "$out" "hint: there is no such file: check the path"
    echo "this is no database, as anybody can see who reads more than a few words of it" >"$WORK/garbled.db"
    run "$QURING" probe "$WORK/garbled.db"
    check "probe no database" is "$status" 1
    check "probe no database" has "$out" "database     can't be reached: file is not a database"
}

test_probe_pg() {
    run "$QURING" probe "${PG%/*}/nosuch"
    check "probe no such database" is "$status" 1
    check "probe no such database" has "$out" "can't be reached, and the server refuses for good: "
    check "probe no such database" has "$out" "(SQLSTATE 3D000)"
}

# Each query that took longer is shown with its text; with a bound that none reaches, none is.
test_bench_slow() {
    local url=$1 name=$2
    echo "select 1 as slow_one;" >"$WORK/slow.sql"
    run "$QURING" bench "$url" -f "$WORK/slow.sql" -n 20 --slow 0.001 --json
    check "$name: --slow" is "$status" 0
    check "$name: --slow" is "$(grep -cE '^slow: OK, 1 row, connection [0-9]+, sent after [0-9.]+ ms, first row after [0-9.]+ ms, done after [0-9.]+ ms: select 1 as slow_one$' <<<"$err")" 20
    printf 'select nosuch\n as x;' >"$WORK/slow.sql"
    run "$QURING" bench "$url" -f "$WORK/slow.sql" -n 20 --slow 0.001 --json
    check "$name: --slow of failures" is "$(grep -cE '^slow: SERVER_ERROR 42703, .*done after [0-9.]+ ms: select nosuch.n as x$' <<<"$err")" 20
    echo "select 1 as slow_one;" >"$WORK/slow.sql"
    run "$QURING" bench "$url" -f "$WORK/slow.sql" -n 20 --slow 100000000 --json
    check "$name: --slow of none" is "$status$err" 0
    wrong "--slow" bench "$url" --slow 0
}

# Where io_uring is refused, the tool goes on with epoll, says so once, and probe says why; where the environment asks for a
# port, there is nothing to say.
test_ports() {
    local works="select 42" port
    run "$WITHOUT_IO_URING" true
    ((status != 77)) || return 0 # this system sets no filters
    local -x QURING_PORT= # which the whole run may have set; empty is as good as unset
    run "$WITHOUT_IO_URING" "$QURING" run sqlite:// -c "$works"
    check "without io_uring" is "$status $out" "0 42
42
"
    check "without io_uring" is "$err" \
        "quring: io_uring is refused here, so this runs on epoll, with more system calls: \`quring probe\` says why"
    run "$WITHOUT_IO_URING" "$QURING" bench -n 2000 --json
    check "without io_uring" is "$status" 0
    run "$WITHOUT_IO_URING" "$QURING" probe
    check "probe without io_uring" is "$status" 1
    check "probe without io_uring" has "$out" "no ring can be had"
    check "probe without io_uring" has "$out" "A seccomp filter is on this process"
    check "probe without io_uring" has "$out" "engines use  epoll"
    run env QURING_PORT=uring "$WITHOUT_IO_URING" "$QURING" run sqlite:// -c "$works"
    check "io_uring or nothing" is "$status $out" "1 "
    check "io_uring or nothing" has "$err" "io_uring is forbidden for this process"
    for port in uring epoll; do
        run env QURING_PORT=$port "$QURING" run sqlite:// -c "$works"
        check "QURING_PORT=$port" is "$status $out$err" "0 42
42
"
        run env QURING_PORT=$port "$QURING" probe --json
        check "probe QURING_PORT=$port" has "$out" "\"port\": \"${port/#uring/io_uring}\""
    done
    for port in uring epoll; do
        run env QURING_PORT=$port "$QURING" bench -n 2000 --json
        check "bench on $port" is "$(json "j['environment']['port']")" "${port/#uring/io_uring}"
    done
    run env QURING_PORT=epoll "$QURING" bench -n 2000
    check "bench on epoll" has "$out" " system calls a query"
    check "bench on epoll" lacks "$out" io_uring
    run env QURING_PORT=uring "$QURING" bench -n 2000
    check "bench on io_uring" has "$out" " enters a query"
    run env QURING_PORT=kqueue "$QURING" run sqlite:// -c "$works"
    check "QURING_PORT=kqueue" is "$status $err" "2 quring run: the environment's QURING_PORT is neither uring nor epoll"
    run env QURING_PORT=kqueue "$QURING" probe
    check "probe QURING_PORT=kqueue" has "$out" "engines use  nothing: QURING_PORT is neither uring nor epoll"
}

# ---- run -----------------------------------------------------------------------------------------

# Whatever a user names a database by: SQLITE is a file's URL, and FILE its name.
test_urls() {
    local url file=$WORK/urls
    "$QURING" run "sqlite:///$file.db?mode=rwc" -c "create table a (x); insert into a values (7)"
    cp "$file.db" "$file"
    cp "$file.db" "$file?100%.db"
    for url in "$file.db" "$file" "$file.db?mode=ro" "$file?100%.db" "sqlite+aiosqlite:///$file.db" \
        "sqlite+pysqlite:///$file.db?mode=ro"; do
        gives "URL $url" 0 $'x\n7\n' "$QURING" run "$url" -c "select x from a"
        gives "DATABASE_URL $url" 0 $'x\n7\n' env DATABASE_URL="$url" "$QURING" run -c "select x from a"
    done
    # shellcheck disable=SC2016
    gives "a relative name" 0 $'x\n7\n' bash -c 'cd "$1" && "$0" run urls.db -c "select x from a"' "$QURING" "$WORK"
    gives "a new file" 0 $'n\n0\n' "$QURING" run "$file-new.db?mode=rwc" -c "create table n (x); select count(*) as n from n"
    fails "no such file" 1 "?mode=rwc" "$QURING" run "$file-nosuch.db" -c "select 1"
    check "no such file" is "$(find "$WORK" -name '*nosuch*')" ""
    gives "a URL counts before DATABASE_URL" 0 $'x\n7\n' env DATABASE_URL=nonsense "$QURING" run "$file" -c "select x from a"
    fails "DATABASE_URL" 2 "DATABASE_URL's" env DATABASE_URL=mysql://u:hidden@h/d "$QURING" run -c "select 1"
    check "DATABASE_URL" lacks "$err" hidden
    fails "DATABASE_URL" 1 "Connection refused" \
        env DATABASE_URL=postgresql+asyncpg://u:hidden@127.0.0.1:1/d "$QURING" run -c "select 1"
    check "DATABASE_URL" lacks "$err" hidden
    fails "an empty DATABASE_URL" 2 "which database" env DATABASE_URL= "$QURING" run -c "select 1"
    run env DATABASE_URL="$file.db" "$QURING" bench -n 10 --json
    check "bench leaves DATABASE_URL alone" is "$status" 0
    gives "bench leaves DATABASE_URL alone" 0 $'name\na\n' "$QURING" run "$file.db" -c "select name from sqlite_schema"
    run "$QURING" bench "$file-bench.db" -i -n 10 --json
    check "bench on a file" is "$status" 0
}

# Both backends print the same.
test_run_same() {
    local url=$1 name=$2 line
    gives "$name: csv" 0 $'a,b,c\n1,"x, ""y""",\n2,"",z\n' "$QURING" run "$url" -c \
        "select 1 as a, 'x, \"y\"' as b, null as c union all select 2, '', 'z' order by 1"
    gives "$name: json" 0 $'[\n{"a": 1, "b": "x\\n", "c": null, "d": -2.5}\n]\n[]\n' \
        "$QURING" run "$url" --format json -c \
        $'select 1 as a, \'x\n\' as b, null as c, -2.5 as d; select 1 as z where 1 = 0'
    gives "$name: table" 0 $'    n │ t\n──────┼──────\n   10 │ 漢字\n    1 │ äö\n NULL │ \n(3 rows)\n' \
        "$QURING" run "$url" --format table -c \
        "select 10 as n, '漢字' as t union all select 1, 'äö' union all select null, '' order by 2 desc"
    gives "$name: expanded" 0 $'─[ RECORD 1 ]─\na    │ 1\nlong │ x\n(1 row)\n' "$QURING" run "$url" -x -c \
        "select 1 as a, 'x' as long"
    gives "$name: expanded off" 0 $' a │ b\n───┼───\n 1 │ 2\n(1 row)\n' env COLUMNS=1 "$QURING" run "$url" --expanded=off -c \
        "select 1 as a, 2 as b"
    gives "$name: narrow" 0 $' a │ b\n───┼───\n 1 │ 2\n(1 row)\n' env COLUMNS=7 "$QURING" run "$url" --format table -c \
        "select 1 as a, 2 as b"
    gives "$name: too wide" 0 $'─[ RECORD 1 ]─\na │ 1\nb │ 2\n(1 row)\n' env COLUMNS=6 "$QURING" run "$url" --format table -c \
        "select 1 as a, 2 as b"
    run "$QURING" run "$url" --timing -c "select 1 as a; select nosuch"
    check "$name: timing" is "$out" $'a\n1\n'
    check "$name: timing" is "$(sed -E 's/^Time: [0-9]+\.[0-9]{3} ms$/TIME/; s/^quring: .*/FAILURE/; /^  /d' <<<"$err")" $'TIME\nFAILURE\nTIME'
    run "$QURING" run "$url" --echo -c "select 'a:b' as t where 'x@y' > '@'"
    check "$name: --echo shows what is sent" has "$err" "select 'a:b' as t where 'x@y' > '@'"
    run "$QURING" run "$url" --echo --timing --param 'x' -c $'select 1 as a;\nselect cast($1 as text)\n as b;\nselect 1 as c where 1 = 0;select nosuch'
    check "$name: echo" is "$status $out" $'1 a\n1\n\nb\nx\n\nc\n'
    # shellcheck disable=SC2016
    check "$name: echo" is "$(sed -E 's/^Time: [0-9]+\.[0-9]{3} ms$/TIME/; s/[0-9]+\.[0-9]{3} ms/MS/g; s/, connection 1, sent after MS/, SENT/
        s/^(line 4: SERVER_ERROR 42703)(, SENT)?/\1/; /^quring|^  /d' <<<"$err")" 'line 1: select 1 as a
line 1: OK, 1 row, SENT, first row after MS, done after MS
TIME
line 2: select cast($1 as text)\n as b  -- $1 = x
line 2: OK, 1 row, SENT, first row after MS, done after MS
TIME
line 4: select 1 as c where 1 = 0
line 4: OK, SENT, done after MS
TIME
line 4: select nosuch
line 4: SERVER_ERROR 42703, done after MS
TIME'
    check "$name: echo's times ascend" is "$(sed -nE 's/.*sent after ([0-9.]+) ms, first row after ([0-9.]+) ms, done after ([0-9.]+) ms$/\1 \2 \3/p' <<<"$err" |
        awk '$1 > $2 || $2 > $3')" ""
    gives "$name: many statements" 0 $'n\n3\n\nn\n2\n' "$QURING" run "$url" -c \
        "create table cli_t (id int primary key, v text); insert into cli_t values (1, 'a'), (2, 'b'), (3, null);
         select count(*) as n from cli_t; delete from cli_t where id = 3; select count(*) as n from cli_t;"
    gives "$name: tags" 0 $'UPDATE 2\nINSERT 1\nDELETE 1\n' "$QURING" run "$url" --format table -c \
        "update cli_t set v = 'x'; insert into cli_t values (9, 'nine'); delete from cli_t where id = 9"
    gives "$name: params" 0 $'id,v\n2,x\n' "$QURING" run "$url" --param x --param 2 -c \
        "select id, v from cli_t where id = \$2 and v = \$1"
    gives "$name: transaction" 0 $'n\n2\n' "$QURING" run "$url" -c \
        "begin; delete from cli_t; rollback; select count(*) as n from cli_t"
    line=4
    [[ $name == PostgreSQL ]] || line=3 # SQLite names no position of a missing table: the statement's first line
    fails "$name: stops" 1 "line $line: " "$QURING" run "$url" -c \
        $'insert into cli_t values (5, \'five\');\n\nselect * from\n  nosuch;\ninsert into cli_t values (6, \'six\')'
    check "$name: stops" has "$err" "SQLSTATE 42P01"
    check "$name: stops" has "$err" "3 | select * from"
    gives "$name: what came after did not run" 0 $'id\n1\n2\n5\n' \
        "$QURING" run "$url" -c "select id from cli_t order by id"
    fails "$name: caret" 1 $'    3 | from_ where where\n      |             ^' \
        "$QURING" run "$url" -c $'select 1;\nselect\nfrom_ where where'
    fails "$name: too few params" 2 "uses \$2, and 1 --param was given" \
        "$QURING" run "$url" -c "select \$1, \$2" --param a
    wrong "2 --param given" run "$url" -c "select \$1" --param a --param b
    fails "$name: psql's commands" 1 "line 2: \\d: backslash" "$QURING" run "$url" -c $'select 1;\n\\d cli_t'
    fails "$name: no end" 1 "line 2: a quoted string begins here" "$QURING" run "$url" -c $'select 1;\nselect \'x'
    printf 'select 1 as a;\n-- nothing\nselect 2 as b' >"$WORK/file.sql"
    gives "$name: file" 0 $'a\n1\n\nb\n2\n' "$QURING" run "$url" -f "$WORK/file.sql"
    check "$name: pipe" is "$("$QURING" run "$url" <"$WORK/file.sql")" $'a\n1\n\nb\n2'
    check "$name: dash" is "$("$QURING" run "$url" -f - <"$WORK/file.sql")" $'a\n1\n\nb\n2'
    printf 'select 1;\nselect nosuch' >"$WORK/file.sql"
    fails "$name: file and line" 1 "file.sql:2" "$QURING" run "$url" -f "$WORK/file.sql"
    printf 'select 1;\nselect 2,\n\n  3, nosuch\n' >"$WORK/file.sql"
    fails "$name: file and line of the error" 1 "file.sql:4: " "$QURING" run "$url" -f "$WORK/file.sql"
    gives "$name: nothing" 0 "" "$QURING" run "$url" -c ""
    printf 'select 2 as b;\nselect 3 as b' >"$WORK/file.sql"
    gives "$name: several -c and -f" 0 $'a\n1\n\nb\n2\n\nb\n3\n\nn\n5\n\nd\n1\n' \
        "$QURING" run "$url" -c "select 1 as a" -f "$WORK/file.sql" -c "create temp table cli_c (x int);
        insert into cli_c values (5)" -c "select x as n from cli_c" --command "select count(*) as d from cli_c"
    check "$name: -c and a pipe" is "$(echo "select 4 as p" | "$QURING" run "$url" -c "select 1 as a" -f -)" $'a\n1\n\np\n4'
    fails "$name: a statement ends with its -c" 1 "-c 2, line 1: " "$QURING" run "$url" -c "select 1 as a" -c "selec" -c "t 1"
    fails "$name: the line of several -c" 1 "-c 2, line 3: " "$QURING" run "$url" -c "select 1" -c $'select 1;\n\nselect nosuch'
    check "$name: the line of several -c" lacks "$out" nosuch
    printf 'select 1;\nselect nosuch' >"$WORK/file.sql"
    fails "$name: the line in a file behind -c" 1 "file.sql:2: " "$QURING" run "$url" -c "select 1" -f "$WORK/file.sql"
    # shellcheck disable=SC2016
    gives "$name: params of several -c" 0 $'a\nx\n\nb\ny\n' "$QURING" run "$url" --param x --param y \
        -c 'select cast($1 as text) as a' -c "select cast(\$2 as text) as b where cast(\$1 as text) = 'x'"
    # shellcheck disable=SC2016
    wrong '-c 2, line 1: the statement uses $2, and 1 --param was given' run "$url" --param x -c 'select $1' -c 'select $2'
}

# A statement at a time out of a long pipe, and what the reader of the output does to it.
test_run_streams() {
    local url=$1 name=$2 pid
    run bash -c "for ((i = 0; i < 20000; i++)); do echo \"select \$i as n;\"; done | '$QURING' run '$url' | tail -n 1"
    check "$name: 20000 statements" is "$out" $'19999\n'
    run bash -c "set -o pipefail; '$QURING' run '$url' -c 'with recursive n(i) as (select 1 union all select i + 1
        from n where i < 300000) select i from n' | head -n 2"
    check "$name: broken pipe" is "$out" $'i\n1\n'
    check "$name: broken pipe" is "$err" ""
    check "$name: broken pipe" is "$status" 141
    fails "$name: full disk" 1 "No space left" bash -c "'$QURING' run '$url' -c 'select 1' >/dev/full"
    # answers come while the pipe is still open
    coproc "$QURING" run "$url"
    pid=$COPROC_PID
    echo "select 41 + 1 as a;" >&"${COPROC[1]}"
    out=$(timeout 300 head -n 2 <&"${COPROC[0]}")
    check "$name: coprocess" is "$out" $'a\n42'
    eval "exec ${COPROC[1]}>&-"
    wait "$pid" || check "$name: coprocess" false
    script -qec "'$QURING' run '$url' -c 'select 1 as a, null as b'" /dev/null >"$WORK/out" </dev/null
    out=$(tr -d '\r' <"$WORK/out")
    check "$name: a terminal gets a table" has "$out" $' 1 │ '
    check "$name: a terminal gets a table" has "$out" "(1 row)"
    script -qec "stty columns 20; '$QURING' run '$url' -c \"select 'a text of some length' as a, 2 as b\"" /dev/null \
        >"$WORK/out" </dev/null
    out=$(tr -d '\r' <"$WORK/out")
    check "$name: a narrow terminal gets records" has "$out" $'a │ a text of some length\nb │ 2'
}

# Values of SQLite that are told apart by their type only.
VALUES="select 1.0 as a, 1 as b, x'31' as c, '1' as d, -0.0 as e, 1e20 as f, 0.5 as g, 9e999 as h, null as i"

# Inputs that hold no statement, or nothing that could be one; and standard descriptors that are not there.
test_run_bad_input() {
    local mark=$'\xef\xbb\xbf' text
    for text in '' "$mark" $' \n;; -- x\n/* y */ ;' "$mark;"; do
        printf '%s' "$text" >"$WORK/file.sql"
        gives "no statement" 0 "" "$QURING" run sqlite:// -f "$WORK/file.sql"
    done
    gives "no statement" 0 "" "$QURING" run sqlite:// -f /dev/null
    printf '%s' "${mark}select 1 as a" >"$WORK/file.sql"
    gives "a byte order mark" 0 $'a\n1\n' "$QURING" run sqlite:// -f "$WORK/file.sql"
    printf 'select 1\0;' >"$WORK/file.sql"
    fails "a NUL byte" 1 "file.sql:1: a NUL byte" "$QURING" run sqlite:// -f "$WORK/file.sql"
    for text in {1..20}; do
        head -c 3000 /dev/urandom >"$WORK/file.sql"
        run timeout 300 "$QURING" run "sqlite:///$WORK/garbage.db?mode=rwc" -f "$WORK/file.sql"
        check "garbage" test "$status" -le 1
        safe "garbage"
    done
    fails "a directory as a pipe" 1 "Is a directory" bash -c "'$QURING' run sqlite:// <'$WORK'"
    fails "a directory as a database" 1 "unable to open" "$QURING" run "sqlite:///$WORK" -c "select 1"
    fails "no input" 1 "standard input: Bad file" bash -c "'$QURING' run sqlite:// <&-"
    gives "no input is needed" 0 $'a\n1\n' bash -c "'$QURING' run sqlite:// -c 'select 1 as a' <&-"
    fails "no output" 1 "cannot write the output: Bad file" bash -c "'$QURING' run sqlite:// -c 'select 1' >&-"
    gives "no messages" 1 "" bash -c "'$QURING' run sqlite:// -c 'select nosuch' 2>&-"
    run bash -c "'$QURING' run 'sqlite:///$WORK/closed.db?mode=rwc' -c 'create table a (x); select 7; select nosuch' <&- >&- 2>&-"
    check "nothing is open" is "$status" 1
    gives "no output went into a file that got its descriptor" 0 $'x\nok\n' "$QURING" run "sqlite:///$WORK/closed.db" \
        -c "select integrity_check as x from pragma_integrity_check"
    for text in --help --version "run --help" probe "bench -n 10 --json"; do
        # shellcheck disable=SC2016
        fails "$text, full disk" 1 "No space left" bash -c '"$0" $1 >/dev/full' "$QURING" "$text"
    done
}

# Hostile words from every side: arguments, names of columns, values, the database's messages.
test_safe_characters() {
    local format hostile=$'\e[2J\u009b2J\u202e\r\u2066\x9b\xff\u200f\a\x7f'
    for format in table json csv; do
        run "$QURING" run sqlite:// --format $format -c "select char(27, 155, 8238, 13, 8294, 127) as \"x$hostile\";
            select \"nosuch$hostile\""
        check "$format" is "$status" 1
        [[ $format == csv ]] || safe "$format"
        script -qec "'$QURING' run sqlite:// --format $format -c 'select char(27, 155, 8238, 13, 8294, 127) as \"x$hostile\"'" \
            /dev/null </dev/null | tr -d '\r' | sed $'s/\e\\[22*m//g' >"$WORK/out"
        safe "$format on a terminal"
        check "$format on a terminal" has "$(cat "$WORK/out")" x
    done
    for command in run bench probe "$hostile"; do
        run "$QURING" "$command" "$hostile" "$hostile"
        check "hostile arguments" is "$status" 2
        safe "hostile arguments"
        run "$QURING" "$command" "--$hostile"
        safe "hostile option"
        run "$QURING" "$command" "sqlite:///$WORK/$hostile/$hostile" -f "$WORK/$hostile"
        safe "hostile files"
    done
    run "$QURING" run "sqlite:///$WORK/$hostile/x" -c "select 1"
    safe "hostile path"
    printf '%s' "select '$hostile' from;" >"$WORK/$hostile.sql"
    run "$QURING" run sqlite:// -f "$WORK/$hostile.sql"
    check "hostile script" has "$err" "SQLSTATE 42601"
    safe "hostile script"
    printf '%s' "select 1;" >"$WORK/$hostile.sql"
    run "$QURING" bench -f "$WORK/$hostile.sql" -n 10
    check "hostile script" is "$status" 0
    safe "hostile script"
}

# Each statement with columns is one JSON document; the others, and what fails, are none.
test_json_documents() {
    run "$QURING" run sqlite:// --format json -c "create table a (x, y text); insert into a values (1.0, x'ff'), (null, 'a
b'); select x, y, x, 1 as x_2 from a; select x from a where 1 = 0; select count(*) as n from a; select nosuch"
    check "documents" is "$status" 1
    check "documents" is "$(python3 - "$WORK/out" <<'END'
import json, sys
text, documents = open(sys.argv[1]).read(), []
while text.strip():
    document, end = json.JSONDecoder().raw_decode(text)
    documents.append(document)
    text = text[end:].lstrip()
print(documents)
END
)" "[[{'x': 1.0, 'y': '\\\\xff', 'x_2': 1.0, 'x_2_2': 1}, {'x': None, 'y': 'a\\nb', 'x_2': None, 'x_2_2': 1}], [], [{'n': 2}]]"
}

# The other forms of JSON: a line a row; and one document, whatever the statements.
test_json_forms() {
    local url=$1 name=$2 sql="create temp table cli_d (x int); insert into cli_d values (1), (2); select x from cli_d order by x;
        update cli_d set x = 3 where x = 9; select x from cli_d where x = 9"
    gives "$name: ndjson" 0 $'{"x": 1}\n{"x": 2}\n{"y": "a\\nb"}\n' "$QURING" run "$url" --format ndjson -c "$sql" \
        -c $'select \'a\nb\' as y'
    run "$QURING" run "$url" --format document -c "$sql"
    check "$name: document" is "$(python3 -c 'import json,sys; print(json.load(sys.stdin))' <"$WORK/out")" \
        "[{'command': 'CREATE TABLE'}, {'command': 'INSERT', 'affected': 2}, {'command': 'SELECT', 'rows': [{'x': 1}, {'x': 2}]}, \
{'command': 'UPDATE', 'affected': 0}, {'command': 'SELECT', 'rows': []}]"
    gives "$name: a document of nothing" 0 $'[]\n' "$QURING" run "$url" --format document -c ""
    run "$QURING" run "$url" --format document -c "select 1 as a; select nosuch; select 2"
    check "$name: a document of what did not fail" is "$status,$out" $'1,[\n{"command": "SELECT", "rows": [\n{"a": 1}\n]}\n]\n'
}

# background COMMAND...: starts it, and sets pid.
background() {
    : >"$WORK/err" # or the words of the command before are taken for this one's
    "$@" >"$WORK/out" 2>"$WORK/err" </dev/null &
    pid=$!
}

# Ctrl-C where there is no server to ask.
test_run_stop() {
    local pid port listener
    background "$QURING" run "sqlite:///$WORK/stop.db?mode=rwc" --echo -c "select 1 as a; create table cli_begun (x);
        with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n; select 3 as a"
    check "Ctrl-C: runs" until_it grep -q "^line 2: with" "$WORK/err"
    kill -INT "$pid"
    ended "$pid"
    check "Ctrl-C" is "$status" 130
    check "Ctrl-C" is "$out" $'a\n1'
    check "Ctrl-C" has "$err" "line 2: stopped"
    mkfifo "$WORK/fifo"
    "$QURING" run sqlite:// -c "with recursive n(i) as (select 1 union all select i + 1 from n limit 1000000)
        select i, i, i from n; select 'end'" >"$WORK/fifo" 2>"$WORK/err" </dev/null &
    pid=$!
    exec 3<"$WORK/fifo"
    head -c 1 <&3 >"$WORK/out" # so it is printing
    kill -TERM "$pid"
    cat <&3 >>"$WORK/out"
    exec 3<&-
    ended "$pid"
    check "stopped while printing" is "$status" 143
    check "stopped while printing" lacks "$out" end
    coproc python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
print(s.getsockname()[1], flush=True)
c = s.accept()[0]; print("accepted", flush=True)
while c.recv(100): pass'
    listener=$COPROC_PID
    read -r port <&"${COPROC[0]}"
    background "$QURING" run "postgresql://u@127.0.0.1:$port/d?sslmode=disable" -c "select 1"
    read -r _ <&"${COPROC[0]}"
    kill -INT "$pid"
    ended "$pid"
    wait "$listener"
    check "Ctrl-C while connecting" is "$status" 130
    check "Ctrl-C while connecting" has "$err" "this statement was not sent"
}

# What is timed has no connecting in it: the file is open before the first statement is there.
test_run_timing_sqlite() {
    local option pid
    "$QURING" run "sqlite:///$WORK/timing.db?mode=rwc" -c "create table a (x)"
    for option in --timing --echo; do
        mkfifo "$WORK/fifo"
        "$QURING" run "$WORK/timing.db" $option -f "$WORK/fifo" >"$WORK/out" 2>"$WORK/err" </dev/null &
        pid=$!
        exec 3>"$WORK/fifo"
        check "$option: the file is opened first" until_it opened "$pid" "$WORK/timing.db"
        echo "select 7 as x" >&3
        exec 3>&-
        ended "$pid"
        check "$option: a late statement" is "$status $out" $'0 x\n7'
        rm "$WORK/fifo"
    done
}
# shellcheck disable=SC2317 # called by until_it
opened() { [[ $(readlink "/proc/$1/fd/"*) == *"$2"* ]]; }

test_run_sqlite() {
    gives "trigger" 0 $'n\n2\n' "$QURING" run sqlite:// -c \
        "create table a (x); create table b (x);
         create trigger t after insert on a begin
             insert into b values (new.x); insert into b values (case when 1 then 2 end); end;
         insert into a values (1); select count(*) as n from b"
    gives "hostile text" 0 $' x\n────────────────\n \\x1b[2J\\u{9b}m\n(1 row)\n' \
        "$QURING" run sqlite:// --format table -c "select char(27) || '[2J' || char(155) || 'm' as x"
    gives "bytes" 0 $'[\n{"x": "a\xef\xbf\xbdb"}\n]\n' \
        "$QURING" run sqlite:// --format json -c "select cast(x'61ff62' as text) as x"
    gives "each value shows its type: json" 0 \
        $'[\n{"a": 1.0, "b": 1, "c": "\\\\x31", "d": "1", "e": -0.0, "f": 1e+20, "g": 0.5, "h": "Infinity", "i": null}\n]\n' \
        "$QURING" run sqlite:// --format json -c "$VALUES"
    gives "each value shows its type: csv" 0 $'a,b,c,d,e,f,g,h,i\n1.0,1,\\x31,1,-0.0,1e+20,0.5,Infinity,\n' \
        "$QURING" run sqlite:// --format csv -c "$VALUES"
    run "$QURING" run sqlite:// --format table -c "$VALUES"
    check "each value shows its type: table" is "$(sed -n 3p <<<"$out")" \
        ' 1.0 │ 1 │ \x31 │ 1 │ -0.0 │ 1e+20 │ 0.5 │ Infinity │ NULL'
    run env LC_ALL=C "$QURING" run sqlite:// --format table -c "select 'é' as x, 1 as y"
    check "no UTF-8: ASCII lines" is "$out" $' x | y\n---+---\n é | 1\n(1 row)\n'
    fails "no such folder" 1 "unable to open" "$QURING" run "sqlite:///$WORK/no/such.db" -c "select 1"
}

test_run_pg() {
    gives "types" 0 '[
{"b": true, "n": 12345678901234567890.123450, "f": 0.1, "j": {"k": [1]}, "x": "NaN", "y": "\\x00ff", "a": [1, 2]}
]
' \
        "$QURING" run "$PG" --format json -c "select true as b, 12345678901234567890.123450 as n, 0.1::float8 as f,
        '{\"k\": [1]}'::jsonb as j, 'NaN'::float8 as x, '\\x00ff'::bytea as y, array[1, 2] as a"
    gives "arrays" 0 '[
{"n": [1, null, 2.50], "t": ["a,b", "\"", "NULL", null], "m": [[1, 2], [3, 4]], "e": [], "b": [true], "j": [{"k": "v"}], "y": ["\\x00"], "l": [7, 8], "c": ["x"], "i": [1, 2], "f": [0.5, "Infinity"]}
]
' \
        "$QURING" run "$PG" --format json -c "select array[1, null, 2.50] as n, array['a,b', '\"', 'NULL', null] as t,
        array[[1, 2], [3, 4]] as m, '{}'::text[] as e, array[true] as b, array['{\"k\": \"v\"}'::json] as j,
        array['\x00'::bytea] as y, '[0:1]={7,8}'::int8[] as l, array['x']::varchar[] as c, '{1,2}'::int2[] as i,
        array[0.5, 'inf']::float8[] as f"
    gives "arrays as text" 0 $'n,t\n"{1,2}","{{a},{NULL}}"\n' "$QURING" run "$PG" --format csv -c \
        "select array[1, 2] as n, array[['a'], [null]] as t"
    # The server's own list: every array type with commas between its elements is an array in JSON.
    run "$QURING" run "$PG" --format csv -c "select e.oid::regtype as t from pg_type t join pg_type e on e.typarray = t.oid
        where t.oid < 10000 and e.typtype in ('b', 'r', 'm') and e.typdelim = ','"
    check "array types" test "$(wc -l <"$WORK/out")" -gt 70
    tail -n +2 "$WORK/out" | sed "s/^\"\"\"char\"\"\"$/\"char\"/; s/.*/select '{NULL}'::&[] as x;/" >"$WORK/file.sql"
    run "$QURING" run "$PG" --format ndjson -f "$WORK/file.sql"
    check "array types" is "$status $(sort -u "$WORK/out")" '0 {"x": [null]}'
    fails "caret behind wide characters" 1 $'    2 |   \'漢\', nosuch\n      |         ^' \
        "$QURING" run "$PG" -c $'select 1,\n  \'漢\', nosuch'
    fails "detail and hint" 1 "detail: " "$QURING" run "$PG" -c \
        "do \$\$ begin raise exception 'no; way' using detail = 'because', hint = 'try'; end \$\$; select 1"
    check "detail and hint" has "$err" $'no; way (SQLSTATE P0001)'
    check "detail and hint" has "$err" $'detail: because\nhint: try'
    gives "function" 0 $'f\n3\n' "$QURING" run "$PG" -c "create function cli_f() returns int language sql
        begin atomic select 1; select case when true then 3 end; end; select cli_f() as f"
    gives "a stored statement's own placeholders" 0 $'n\n42\n\nn\n6\n\nn\n8\n' "$QURING" run "$PG" --param 7 -c "
        prepare cli_s (int) as select \$1 + 1 as n; execute cli_s(41);
        create function cli_g(int) returns int language sql begin atomic select \$1 - 1; end;
        create or replace function cli_h(int) returns int language sql return \$1 + 1;
        select cli_g(\$1::int) as n; select cli_h(\$1::int) as n"
    if [[ $PG == postgresql://* ]]; then
        gives "SQLAlchemy's URL" 0 $'n\n1\n' "$QURING" run "${PG/postgresql:/postgresql+asyncpg:}" -c "select 1 as n"
        gives "DATABASE_URL" 0 $'n\n1\n' env DATABASE_URL="${PG/postgresql:/postgresql+psycopg:}" \
            "$QURING" run -c "select 1 as n"
    fi
    gives "session" 0 $'x\nfrom here\n' "$QURING" run "$PG" -c "set application_name = 'from here';
        create temp table s as select current_setting('application_name') as x; select * from s"
    fails "copy" 1 "COPY" "$QURING" run "$PG" -c "copy cli_t from stdin"
    # A statement that is slow at the server is slow by the clock; and what it took to connect is nobody's.
    run "$QURING" run "$PG" --timing -c "select pg_sleep(0.3)"
    check "timing" test "$(sed -E 's/^Time: ([0-9]+)\..*/\1/' <<<"$err")" -ge 300
    fails "timing without a server" 1 "Connection refused" \
        "$QURING" run "postgresql://u@127.0.0.1:1/d" --timing -c "select 1"
    fails "wrong database" 1 "does not exist" "$QURING" run "${PG%/*}/nosuch" -c "select 1"
    fails "wrong password" 1 "password authentication failed" \
        env PGPASSWORD=hidden "$QURING" run "$PG" -c "select 1"
    fails "no server" 1 "Connection refused" "$QURING" run "postgresql://u:hidden@127.0.0.1:1/d" -c "select 1"
    check "no password" lacks "$err" hidden
    gives "notices" 0 $'a\n1\n\nb\n2\n' bash -c "'$QURING' run '$PG' 2>'$WORK/notices' -c \"select 1 as a; do \\\$\\\$ begin
        raise notice 'so %', chr(155); raise warning 'w' using detail = 'd', hint = 'h'; end \\\$\\\$;
        select 2 as b\""
    check "notices" is "$(cat "$WORK/notices")" $'NOTICE:  so \\u{9b}\nWARNING:  w\nDETAIL:  d\nHINT:  h'
    fails "notices of what fails" 1 $'NOTICE:  first\nquring: line 1: last' "$QURING" run "$PG" \
        -c "do \$\$ begin raise notice 'first'; raise exception 'last'; end \$\$"
}

# cancelled NAME URL SQL: Ctrl-C ends it at the server, and nothing that comes after it is run.
cancelled() {
    local name=$1 pid
    background "$QURING" run "$2" -c "$3"
    check "$name: runs" until_it busy
    kill -INT "$pid"
    ended "$pid"
    check "$name" is "$status" 130
    check "$name" has "$err" "SQLSTATE 57014"
    check "$name: nothing runs on" until_it idle
}
busy() { [[ $(psql "$PG" -XAtc "$BUSY") == 1 ]]; }
idle() { [[ $(psql "$PG" -XAtc "$BUSY") == 0 ]]; }
BUSY="select count(*) from pg_stat_activity where wait_event = 'PgSleep'"

# Ctrl-C ends a statement at the server, in every way to reach it, but never what a pooler may have given to others.
test_run_cancel_pg() {
    local pid
    command -v psql >/dev/null || return 0
    cancelled "Ctrl-C" "$PG" "select 1 as a; select pg_sleep(600); create table cli_after ()"
    check "Ctrl-C" is "$out" $'a\n1'
    check "Ctrl-C" is "$(psql "$PG" -XAtc "select to_regclass('cli_after')")" ""
    cancelled "Ctrl-C in a transaction" "$PG" "begin; create table cli_after (); do \$\$ begin perform pg_sleep(600); end \$\$; commit"
    check "Ctrl-C in a transaction" is "$(psql "$PG" -XAtc "select to_regclass('cli_after')")" ""
    [[ ! ${QURING_TEST_PG_TLS_URL:-} ]] || cancelled "Ctrl-C, TLS" "$QURING_TEST_PG_TLS_URL" "select pg_sleep(600)"
    [[ ! ${QURING_TEST_PG_SOCKET_URL:-} ]] || cancelled "Ctrl-C, socket" "$QURING_TEST_PG_SOCKET_URL" "select pg_sleep(600)"
    [[ ${QURING_TEST_PGBOUNCER_URL:-} ]] || return 0
    background "$QURING" run "$QURING_TEST_PGBOUNCER_URL" -c "select pg_sleep(600)"
    check "Ctrl-C, pooler: runs" until_it busy
    kill -INT "$pid"
    ended "$pid"
    check "Ctrl-C, pooler" is "$status" 130
    check "Ctrl-C, pooler" has "$err" "the server may go on with it, since a pooler stands between"
    check "Ctrl-C, pooler: nothing was cancelled" busy
    psql "$PG" -XAtc "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'" >/dev/null
    check "Ctrl-C, pooler: cleared" until_it idle
}

# ---- bench ---------------------------------------------------------------------------------------

# What the JSON says, as Python; fails when its keys are not exactly those of the contract.
json() {
    python3 - "$WORK/out" "$1" <<'END'
import json, sys
text = open(sys.argv[1]).read()
assert text.count("\n") == 1, text
j = json.loads(text)
assert list(j) == ["backend", "workload", "connections", "connections_up", "why_missing", "depth", "commit", "gather_us", "seconds", "queries", "errors", "qps",
                   "latency_us", "waits_us", "cpu_us_per_query", "enters_per_query", "bytes_per_query", "failures", "unfinished",
                   "rate", "warmup_seconds", "histogram_us", "scripts", "environment"], list(j)
l = j["latency_us"]
assert sum(j["failures"].values()) == j["errors"]
assert sum(s["queries"] for s in j["scripts"]) == j["queries"] and sum(s["errors"] for s in j["scripts"]) == j["errors"]
assert all(list(s) == ["script", "weight", "runs", "queries", "errors", "qps", "latency_us",
                       "runs_per_second", "run_latency_us"] for s in j["scripts"])
h = j["histogram_us"]
assert h["edges"] == [m * 10 ** e for e in range(7) for m in (1, 2, 5)] + [10 ** 7], h
assert len(h["counts"]) == len(h["edges"]) + 1 and sum(h["counts"]) == j["queries"]
assert list(j["environment"]) == ["quring", "server", "kernel", "machine", "cpus", "port"]
assert list(l) == ["mean", "p50", "p90", "p99", "p999", "max"]
assert list(j["cpu_us_per_query"]) == ["user", "system"]
w = list(j["waits_us"].values())
assert list(j["waits_us"]) == list(l)[1:] and w == sorted(w) and all(v == 0 or v & v - 1 == 0 for v in w), w
assert list(j["bytes_per_query"]) == ["sent", "received"]
assert l["p50"] <= l["p90"] <= l["p99"] <= l["p999"] <= l["max"], l
print(eval(sys.argv[2], {"j": j, "l": l}))
END
}

accounts_begun() {
    [[ $("$QURING" run "$1" --format csv -c "select count(*) as n from (select 1 from pgbench_accounts limit 1) as one" 2>/dev/null) == *1 ]]
}

test_bench_same() {
    local url=$1 name=$2 backend=$3 builtin commit connections pid
    fails "$name: no tables" 1 "table pgbench_accounts does not exist: run with -i first" "$QURING" bench "$url" -n 10
    background "$QURING" bench "$url" -i -s 500 -n 10
    check "$name: fills" until_it accounts_begun "$url"
    kill -INT "$pid"
    ended "$pid"
    check "$name: stopped while filling" is "$status $err" "130 quring: stopped before the tables were filled"
    fails "$name: left halfway" 1 "pgbench_branches has 0 rows: run with -i first" "$QURING" bench "$url" -n 10
    run "$QURING" bench "$url" -i -s 2 -n 1000 --json
    check "$name: -i" is "$status" 0
    check "$name: -i" is "$err" ""
    check "$name: -i" is "$(json "j['backend'], j['workload'], j['queries'], j['errors'], j['commit'], j['qps'] > 0")" \
        "('$backend', 'select', 1000, 0, 'each', True)"
    gives "$name: tables" 0 $'a,x,b,t,h\n200000,200000,2,20,0\n' "$QURING" run "$url" -c "select
        (select count(*) from pgbench_accounts) as a, (select max(aid) from pgbench_accounts) as x,
        (select count(*) from pgbench_branches) as b, (select count(*) from pgbench_tellers) as t,
        (select count(*) from pgbench_history) as h"
    for commit in each group; do
        for builtin in select update tpcb; do
            connections=3
            [[ $commit != group ]] || connections=1 # groups of writers on several connections can deadlock
            run "$QURING" bench "$url" -b "$builtin" -n 200 -c $connections -d 5 --commit "$commit" --json
            check "$name: $builtin $commit" is "$status" 0
            check "$name: $builtin $commit" is \
                "$(json "j['workload'], j['queries'], j['connections'], j['depth'], j['commit']")" \
                "('$builtin', 200, $connections, 5, '$commit')"
        done
    done
    gives "$name: every transaction once" 0 $'n,same\n400,1\n' "$QURING" run "$url" -c "select
        (select count(*) from pgbench_history) as n,
        case when (select sum(delta) from pgbench_history) = (select sum(tbalance) from pgbench_tellers)
              and (select sum(delta) from pgbench_history) = (select sum(bbalance) from pgbench_branches)
             then 1 else 0 end as same"
    cat >"$WORK/s.sql" <<'END'
\set a random(1, 100000 * :scale)
\set d 2.5 * 2
select abalance from pgbench_accounts where aid = :a;
select :client_id + 0, :d / 2;
END
    run "$QURING" bench "$url" -f "$WORK/s.sql@3" -b update -s 2 -n 300 --json
    check "$name: -s with -b" is "$status" 2
    run "$QURING" bench "$url" -f "$WORK/s.sql" -s 2 -n 300 --json
    check "$name: script" is "$status" 0
    check "$name: script" is "$(json "j['queries'], j['workload'].endswith('s.sql')")" "(300, True)"
    run "$QURING" bench "$url" -f "$WORK/s.sql@3" -b update -n 300 --json
    check "$name: two scripts" is "$(json "j['queries'], j['workload'].endswith('s.sql@3,update')")" "(300, True)"
    check "$name: two scripts" is "$(json "[(s['weight'], s['script'][-6:]) for s in j['scripts']], j['environment']['kernel'], \
[s['runs'] * n == s['queries'] or n == 2 and 0 <= s['queries'] - 2 * s['runs'] <= 300 for s, n in zip(j['scripts'], (2, 1))]")" \
        "([(3, '/s.sql'), (1, 'update')], '$(uname -r)', [True, True])"
    check "$name: environment" has "$(json "j['environment']['server']")" "$([[ $backend == sqlite ]] && echo SQLite 3 || echo PostgreSQL)"
    run "$QURING" bench "$url" -f "$WORK/s.sql@3" -b update -n 300
    check "$name: two scripts" has "$out" $'\nscript       update: '
    run "$QURING" bench "$url" -R 200 -T 1 --json
    check "$name: rate" is "$(json "0 < j['queries'] < 300, j['rate']['wanted'], list(j['rate']['lag_us'])")" "(True, 200, ['mean', 'max'])"
    run "$QURING" bench "$url" --warmup 0.2 -b update -n 30 --json
    check "$name: warm-up" is "$status $(json "j['queries'], j['warmup_seconds'], j['scripts'][0]['runs']")" "0 (30, 0.2, 30)"
    run "$QURING" bench "$url" -T 1 -P 0.25
    check "$name: summary" has "$out" "throughput"
    check "$name: summary" has "$out" "p99.9"
    check "$name: progress" test "$(grep -c 'queries/s' "$WORK/err")" -ge 1
    printf 'select 1;\nselect * from nosuch;\n' >"$WORK/s.sql"
    fails "$name: failing" 1 "s.sql:2: " "$QURING" bench "$url" -f "$WORK/s.sql" -n 50 -c 1 -d 1
    check "$name: failing" has "$err" "SQLSTATE 42P01"
    run "$QURING" bench "$url" -f "$WORK/s.sql" -n 50 -c 1 -d 1 --json
    check "$name: failing" is "$(json "j['failures'], j['scripts'][0]['runs'], j['scripts'][0]['errors']")" "({'42P01': 25}, 0, 25)"
    run "$QURING" bench "$url" -f "$WORK/s.sql" -n 50 -c 1 -d 1
    check "$name: failing" has "$out" $'25 failed)\nfailed with  42P01: 25\n'
    printf 'select * from nosuch;\n' >"$WORK/s.sql"
    printf 'select nosuch;\n' >"$WORK/s2.sql"
    fails "$name: failing in two ways" 1 "the first failure" \
        "$QURING" bench "$url" -b select@8 -f "$WORK/s.sql" -f "$WORK/s2.sql" -n 1000
    check "$name: failing in two ways" is "$(python3 - "$WORK/out" <<'END'
import re, sys
text = open(sys.argv[1]).read()
failed = int(re.search(r", (\d+) failed\)", text)[1])
kinds = dict(re.findall(r"(\w+): (\d+)", re.search(r"failed with (.*)", text)[1]))
print(sorted(kinds), failed == sum(map(int, kinds.values())))
END
)" "['42703', '42P01'] True"
    printf 'select * from nosuch;\n' >"$WORK/s.sql"
    if [[ $backend == sqlite ]]; then # the scheme of a URL is the same in capitals
        run "$QURING" bench "SQLITE${url#sqlite}" -n 10 --json
        check "$name: capitals" is "$(json "j['connections'], j['depth']")" "(2, 256)"
    fi
    fails "$name: hopeless" 1 "all of them" "$QURING" bench "$url" -f "$WORK/s.sql" -T 60
    fails "$name: a hopeless warm-up" 1 "all of them" "$QURING" bench "$url" -f "$WORK/s.sql" --warmup 60
    check "$name: a hopeless warm-up" is "$out" ""
    printf 'select 1;\n\\sleep 1\n' >"$WORK/s.sql"
    wrong "s.sql:2: \\sleep is not supported" bench "$url" -f "$WORK/s.sql"
    printf 'select 1;\n\ncopy t from stdin;\n' >"$WORK/s.sql"
    wrong "s.sql:3: COPY, LISTEN" bench "$url" -f "$WORK/s.sql"
    printf '\\set a random(0, 1)\n\\set b 1 / :a\nselect 1;\n' >"$WORK/s.sql"
    fails "$name: division" 1 "s.sql:2: division by zero" "$QURING" bench "$url" -f "$WORK/s.sql" -T 60
}

# pgbench's own transactions: what is in the tables are whole ones, and each is reported.
test_bench_transactions() {
    local url=$1 name=$2 depth=$3 builtin before after simple=0
    local sums="select (select count(*) from pgbench_history) as n, (select sum(delta) from pgbench_history) as h,
        (select sum(abalance) from pgbench_accounts) as a, (select sum(tbalance) from pgbench_tellers) as t,
        (select sum(bbalance) from pgbench_branches) as b"
    run "$QURING" bench "$url" -i -b select-only -n 100 --json
    check "$name: select-only" is "$status $(json "j['workload'], j['depth'] > 4, j['scripts'][0]['runs']")" "0 ('select-only', True, 100)"
    before=0
    for builtin in simple-update tpcb-like; do
        run "$QURING" bench "$url" -b $builtin --warmup 0.1 -c 4 -n 300 --json
        check "$name: $builtin" is "$status $(json "j['depth'], j['connections'], j['queries'] >= 300, \
j['queries'] == j['scripts'][0]['runs'] * (4 if '$builtin' == 'simple-update' else 6)")" "0 ($depth, 4, True, True)"
        after=$("$QURING" run "$url" --format csv -c "$sums" | tail -n 1)
        check "$name: $builtin: at least the runs that were reported" test \
            "$((${after%%,*} - before))" -gt "$(json "j['scripts'][0]['runs']")"
        before=${after%%,*}
        run "$QURING" run "$url" --format ndjson -c "$sums"
        [[ $builtin != simple-update ]] || simple=$("$QURING" run "$url" --format csv -c "select sum(delta) from pgbench_history" | tail -n 1)
        check "$name: $builtin: nothing by halves" is "$(python3 -c "import json,sys; j=json.load(sys.stdin)
print(j['a'] == j['h'], j['t'] == j['b'] == j['h'] - $simple)" <"$WORK/out")" "True True"
    done
    run "$QURING" bench "$url" -b tpcb-like -T 0.3 -c 3
    check "$name: summary" is "$status" 0
    check "$name: summary" has "$out" $'\nscript       tpcb-like: '
    run "$QURING" bench "$url" -b tpcb-like -n 500 -c 3 --gather 500 --json
    check "$name: gathering" is "$status $(json "j['gather_us'], j['queries'] >= 500")" "0 (500, True)"
    run "$QURING" bench "$url" -b select@3 -b simple-update --commit group -c 2 -d 3 -n 500 --json
    check "$name: among others" is "$status $(json "j['depth'], j['queries'] >= 500, \
[s['runs'] * n == s['queries'] for s, n in zip(j['scripts'], (1, 4))]")" "0 (3, True, [True, True])"
}

# pgbench's three scripts, as pgbench prints them: the bank's books are equal after them.
test_bench_pgbench() {
    local url=$1 name=$2 script
    command -v pgbench >/dev/null || return 0
    "$QURING" bench "$url" -i -s 2 -n 1 >/dev/null
    for script in tpcb-like simple-update select-only; do
        pgbench --show-script=$script 2>"$WORK/$script.sql"
        run "$QURING" bench "$url" -f "$WORK/$script.sql" -s 2 -c 4 -n 1200 --json
        check "$name: $script as written" is "$status,$err" "0,"
        check "$name: $script as written" is "$(json "j['scripts'][0]['runs'] * {'tpcb-like': 6, 'simple-update': 4, 'select-only': 1}['$script'] == j['queries'] >= 1200")" True
        [[ $script != tpcb-like ]] || gives "$name: the books" 0 $'n,books\n200,1\n' "$QURING" run "$url" --format csv -c "select
            count(*) as n, case when sum(delta) = (select sum(abalance) from pgbench_accounts)
                and sum(delta) = (select sum(tbalance) from pgbench_tellers)
                and sum(delta) = (select sum(bbalance) from pgbench_branches) then 1 else 0 end as books from pgbench_history"
    done
    gives "$name: the accounts" 0 $'n,books\n500,1\n' "$QURING" run "$url" --format csv -c "select count(*) as n,
        case when sum(delta) = (select sum(abalance) from pgbench_accounts) then 1 else 0 end as books from pgbench_history"
}

# Transactions that begin and end with these words: one that fails is taken back, and the others go on.
test_bench_failures() {
    local url=$1 name=$2 begin=$3 end=$4 before after
    "$QURING" bench "$url" -i -n 1 >/dev/null
    printf '\\set aid random(1, 100000)\n\\set x random(0, 1)\n%s;\nupdate pgbench_accounts set abalance = abalance + 1 where aid = :aid;
insert into cli_once values (:x, :x);\n%s;\n' "$begin" "$end" >"$WORK/s.sql"
    "$QURING" run "$url" -c "drop table if exists cli_once; create table cli_once (x int check (x = 0), y int)"
    before=$("$QURING" run "$url" -c "select sum(abalance) from pgbench_accounts" | tail -n 1)
    run "$QURING" bench "$url" -f "$WORK/s.sql" -c 2 -n 400 --json
    after=$("$QURING" run "$url" -c "select sum(abalance) from pgbench_accounts" | tail -n 1)
    check "$name, $begin: transactions that fail" is \
        "$status $(json "list(j['failures']), j['errors'] > 0, j['scripts'][0]['runs'] == $after - $before > 0")" "1 (['23514'], True, True)"
    check "$name, $begin: transactions that fail" has "$err" "s.sql:5: "
    check "$name, $begin: transactions that fail" is "$("$QURING" run "$url" -c "select count(*) from cli_once" | tail -n 1)" "$((after - before))"
    # A \set that fails leaves no transaction open, whose locks others would wait for until they are given up.
    printf '\\set x random(0, 1)\n%s;\nupdate pgbench_branches set bbalance = bbalance + 1 where bid = 1;
\\set y 1 / :x\nselect :y;\n%s;\n' "$begin" "$end" >"$WORK/s.sql"
    run "$QURING" bench "$url" -f "$WORK/s.sql" -c 8 -T 60 --json
    check "$name, $begin: a \\set that fails" is \
        "$status $(json "j['unfinished'], j['errors'], j['scripts'][0]['runs']")" \
        "1 (0, 0, $("$QURING" run "$url" -c "select bbalance from pgbench_branches" | tail -n 1))"
    check "$name, $begin: a \\set that fails" has "$err" "s.sql:4: division by zero"
}

# Transactions that can't all be serialized: those that failed did nothing, and the others are counted.
test_bench_conflicts_pg() {
    printf 'begin isolation level serializable;\nselect sum(y) from cli_sum;\nupdate cli_sum set y = y + 1;\nend;\n' >"$WORK/s.sql"
    "$QURING" run "$PG" -c "create table cli_sum (y int); insert into cli_sum values (0)"
    run "$QURING" bench "$PG" -f "$WORK/s.sql" -c 4 -n 900 --json
    check "conflicts" is "$(json "set(j['failures']) <= {'40001'}, j['errors'] + j['scripts'][0]['runs']")" "(True, 300)"
    check "conflicts" is "$("$QURING" run "$PG" -c "select y from cli_sum" | tail -n 1)" "$(json "j['scripts'][0]['runs']")"
}

# Several targets in turns: figures of each, and ratios to the first.
test_bench_several() {
    local one=$1 other=$2 pid
    run "$QURING" bench "$one" "$other" "$one" -i -b select -b update -n 300 --rounds 3 --json
    check "several" is "$status" 0
    check "several" is "$(python3 - "$WORK/out" <<'END'
import json, sys
j = json.load(open(sys.argv[1]))
first = j["targets"][0]
print(j["rounds"], [t["figures"]["queries"] for t in j["targets"]], [list(t) for t in j["targets"]] == 3 * [["url", "qps_ratio", "figures"]],
      first["qps_ratio"], all(t["qps_ratio"]["min"] <= t["qps_ratio"]["median"] <= t["qps_ratio"]["max"] for t in j["targets"]),
      all(sum(s["queries"] for s in t["figures"]["scripts"]) == 300 == sum(t["figures"]["histogram_us"]["counts"]) for t in j["targets"]))
END
)" "3 [300, 300, 300] True {'median': 1.0, 'min': 1.0, 'max': 1.0} True True"
    fails "several: which one has no tables" 1 "nothing was measured, because of sqlite://" "$QURING" bench "$one" sqlite:// -n 10
    run "$QURING" bench "$one" "$other" -n 300
    check "several" is "$status,$(grep -c ' x ' "$WORK/out")" "0,2"
    check "several" has "$out" "select, 5 rounds in turns"
    printf 'select * from nosuch;\n' >"$WORK/s.sql"
    # Ctrl-C in the first of several rounds: there are figures of one, and no ratio.
    background "$QURING" bench "$one" "$other" -T 600 -P 0.1
    check "several, Ctrl-C: runs" until_it grep -q "queries/s" "$WORK/err"
    kill -INT "$pid"
    ended "$pid"
    check "several, Ctrl-C" is "$status,$(grep -c '^ *[0-9,]*  *-  *-  *[0-9.]' <<<"$out"),$(grep -c '^ *0  *-  *-  *-  *-  *-  *0 ' <<<"$out")" "0,1,1"
    background "$QURING" bench "$one" "$other" -T 600 -P 0.1 --json
    check "several, Ctrl-C: runs" until_it grep -q "queries/s" "$WORK/err"
    kill -INT "$pid"
    ended "$pid"
    check "several, Ctrl-C" is "$status,$(python3 -c 'import json,sys; print([t["qps_ratio"] for t in json.load(sys.stdin)["targets"]])' <<<"$out")" \
        "0,[None, None]"
    # The exit status is that of the target that failed, whichever it is; its ratio is of what succeeded.
    "$QURING" run "$one" -c "drop table if exists cli_ratio; create table cli_ratio (x int check (x = 0))"
    "$QURING" run "$other" -c "drop table if exists cli_ratio; create table cli_ratio (x int)"
    printf '\\set x random(0, 1)\ninsert into cli_ratio values (:x);\n' >"$WORK/s.sql"
    run "$QURING" bench "$one" "$other" -f "$WORK/s.sql" -n 500 --warmup 0.05
    check "several of which one fails" is "$status" 1
    check "several of which one fails" has "$out" "The ratios are those of queries that succeeded."
    printf 'select * from nosuch;\n' >"$WORK/s.sql"
    fails "several that fail" 1 "all of them" "$QURING" bench "$one" "$other" -f "$WORK/s.sql" -n 5000
    fails "one is missing" 1 "Connection refused" "$QURING" bench "$one" postgresql://u:hidden@127.0.0.1:1/d -n 10
    check "no password" lacks "$err$out" hidden
}

test_run_missing() {
    fails "mistyped" 1 "?mode=rwc" "$QURING" run "sqlite:///$WORK/typo.db" -c "create table t(a)"
    fails "mistyped" 1 "?mode=rwc" "$QURING" bench "sqlite:///$WORK/typo.db" -n 10
    check "mistyped: no file" is "$(find "$WORK" -name 'typo.db*')" ""
    run "$QURING" bench "sqlite:///$WORK/typo.db" -i -n 10
    check "bench -i makes it" is "$status" 0
}

# Queries that have no answer when the load is over: what was meant to follow is not measured, and all of it is a failure.
test_bench_unanswered() {
    local kind pids=()
    echo "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n;" >"$WORK/s.sql"
    for kind in "one -T 0.001" "warmed --warmup 0.001 -n 1" "several -T 0.005"; do
        # shellcheck disable=SC2086 # a name, and options
        set -- $kind
        [[ $1 != several ]] || set -- "$@" sqlite://
        set -- "$@" sqlite://
        "$QURING" bench -c 1 -d 1 -f "$WORK/s.sql" "${@:2}" --json >"$WORK/$1.out" 2>"$WORK/$1.err" </dev/null &
        pids+=($!)
    done
    for kind in one warmed several; do
        cp "$WORK/$kind.out" "$WORK/out" && cp "$WORK/$kind.err" "$WORK/err"
        ended "${pids[0]}"
        pids=("${pids[@]:1}")
        out=$(cat "$WORK/$kind.out") err=$(cat "$WORK/$kind.err")
        check "$kind: no answer" is "$status" 1
        check "$kind: no answer" has "$err" "quring: 1 queries had no answer 10 s after the end, and were given up"
    done
    check "one: no answer" is "$(python3 -c 'import json,sys; j=json.load(sys.stdin); print(j["queries"], j["unfinished"], j["errors"])' \
        <"$WORK/one.out")" "0 1 0"
    check "warmed: no answer" is "$(cat "$WORK/warmed.out")" ""
    check "warmed: no answer" has "$(cat "$WORK/warmed.err")" "nothing is measured after it"
    check "several: no answer" is "$(python3 -c 'import json,sys; j=json.load(sys.stdin)
print(j["rounds"], [(t["qps_ratio"], t["figures"]["queries"], t["figures"]["unfinished"]) for t in j["targets"]])' <"$WORK/several.out")" \
        "0 [(None, 0, 1), (None, 0, 0)]"
}

test_bench_embedded() {
    run "$QURING" bench -T 0.3 --json
    check "embedded" is "$status" 0
    check "embedded" is "('sqlite', 2, 256, True, True)" \
        "$(json "j['backend'], j['connections'], j['depth'], j['queries'] > 0, 0.2 < j['seconds']")"
    check "embedded: nothing is left" is "$(ls -A "$TMPDIR")" ""
    fails "full disk" 1 "No space left" bash -c "'$QURING' bench -n 10 >/dev/full"
    fails "no temporary directory" 1 "set TMPDIR" env TMPDIR="$WORK/nosuch" "$QURING" bench -n 10
    script -qec "'$QURING' bench -T 1" /dev/null >"$WORK/out" </dev/null
    out=$(cat "$WORK/out")
    check "live line" has "$out" " queries/s   p50 "
    check "live line" has "$out" "▕"
}

# signals NAME SIGNAL STATUS COUNT: that many signals, to a bench that would run for ten minutes.
signals() {
    local name=$1 signal=$2 wanted=$3 count=$4 pid
    : >"$WORK/err" # or the words of the command before are taken for this one's
    "$QURING" bench -T 600 -P 0.1 >"$WORK/out" 2>"$WORK/err" &
    pid=$!
    check "$name: runs" until_it grep -q "queries/s" "$WORK/err"
    for ((; count > 0; count--)); do kill "-$signal" "$pid" && sleep 0.01; done
    status=0 && wait "$pid" 2>/dev/null || status=$?
    out=$(cat "$WORK/out") err=$(cat "$WORK/err")
    check "$name" is "$status" "$wanted"
    check "$name: nothing is left" is "$(ls -A "$TMPDIR")" ""
}

# shellcheck disable=SC2317 # called by until_it
filling() { [[ $(find "$TMPDIR" -type f -size +100k) ]]; }

test_bench_signals() {
    signals "Ctrl-C" INT 0 1
    check "Ctrl-C" has "$out" "throughput"
    signals "SIGTERM" TERM 0 1
    check "SIGTERM" has "$out" "throughput"
    "$QURING" bench -s 500 >"$WORK/out" 2>"$WORK/err" &
    check "fills" until_it filling
    kill -INT $!
    status=0 && wait $! || status=$?
    check "Ctrl-C while filling" is "$status" 130
    check "Ctrl-C while filling" is "$(ls -A "$TMPDIR")" ""
}

test_bench_signals_pg() {
    local pid
    echo "select pg_sleep(600);" >"$WORK/s.sql"
    "$QURING" bench "$PG" -c 1 -f "$WORK/s.sql" -T 600 >"$WORK/out" 2>"$WORK/err" &
    pid=$!
    check "a second Ctrl-C: runs" until_it busy
    while kill -INT $pid 2>/dev/null; do sleep 0.2; done & # until it is gone, and that is after two
    status=0 && wait $pid || status=$?
    psql "$PG" -qXAtc "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'" >/dev/null
    check "a second Ctrl-C" is "$status" 130
}

# A server that allows fewer connections: how many there are, and why not more.
test_bench_missing_pg() {
    local few=${PG/quring@/cli_few:hidden@}
    [[ $few != "$PG" ]] || return 0
    "$QURING" run "$PG" -c "create role cli_few login connection limit 3 password 'hidden'"
    echo "select 1;" >"$WORK/s.sql"
    run "$QURING" bench "$few" -f "$WORK/s.sql" -c 5 -n 100 --json
    check "missing" is "$status" 0
    check "missing" has "$err" "of 5 connections are up; going on with them: "
    check "missing" has "$err" 'too many connections for role "cli_few"'
    check "missing" is "$(json "j['connections'], 1 <= j['connections_up'] <= 3, '53300' in j['why_missing']")" "(5, True, True)"
    check "no password" lacks "$err$out" hidden
    printf 'begin read write;\nselect 1;\nend;\n' >"$WORK/s.sql" # it has connections of its own
    check "missing: the server has room again" until_it none_of cli_few
    run "$QURING" bench "$few" -f "$WORK/s.sql" -c 5 -n 100
    check "missing clients" is "$status" 1
    check "missing clients" is "$(sed -nE '1s/^quring: [12] of 5 connections are up; .*too many connections for role .*/ok/p' <<<"$err")" ok
    check "missing clients" is "$(grep -cE '^.*PostgreSQL, 5 connections \([12] up\) x 1 deep' <<<"$out")" 1
    run "$QURING" bench "$PG" -f "$WORK/s.sql" -c 5 -n 100 --json
    check "none is missing" is "$status $err $(json "j['connections_up'], j['why_missing']")" "0  (5, None)"
    echo "select 1;" >"$WORK/s.sql"
    run bash -c "ulimit -Sn 20 && exec '$QURING' bench '$PG' -f '$WORK/s.sql' -c 40 -n 100 --json"
    check "more than the soft limit of files" is "$status" 0
    check "more than the soft limit of files" lacks "$err$out" "open files"
    "$QURING" run "$PG" -c "drop role cli_few"
}

# none_of ROLE: no process of the server is left that it had.
# shellcheck disable=SC2317 # called by until_it
none_of() { [[ $("$QURING" run "$PG" -c "select count(*) from pg_stat_activity where usename = '$1'" | tail -n 1) == 0 ]]; }

# shellcheck disable=SC2317
terminate_until() {
    grep -q "$1" "$WORK/err" && return
    terminate_all
    sleep 1
    return 1
}

terminate_all() {
    psql "$PG" -qXAtc "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()" >/dev/null
}

# A client of its own does not go on when its connection was lost, and a bench not when all were.
test_bench_lost_pg() {
    local pid
    command -v psql >/dev/null || return 0
    printf 'begin read write;\nselect 1;\nend;\n' >"$WORK/s.sql"
    background "$QURING" bench "$PG" -f "$WORK/s.sql" -c 2 -T 600 -P 0.1
    check "lost: runs" until_it grep -q "queries/s" "$WORK/err"
    terminate_all
    ended "$pid"
    check "lost" is "$status" 1
    check "lost" has "$err" "stopped: all 2 connections were lost"
    check "lost" has "$out" "throughput"
}

# Transactions of the library go on with other connections, and none of those that were lost is there by halves.
test_bench_lost_tx_pg() {
    local pid
    command -v psql >/dev/null || return 0
    "$QURING" bench "$PG" -i -n 1 >/dev/null
    background "$QURING" bench "$PG" -b tpcb-like -c 2 -T 600 -P 0.1
    check "lost transactions: runs" until_it grep -q "queries/s" "$WORK/err"
    terminate_all
    check "lost transactions: goes on" until_it terminate_until "queries/s.* failed"
    kill -INT "$pid"
    ended "$pid"
    check "lost transactions" is "$status" 1
    check "lost transactions" has "$out" "57P01: "
    gives "lost transactions: the books" 0 $'books\n1\n' "$QURING" run "$PG" --format csv -c "select
        case when sum(delta) = (select sum(abalance) from pgbench_accounts) and sum(delta) = (select sum(tbalance) from pgbench_tellers)
        then 1 else 0 end as books from pgbench_history"
}

# ---- Parts ---------------------------------------------------------------------------------------

part_usage() {
    test_usage
    test_secrets
    test_probe
    test_probe_no_db
    test_urls
    test_ports
}

part_run() {
    test_run_same "sqlite:///$WORK/run.db?mode=rwc" SQLite
    test_run_streams "sqlite:///$WORK/run.db" SQLite
    test_probe_db "sqlite:///$WORK/run.db" SQLite
    test_run_missing
    test_run_timing_sqlite
    test_run_sqlite
    test_run_bad_input
    test_safe_characters
    test_json_documents
    test_json_forms sqlite:// SQLite
    test_run_stop
}

part_bench() {
    test_bench_same "sqlite:///$WORK/bench.db?mode=rwc" SQLite sqlite
    test_bench_transactions "sqlite:///$WORK/bench.db" SQLite 16
    test_bench_pgbench "sqlite:///$WORK/bench.db" SQLite
    test_bench_failures "sqlite:///$WORK/bench.db" SQLite "begin immediate" end
    test_bench_failures "sqlite:///$WORK/bench.db" SQLite "savepoint s" "release s"
    gives "embedded transactions" 0 "" bash -c "'$QURING' bench -b tpcb-like -n 1000 >/dev/null"
    test_bench_several "sqlite:///$WORK/bench.db" "$WORK/bench2.db"
    test_bench_embedded
    test_bench_unanswered
    test_bench_slow "sqlite:///$WORK/slow.db?mode=rwc" SQLite
    test_bench_signals
}

part_run_pg() {
    test_run_same "$PG" PostgreSQL
    test_run_streams "$PG" PostgreSQL
    test_probe_db "$PG" PostgreSQL
    test_probe_pg
    test_json_forms "$PG" PostgreSQL
    test_run_pg
    test_run_cancel_pg
}

part_bench_pg() {
    test_bench_same "$PG" PostgreSQL postgresql
    test_bench_transactions "$PG" PostgreSQL 4
    test_bench_pgbench "$PG" PostgreSQL
    test_bench_failures "$PG" PostgreSQL begin end
    test_bench_failures "$PG" PostgreSQL "begin read write" end
    test_bench_conflicts_pg
    test_bench_several "$PG" "sqlite:///$WORK/other.db?mode=rwc"
    test_bench_slow "$PG" PostgreSQL
    test_bench_signals_pg
    test_bench_missing_pg
    test_bench_lost_pg
    test_bench_lost_tx_pg
}

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
parts=("${@:3}")
((${#parts[@]})) || parts=(usage run bench run_pg bench_pg)
[[ $PG || "${parts[*]/%*_pg/}" == *[a-z]* ]] || exit 77
if [[ $PG && "${parts[*]}" == *_pg* ]]; then
    "$QURING" run "$PG" -c "create database $PG_DB"
    PG=${PG%/*}/$PG_DB
fi
for part in "${parts[@]}"; do
    [[ $part != *_pg || $PG ]] || continue
    "part_$part"
done
echo "$checks checks, $failures failed"
((failures == 0))
