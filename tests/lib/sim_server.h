/* SPDX-License-Identifier: MIT */
/*
 * A scripted PostgreSQL server on simulated sockets. It reads the frontend's messages with a strict parser of its own (any
 * flaw ends the test), keeps prepared statements per connection, runs transactions, and keeps a ledger of what it did for
 * which query, so that a test can hold the engine's word against it.
 *
 *   sim_server.c   connections and messages
 *   sim_sql.c      the statements that it understands, and what it answers
 *   sim_tx.c       transactions
 *   sim_portal.c   portals
 *   sim_token.c    the tokens of transactions
 *   sim_xid.c      the IDs of transactions
 *   sim_cancel.c   cancels as the library asks for them
 *
 * The library's connections have been started by libpq, and any request that cannot be carried out ends the test. A test's
 * own client (sim_client.h) starts its connections itself, and gets PostgreSQL's error.
 *
 *      accepted --start-up packet--> serving --error--> skipping --Sync--> serving
 *         |                           |   ^
 *         |                   Execute |   | done, or cancelled: 57014, and skipping
 *         |                           v   |
 *         |                          running (sleep, silent, flood: messages wait)
 *         |
 *         +--CancelRequest--> over: closed without a word, whether it has met a running Execute or not
 *
 * Serving or running, it is over with Terminate, FATAL and sim_server_kill(). When its client goes away it works on what
 * has come, or is over at once.
 *
 * Every statement takes one int8 parameter, the query's identity, which comes back in its rows:
 *
 *      select id $1          one row (id)                 insert $1              no rows
 *      rows N $1             N rows (id, n, text)         big N $1               one row (id, text of N bytes)
 *      null $1               one row (id, NULL)           sleep US $1            one row (id), US microseconds later
 *      notice N $1           N notices, one row           flood $1               notices without end
 *      bad S $1              error S at Parse             refuse S $1            error S at Bind
 *      error S $1            error S at Execute           late N S $1            error S after N rows
 *      defer S $1            error S at its commit        open $1                leaves a transaction open
 *      fatal S $1            FATAL S, and the end         farewell S $1          FATAL S after CommandComplete
 *      silent $1             never an answer              copy $1                begins a COPY
 *      call $1               undoes what came before it   tag $1                 no rows, and the tag of CALL
 *      hostile K $1          breaks the protocol, K of SIM_HOSTILE_COUNT ways
 *
 * and these a token, which is in public.sim_tokens or comes there with its transaction. As a unique key has it, each waits while one
 * with the same token may still be undone:
 *
 *      insert into public.sim_tokens (token, committed) values ($1, true)       23505 where it is there
 *      insert into public.sim_tokens (token, committed) values ($1, false) on conflict (token) do nothing
 *      select committed from public.sim_tokens where token = $1
 *
 * and the statements of core/xid.h, the second of which takes a note,
 *
 * but for these, which take none:
 *
 *      discard all           forgets what is prepared
 *      begin, start transaction, commit, end, rollback, savepoint N, rollback to N, release N
 *
 * A connection's transaction; what ran in it becomes visible in the ledger when it commits:
 *
 *      IMPLICIT --begin--> BLOCK --error--> FAILED --commit, rollback--> IMPLICIT
 *          ^                |  ^               |
 *          |                |  +--rollback to--+
 *          +----------------+
 *           commit, rollback
 *
 *      state      status   at an error                at Sync              at the connection's end
 *      IMPLICIT   I        is undone                  commits              is undone
 *      BLOCK      T        FAILED                     goes on              is undone
 *      FAILED     E        goes on                    goes on              is undone
 *
 * In FAILED all statements but those of its arrows fail with 25P02, and commit is answered as rollback is. A commit that
 * fails with a deferred error has undone its transaction. Outside a block commit and rollback end the implicit transaction
 * with a warning, and savepoints are refused.
 *
 * A portal, which ends with its transaction, thus at Sync outside a block, and with the savepoint that it was bound behind:
 *
 *      none --Bind--> bound --Execute--> suspended --Execute--> done
 *       ^               |                 |    ^                 |
 *       |               |                 +----+ rows left       |
 *       +---------------+-----------------+----------------------+ Close, Bind of the unnamed one, the end of either
 *
 * An Execute with a limit that is reached suspends it, also at its last row. Done, it gives no rows again, or 55000 where
 * its statement returns none. Close of its statement ends it, as the documentation has it; PostgreSQL itself keeps it.
 */
