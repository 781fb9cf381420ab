/* SPDX-License-Identifier: MIT */
/* What sim_server.c and sim_sql.c know of each other. */
#ifndef QURING_TESTS_SIM_SERVER_INTERNAL_H
#define QURING_TESTS_SIM_SERVER_INTERNAL_H

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
    SIM_CALL,
    SIM_TAG
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

struct sim_conn {
    struct sim_server *server;
    struct list link;
    struct sim_peer *peer;
    struct sim_timer nap;
    struct buf in, out;
    struct list statements;
    uint64_t syncs;
    bool skipping;                     /* up to the next Sync */
    bool napping, silent, over, quiet; /* quiet: its client is gone, but it works on */
    uint32_t flood_left;
    char transaction;
    char deferred[6]; /* the error that the next Sync fails with */
    char farewell[6];
    /* the portal */
    struct sim_statement *bound;
    uint32_t index; /* into the ledger, of the query that is bound */
    int64_t identity;
    char text[40]; /* of the barrier's parameter */
    uint16_t format_count;
    uint16_t formats[8];
    /* of the present implicit transaction */
    uint32_t *members;
    uint32_t member_count, member_room;
};

/* sim_server.c */
void sim_conn_error(struct sim_conn *conn, const char *sqlstate, const char *message);
void sim_conn_fatal(struct sim_conn *conn, const char *sqlstate);
void sim_conn_sent(struct sim_conn *conn); /* after each message: maybe flush, maybe slip an asynchronous one in */
void sim_conn_flush(struct sim_conn *conn);
void sim_conn_nap(struct sim_conn *conn, uint64_t ns);

/* sim_sql.c */
/* False: the text is none of ours. */
bool sim_sql_read(struct sim_statement *statement, const char *sql);
uint16_t sim_sql_param_count(const struct sim_statement *statement);
void sim_sql_describe(struct sim_conn *conn, const struct sim_statement *statement);
/* Answers an Execute of the bound portal. False: an error, or the end. */
bool sim_sql_execute(struct sim_conn *conn);
/* Breaks the protocol after the ReadyForQuery of a statement. */
void sim_sql_after_ready(struct sim_conn *conn);
bool sim_sql_returns_rows(const struct sim_statement *statement);

#endif
