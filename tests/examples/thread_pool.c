/* SPDX-License-Identifier: MIT */
/*
 * A thread pool and two engines, as on a machine where one engine is not enough: each engine has a thread of its own, which
 * does nothing but run it, and each worker of the pool has an inbox on both. A worker sleeps on both descriptors, and reads
 * the rows of its queries where it is. In the end each transfers money, in a transaction that it has submitted at once.
 */
#include <quring/quring.h>

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>

enum { ENGINES = 2, WORKERS = 4, JOBS = 5000, OUT_MAX = 100 };

static int fail(const char *what, int error, const char *why) {
    fprintf(stderr, "%s: %s: %s\n", what, quring_strerror(error), why);
    return 1;
}

/* ---- Engines ---- */

static struct server {
    pthread_t thread;
    quring_engine *engine;
    quring_db *db;
    const char *url;
    int error;
    sem_t ready, closing;
} servers[ENGINES];

static atomic_bool over;

static void *serve(void *argument) {
    struct server *server = argument;
    server->error = quring_engine_open(NULL, &server->engine);
    if (!server->error)
        server->error = quring_db_open(server->engine, server->url, NULL, &server->db);
    if (server->error)
        fail("open", server->error, quring_errmsg(server->engine));
    sem_post(&server->ready);
    while (server->error >= 0 && !atomic_load(&over)) /* until it is woken for the end: no query is its own */
        server->error = quring_run(server->engine, 1, QURING_FOREVER);
    sem_wait(&server->closing);
    quring_engine_close(server->engine);
    return NULL;
}

static int start(struct server *server, const char *url) {
    server->url = url;
    sem_init(&server->ready, 0, 0);
    sem_init(&server->closing, 0, 0);
    pthread_create(&server->thread, NULL, serve, server);
    sem_wait(&server->ready);
    return server->error;
}

/* The engine is closed once quring_wake() has returned, and not before. */
static void stop(struct server *server) {
    if (server->engine)
        quring_wake(server->engine);
    sem_post(&server->closing);
    pthread_join(server->thread, NULL);
}

/* ---- The pool ---- */

static struct worker {
    pthread_t thread;
    quring_inbox *inboxes[ENGINES];
    unsigned asked, answered, wrong;
} workers[WORKERS];

/* Engines take turns. A queue that is full is no failure: what is done makes room. */
static int ask(struct worker *worker) {
    int error = 0;
    while (!error && worker->asked < JOBS && worker->asked - worker->answered < OUT_MAX) {
        unsigned which = worker->asked % ENGINES;
        quring_query q = {.db = servers[which].db,
                          .sql = "select 2 * $1",
                          .params = QURING_PARAMS(quring_int64(worker->asked)),
                          .user_data = worker->asked};
        error = quring_inbox_submit(worker->inboxes[which], &q, NULL);
        worker->asked += !error;
    }
    return error == QURING_EFULL ? 0 : error;
}

static void answer(struct worker *worker, quring_inbox *inbox) {
    quring_done done[32];
    for (int count; (count = quring_inbox_reap(inbox, done, 32)) > 0;)
        for (int i = 0; i < count; i++) {
            int64_t twice = -1;
            if (done[i].status != QURING_OK)
                fprintf(stderr, "%s: %s\n", quring_status_name(done[i].status), done[i].error->message);
            else
                quring_get_int64(done[i].result, 0, 0, &twice);
            worker->wrong += twice != 2 * (int64_t)done[i].user_data;
            worker->answered++;
            quring_inbox_release(inbox, done[i].id); /* its rows are gone after this */
        }
}

/* Waits for one completion. Its rows are there until quring_inbox_close(). */
static quring_done next(quring_inbox *inbox) {
    quring_done done = {.status = QURING_SHUTDOWN};
    if (quring_inbox_wait(inbox, 1, QURING_FOREVER) < 0 || quring_inbox_reap(inbox, &done, 1) != 1)
        fail("wait", QURING_ESHUTDOWN, quring_inbox_errmsg(inbox));
    else if (done.status != QURING_OK)
        fprintf(stderr, "%s: %s\n", quring_status_name(done.status), done.error->message);
    return done;
}

