/* SPDX-License-Identifier: MIT */
/*
 * Notices and warnings that the server sent while it worked on a query. A result without any has no list; one that has
 * keeps the first of them within fixed bounds and counts the others, since a server may send any number.
 */
#ifndef QURING_CORE_NOTICE_H
#define QURING_CORE_NOTICE_H

#include "quring/quring.h"

#include <stddef.h>

enum { NOTICE_COUNT_MAX = 64, NOTICE_BYTES_MAX = 64 * 1024 };

struct notices;

/* Keeps a copy of the notice, of which no text is NULL, or counts it as dropped. */
void notices_add(struct notices **notices, const quring_error *notice);

/* Counts a notice as dropped that was too long to be read. */
void notices_omit(struct notices **notices);

/* Return how many are kept, and how many were dropped. NULL is allowed. */
uint32_t notices_count(const struct notices *notices);
uint64_t notices_dropped_count(const struct notices *notices);

/* NULL out of range. */
const quring_error *notices_view(const struct notices *notices, uint32_t index);

/* NULL is allowed. */
void notices_free(struct notices *notices);

#endif
