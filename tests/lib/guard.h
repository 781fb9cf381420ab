/* SPDX-License-Identifier: MIT */
/* Memory that ends where a PROT_NONE page begins: one byte read too far is a SIGSEGV, in every kind of build. */
#ifndef QURING_TESTS_GUARD_H
#define QURING_TESTS_GUARD_H

#include <stddef.h>
#include <stdint.h>

struct guard {
    uint8_t *map;
    uint8_t *end; /* the first byte of the forbidden page */
    size_t room;
};

/* Room for inputs of up to `room` bytes; aborts when the system refuses. */
void guard_open(struct guard *guard, size_t room);
void guard_close(struct guard *guard);

/* A copy of the bytes that ends at the guard page. The copy made before is gone. */
uint8_t *guard_place(struct guard *guard, const void *bytes, size_t size);

#endif
