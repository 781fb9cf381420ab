/* SPDX-License-Identifier: MIT */
/*
 * What the server had to say about a query beside its rows: NOTICE, WARNING and their like. A result without any has no
 * list; one that has keeps the first of them within fixed bounds and counts the others.
 */
#ifndef QURING_CORE_NOTICE_H
#define QURING_CORE_NOTICE_H

#include "quring/quring.h"

#include <stddef.h>

enum { NOTICE_COUNT_MAX = 64, NOTICE_BYTES_MAX = 64 * 1024 };

struct notices;

/* Keeps a copy of the notice, whose view must not be NULL in any part, or counts it as dropped. */
void notices_add(struct notices **notices, const quring_error *notice);
/* Counts one that nobody read as dropped. */
void notices_omit(struct notices **notices);
/* NULL is allowed. */
void notices_free(struct notices *notices);

#endif
