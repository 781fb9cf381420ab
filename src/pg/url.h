/* SPDX-License-Identifier: MIT */
#ifndef QURING_PG_URL_H
#define QURING_PG_URL_H

#include "quring/quring.h"

/* A URI, or a conninfo string. */
bool pg_url_accepts(const char *url);

/*
 * Refuses what libpq can't read and what can't be had here; `message` says why and quotes nothing. Takes over the URL's
 * connect_timeout, of which libpq takes no notice when it connects step by step, unless one is set. 0 or a QURING_E*.
 */
int pg_url_check(const char *url, uint64_t *connect_timeout_ns, char *message, size_t size);

#endif
