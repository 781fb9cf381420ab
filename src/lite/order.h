/* SPDX-License-Identifier: MIT */
/*
 * Queries with an order key (core/order_key.h): a read sees what was written under its key before, and nothing of what was
 * submitted after it. The place of all keys is the handle's lanes:
 *
 *   - the writer carries out what it is given in order, so while any query of the key is with it, all follow it there, reads
 *     included
 *   - otherwise reads go to the readers, where they run beside each other; a write, and all behind it, is parked until they ended
 *
 * A text that the first words call a read is taken for one. No SELECT, VALUES or EXPLAIN writes.
 */
#ifndef QURING_LITE_ORDER_H
#define QURING_LITE_ORDER_H

#include "lite/db.h"

/*
 * True if the oldest query of a key that is not out may go to a lane: `*route` is that of its statement, and becomes its own.
 * False: it has to wait for reads.
 */
bool lite_order_may_run(const struct order_key *key, uint8_t *route);

/* A query with a key goes to a lane, by its route. */
void lite_order_began(struct lite_db *lite, struct query *query);

/* A query with a key is not out any more. */
void lite_order_ended(struct query *query);

/* A reader found out that it writes after all, and it goes to the writer. */
void lite_order_moved(struct query *query);

/* The key was looked at, and what is parked still has to wait for reads that are out; or nothing is. */
void lite_order_looked(struct order_key *key);

/* All lanes are shut. */
void lite_order_close(struct lite_db *lite);

#endif
