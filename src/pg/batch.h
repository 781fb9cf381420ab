/* SPDX-License-Identifier: MIT */
/* Sends an ATOMIC batch on a connection. */
#ifndef QURING_PG_BATCH_H
#define QURING_PG_BATCH_H

#include "pg/conn.h"

/*
 * Takes the oldest unit of the queue, of so many members, and encodes it as a segment of its own: a group that no other
 * request joins. The connection has room for all of them. If it breaks, they stay in the queue, or go
 * back there with all else that was not sent.
 */
void pg_batch_send(struct pg_conn *conn, struct queue *queue, uint32_t count);

#endif
