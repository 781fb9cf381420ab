/* SPDX-License-Identifier: MIT */
/* What the files of the simulated server know of each other. */
#ifndef QURING_TESTS_SIM_SERVER_INTERNAL_H
#define QURING_TESTS_SIM_SERVER_INTERNAL_H

#include "base/cursor.h"
#include "lib/sim_server.h"

enum { SIM_BACKEND_PID = 4711 };

enum sim_verb {
    SIM_BARRIER,
    SIM_SELECT,
    SIM_INSERT,
    SIM_ROWS,
    SIM_BIG,
    SIM_NULL,
    SIM_SLEEP,
    SIM_NOTICE,
    SIM_FLOOD,
    SIM_BAD,
    SIM_REFUSE,
    SIM_ERROR,
    SIM_LATE,
    SIM_DEFER,
    SIM_OPEN,
    SIM_FATAL,
    SIM_FAREWELL,
    SIM_SILENT,
    SIM_COPY,
    SIM_HOSTILE,
    SIM_DISCARD,
    SIM_SETTINGS,
    SIM_CALL,
    SIM_TAG,
    SIM_TOKEN,
    SIM_CLAIM,
    SIM_TOLD,
    SIM_NOTE,
    SIM_STATUS,
    SIM_BEGIN,
    SIM_START,
    SIM_COMMIT,
    SIM_END,
    SIM_ROLLBACK,
    SIM_SAVEPOINT,
    SIM_ROLLBACK_TO,
    SIM_RELEASE
};

struct sim_statement {
    struct list link;
    char name[48]; /* "" for the unnamed one */
    enum sim_verb verb;
    uint32_t number;
    char sqlstate[6];
    uint32_t schema;
    uint64_t sync; /* how many Syncs the connection had seen when it was parsed */
    bool forgotten;
};

enum sim_tx_state { SIM_TX_IMPLICIT, SIM_TX_BLOCK, SIM_TX_FAILED };

enum { SIM_SAVEPOINT_COUNT = 16 };

struct sim_savepoint {
    uint32_t name;
    uint32_t member_count; /* as many were there when it was set */
    char deferred[6];
};

struct sim_tx {
    enum sim_tx_state state; /* moved by tx_move() alone */
    uint32_t *members;       /* of the ledger, whose effect its commit makes visible */
    uint32_t member_count, member_room;
    struct sim_savepoint savepoints[SIM_SAVEPOINT_COUNT];
    uint32_t savepoint_count;
    char deferred[6]; /* the error that its commit fails with */
};

struct sim_portal {
    struct list link;
    char name[24];                  /* "" for the unnamed one */
    struct sim_statement statement; /* a copy */
    uint32_t level;                 /* as many savepoints were set when it was bound */
    uint32_t index;                 /* into the ledger */
    int64_t identity;
    char text[96]; /* of the barrier's parameter, a token, or a note */
    uint16_t format_count;
    uint16_t formats[8];
    uint32_t row; /* that comes next */
    bool has_begun;
};

struct sim_conn {
    struct sim_server *server;
    struct list link;
    struct sim_peer *peer;
    struct sim_timer nap;
    struct buf in, out;
    struct list statements, portals;
    uint32_t pid, key;
    bool starting;   /* its first packet has not come */
    bool is_of_test; /* the client is a test's own, which may ask for what is not there */
    uint64_t syncs;
    bool skipping;                     /* up to the next Sync */
    bool flushed;                      /* by a Flush */
    bool napping, silent, over, quiet; /* quiet: its client is gone, but it works on */
    struct sim_portal *running;        /* whose Execute takes time */
    uint32_t running_limit;
    uint32_t flood_left;
    uint64_t words_left; /* bytes until it falls silent */
    struct sim_tx tx;
    char farewell[6];
    /* of the last Bind since the last Sync; SIM_SELECT before it */
    enum sim_verb last_verb;
    uint32_t last_number;
};