/* The outcome is that of the COMMIT: the others have user_data 0. */
static int transfer(quring_inbox *inbox, int64_t from, int64_t to) {
    quring_tx *tx;
    quring_status outcome = QURING_SHUTDOWN;
    int error = quring_inbox_tx_open(inbox, servers[0].db, NULL, &tx);
    if (error)
        return error;
    quring_query take = {.tx = tx,
                         .sql = "update pool_account set balance = balance - 1 where id = $1",
                         .params = QURING_PARAMS(quring_int64(from))};
    quring_query give = {.tx = tx,
                         .sql = "update pool_account set balance = balance + 1 where id = $1",
                         .params = QURING_PARAMS(quring_int64(to))};
    error = quring_inbox_submit(inbox, &take, NULL);
    if (!error)
        error = quring_inbox_submit(inbox, &give, NULL);
    if (!error)
        error = quring_commit(tx, 1, NULL);
    quring_tx_release(tx); /* rolls back what has no COMMIT */
    while (quring_inbox_pending(inbox)) {
        quring_done done = next(inbox);
        if (done.user_data == 1)
            outcome = done.status;
        if (quring_inbox_release(inbox, done.id))
            break;
    }
    if (!error && outcome != QURING_OK)
        fprintf(stderr, "a transfer: %s\n", quring_status_name(outcome));
    return error;
}

static void *work(void *argument) {
    struct worker *worker = argument;
    struct pollfd fds[ENGINES];
    int error = 0;
    for (int i = 0; i < ENGINES && !error; i++)
        error = quring_inbox_open(servers[i].engine, NULL, &worker->inboxes[i]);
    for (int i = 0; i < ENGINES && !error; i++)
        fds[i] = (struct pollfd){.fd = quring_inbox_fd(worker->inboxes[i]), .events = POLLIN};
    while (!error && worker->answered < JOBS) {
        error = ask(worker);
        if (!error && poll(fds, ENGINES, -1) > 0)
            for (int i = 0; i < ENGINES; i++)
                answer(worker, worker->inboxes[i]);
    }
    if (!error)
        error = transfer(worker->inboxes[0], worker - workers, WORKERS);
    worker->wrong += error != 0;
    if (error)
        fail("inbox", error, worker->inboxes[0] ? quring_inbox_errmsg(worker->inboxes[0]) : quring_errmsg(NULL));
    for (int i = 0; i < ENGINES; i++)
        quring_inbox_close(worker->inboxes[i]);
    return NULL;
}

/* This thread has an inbox, too. Returns the number that the last query asks for. */
static int64_t tell(const char *const texts[], int count) {
    quring_inbox *inbox;
    int64_t number = -1;
    if (quring_inbox_open(servers[0].engine, NULL, &inbox))
        return fail("inbox", QURING_ESYSTEM, quring_errmsg(NULL));
    for (int i = 0; i < count; i++) {
        quring_inbox_submit(inbox, &(quring_query){.db = servers[0].db, .sql = texts[i]}, NULL);
        quring_done done = next(inbox);
        if (done.status == QURING_OK && quring_row_count(done.result))
            quring_get_int64(done.result, 0, 0, &number);
    }
    quring_inbox_close(inbox);
    return number;
}

int main(int argc, char **argv) {
    static const char *const before[] = {"drop table if exists pool_account",
                                         "create table pool_account (id bigint primary key, balance bigint)",
                                         "insert into pool_account values (0, 1), (1, 1), (2, 1), (3, 1), (4, 0)"};
    static const char *const after[] = {"select balance from pool_account where id = 4", "drop table pool_account"};
    unsigned answered = 0, wrong = 0;
    int64_t moved = -1;
    int error = 0;
    for (int i = 0; i < ENGINES; i++)
        error |= start(&servers[i], argc > 1 ? argv[1] : "sqlite://");
    if (!error)
        tell(before, 3);
    for (int i = 0; i < WORKERS && !error; i++)
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    for (int i = 0; i < WORKERS && !error; i++) {
        pthread_join(workers[i].thread, NULL);
        answered += workers[i].answered;
        wrong += workers[i].wrong;
    }
    if (!error)
        moved = tell(after, 2);
    atomic_store(&over, true);
    for (int i = 0; i < ENGINES; i++)
        stop(&servers[i]);
    printf("%u answers over %d engines, %u wrong; %d transferred\n", answered, ENGINES, wrong, (int)moved);
    return error || wrong || answered != WORKERS * JOBS || moved != WORKERS;
}
