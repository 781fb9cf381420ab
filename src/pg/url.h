/* SPDX-License-Identifier: MIT */
#ifndef QURING_PG_URL_H
#define QURING_PG_URL_H

#include "quring/quring.h"

/* A URI, or a conninfo string. */
bool pg_url_accepts(const char *url);

/*
 * Refuses strings that libpq can't read or that ask for features that do not work here; `message` gives the reason and
 * quotes nothing. Sets connect_timeout_ns, if it is 0, from the string, because libpq ignores that setting when it connects
 * step by step. 0 or a QURING_E*.
 */
int pg_url_check(const char *url, uint64_t *connect_timeout_ns, char *message, size_t size);

#endif
