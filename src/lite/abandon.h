/* SPDX-License-Identifier: MIT */
/* Queries that are given up: for struct backend, on the reactor's thread. */
#ifndef QURING_LITE_ABANDON_H
#define QURING_LITE_ABANDON_H

#include "core/query.h"

void lite_abandon(struct query *query, quring_status status);

/*
 * A batch that its lane has put back into the queue has had no effect, and ends at once. Without memory for a stand-in the
 * query ends when its lane hands it back.
 */
void lite_detach(struct query *query);

#endif
