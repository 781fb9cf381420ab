/* SPDX-License-Identifier: MIT */
/*
 * A server on a thread that only lets clients in: it authenticates them a little later, answers the first exchange, and
 * counts how many are waiting for either at a time. It can go away, with all its connections, and come back on its port.
 */
#ifndef QURING_TESTS_LIB_CROWD_H
#define QURING_TESTS_LIB_CROWD_H

#include <stdbool.h>
#include <stdint.h>

struct crowd;

/* Takes up to `client_count` clients at a time. */
struct crowd *crowd_open(uint32_t client_count);
unsigned crowd_port(const struct crowd *crowd);
/* Away: it resets its connections, and nobody listens. */
void crowd_go_away(struct crowd *crowd, bool away);
uint32_t crowd_accepted_count(struct crowd *crowd);
uint32_t crowd_waiting_most(struct crowd *crowd); /* clients at a time whose first exchange was not over */
void crowd_close(struct crowd *crowd);

#endif
