/* SPDX-License-Identifier: MIT */
/*
 * quring inside somebody else's event loop: an epoll set with a timer of the application's own and quring_fd(). Every
 * tick submits a few queries; the loop ends when all of them are back.
 *
 * The rule is short: call quring_run(engine, 0, 0), which never blocks, after submitting, when quring_fd() is readable,
 * and when quring_timeout_ns() has passed.
 */
#include <quring/quring.h>

#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { TICKS = 20, QUERIES_PER_TICK = 50 };

static quring_engine *engine;
static quring_db *db;
static int tick_count, good_count, bad_count;

static int fail(const char *what) {
    fprintf(stderr, "%s %s\n", what, quring_errmsg(engine));
    return 1;
}

static int watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void on_tick(int timer) {
    uint64_t passed;
    if (read(timer, &passed, sizeof passed) != sizeof passed || tick_count == TICKS)
        return;
    for (int i = 0; i < QUERIES_PER_TICK; i++) {
        quring_query q = {
            .db = db, .sql = "select 2 * $1", .params = QURING_PARAMS(quring_int32(i)), .user_data = (uint64_t)i};
        bad_count += quring_submit(engine, &q, NULL) < 0;
    }
    tick_count++;
}

static void on_done(const quring_done *done) {
    int64_t twice;
    bool good = done->status == QURING_OK && quring_get_int64(done->result, 0, 0, &twice) == 0 &&
                twice == 2 * (int64_t)done->user_data;
    if (good)
        good_count++;
    else
        bad_count++;
    if (done->error)
        fprintf(stderr, "%s: %s\n", quring_status_name(done->status), done->error->message);
    quring_release(engine, done->id);
}

/* What epoll_wait() takes: milliseconds, rounded up, so that it does not spin until a timer is due. */
static int wait_ms(void) {
    uint64_t ns = quring_timeout_ns(engine);
    if (ns == QURING_FOREVER)
        return -1;
    return ns > 60000000000u ? 60000 : (int)((ns + 999999) / 1000000);
}

static int loop(int epoll, int timer) {
    while (tick_count < TICKS || quring_pending(engine)) {
        struct epoll_event events[8];
        int n = epoll_wait(epoll, events, 8, wait_ms());
        for (int i = 0; i < n; i++)
            if (events[i].data.fd == timer)
                on_tick(timer);
        if (quring_run(engine, 0, 0) < 0)
            return fail("run");
        quring_done done[64];
        while ((n = quring_reap(engine, done, 64)) > 0)
            for (int i = 0; i < n; i++)
                on_done(&done[i]);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (quring_engine_open(NULL, &engine))
        return fail("engine");
    if (quring_db_open(engine, argc > 1 ? argv[1] : "sqlite://", NULL, &db))
        return fail("database");
    int epoll = epoll_create1(EPOLL_CLOEXEC), timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct itimerspec every = {.it_value.tv_nsec = 5000000, .it_interval.tv_nsec = 5000000};
    if (watch(epoll, timer) || watch(epoll, quring_fd(engine)) || timerfd_settime(timer, 0, &every, NULL))
        return fail("epoll");
    int error = loop(epoll, timer);
    printf("%d queries in %d ticks, %d wrong\n", good_count, tick_count, bad_count);
    quring_engine_close(engine);
    close(timer);
    close(epoll);
    return error || bad_count;
}
