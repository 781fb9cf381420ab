/* SPDX-License-Identifier: MIT */
/*
 * libpq gets stuck while it connects: queries end in time all the same, closing does not wait, and the thread that is
 * inside ends by itself, with what it made. Needs no server: one here speaks as much of the protocol as it takes.
 */
#include "base/bytes.h"
#include "pg/attempt.h"
#include "quring/quring.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
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

static void query_ends(const char *words) {
    quring_done done;
    cr_assert_eq(quring_submit(engine, &(quring_query){.db = db, .sql = "select 1"}, NULL), 0);
    while (quring_reap(engine, &done, 1) == 0)
        cr_assert_geq(quring_run(engine, 1, QURING_FOREVER), 0);
    cr_assert_eq(done.status, QURING_NOT_SENT, "%s", quring_status_name(done.status));
    cr_assert_str_eq(done.error->sqlstate, "08001");
    cr_assert(strstr(done.error->message, words), "%s", done.error->message);
    quring_release(engine, done.id);
}

static int threads_connecting(void) {
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;
    for (struct dirent *task; (task = readdir(tasks));) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        FILE *file = fopen(path, "r");
        if (!file)
            continue;
        if (fgets(name, sizeof name, file))
            count += strcmp(name, "quring-connect\n") == 0;
        fclose(file);
    }
    closedir(tasks);
    return count;
}

static void wait_until_alone(void) {
    while (threads_connecting())
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
    query_ends("timeout expired");
    for (int i = 0; i < 20 && atomic_load(&runs) < PG_DETACHED_MAX; i++)
        query_ends("timeout expired");
    query_ends("earlier attempts");
    cr_assert_eq(atomic_load(&runs), PG_DETACHED_MAX); /* no thread more until one of these ends */
    cr_assert_eq(threads_connecting(), PG_DETACHED_MAX);
    quring_engine_close(engine);
    cr_assert_eq(threads_connecting(), PG_DETACHED_MAX);
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
        cr_assert_eq(threads_connecting(), 1);
        sem_post(&told);
        wait_until_alone();
        check_all_closed();
    }
}

/* Nobody idles: a handle whose connections are not being made has no thread. */
Test(pg_attempt, threads_are_those_of_attempts_under_way) {
    open_stuck(1);
    cr_assert_eq(threads_connecting(), 1);
    quring_engine_close(engine);
    sem_post(&told);
    wait_until_alone();
    check_all_closed();
}

/* ---- A server that wants an endless key derivation ---- */

enum { ITERATIONS = 1000000 };

static int listener;

static size_t read_message(int fd, char *body, size_t room, bool has_type) {
    uint8_t head[5];
    size_t skip = has_type ? 1 : 0, size;
    if (recv(fd, head, 4 + skip, MSG_WAITALL) != (ssize_t)(4 + skip))
        return 0;
    size = bytes_load_u32(head + skip) - 4;
    return size < room && recv(fd, body, size, MSG_WAITALL) == (ssize_t)size ? size : 0;
}

static void send_authentication(int fd, uint32_t kind, const char *data, size_t size) {
    uint8_t head[9] = {'R'};
    bytes_store_u32(head + 1, (uint32_t)(8 + size));
    bytes_store_u32(head + 5, kind);
    (void)send(fd, head, sizeof head, MSG_NOSIGNAL);
    (void)send(fd, data, size, MSG_NOSIGNAL);
}

static atomic_bool asked;

static void serve(int fd) {
    static const char methods[] = "SCRAM-SHA-256\0";
    char body[2048] = "", answer[2048];
    if (!read_message(fd, body, sizeof body, false))
        return;
    send_authentication(fd, 10, methods, sizeof methods);
    memset(body, 0, sizeof body);
    size_t size = read_message(fd, body, sizeof body - 1, true);
    const char *nonce = size ? memmem(body, size, "r=", 2) : NULL;
    if (!nonce)
        return;
    int length = snprintf(answer, sizeof answer, "%sserver,s=c2FsdHNhbHRzYWx0,i=%d", nonce, ITERATIONS);
    send_authentication(fd, 11, answer, (size_t)length);
    atomic_store(&asked, true);
    (void)read_message(fd, body, sizeof body, true); /* its end */
}

static void *server_main(void *argument) {
    (void)argument;
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd))
        serve(fd);
    return NULL;
}

Test(pg_attempt, a_server_that_wants_a_million_iterations) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    pthread_t server;
    char url[128];
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(listener, 8), 0);
    getsockname(listener, (struct sockaddr *)&address, &size);
    cr_assert_eq(pthread_create(&server, NULL, server_main, NULL), 0);
    snprintf(url, sizeof url, "postgresql://x:y@127.0.0.1:%u/x?sslmode=disable", ntohs(address.sin_port));
    for (bool inside = false; !inside; connect_timeout_ns *= 2) { /* by then it was asked for them, on any machine */
        open_db(url, 1);
        query_ends("timeout expired");
        inside = atomic_load(&asked);
        quring_engine_close(engine);
        cr_assert(!inside || threads_connecting() > 0);
        wait_until_alone();
    }
    shutdown(listener, SHUT_RDWR);
    pthread_join(server, NULL);
    close(listener);
}
