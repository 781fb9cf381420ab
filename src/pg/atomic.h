/* SPDX-License-Identifier: MIT */
/*
 * The end of an ATOMIC batch on a connection. Its members are one segment with one Sync, and so one transaction, which the
 * server commits at the Sync or undoes:
 *
 *   done       each ends as its own reply said
 *   conflict   40001 or 40P01: the connection's owner has all of it run again, after a moment
 *   stale      a plan was out of date before its query ran: the same, at once
 *   struck     a cancel hit that was meant for a request before it: the same
 *   failed     the member that failed ends with its error, the others SKIPPED; at the commit, all with its error
 */
#ifndef QURING_PG_ATOMIC_H
#define QURING_PG_ATOMIC_H

#include "pg/request.h"

/*
 * At the sync point of a batch whose outcome is known: where it failed, ends its members, or gives them away to be run again,
 * and the requests have no queries then.
 */
void pg_atomic_settle(struct pg_conn *conn, const struct wire_event *ready);

#endif
