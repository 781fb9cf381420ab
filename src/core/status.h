/* SPDX-License-Identifier: MIT */
/*
 * The state of a handle, as quring_db_status() tells it, by what backends report of connections:
 *
 *                 one is up   an attempt failed    … for good   none is up   … and none will be
 *      TRYING     UP          -                    REFUSED      -            LOST
 *      UP         -           OUTAGE               REFUSED      OUTAGE       LOST
 *      OUTAGE     UP          -                    REFUSED      -            LOST
 *      REFUSED    UP          TRYING or OUTAGE     -            -            LOST
 *
 * UP stays while the only connection is renewed. REFUSED goes back to the one that it would be without the refusal. LOST
 * stays, and so does CLOSING, which any becomes with the engine's shutdown.
 */
#ifndef QURING_CORE_STATUS_H
#define QURING_CORE_STATUS_H

#include "core/db.h"

void status_begin(struct quring_db *db, uint64_t now_ns);

/* A connection is up. */
void status_up(struct quring_db *db, uint64_t now_ns);

/* An attempt failed; `refused`: for a reason that another attempt would only meet again. Nothing moves while one is up. */
void status_failed(struct quring_db *db, bool any_up, bool refused, uint64_t now_ns);

/* The last connection that was up is not any more; `for_good`: no other takes its place. */
void status_none_up(struct quring_db *db, bool for_good, uint64_t now_ns);

void status_closing(struct quring_db *db, uint64_t now_ns);

/* As quring_db_status(), with the reasons and numbers of the backend. */
void status_fill(const struct quring_db *db, uint64_t now_ns, quring_db_info *info);

#endif