#ifndef QURING_TESTS_SIM_SERVER_H
#define QURING_TESTS_SIM_SERVER_H

#include "base/buf.h"
#include "base/list.h"
#include "ring/port_sim.h"

enum { SIM_HOSTILE_COUNT = 26 };

/* Identities are salt << 32 | index into the ledger. */
struct sim_entry {
    uint32_t bound;     /* Binds that named it and were accepted */
    uint32_t refused;   /* Binds that were refused for a stale plan */
    uint32_t executed;  /* Executes that began */
    uint32_t struck;    /* … and that a cancel ended */
    uint32_t committed; /* transactions that it ran in to its end and that were committed */
    uint32_t pid;       /* of the back end that executed it last */
    uint64_t at;        /* the number of that Execute, from 1, over all back ends */
};

/* A row of public.sim_tokens. */
struct sim_token {
    struct list link;
    const void *writer; /* the connection whose transaction it waits for; NULL: it is there */
    bool committed;
    char text[37];
};

/* An ID that a transaction was given. */
struct sim_xid {
    struct list link;
    const void *writer; /* the connection whose transaction has it; NULL: it is over */
    uint64_t number;
    bool committed;
};

/* A test that keeps the list of what took effect in which order. A statement that runs again is executed again. */
struct sim_watcher {
    void (*executed)(const void *conn, uint32_t index); /* within a transaction */
    void (*ended)(uint32_t index, bool committed);      /* with its transaction, whose members end in their order */
};

struct sim_server {
    struct sim *sim;
    const struct sim_watcher *watcher; /* NULL: there is none */
    struct list conns;
    uint32_t salt;
    uint32_t query_count;
    struct sim_entry *ledger;
    uint32_t schema; /* statements parsed under another number have a stale plan (0A000) */
    bool ever_stale; /* every plan is, however new */
    /* chances, in thousandths */
    uint16_t async;          /* a notice, parameter status or notification before a message */
    uint16_t eager;          /* the output goes out after a message, not at Sync */
    uint16_t stale;          /* at Bind of a prepared statement: the schema changes */
    uint16_t forget;         /* … or the statement is forgotten (26000) */
    uint16_t kill;           /* at a Sync: 57P01 to the whole connection */
    uint16_t conflict;       /* at an Execute: 40001 or 40P01, then or at its commit */
    const char *begin_error; /* SQLSTATE that BEGIN fails with; NULL: it succeeds */
    /* connecting */
    /* Of a list of hosts those that are called hang… never answer, those that are called down… refuse; all others are it. */
    const char *refusal;    /* SQLSTATE that connecting fails with; NULL: it succeeds */
    uint32_t refusals_left; /* attempts that `refusal` ends; UINT32_MAX: all */
    uint32_t connects;      /* attempts that succeeded */
    uint32_t attempts;
    uint32_t places;        /* of connections at a time; more are refused with 53300; 0: no bound */
    uint32_t starting_most; /* connections at a time that had no answer yet */
    const void *stray;      /* bytes that come before the first answer */
    size_t stray_bytes;
    bool mute;                 /* the first exchange is not answered */
    uint64_t barrier_ns;       /* it takes so long */
    bool pooled;               /* another process answers than the one that was connected to */
    bool lies_of_params;       /* describes one more than it takes */
    bool wrong_nonce;          /* … is answered with another's nonce */
    const char *barrier_error; /* … with an error of this SQLSTATE; NULL: it is not */
    const char *barrier_fatal; /* … well, with a FATAL error of this SQLSTATE right behind it; NULL: it is not */
    uint64_t cut_sent;         /* the next connection is reset after this many bytes of the engine; 0: it is not */
    uint64_t cut_received;     /* … of the server */
    uint64_t hush_received;    /* the next connection falls silent for good behind these bytes; 0: it does not */
    bool in_order;             /* queries must be executed in the order in which they were asked */
    /* cancelling, as libpq does it: sim_cancel.c */
    bool cancels;        /* the next connections can be cancelled */
    uint64_t cancel_ns;  /* a cancel hits within so long, and ends within as long behind that, by chance */
    bool cancel_hangs;   /* it hits, and never ends */
    bool cancel_misses;  /* it ends, and hits nothing */
    bool cancel_refused; /* the server takes none */
    uint64_t end_ns;     /* COMMIT, ROLLBACK and DISCARD ALL take up to so long, by chance, and a cancel may hit them */
    bool standby;        /* … a COMMIT while it waits for a standby */
    uint32_t struck_ends;   /* how many were hit, of the two first */
    uint32_t asked_cancels; /* how many were asked */
    /* tokens */
    struct list tokens;
    const char *claim_error; /* SQLSTATE that asking for one fails with; NULL: it does not */
    bool told_in_block;      /* the next one is told in a transaction that goes on */
    bool told_both;          /* each is told to be committed and not */
    const char *commit_tag;  /* that COMMIT of a block is answered with; NULL: its own */
    const char *late_error;  /* … and SQLSTATE of an error behind it; NULL: none is */
    uint64_t commit_ns;      /* COMMIT takes up to so long, by chance */
    bool hangs_at_commit;    /* it takes for ever */
    bool describes_token;    /* says that the INSERT of one returns a row, which it does not */
    uint32_t token_waits;    /* how often a statement waited for another's transaction */
    /* IDs of transactions */
    struct list xids;
    uint64_t next_xid;
    uint32_t system_number, timeline, crashes;
    const char *xid_error;   /* SQLSTATE that reading or asking for one fails with; NULL: it does not */
    bool gives_no_xids;      /* as to transactions that have written nothing */
    uint32_t progress_count; /* how often one was asked for that was in progress */
    /* what it saw */
    uint32_t last_index;
    uint64_t executes;
    uint32_t backends;
    uint64_t messages, syncs, parses, flushes, terminates;
    uint32_t prepared_most; /* on one connection at a time */
};

