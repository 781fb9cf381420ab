/* SPDX-License-Identifier: MIT */
/*
 * A backend that does what the test says, and an engine on the simulated port that knows no other: engine_backend_of() is
 * replaced by the linker (--wrap) with one that has this backend for the URLs "fake:a" to "fake:z".
 */
#ifndef QURING_TESTS_FAKE_BACKEND_H
#define QURING_TESTS_FAKE_BACKEND_H

#include "engine/engine.h"
#include "ring/port_sim.h"

#include <criterion/criterion.h>

#define FAKE_MS ((uint64_t)1000000)

enum { FAKE_QUERIES = 32 };

struct fake_db {
    struct quring_db base;
    char name;              /* the last letter of its URL */
    uint32_t depth;         /* queries in its hands at most */
    uint64_t work_ns;       /* a query ends OK after this long; 0: when fake_end() says so */
    uint64_t let_go_ns;     /* one that is given up ends after this long, as on a lane; 0: at once */
    bool tx_waits;          /* so do the queries of a transaction whose time is over */
    bool keeps;             /* it does not detach those that it is slow to end */
    uint64_t close_ns;      /* from close() until nothing of it is left */
    uint32_t missing_count; /* of connections that it wants */
    bool hopeless;          /* none of these will come */
    uint32_t advance_count; /* turns that it was visited in */
    uint32_t place_count;   /* transactions that it serves at once */
    uint32_t placed_count;  /* now */
    struct list parked;     /* queues of transactions that wait for a place */
    struct list running;
    struct timer timer;
};

/* An engine with this backend alone. The log begins anew. */
quring_engine *fake_engine_open(const quring_options *options);
/* Closes it; what the log says of that is in it afterwards. */
void fake_engine_close(quring_engine *engine);
struct sim *fake_sim(void);

struct fake_db *fake_open(quring_engine *engine, const char *url, const quring_db_options *options);

/* Submits "select 1" as the query of that number, which is its user_data; a QURING_E*. */
int fake_ask(struct fake_db *db, uint32_t number);
int fake_ask_until(struct fake_db *db, uint32_t number, uint64_t timeout_ns);
quring_id fake_id(uint32_t number);

/* The same for a transaction, with an SQL of its own; its COMMIT. */
int fake_ask_tx(quring_tx *tx, uint32_t number, const char *sql);
int fake_commit(quring_tx *tx, uint32_t number);

/* Ends a query that is in its hands. */
void fake_end(struct fake_db *db, uint32_t number, quring_status status);
/* Puts all in its hands back in line. */
void fake_put_back(struct fake_db *db);

/* "1 OK, 2 TIMEOUT, …": reaps all that is done, and releases it; static. */
const char *fake_reaped(quring_engine *engine);

/*
 * What the backend was asked for since the last call, advance() apart: "abandon 1 TIMEOUT, close a, destroy a", and what it
 * did for transactions: "begin, send 1, send 2, roll back"; static.
 */
const char *fake_log(void);

void fake_same(const char *actual, const char *expected, const char *what, int line);
#define fake_assert_text(actual, expected, what) fake_same(actual, expected, what, __LINE__)

#endif
