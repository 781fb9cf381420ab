/* SPDX-License-Identifier: MIT */
/*
 * Attempts to connect: which hosts they visit, how long that may take, and when a visit is detached.
 *
 * An attempt visits the hosts of the list one after the other, a name by looking it up and then by each of its addresses,
 * until one has let us in and answered the first exchange. Of the time that is left each host gets an equal share, and so
 * does each address of the host's share. A visit that has used its time up is over, whatever its thread is doing.
 */
#ifndef QURING_PG_ATTEMPT_H
#define QURING_PG_ATTEMPT_H

#include "base/rng.h"
#include "pg/conn.h"

/* The part that the attempts of one pool share. */
struct pg_attempts {
    struct pg_hosts *hosts; /* held */
    pg_connector connector;
    pg_connector look_up; /* NULL: names go to the connector as they are */
    struct rng rng;
    uint64_t stepped_ns; /* when the last visit or first exchange began, by the port's clock */
};

bool pg_attempts_init(struct pg_attempts *attempts, const char *conninfo, uint64_t seed); /* false: no memory */
void pg_attempts_free(struct pg_attempts *attempts);

void pg_attempt_start(struct pg_conn *conn); /* DOWN -> CONNECTING, or `postponed` */
void pg_attempt_end(struct pg_conn *conn);   /* gives it up, for good */

/*
 * To be asked when a connection has gone DOWN: true when it failed in its first exchange, and its attempt goes on with the
 * next host: it is CONNECTING again. Else its reason is that of all hosts.
 */
bool pg_attempt_goes_on(struct pg_conn *conn);

/* The handler of pg_conn.timer. */
void pg_attempt_timer(struct timer *timer);

#endif
