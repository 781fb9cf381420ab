/* SPDX-License-Identifier: MIT */
/*
 * The line of those that want to write one file, of all handles of the process. SQLite's own lock has none: who finds it held
 * tries again after a nap, and where another connection writes without a pause it is held again each time, until busy_timeout_ns
 * has passed. So who has found it held stands here, in order; the first, and nobody else, is woken whenever a transaction has
 * ended, and who is about to begin one goes to the end of the line if the first has stood there for a while. Until then it goes
 * on, since a turn for each small transaction would cost more than the transaction.
 *
 * It helps nobody to hold the lock: whoever does not get to the front in time, or meets the lock of another process there, naps and
 * tries as before. So does who holds it and waits for something else, and must not wait for those that wait for it.
 */
#ifndef QURING_LITE_LINE_H
#define QURING_LITE_LINE_H

#include "base/assert.h"
#include "base/list.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct lite_line {
    pthread_mutex_t lock;
    struct list places;
    uint32_t move_count; /* how often it was time for the first to try */
    atomic_uint count;   /* of places; read without the lock, too */
};

/* Of one connection. Its thread alone touches it, and whoever has the line's lock the links. */
struct lite_place {
    struct list link;
    pthread_cond_t turn; /* there while it stands; its own, so that no wake-up costs the others anything */
    bool stands;
    uint32_t seen_count; /* move_count when it last tried to get the lock */
    uint64_t since_ns;   /* when it joined */
};

void lite_line_init(struct lite_line *line);
void lite_line_free(struct lite_line *line);

static inline bool lite_line_is_empty(const struct lite_line *line) {
    return atomic_load_explicit(&line->count, memory_order_relaxed) == 0;
}

/* True: the first has stood there for so long that the next transaction is its. */
bool lite_line_is_due(struct lite_line *line, uint64_t now_ns);

/* Goes to the end of the line; nothing happens to who stands in it. */
void lite_line_join(struct lite_line *line, struct lite_place *place, uint64_t now_ns);

/* Waits for so long, or until it is the first and a transaction has ended since it last waited. True: it is the first. */
bool lite_line_wait(struct lite_line *line, struct lite_place *place, uint64_t wait_ns);

/* A transaction has ended, or was not begun: `place` leaves the line if it stands there, and the first is woken. */
void lite_line_leave(struct lite_line *line, struct lite_place *place);

#endif
