/* SPDX-License-Identifier: MIT */
/*
 * A thread pool and two engines, as on a machine where one engine is not enough: each engine has a thread of its own, which
 * does nothing but run it, and each worker of the pool has an inbox on both. A worker sleeps on both descriptors, and reads
 * the rows of its queries where it is.
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
    if (error)
        fail("inbox", error, worker->inboxes[0] ? quring_inbox_errmsg(worker->inboxes[0]) : quring_errmsg(NULL));
    for (int i = 0; i < ENGINES; i++)
        quring_inbox_close(worker->inboxes[i]);
    return NULL;
}

int main(int argc, char **argv) {
    unsigned answered = 0, wrong = 0;
    int error = 0;
    for (int i = 0; i < ENGINES; i++)
        error |= start(&servers[i], argc > 1 ? argv[1] : "sqlite://");
    for (int i = 0; i < WORKERS && !error; i++)
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    for (int i = 0; i < WORKERS && !error; i++) {
        pthread_join(workers[i].thread, NULL);
        answered += workers[i].answered;
        wrong += workers[i].wrong;
    }
    atomic_store(&over, true);
    for (int i = 0; i < ENGINES; i++)
        stop(&servers[i]);
    printf("%u answers over %d engines, %u wrong\n", answered, ENGINES, wrong);
    return error || wrong || answered != WORKERS * JOBS;
}
