/* SPDX-License-Identifier: MIT */
/*
 * A server: many threads have queries, one thread has the engine. The others put their work into a queue and wake the
 * engine's thread, which sleeps in quring_run() whenever there is nothing to do.
 */
#include <quring/quring.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { FEEDERS = 4, BURSTS = 5, BURST = 200, JOBS = FEEDERS * BURSTS * BURST };

static quring_engine *engine;
static quring_db *db;

/* ---- The queue: what other threads hand over ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t queue[JOBS];
static unsigned queued, wakes;

static void *feed(void *argument) {
    for (int burst = 0; burst < BURSTS; burst++) {
        pthread_mutex_lock(&lock);
        for (int i = 0; i < BURST; i++)
            queue[queued++] = i;
        wakes++;
        pthread_mutex_unlock(&lock);
        quring_wake(engine); /* the one call that is allowed here */
        usleep(2000);        /* meanwhile the engine's thread sleeps */
    }
    return argument;
}

/* ---- The engine's thread ---- */

static unsigned taken, answered, wrong;

/* Takes what is queued, as far as the engine has room: the rest follows when completions were released. */
static int take(void) {
    int error = 0;
    pthread_mutex_lock(&lock);
    for (; taken < queued && !error; taken += !error) {
        quring_query q = {.db = db,
                          .sql = "select 2 * $1",
                          .params = QURING_PARAMS(quring_int64(queue[taken])),
                          .user_data = (uint64_t)queue[taken]};
        error = quring_submit(engine, &q, NULL);
    }
    pthread_mutex_unlock(&lock);
    return error == QURING_EFULL ? 0 : error;
}

static void answer(const quring_done *done) {
    int64_t twice = -1;
    if (done->status == QURING_OK)
        quring_get_int64(done->result, 0, 0, &twice);
    else
        fprintf(stderr, "%s: %s\n", quring_status_name(done->status), done->error->message);
    wrong += twice != 2 * (int64_t)done->user_data;
    answered++;
    quring_release(engine, done->id);
}

static int serve(unsigned *returns) {
    quring_done done[64];
    int error = 0;
    while (answered < JOBS && !error) {
        error = take();
        int ready = error ? error : quring_run(engine, 1, QURING_FOREVER); /* until an answer, or a wake */
        if (ready < 0)
            error = ready;
        ++*returns;
        for (int count; (count = quring_reap(engine, done, 64)) > 0;)
            for (int i = 0; i < count; i++)
                answer(&done[i]);
    }
    if (error)
        fprintf(stderr, "%s: %s\n", quring_strerror(error), quring_errmsg(engine));
    return error;
}

/* Connections are made before the first query comes, and the operator hears of those that are not. */
static void warm_up(void) {
    quring_db_info info;
    int missing = quring_db_warm_up(db, 5000000000);
    if (missing > 0 && quring_db_status(db, &info) == 0)
        fprintf(stderr, "%s, %d connections are missing: %s\n", quring_db_state_name(info.state), missing,
                info.message);
}

int main(int argc, char **argv) {
    pthread_t feeders[FEEDERS];
    unsigned returns = 0;
    int error = quring_engine_open(NULL, &engine);
    if (!error)
        error = quring_db_open(engine, argc > 1 ? argv[1] : "sqlite://", NULL, &db);
    if (error) {
        fprintf(stderr, "%s: %s\n", quring_strerror(error), quring_errmsg(engine));
        return 1;
    }
    warm_up();
    for (int i = 0; i < FEEDERS; i++)
        pthread_create(&feeders[i], NULL, feed, NULL);
    error = serve(&returns);
    for (int i = 0; i < FEEDERS; i++)
        pthread_join(feeders[i], NULL);
    quring_engine_close(engine);
    /* Each return had a reason: a wake, or an answer at least. */
    printf("%u answers, %u wrong, %s\n", answered, wrong, returns <= wakes + answered ? "asleep between" : "it spins");
    return error || wrong || returns > wakes + answered;
}
