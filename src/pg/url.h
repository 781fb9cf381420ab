/* SPDX-License-Identifier: MIT */
#ifndef QURING_PG_URL_H
#define QURING_PG_URL_H

#include "quring/quring.h"

/* A URI, or a conninfo string. */
bool pg_url_accepts(const char *url);

/*
 * Refuses strings that libpq can't read or that ask for features that do not work here; `message` gives the reason and
 * quotes nothing. 0 or a QURING_E*.
 */
int pg_url_check(const char *url, char *message, size_t size);

#endif
