/* SPDX-License-Identifier: MIT */
/* Cancels as libpq would ask for them, on a thread: asked, it hits some time later, and some time after that it ends. */
#include "lib/sim_server_internal.h"

#include "pg/connect.h"

#include <stdlib.h>

struct sim_cancel_key {
    struct pg_cancel_key base;
    struct sim_server *server;
    uint32_t pid, key;
    struct task *task;
    struct sim_timer hit, end;
};

static void cancel_end(struct sim_timer *timer) {
    task_resume(base_container_of(timer, struct sim_cancel_key, end)->task);
}

static uint64_t some_time(struct sim_server *server) {
    return server->cancel_ns ? rng_below(sim_rng(server->sim), server->cancel_ns) : 0;
}

static void cancel_hit(struct sim_timer *timer) {
    struct sim_cancel_key *key = base_container_of(timer, struct sim_cancel_key, hit);
    struct sim_server *server = key->server;
    if (!server->cancel_misses)
        sim_server_cancel(server, key->pid, key->key);
    if (!server->cancel_hangs)
        sim_timer_set(server->sim, &key->end, some_time(server));
}

static enum pg_cancel_fate cancel_ask(struct pg_cancel_key *base, struct task *task) {
    struct sim_cancel_key *key = base_container_of(base, struct sim_cancel_key, base);
    struct sim_server *server = key->server;
    sim_library_hook(false);
    server->asked_cancels++;
    if (!server->cancel_refused) {
        key->task = task;
        task->hangs = true;
        sim_timer_set(server->sim, &key->hit, some_time(server));
    }
    sim_library_hook(true);
    return server->cancel_refused ? PG_CANCEL_UNHEARD : PG_CANCEL_TAKEN;
}

static void cancel_drop(struct pg_cancel_key *base) {
    struct sim_cancel_key *key = base_container_of(base, struct sim_cancel_key, base);
    sim_library_hook(false);
    sim_timer_clear(key->server->sim, &key->hit);
    sim_timer_clear(key->server->sim, &key->end);
    free(key);
    sim_library_hook(true);
}

struct pg_cancel_key *sim_cancel_key(struct sim_server *server, uint32_t pid, uint32_t key) {
    struct sim_cancel_key *made = calloc(1, sizeof *made);
    *made = (struct sim_cancel_key){.base = {cancel_ask, cancel_drop},
                                    .server = server,
                                    .pid = pid,
                                    .key = key,
                                    .hit.fire = cancel_hit,
                                    .end.fire = cancel_end};
    return &made->base;
}