void sim_server_init(struct sim_server *server, struct sim *sim, uint32_t query_count);
void sim_server_free(struct sim_server *server);

/* Databases that this thread opens next connect to it; NULL: to libpq's again. */
void sim_server_use(struct sim_server *server);

/* A socket to it for a test's own client (sim_client.h), which begins with a start-up packet. */
int sim_server_connect(struct sim_server *server);

/*
 * As a CancelRequest does: ends the Execute that is running in this back end with 57014. Nothing happens when none is, or
 * the key is not its own. Only statements that take time can be met running: sleep, silent, flood; and with `end_ns` the end
 * of a block, which is hit before the server begins with it, so that its block has failed, or while it commits, which undoes it,
 * or while a commit that was made waits for a standby, which is a warning.
 */
void sim_server_cancel(struct sim_server *server, uint32_t pid, uint32_t key);
/* The same, for the n-th connection that lives. */
void sim_server_cancel_nth(struct sim_server *server, uint32_t nth);

/*
 * For tests that watch what the library itself does: called with true where it is entered or gone back to, with false
 * where it is left, for the caller or for the simulation. Does nothing unless a test sets it.
 */
extern void (*sim_library_hook)(bool inside);

/* Resets or ends all connections, as a server does that dies or is shut down. */
void sim_server_kill(struct sim_server *server, bool reset);
/* All connections stop reading, for good. */
void sim_server_deafen(struct sim_server *server);

/* The n-th connection that lives, if there is one, stops answering and writes these bytes instead. */
void sim_server_go_rogue(struct sim_server *server, uint32_t nth, const void *bytes, size_t size);
/* All connections that live say these bytes, which nobody asked for, and go on as if nothing was. */
void sim_server_say(struct sim_server *server, const void *bytes, size_t size);
uint32_t sim_server_conn_count(const struct sim_server *server);

static inline int64_t sim_server_identity(const struct sim_server *server, uint32_t index) {
    return (int64_t)((uint64_t)server->salt << 32 | index);
}

#endif
