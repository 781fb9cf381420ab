/* SPDX-License-Identifier: MIT */
/*
 * What the live tests share: an engine and a handle on the private PostgreSQL cluster, one query at a time, or many with
 * a ledger that knows what became of each.
 *
 * A program that is linked with live_server.c and finds no QURING_TEST_PG_URL exits with 77: skipped, to ctest.
 */
#ifndef QURING_TESTS_LIB_LIVE_H
#define QURING_TESTS_LIB_LIVE_H

#include "quring/quring.h"

#include <criterion/criterion.h>
#include <sys/types.h>

#define LIVE_SECOND UINT64_C(1000000000)
#define LIVE_MS UINT64_C(1000000)

/* How long nothing may come back before a test is called stuck. */
#define LIVE_STALL_NS (300 * LIVE_SECOND)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { LIVE_SANITIZED = 1 };
#else
enum { LIVE_SANITIZED = 0 };
#endif

struct live {
    quring_engine *engine;
    quring_db *db;
};

/* ---- Open ---- */

const char *live_url(void); /* over TCP */
const char *live_socket_url(void);
/* A variable of the environment that must be there. */
const char *live_env(const char *name);
/* live_url() with `query` behind: "options=-c%20TimeZone%3DUTC". Static, overwritten by the next call. */
const char *live_url_with(const char *query);
/* postgresql://…@127.0.0.1:PORT/… : the same, by another port. Static, overwritten by the next call. */
const char *live_url_by_port(unsigned port);
unsigned live_port(void);

/* Where options name no wait (for a connection, for a lock, for a silent server), that is LIVE_STALL_NS. */
void live_open(struct live *live, const quring_db_options *options);
void live_open_url(struct live *live, const char *url, const quring_options *engine, const quring_db_options *options);
/* Another handle on the same engine. */
quring_db *live_open_db(struct live *live, const char *url, const quring_db_options *options);
void live_close(struct live *live);

/* Gives it work until so many connections are up. */
void live_connect(struct live *live, uint32_t count);

uint64_t live_now_ns(void);

/* ---- One query at a time ---- */

/* Submits (to live->db where the query names none). Fails the test when it is refused. */
quring_id live_submit(struct live *live, const quring_query *query);

/* Runs until `done` of one more query is there; fails the test after LIVE_STALL_NS. */
quring_done live_wait(struct live *live);

/* Both; the caller releases it with live_release(). */
quring_done live_run(struct live *live, const quring_query *query);
void live_release(struct live *live, const quring_done *done);

/* live_query(&live, "select $1", quring_int64(7)) */
#define live_query(live, text, ...) live_run(live, &(quring_query){.sql = (text), .params = QURING_PARAMS(__VA_ARGS__)})

/* Runs one that must end OK; returns how many rows it changed. */
uint64_t live_exec(struct live *live, const char *sql);
/* … and returns its only value. */
int64_t live_int(struct live *live, const char *sql);
/* Each of several statements, with ';' and a newline between. */
void live_script(struct live *live, const char *statements);

/* Fails the test unless `done` says so. live_check_error() looks for `words` in the message. */
void live_check_ok(const quring_done *done, const char *what);
void live_check_error(const quring_done *done, quring_status status, const char *sqlstate, const char *words);

/* ---- Many ---- */

/* Reaps all that is out; `each` sees every completion before it is released. It may submit more. */
typedef void (*live_each)(struct live *live, const quring_done *done, void *context);
void live_drain(struct live *live, live_each each, void *context);
/* The same for what is there now: never blocks, returns how many. */
uint32_t live_reap(struct live *live, live_each each, void *context);

/*
 * What became of `count` queries that carry their number as user_data: each must end exactly once, and its rows, when it
 * has any, must hold its identity: live_identity(number) as their first value.
 */
struct ledger {
    uint32_t count;
    uint8_t *endings; /* of each number */
    uint8_t *status;
    uint32_t by_status[QURING_SHUTDOWN + 1];
    uint32_t ended_count;
    uint32_t wrong_count; /* rows of another query */
};

uint64_t live_identity(uint64_t number); /* a bijection that leaves no two alike in a few bits */

void ledger_init(struct ledger *ledger, uint32_t count);
void ledger_free(struct ledger *ledger);
/* A live_each; `context` is the ledger. */
void ledger_note(struct live *live, const quring_done *done, void *ledger);
/* Every number ended once, and none has another's rows. */
void ledger_check(const struct ledger *ledger);

/* ---- The server ---- */

/*
 * A gate that queries wait at, on the server, until the test opens it: for as long as it takes, so that what a test
 * shows of a slow query does not depend on how slow that is. A plain read, which may join a group. Closed over a
 * connection of its own.
 */
#define LIVE_AT_GATE "(select count(*) from live_gate)"

struct live_gate {
    struct live keeper;
};

void live_gate_close(struct live_gate *gate);
void live_gate_open(struct live_gate *gate);

/* Runs pg_ctl in the background with these arguments ("restart -m fast"); live_ctl_done() polls for its end. */
pid_t live_ctl_start(const char *arguments);
bool live_ctl_done(pid_t pid);
void live_ctl(const char *arguments);

#endif
