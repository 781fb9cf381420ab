/* SPDX-License-Identifier: MIT */
/*
 * A process ends while an attempt to connect is inside OpenSSL still. A program of its own, since Criterion's runner has
 * used OpenSSL before any test begins, and what OpenSSL does at the end is decided by its first use. Needs no server.
 * Exit status: 0, 1 when OpenSSL was gone, 77 where there is no io_uring.
 */
#include "pg/connect.h"
#include "quring/quring.h"

#include <errno.h>
#include <openssl/evp.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

static sem_t told, hashed;
static bool works;

static void wait_for(sem_t *semaphore) {
    while (sem_wait(semaphore) && errno == EINTR)
        ;
}

static bool hash(void) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size;
    return EVP_Digest("x", 1, digest, &size, EVP_sha256(), NULL) == 1;
}

static void hashing_connector(struct pg_connect *connect) {
    works = hash();
    sem_post(&hashed);
    wait_for(&told);
    works &= hash();
    sem_post(&hashed);
    connect->fd = -1;
}

/* It was installed before OpenSSL was used, so it comes after all that OpenSSL does at the end. */
static void hash_once_more(void) {
    sem_post(&told);
    wait_for(&hashed);
    _exit(works ? 0 : 1);
}

int main(void) {
    quring_engine *engine;
    quring_db *db;
    sem_init(&told, 0, 0);
    sem_init(&hashed, 0, 0);
    pg_use_connector(hashing_connector, NULL);
    int error = quring_engine_open(NULL, &engine);
    if (error == QURING_ENORING || error == QURING_EFORBIDDEN)
        return 77;
    if (error || atexit(hash_once_more) || quring_db_open(engine, "postgresql://x@127.0.0.1:1/x", NULL, &db))
        _exit(2);
    wait_for(&hashed);
    quring_engine_close(engine);
    return 3;
}
