/* SPDX-License-Identifier: MIT */
/* The first exchange on a connection that was taken over from libpq. */
#ifndef QURING_PG_BARRIER_H
#define QURING_PG_BARRIER_H

#include "pg/conn_state.h"

/* Encodes it on a connection that is in BARRIER, before any other request. False: no memory. */
bool pg_barrier_encode(struct pg_conn *conn);

#endif
