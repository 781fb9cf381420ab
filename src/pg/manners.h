/* SPDX-License-Identifier: MIT */
/*
 * When attempts to connect may begin, and how many at once, so that no server is stormed by those that it could not serve.
 *
 *      GROWING ----refused for good----> REFUSED          as many at once as `window` says
 *        |  ^  <---any other outcome----                  GROWING   1, 2, 4, … 64: each that succeeds allows twice as many,
 *        |  |                                                       one that fails half as many; behind it a wait that
 *     no |  | succeeded                                             doubles up to about a second
 *   place|  | often enough,                               CROWDED   the server has no place for more connections: 1, and
 *        v  | or none is up                                         the wait doubles up to a minute
 *      CROWDED                                            REFUSED   1, when a query asks for it, 30 to 60 s behind the last
 *
 * While no connection is up, one alone tries. Half of each wait is random, so that the clients of a server that was restarted
 * do not all come back at the same moment.
 *
 * What happens to one server shows on many connections at once, and counts once: of the attempts that were under way at a
 * failure, and of the connections that were made before it, none that fails later makes the wait longer. A connection that
 * comes up and is lost counts as an attempt that failed, so one that is ended again and again is tried less and less often.
 */
#ifndef QURING_PG_MANNERS_H
#define QURING_PG_MANNERS_H

#include "base/rng.h"

#include <stdbool.h>
#include <stdint.h>

enum { PG_WINDOW_MAX = 64 };

enum pg_manners_state { PG_MANNERS_GROWING, PG_MANNERS_CROWDED, PG_MANNERS_REFUSED };

struct pg_manners {
    struct rng *rng;
    uint64_t next_ns;  /* no attempt begins before */
    uint32_t failures; /* behind each other: how often the wait has doubled */
    uint32_t epoch; /* counts the failures that made the wait longer; an attempt belongs to the one that it begins in */
    uint32_t window;
    uint8_t state; /* enum pg_manners_state */
};

/* The situation that a decision is made in. */
struct pg_situation {
    uint64_t now_ns;
    bool any_up;           /* a connection is */
    bool asked;            /* a query waits */
    uint32_t trying_count; /* attempts under way */
};

void pg_manners_init(struct pg_manners *manners, struct rng *rng);

/* Errors that another attempt would only repeat: authorisation (28), no such database (3D), no privilege (42501). */
bool pg_manners_is_for_good(const char *sqlstate);

/* Returns how many more attempts may begin. */
uint32_t pg_manners_room(const struct pg_manners *manners, const struct pg_situation *situation);

/* Returns when one that may not begin now may; UINT64_MAX: only a query makes it begin. */
uint64_t pg_manners_next_ns(const struct pg_manners *manners);

/* An attempt that began in `epoch` succeeded. */
void pg_manners_succeeded(struct pg_manners *manners, uint32_t epoch, uint64_t now_ns);

/*
 * An attempt that began in `epoch` failed, or the connection that it made was lost. Returns the wait that begins with it; 0:
 * it is a part of what has counted already, or only a query makes the next attempt begin.
 */
uint64_t pg_manners_failed(struct pg_manners *manners, uint32_t epoch, const char *sqlstate, const char *message,
                           const struct pg_situation *situation);

/* The server may be another now, or take what it refused: all that is known of it is forgotten. */
void pg_manners_begin_anew(struct pg_manners *manners);

/* The last connection that was up is not any more. */
void pg_manners_none_up(struct pg_manners *manners);

#endif
