/* SPDX-License-Identifier: MIT */
/*
 * PostgreSQL's part without an engine and without a server: queries made by hand, on a connection or a pool whose ring
 * is on the simulated port. Attempts to connect end as the test says; a server is what the test lets it say. What goes
 * to it is told in words, one a message:
 *
 *      Parse 1 'select 1', Describe 1, Bind 1 (0) -> 1, Execute, Sync
 *
 * A name on the server is its number, "-" the unnamed one; behind Bind stand the formats of parameters, and of results.
 */
#ifndef QURING_TESTS_PG_BED_H
#define QURING_TESTS_PG_BED_H

#include "core/tx.h"
#include "pg/pg.h"
#include "pg/request.h"
#include "ring/port_sim.h"

#include <criterion/criterion.h>

enum { PG_BED_QUERIES = 256, PG_BED_SERVERS = 1100, PG_BED_TEXT_BYTES = 4000 };

#define PG_BED_MS ((uint64_t)1000000)

/* The other end of a connection that an attempt made. */
struct pg_bed_server {
    struct pg_conn *conn;
    struct sim_peer *peer;
    struct buf got;
};

struct pg_bed {
    struct sim *sim;
    struct hub hub;
    struct pg_db db;
    struct query queries[PG_BED_QUERIES];
    uint32_t query_count;
    const char *refusal;  /* SQLSTATE that attempts end with, in the words "refused"; NULL: they reach a server */
    bool deaf;            /* servers read nothing */
    uint32_t tried_count; /* attempts, whatever came of them */
    struct pg_bed_server servers[PG_BED_SERVERS];
    uint32_t server_count;
    bool pool_open;
    /* the bare connection, whose owner only takes notes */
    struct pg_conn conn;
    struct pg_conn_config config;
    struct list owing;
    struct pg_attempts attempts;
    char notes[200]; /* "up, lost, down 08006, …" since pg_bed_notes() */
};

/* Zeroed options get small defaults: 1 connection, depth 4, 4 statements. */
void pg_bed_begin(struct pg_bed *bed, const quring_db_options *options);
void pg_bed_end(struct pg_bed *bed);

/* A new query, with one parameter when `sql` has $1; not in its queue. */
struct query *pg_bed_query(struct pg_bed *bed, const char *sql);
/* The same, in a transaction's queue; its id is its number, from 1. */
struct query *pg_bed_ask_tx(struct pg_bed *bed, struct quring_tx *tx, const char *sql);
/* In its queue. */
struct query *pg_bed_ask(struct pg_bed *bed, const char *sql);
/* Taken from there: in the hands of whoever sends it. */
struct query *pg_bed_take(struct pg_bed *bed, const char *sql);

/* Lets all happen that would by itself without time passing; or so much time, in steps. */
void pg_bed_settle(struct pg_bed *bed);
void pg_bed_pass(struct pg_bed *bed, uint64_t ns);

/* ---- The bare connection ---- */

/* It is DOWN; `bound`: the database's queue is its alone. */
void pg_bed_make_conn(struct pg_bed *bed, bool bound);
/* Makes it, and brings it to READY. */
void pg_bed_open_conn(struct pg_bed *bed, bool bound);
/* What its owner was told since the last call; static. */
const char *pg_bed_notes(struct pg_bed *bed);

/* ---- The server of a connection ---- */

/* For a connector of the test's own: this visit reaches a server. */
void pg_bed_connect(struct pg_connect *connect);
struct pg_bed_server *pg_bed_server_of(struct pg_bed *bed, const struct pg_conn *conn);

/*
 * It says these messages, and the connection hears them. A word is a run of letters as in reply_script(), or one letter
 * and its text: E:40001 (an error of that SQLSTATE), F:57P01 (FATAL), C:INSERT_0_1 (a tag, where _ is a blank), Z:T
 * (a transaction's status), t:0 (so many parameters), S:TimeZone=UTC, N:9 (a notice of so many bytes), D:9 (a row of
 * two values, the first of so many bytes), R:t (a row of this one value), W:01000 (a warning with a detail).
 */
void pg_bed_say(struct pg_bed *bed, const struct pg_conn *conn, const char *script);
/* The right answer to the first exchange; `pooled`: from another process. */
void pg_bed_answer(struct pg_bed *bed, const struct pg_conn *conn, bool pooled);
/* What it received since the last call; static. */
const char *pg_bed_got(struct pg_bed *bed, const struct pg_conn *conn);

/* The same in short: the texts that are parsed, with * if under a name, "bound" for what is not, and | for Sync. */
const char *pg_bed_got_short(struct pg_bed *bed, const struct pg_conn *conn);

/* ---- Looking ---- */

/* What was encoded and not handed to the socket; static. */
const char *pg_bed_encoded(struct pg_conn *conn);
/* "waiting", "running", "OK", "SERVER_ERROR 22012", …; static, for a few calls. */
const char *pg_bed_fate(const struct query *query);

/* "OK; SKIPPED 22012 by 101": of several, each with the id that is named as the reason. It is valid until the next call. */
const char *pg_bed_fates(struct query *const queries[], uint32_t count);

#define pg_bed_assert_text(actual, expected, what) pg_bed_same(actual, expected, what, __LINE__)
void pg_bed_same(const char *actual, const char *expected, const char *what, int line);

#endif
