/* SPDX-License-Identifier: MIT */
/*
 * An engine over the simulated kernel, with one database on the scripted server, and the record of all that it was asked.
 * Each completion is held against that record when it is reaped, and against the server's ledger at the end:
 *
 *   once        every query that was accepted ends exactly once
 *   its own     an OK brings exactly the rows that its statement returns, with its own identity in each
 *   its error   a SERVER_ERROR has the SQLSTATE that its statement asked for (or that of a plan that went stale twice)
 *   the truth   OK: committed once, but within a block, of which its test knows. SERVER_ERROR, NOT_SENT: never committed.
 *               Any: committed once at most; outside GROUP executed once at most. NOT_SENT: never bound, unless the
 *               server had refused it or rolled it back before
 *   its limit   LIMIT for its rows alone: committed once
 *   sent        a completion that says that its query was not sent: never bound, and in GROUP never committed. OK and
 *               IN_DOUBT say that it was, NOT_SENT that it was not. Of a transaction: never committed
 *   its events  where the engine has a trace: see events.h
 *   allowed     no other status than the test expects: bits of `allowed`, on top of what the statement itself ends with
 */
#ifndef QURING_TESTS_SIM_WORLD_H
#define QURING_TESTS_SIM_WORLD_H

#include "lib/events.h"
#include "lib/seeds.h"
#include "lib/sim_server.h"
#include "quring/quring.h"

#define MAY(status) (1u << QURING_##status)

struct asked {
    const char *verb;
    uint32_t number;
    char sqlstate[6];
    const char *warning; /* SQLSTATE of one that comes with it, or NULL */
    bool grouped, accepted, ended, released;
    bool in_block, in_tx, skips, either;
    bool sent;        /* as its completion said */
    uint32_t seen_at; /* as many had been asked when its completion was reaped */
    uint8_t status;
    uint32_t batch; /* the number of its ATOMIC batch, from 1; 0: none */
    quring_id id, failed_id;
    char got_sqlstate[6];
};

struct world {
    struct sim *sim;
    struct sim_server server;
    quring_engine *engine;
    quring_db *db;
    quring_inbox *inbox; /* by which queries are asked: see world_open_inbox() */
    struct asked *asked;
    struct events events;
    uint32_t asked_count, query_count, batch_count;
    uint32_t accepted_count, ended_count;
    uint32_t by_status[QURING_SHUTDOWN + 1];
    uint32_t allowed;  /* MAY(…) | … for all queries */
    bool late_release; /* keep completions for a while */
    bool grouped_by_default;
    bool lenient; /* plans that are stale may show after one attempt */
    bool rogue;   /* the server may say anything at all: only Once is checked */
    bool poor;    /* memory runs out: the words of an error may be lost, its SQLSTATE may not */
};

/* Statuses that a query may end with when its connection is lost. */
#define MAY_BE_LOST (MAY(NOT_SENT) | MAY(IN_DOUBT))

/* Without an engine or a database yet; for tests in which opening them may fail. */
void world_begin(struct world *world, const struct sim_options *sim, uint32_t query_count);
/* 0, or a QURING_E*. `port` NULL: the simulation's own. */
int world_open_engine(struct world *world, const quring_options *options, struct port *port);
/* A database on the server: the next queries go there. 0, or a QURING_E*. */
int world_open_db(struct world *world, const quring_db_options *options);

/* All three. */
void world_open(struct world *world, const struct sim_options *sim, const quring_options *engine,
                const quring_db_options *db, uint32_t query_count);

/*
 * An inbox on the engine, whose client is this thread, too: from now on queries are asked and reaped by it, but for ATOMIC
 * batches, and their transactions are its own. What the engine has not looked at yet stays there until world_run().
 */
void world_open_inbox(struct world *world);

/* Asks `verb`, with the number and SQLSTATE that it takes. Returns the query's index, or a QURING_E*. */
struct ask {
    const char *verb; /* as in sim_server.h */
    uint32_t number;
    const char *sqlstate;
    quring_commit_mode commit;
    uint64_t timeout_ns;
    bool by_handle; /* of quring_prepare() */
    uint64_t order_key;
    /* Within a transaction block: whether it takes effect is for the test to say. */
    bool in_block;
    /* The SQLSTATE that it ends with because of its block, and not by itself; NULL: by itself. */
    const char *fails_with;
    /* The SQLSTATE of a warning that comes with it; NULL: none. */
    const char *warns_with;
    /* Of a transaction, with `in_block`; and it ends SKIPPED. */
    quring_tx *tx;
    bool skips;
    /* What it ends with may be another thing, also OK, because its transaction may be given up: world_is_natural() tells. */
    bool either;
};
int world_ask(struct world *world, const struct ask *ask);
/*
 * Asks an ATOMIC batch of plain statements; of each the verb, number, SQLSTATE and timeout count. Returns the index of the first, or
 * a QURING_E*. At the end:
 *
 *   whole       all of it was committed, or nothing
 *   the truth   an OK, or a LIMIT: committed. A SERVER_ERROR, SKIPPED, NOT_SENT: not
 *   its reason  a SKIPPED names a member that ended neither OK nor SKIPPED; without one none is skipped
 */
int world_ask_batch(struct world *world, const struct ask *asks, uint32_t count);
/* The same, and the test ends if it is not accepted. `sqlstate` may be NULL. */
int world_query(struct world *world, const char *verb, uint32_t number, const char *sqlstate);

/* quring_run(), and reaps and checks what ended. Returns what quring_run() said. */
int world_run(struct world *world, uint32_t min_count, uint64_t timeout_ns);
void world_reap(struct world *world);

/* Runs until all ended. */
void world_finish(struct world *world);
/* Runs until `count` connections are up. */
void world_connect(struct world *world, uint32_t count);

/* Lets virtual time pass as a foreign loop would: turns when there are events or quring_timeout_ns() is over. */
void world_pass(struct world *world, uint64_t ns);

/* All that happens happens, and the program makes no call, for so long. */
void world_stay_away(struct world *world, uint64_t ns);

/* It has ended as its statement does by itself, or with what was asked for. */
bool world_is_natural(const struct world *world, uint32_t index);

/* How a query must have ended; `sqlstate` may be NULL. */
void world_expect(struct world *world, int index, quring_status status, const char *sqlstate);
quring_stats world_stats(const struct world *world);

/* Closes the engine, lets the server come to its end, and checks the ledger; frees everything. */
void world_close(struct world *world);

/* The parts of it. */
void world_close_engine(struct world *world);
void world_check_ledger(struct world *world);
void world_free(struct world *world);

uint64_t world_below(struct world *world, uint64_t bound);

#endif
