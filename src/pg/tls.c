/* SPDX-License-Identifier: MIT */
#include "pg/tls.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

/* A record holds at most 16 KiB of plaintext (RFC 8446, 5.1), so a read of that size takes a whole one. */
enum { RECORD_BYTES = 16 * 1024, PLAIN_KEEP_BYTES = 4 * RECORD_BYTES };

struct pg_tls {
    PGconn *conn;
    SSL *ssl;       /* conn's */
    BIO *libpq_bio; /* held, to be put back before PQfinish() */
    BIO *in, *out;  /* ssl's: ciphertext from and to the ring */
};

/* The session can't be taken over if OpenSSL or the kernel already holds bytes of it, which would be lost. */
static const char *tls_refusal(SSL *ssl) {
    if (!ssl)
        return "the TLS library of libpq is not OpenSSL";
    if (SSL_has_pending(ssl) || SSL_get_read_ahead(ssl))
        return "the TLS session holds bytes that were read ahead";
    if (BIO_get_ktls_send(SSL_get_wbio(ssl)) || BIO_get_ktls_recv(SSL_get_rbio(ssl)))
        return "the TLS session is the kernel's (kTLS), which is not supported";
    return NULL;
}

struct pg_tls *pg_tls_open(PGconn *conn, const char **why) {
    PRE(conn && why);
    SSL *ssl = PQsslStruct(conn, "OpenSSL");
    *why = tls_refusal(ssl);
    if (*why)
        return NULL;
    struct pg_tls *tls = calloc(1, sizeof *tls);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (!tls || !in || !out) {
        *why = "out of memory";
        BIO_free(in);
        BIO_free(out);
        free(tls);
        return NULL;
    }
    *tls = (struct pg_tls){.conn = conn, .ssl = ssl, .libpq_bio = SSL_get_rbio(ssl), .in = in, .out = out};
    BIO_set_mem_eof_return(in, -1); /* empty means "more to come" */
    BIO_up_ref(tls->libpq_bio);
    SSL_set_bio(ssl, in, out);
    return tls;
}

/* PQfinish() writes to its own BIO, whose socket is /dev/null by then: see connect.c. */
void pg_tls_close(struct pg_tls *tls) {
    if (!tls)
        return;
    ERR_clear_error(); /* OpenSSL keeps errors by thread: one that another session left would be taken for this one's */
    SSL_set_bio(tls->ssl, tls->libpq_bio, tls->libpq_bio);
    PQfinish(tls->conn);
    free(tls);
}

static const char *tls_error_text(struct pg_tls *tls, int result) {
    if (SSL_get_error(tls->ssl, result) == SSL_ERROR_ZERO_RETURN)
        return "the server closed the TLS session";
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason ? reason : "the TLS session broke";
}

bool pg_tls_receive(struct pg_tls *tls, const uint8_t *bytes, size_t size, struct buf *plain, const char **why) {
    ERR_clear_error();
    while (size) {
        int chunk = size < INT_MAX ? (int)size : INT_MAX;
        int written = BIO_write(tls->in, bytes, chunk);
        if (written <= 0) {
            *why = "out of memory";
            return false;
        }
        bytes += written;
        size -= (size_t)written;
    }
    for (;;) {
        uint8_t *at = buf_reserve(plain, RECORD_BYTES);
        if (!at) {
            *why = "a message over the limit, or out of memory";
            return false;
        }
        int result = SSL_read(tls->ssl, at, RECORD_BYTES);
        if (result > 0) {
            buf_commit(plain, (size_t)result);
        } else if (SSL_get_error(tls->ssl, result) == SSL_ERROR_WANT_READ) {
            return true;
        } else {
            *why = tls_error_text(tls, result);
            return false;
        }
    }
}

static bool tls_move_output(struct pg_tls *tls, struct buf *out) {
    size_t pending = BIO_ctrl_pending(tls->out);
    if (pending == 0)
        return true;
    uint8_t *at = pending < INT_MAX ? buf_reserve(out, pending) : NULL;
    if (!at || BIO_read(tls->out, at, (int)pending) != (int)pending)
        return false;
    buf_commit(out, pending);
    return true;
}

bool pg_tls_seal(struct pg_tls *tls, struct buf *plain, struct buf *out) {
    ERR_clear_error();
    while (buf_size(plain)) {
        int chunk = buf_size(plain) < RECORD_BYTES ? (int)buf_size(plain) : RECORD_BYTES;
        int written = SSL_write(tls->ssl, buf_head(plain), chunk);
        if (written <= 0 || !tls_move_output(tls, out))
            return false;
        buf_consume(plain, (size_t)written);
    }
    buf_reset(plain, PLAIN_KEEP_BYTES);
    return tls_move_output(tls, out);
}

void pg_tls_end(struct pg_tls *tls, struct buf *plain, struct buf *out) {
    if (!pg_tls_seal(tls, plain, out))
        return;
    (void)SSL_shutdown(tls->ssl);
    (void)tls_move_output(tls, out);
}

bool pg_tls_has_output(const struct pg_tls *tls) {
    return BIO_ctrl_pending(tls->out) != 0;
}