/* sim_server.c */
void sim_conn_check(struct sim_conn *conn, bool well, const char *what); /* ends the test */
/* False: with an error, since a test's own client may ask for what is not there; the library may not. */
bool sim_conn_may(struct sim_conn *conn, bool well, const char *sqlstate, const char *what);
struct sim_statement *sim_conn_statement(struct sim_conn *conn, const char *name);
void sim_conn_error(struct sim_conn *conn, const char *sqlstate, const char *message);
void sim_conn_fatal(struct sim_conn *conn, const char *sqlstate);
void sim_conn_sent(struct sim_conn *conn); /* after each message: maybe flush, maybe slip an asynchronous one in */
void sim_conn_flush(struct sim_conn *conn);
/* An Execute that takes time has begun. */
void sim_conn_run(struct sim_conn *conn, struct sim_portal *portal, uint32_t limit);
void sim_conn_nap(struct sim_conn *conn, uint64_t ns);

/* sim_token.c: the connection's own come to be with its transaction, or are gone. */
void sim_tokens_end(struct sim_conn *conn, bool committed);
/* Answers an Execute; it may take time. */
void sim_token_execute(struct sim_conn *conn, struct sim_portal *portal, uint32_t limit);

/* sim_xid.c: the connection's own is settled. */
void sim_xids_end(struct sim_conn *conn, bool committed);
void sim_xid_execute(struct sim_conn *conn, const struct sim_portal *portal);

/* sim_cancel.c */
struct pg_cancel_key;
/* For one connection; freed with its drop(). */
struct pg_cancel_key *sim_cancel_key(struct sim_server *server, uint32_t pid, uint32_t key);

/* sim_tx.c */
char sim_tx_status(const struct sim_conn *conn); /* as ReadyForQuery has it */
void sim_tx_join(struct sim_conn *conn, uint32_t index);
/* After an error: an implicit transaction is undone, a block waits for its end. */
void sim_tx_fail(struct sim_conn *conn);
/* Ends it without an effect on the ledger, as the end of its connection does. */
void sim_tx_end(struct sim_conn *conn);
/* Commits an implicit transaction. */
void sim_tx_sync(struct sim_conn *conn);
/* Undoes all but its last member. */
void sim_tx_keep_last(struct sim_conn *conn);
void sim_tx_begin(struct sim_conn *conn);
/* True: with an error, since its block has failed. */
bool sim_tx_refuses(struct sim_conn *conn, const struct sim_statement *statement);
/* A cancel met COMMIT, ROLLBACK or DISCARD ALL. */
void sim_tx_strike(struct sim_conn *conn, struct sim_portal *portal);
/* Answers BEGIN, COMMIT and their like. */
void sim_tx_execute(struct sim_conn *conn, enum sim_verb verb, uint32_t savepoint);

/* sim_portal.c */
void sim_portal_bind(struct sim_conn *conn, struct cursor *body);
void sim_portal_execute(struct sim_conn *conn, struct cursor *body);
struct sim_portal *sim_portal_find(struct sim_conn *conn, const char *name);
void sim_portal_drop(struct sim_portal *portal);
/* Those of a statement. */
void sim_portals_close(struct sim_conn *conn, const struct sim_statement *statement);
/* Those of this level and above. */
void sim_portals_end(struct sim_conn *conn, uint32_t level);
/* No portal keeps a level above this one, since its savepoint was released. */
void sim_portals_rise(struct sim_conn *conn, uint32_t level);

/* sim_sql.c */
/* False: the text is none of ours. */
bool sim_sql_read(struct sim_statement *statement, const char *sql);
uint16_t sim_sql_param_count(const struct sim_statement *statement);
void sim_sql_describe_parameters(struct sim_conn *conn, const struct sim_statement *statement);
void sim_sql_describe_columns(struct sim_conn *conn, const struct sim_statement *statement);
/* Answers an Execute, `again` of a portal that has begun. `limit` 0: all rows. The portal may be gone after it. */
void sim_sql_execute(struct sim_conn *conn, struct sim_portal *portal, uint32_t limit, bool again);
/* Breaks the protocol after the ReadyForQuery of a statement. */
void sim_sql_after_ready(struct sim_conn *conn);
bool sim_sql_returns_rows(const struct sim_statement *statement);
/* Its parameter is a query's identity. */
bool sim_sql_has_identity(const struct sim_statement *statement);
/* Its parameter is a token. */
bool sim_sql_has_token(const struct sim_statement *statement);

/* It reads a note, or takes one. */
bool sim_sql_has_note(const struct sim_statement *statement);

#endif
