/* SPDX-License-Identifier: MIT */
/*
 * A test's own client of the simulated server, message by message: for what the server can do and the library does not ask
 * for yet. It owns the simulation's port, so there is no engine beside it; several clients share the port.
 *
 *      sim_client_bind(&client, "p", "s", 7), sim_client_execute(&client, "p", 2), sim_client_sync(&client);
 *      cr_assert_str_eq(sim_client_talk(&client, MS), "2 D0 D1 s ZI");
 *
 * The words of an answer: a message's letter, and behind it of DataRow the value of its second column where it has three,
 * of CommandComplete the tag after a colon, of errors and notices the SQLSTATE, of ReadyForQuery the status; at last a
 * full stop when the server has closed the connection. Of notices that come one behind the other only the first counts.
 */
#ifndef QURING_TESTS_SIM_CLIENT_H
#define QURING_TESTS_SIM_CLIENT_H

#include "lib/sim_server.h"

struct sim_client {
    struct list link;
    struct sim_server *server;
    int fd;
    struct buf out, sent, in;
    uint8_t chunk[4096];
    bool sends, receives, over;
    uint32_t pid, key; /* of BackendKeyData */
    char heard[1000];
};

/* A connection that has said nothing yet. */
void sim_client_open(struct sim_client *client, struct sim_server *server);
/* The same, started: it may ask. */
void sim_client_start(struct sim_client *client, struct sim_server *server);
void sim_client_close(struct sim_client *client);

/* Messages, which sim_client_talk() sends. An index is the ledger's; -1: the statement takes no parameter. */
void sim_client_parse(struct sim_client *client, const char *name, const char *sql);
void sim_client_bind(struct sim_client *client, const char *portal, const char *statement, int64_t index);
void sim_client_describe(struct sim_client *client, char kind, const char *name);
void sim_client_execute(struct sim_client *client, const char *portal, uint32_t row_limit);
void sim_client_drop(struct sim_client *client, char kind, const char *name); /* Close */
void sim_client_flush(struct sim_client *client);
void sim_client_sync(struct sim_client *client);
void sim_client_cancel(struct sim_client *client, uint32_t pid, uint32_t key); /* CancelRequest */

/* Parse, Bind, Execute of an unnamed statement, all rows. */
void sim_client_ask(struct sim_client *client, const char *sql, int64_t index);

/* Sends what was put, lets `ns` pass, and says in words what has come since the last call. Valid until the next one. */
const char *sim_client_talk(struct sim_client *client, uint64_t ns);
/* The same, and what comes waits for the next sim_client_talk(). */
void sim_client_wait(struct sim_client *client, uint64_t ns);

#endif
