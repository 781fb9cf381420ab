/* SPDX-License-Identifier: MIT */
/* Servers on the loopback that let nobody in, each in its own way, and count who came. */
#ifndef QURING_TESTS_LIB_IMPOSTOR_H
#define QURING_TESTS_LIB_IMPOSTOR_H

#include <stdint.h>

enum impostor_kind {
    IMPOSTOR_SILENT,      /* accepts, and never says a word */
    IMPOSTOR_UNREACHABLE, /* does not even answer the SYN; nobody counts who came */
    IMPOSTOR_STANDBY,     /* lets everybody in, as a hot standby, and then is silent */
    IMPOSTOR_SCRAM        /* wants a key that is derived in a million iterations: seconds inside of one call */
};

struct impostor;

/* `port` 0: any that is free. */
struct impostor *impostor_open(enum impostor_kind kind, const char *address, unsigned port);
unsigned impostor_port(const struct impostor *impostor);
uint32_t impostor_count(struct impostor *impostor); /* of connections that were served as its kind does it */
void impostor_close(struct impostor *impostor);

/* Returns how many threads of this process connect, detached ones included. */
int impostor_threads_connecting(void);

#endif
