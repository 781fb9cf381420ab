/* SPDX-License-Identifier: MIT */
/*
 * What src/wire must answer, worked out a second time: slow, byte by byte, from PostgreSQL 15's documentation (55.7)
 * and libpq's rule of lengths, sharing nothing with what it checks but the names of events.
 */
#ifndef QURING_TESTS_WIRE_REFERENCE_H
#define QURING_TESTS_WIRE_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether a message of this letter may have this in its length word. */
bool reference_lawful(int type, uint32_t length);

enum reference_answer { REFERENCE_SILENT = 100 }; /* beside enum wire_event_kind */

/* Where a session stands. */
struct reference_place {
    const char *may;   /* letters of what may come, beside E, N, S and A */
    int columns;       /* of the statement being executed, -1 when it returns no rows */
    bool error_is_due; /* something is asked that can fail */
};

/* The event kind that answers a message of which `given` bytes of the body are there, or REFERENCE_SILENT. */
int reference_answer(const struct reference_place *place, int type, uint32_t length, size_t limit, const uint8_t *body,
                     size_t given);

#endif
