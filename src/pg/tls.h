/* SPDX-License-Identifier: MIT */
/*
 * TLS in the data phase: libpq shook hands (certificates, channel binding, SCRAM); from then on its SSL object works on
 * memory, and the ring moves the ciphertext. The PGconn owns the SSL object, so it lives as long as the connection.
 */
#ifndef QURING_PG_TLS_H
#define QURING_PG_TLS_H

#include "base/buf.h"

#include <libpq-fe.h>

struct pg_tls;

/* Takes over the session of an idle connection, and owns `conn` from then on. NULL, with `*why`: it stays the caller's. */
struct pg_tls *pg_tls_open(PGconn *conn, const char **why);
/* NULL is allowed. */
void pg_tls_close(struct pg_tls *tls);

/* Ciphertext that came -> plaintext at the end of `plain`. What it has to answer goes out with the next pg_tls_seal().
 * False: the session is over; `*why` says why. */
bool pg_tls_receive(struct pg_tls *tls, const uint8_t *bytes, size_t size, struct buf *plain, const char **why);

/* All of `plain` -> ciphertext at the end of `out`. False: broken for good. */
bool pg_tls_seal(struct pg_tls *tls, struct buf *plain, struct buf *out);

/* The last of the plaintext, and our close_notify -> ciphertext at the end of `out`. */
void pg_tls_end(struct pg_tls *tls, struct buf *plain, struct buf *out);

/* True if pg_tls_seal() would make output without plaintext: answers to key updates, for example. */
bool pg_tls_has_output(const struct pg_tls *tls);

#endif
