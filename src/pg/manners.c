/* SPDX-License-Identifier: MIT */
#include "pg/manners.h"

#include "base/assert.h"

#include <string.h>

enum { DOUBLINGS_MAX = 11 }; /* they pass the longest wait, and many more would overflow */

static const uint64_t SECOND_NS = 1000000000;
static const uint64_t WAIT_NS = 50000000, WAIT_MAX_NS = 1200000000;
static const uint64_t CROWDED_MAX_NS = 60 * SECOND_NS;
static const uint64_t REFUSED_MIN_NS = 30 * SECOND_NS, REFUSED_MAX_NS = 60 * SECOND_NS;
static const uint64_t CALM_NS = 5 * SECOND_NS; /* without a failure: the ones before are forgotten */

void pg_manners_init(struct pg_manners *manners, struct rng *rng) {
    *manners = (struct pg_manners){.rng = rng, .window = 1};
}

/* Every state may follow every other one: see the diagram in manners.h. */
static void manners_move(struct pg_manners *manners, enum pg_manners_state to) {
    manners->state = (uint8_t)to;
    if (to != PG_MANNERS_GROWING)
        manners->window = 1;
}

bool pg_manners_is_for_good(const char *sqlstate) {
    return strncmp(sqlstate, "28", 2) == 0 || strncmp(sqlstate, "3D", 2) == 0 || strcmp(sqlstate, "42501") == 0;
}

/* PgBouncer gives its max_client_conn no SQLSTATE of its own. */
static bool manners_is_no_place(const char *sqlstate, const char *message) {
    return strcmp(sqlstate, "53300") == 0 || strstr(message, "no more connections allowed");
}

uint32_t pg_manners_room(const struct pg_manners *manners, const struct pg_situation *situation) {
    if (situation->now_ns < manners->next_ns || (manners->state == PG_MANNERS_REFUSED && !situation->asked))
        return 0;
    uint32_t most = situation->any_up ? manners->window : 1;
    return most > situation->trying_count ? most - situation->trying_count : 0;
}

uint64_t pg_manners_next_ns(const struct pg_manners *manners) {
    return manners->state == PG_MANNERS_REFUSED ? UINT64_MAX : manners->next_ns;
}

static uint64_t manners_draw(struct pg_manners *manners, uint64_t least, uint64_t most) {
    return least + rng_below(manners->rng, most - least + 1);
}

static uint64_t manners_wait(struct pg_manners *manners, uint64_t now_ns) {
    uint64_t most = manners->state == PG_MANNERS_CROWDED ? CROWDED_MAX_NS : WAIT_MAX_NS;
    uint64_t wait = WAIT_NS << (manners->failures < DOUBLINGS_MAX ? manners->failures : DOUBLINGS_MAX);
    if (wait > most)
        wait = most;
    wait = manners_draw(manners, wait / 2, wait);
    manners->next_ns = now_ns + wait;
    return wait;
}

void pg_manners_succeeded(struct pg_manners *manners, uint32_t epoch, uint64_t now_ns) {
    if (epoch != manners->epoch)
        return; /* it began before what failed since, and says less of the server */
    if (manners->state == PG_MANNERS_CROWDED && (manners->failures /= 2)) {
        (void)manners_wait(manners, now_ns); /* a place was free: others may want one, too */
        return;
    }
    if (manners->state != PG_MANNERS_GROWING)
        manners->next_ns = now_ns;
    manners_move(manners, PG_MANNERS_GROWING);
    manners->window = manners->window < PG_WINDOW_MAX / 2 ? 2 * manners->window : PG_WINDOW_MAX;
}

static void manners_refuse(struct pg_manners *manners, uint64_t now_ns) {
    manners_move(manners, PG_MANNERS_REFUSED);
    manners->failures = 0;
    manners->epoch++;
    manners->next_ns = now_ns + manners_draw(manners, REFUSED_MIN_NS, REFUSED_MAX_NS);
}

uint64_t pg_manners_failed(struct pg_manners *manners, uint32_t epoch, const char *sqlstate, const char *message,
                           const struct pg_situation *situation) {
    bool counted = epoch != manners->epoch;
    if (pg_manners_is_for_good(sqlstate)) {
        if (!counted || manners->state != PG_MANNERS_REFUSED)
            manners_refuse(manners, situation->now_ns);
        return 0;
    }
    if (situation->any_up && manners_is_no_place(sqlstate, message)) {
        manners_move(manners, PG_MANNERS_CROWDED);
    } else if (manners->state == PG_MANNERS_REFUSED && !counted) {
        manners_move(manners, PG_MANNERS_GROWING);
    }
    if (counted)
        return 0;
    if (situation->now_ns > manners->next_ns + CALM_NS)
        manners->failures = 0;
    manners->failures++;
    manners->epoch++;
    manners->window = manners->window > 1 ? manners->window / 2 : 1;
    return manners_wait(manners, situation->now_ns);
}

void pg_manners_begin_anew(struct pg_manners *manners) {
    manners_move(manners, PG_MANNERS_GROWING);
    manners->window = 1;
    manners->failures = 0;
    manners->next_ns = 0;
}

void pg_manners_none_up(struct pg_manners *manners) {
    manners->window = 1;
    if (manners->state == PG_MANNERS_CROWDED)
        pg_manners_begin_anew(manners); /* its places are free, if the server is there at all */
}
