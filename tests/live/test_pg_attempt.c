/* SPDX-License-Identifier: MIT */
/*
 * libpq gets stuck while it connects: queries end in time all the same, closing does not wait, and the thread that is
 * inside ends by itself, with what it made. Needs no server: one here speaks as much of the protocol as it takes.
 */
#include "lib/impostor.h"
#include "pg/attempt.h"
#include "quring/quring.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

static quring_engine *engine;
static quring_db *db;
static uint64_t connect_timeout_ns = 100 * MS;

static void open_db(const char *url, uint32_t connection_count) {
    int error = quring_engine_open(NULL, &engine);
    if (error == QURING_ENORING || error == QURING_EFORBIDDEN)
        cr_skip_test("no io_uring here");
    cr_assert_eq(error, 0);
    const quring_db_options options = {.connection_count = connection_count, .connect_timeout_ns = connect_timeout_ns};
    cr_assert_eq(quring_db_open(engine, url, &options, &db), 0, "%s", quring_errmsg(engine));
}

/* Returns why it was not sent. */
static const char *end_query(void) {
    static char message[1000];
    quring_done done;
    cr_assert_eq(quring_submit(engine, &(quring_query){.db = db, .sql = "select 1"}, NULL), 0);
    while (quring_reap(engine, &done, 1) == 0)
        cr_assert_geq(quring_run(engine, 1, QURING_FOREVER), 0);
    cr_assert_eq(done.status, QURING_NOT_SENT, "%s", quring_status_name(done.status));
    cr_assert_str_eq(done.error->sqlstate, "08001");
    snprintf(message, sizeof message, "%s", done.error->message);
    quring_release(engine, done.id);
    return message;
}

static void query_ends(const char *words) {
    const char *message = end_query();
    cr_assert(strstr(message, words), "%s", message);
}

static void wait_until_alone(void) {
    while (impostor_threads_connecting())
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

/* ---- A connector that is stuck until it is told ---- */

static sem_t told;
static atomic_int runs;
static int pairs[8][2]; /* of sockets: the first is what a run connects, the second its other end */

static void stuck_connector(struct pg_connect *connect) {
    int run = atomic_fetch_add(&runs, 1);
    while (sem_wait(&told) && errno == EINTR)
        ;
    connect->fd = pairs[run][0];
}

static void open_stuck(uint32_t connection_count) {
    sem_init(&told, 0, 0);
    atomic_store(&runs, 0);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pairs[i]), 0);
    pg_use_connector(stuck_connector, NULL);
    open_db("postgresql://x@127.0.0.1:1/x", connection_count);
}

/* What they connected is closed; a server was told before. */
static void check_all_closed(void) {
    for (int i = 0; i < (int)(sizeof pairs / sizeof *pairs); i++) {
        char bytes[16];
        if (i < atomic_load(&runs)) {
            cr_assert_eq(read(pairs[i][1], bytes, sizeof bytes), 5);
            cr_assert_eq(memcmp(bytes, "X\0\0\0\4", 5), 0);
            cr_assert_eq(read(pairs[i][1], bytes, 1), 0, "its socket is open still");
        } else {
            close(pairs[i][0]);
        }
        close(pairs[i][1]);
    }
}

Test(pg_attempt, stuck_attempts_are_left_behind) {
    open_stuck(8);
    int timeouts = 0;
    for (const char *why; !strstr(why = end_query(), "earlier attempts"); timeouts++)
        cr_assert(strstr(why, "timeout expired"), "%s", why);
    cr_assert_geq(timeouts, PG_DETACHED_MAX);
    while (atomic_load(&runs) < PG_DETACHED_MAX) /* a thread may be detached before it comes to anything */
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    cr_assert_eq(atomic_load(&runs), PG_DETACHED_MAX); /* no thread more until one of these ends */
    cr_assert_eq(impostor_threads_connecting(), PG_DETACHED_MAX);
    quring_engine_close(engine);
    cr_assert_eq(impostor_threads_connecting(), PG_DETACHED_MAX);
    for (int i = 0; i < PG_DETACHED_MAX; i++)
        sem_post(&told);
    wait_until_alone();
    check_all_closed();
}

Test(pg_attempt, closing_does_not_wait_for_one_that_is_under_way) {
    for (int way = 0; way < 3; way++) {
        open_stuck(1);
        cr_assert_eq(quring_submit(engine, &(quring_query){.db = db, .sql = "select 1"}, NULL), 0);
        if (way == 0)
            quring_db_close(db);
        else if (way == 1)
            (void)quring_run(engine, 0, 0);
        quring_engine_close(engine);
        cr_assert_eq(impostor_threads_connecting(), 1);
        sem_post(&told);
        wait_until_alone();
        check_all_closed();
    }
}

/* Nobody idles: a handle whose connections are not being made has no thread. */
Test(pg_attempt, threads_are_those_of_attempts_under_way) {
    open_stuck(1);
    cr_assert_eq(impostor_threads_connecting(), 1);
    quring_engine_close(engine);
    sem_post(&told);
    wait_until_alone();
    check_all_closed();
}

/* ---- A server that wants an endless key derivation ---- */

Test(pg_attempt, a_server_that_wants_a_million_iterations) {
    struct impostor *impostor = impostor_open(IMPOSTOR_SCRAM, "127.0.0.1", 0);
    char url[128];
    snprintf(url, sizeof url, "postgresql://x:y@127.0.0.1:%u/x?sslmode=disable", impostor_port(impostor));
    /* With time enough, on any machine, it gets as far as to be asked for them, and not as far as to have them. */
    for (bool inside = false; !inside; connect_timeout_ns *= 2) {
        open_db(url, 1);
        query_ends("timeout expired");
        quring_engine_close(engine);
        inside = impostor_count(impostor) > 0 && impostor_threads_connecting() > 0;
        wait_until_alone();
    }
    impostor_close(impostor);
}
