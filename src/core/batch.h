/* SPDX-License-Identifier: MIT */
/*
 * ATOMIC batches: queries that were submitted together, and commit together or not at all. They are one unit of their queue
 * (queue.h), and a backend runs them as one transaction:
 *
 *   it commits         each ends as it did by itself: OK, or LIMIT
 *   a member fails     it ends with its own error, and the others SKIPPED, with its id
 *   the commit fails   all of them end with that error, because it is no member's
 *
 * A member that is given up before it was sent counts as one that failed. Once it was sent, the others go on without it. The
 * batch is in use until its last member has ended, and then on the hub's list for the next one.
 *
 * One with more members than its backend takes at once is the queue of a transaction instead of a unit: tx_put_batch() in
 * tx.h. Its members are sent in parts, and held in their order until the end of that is known.
 */
#ifndef QURING_CORE_BATCH_H
#define QURING_CORE_BATCH_H

#include "core/db.h"

enum { BATCH_RERUNS_MAX = 20 }; /* for conflicts */

struct batch {
    struct batch *next;     /* on the hub's list */
    struct batch **holder;  /* of its transaction: NULL once the last member has ended; NULL: it has none */
    struct heap_node again; /* of the backend: when it is to be run again */
    struct list members;    /* of the backend: those that wait for that, or for the end, in their order */
    uint32_t capacity;      /* of `ids` */
    uint32_t count;         /* members */
    uint32_t open_count;    /* those of them that have not ended */
    uint32_t rerun_count;
    bool lost;       /* of the backend: a connection was lost under it, and it runs again */
    uint32_t failed; /* the number of the member whose failure skips the others, from 1; 0: none has */
    quring_id ids[]; /* by number, from 0 */
};

/* Why the others are skipped. */
struct batch_failure {
    uint32_t number; /* of the member that failed, from 1 */
    const char *sqlstate;
    const char *message;
};

/* Takes a batch with room for so many members. NULL: no memory. One that gets no members goes back by batch_give(). */
struct batch *batch_take(struct hub *hub, uint32_t count);
void batch_give(struct hub *hub, struct batch *batch);

/* Frees those that nobody uses. */
void batch_free_all(struct hub *hub);

/* The query becomes the next member. */
void batch_join(struct batch *batch, struct query *query);

/* No member has ended, so all of it can run again. */
static inline bool batch_is_whole(const struct batch *batch) {
    return batch->open_count == batch->count;
}

/* For query_finish(): the query is no member any more, and if it was skipped it names the one that failed. */
void batch_leave(struct query *query);

/* The number of a member, from 1. */
uint32_t batch_number_of(const struct query *query);

/*
 * Says in a member's error why it is skipped, on any thread that has all members in its hands; query_finish() follows. The
 * other one does both.
 */
void batch_say_skipped(struct query *query, const struct batch_failure *why);
void batch_skip(struct query *query, const struct batch_failure *why);

/* Ends a member with `status`, whose error is set, and all others in the list of that unit with SKIPPED: nothing was sent. */
void batch_end_unsent(struct query *query, const struct list *members, quring_status status);

#endif
