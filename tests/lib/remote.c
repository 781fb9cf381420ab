/* SPDX-License-Identifier: MIT */
#include "lib/remote.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- The engine's thread ---- */

/* As a foreign loop does; a wake makes the descriptor readable. */
static void host_turn(struct remote_host *host) {
    if (!host->is_foreign) {
        cr_assert_eq(quring_run(host->engine, 1, QURING_FOREVER), 0, "no query is the engine's own");
        return;
    }
    struct pollfd one = {.fd = quring_fd(host->engine), .events = POLLIN};
    uint64_t timeout_ns = quring_timeout_ns(host->engine);
    cr_assert_geq(poll(&one, 1, timeout_ns > 1000000000 ? -1 : (int)((timeout_ns + 999999) / 1000000)), 0);
    cr_assert_eq(quring_run(host->engine, 0, 0), 0);
}

static void *host_main(void *argument) {
    struct remote_host *host = argument;
    int error = quring_engine_open(NULL, &host->engine);
    if (!error)
        error = quring_db_open(host->engine, host->url, &host->options, &host->db);
    cr_assert_eq(error, 0, "%s: %s", quring_strerror(error), quring_errmsg(host->engine));
    sem_post(&host->ready);
    while (!atomic_load(&host->stop))
        host_turn(host);
    sem_wait(&host->ready); /* quring_wake() has returned: no engine is closed before */
    if (host->grace_ns)
        quring_shutdown(host->engine, host->grace_ns);
    quring_engine_close(host->engine);
    return NULL;
}

void remote_host_start(struct remote_host *host) {
    sem_init(&host->ready, 0, 0);
    atomic_store(&host->stop, false);
    cr_assert_eq(pthread_create(&host->thread, NULL, host_main, host), 0);
    sem_wait(&host->ready);
}

void remote_host_stop(struct remote_host *host) {
    atomic_store(&host->stop, true);
    quring_wake(host->engine);
    sem_post(&host->ready);
    pthread_join(host->thread, NULL);
    sem_destroy(&host->ready);
}

/* ---- One query of the calling thread ---- */

quring_done remote_ask(struct remote_host *host, const char *sql, quring_inbox **inbox) {
    quring_done done;
    cr_assert_eq(quring_inbox_open(host->engine, NULL, inbox), 0);
    cr_assert_eq(quring_inbox_submit(*inbox, &(quring_query){.db = host->db, .sql = sql}, NULL), 0);
    cr_assert_eq(quring_inbox_wait(*inbox, 1, QURING_FOREVER), 1);
    cr_assert_eq(quring_inbox_reap(*inbox, &done, 1), 1);
    cr_assert_eq(done.status, QURING_OK, "%s: %s", sql, done.error ? done.error->message : "");
    return done;
}

void remote_tell(struct remote_host *host, const char *sql) {
    quring_inbox *inbox;
    (void)remote_ask(host, sql, &inbox);
    quring_inbox_close(inbox);
}

int64_t remote_int(struct remote_host *host, const char *sql) {
    quring_inbox *inbox;
    int64_t number;
    quring_done done = remote_ask(host, sql, &inbox);
    cr_assert_eq(quring_get_int64(done.result, 0, 0, &number), 0, "%s", sql);
    quring_inbox_close(inbox);
    return number;
}

/* ---- Threads with queries ---- */

struct walk {
    struct remote_client *client;
    quring_inbox *inbox;
    uint8_t *ends; /* by number, for the first ENDS of them */
};

enum { REAP = 16, ENDS = 1 << 20 };

static void walk_note(struct walk *walk, const quring_done *done) {
    struct remote_client *client = walk->client;
    int64_t value = -1;
    if (done->status == QURING_OK &&
        (quring_get_int64(done->result, 0, 0, &value) || value != (int64_t)done->user_data))
        client->wrong_count++;
    if (done->status != QURING_OK && !*done->error->message)
        client->wrong_count++;
    if (done->user_data < ENDS && walk->ends[done->user_data]++)
        client->wrong_count++;
    client->by_status[done->status]++;
    client->ended_count++;
    if (quring_inbox_release(walk->inbox, done->id))
        client->wrong_count++;
}

static int walk_reap(struct walk *walk) {
    quring_done done[REAP];
    int count = quring_inbox_reap(walk->inbox, done, REAP);
    for (int i = 0; i < count; i++)
        walk_note(walk, &done[i]);
    return count;
}

static int walk_submit(struct walk *walk) {
    struct remote_client *client = walk->client;
    quring_id id;
    const quring_param number = quring_int64((int64_t)client->submitted_count);
    const quring_query query = {.db = client->host->db,
                                .sql = "select cast($1 as bigint)",
                                .params = &number,
                                .param_count = 1,
                                .user_data = client->submitted_count};
    int error = quring_inbox_submit(walk->inbox, &query, &id);
    if (error)
        return error;
    client->submitted_count++;
    if (client->cancel_each && client->submitted_count % client->cancel_each == 0)
        error = quring_inbox_cancel(walk->inbox, id);
    return error;
}

/* Returns once there are completions, or the engine is gone. */
static int walk_wait(struct walk *walk) {
    if (!walk->client->polls)
        return quring_inbox_wait(walk->inbox, (walk->client->window + 1) / 2, QURING_FOREVER);
    struct pollfd one = {.fd = quring_inbox_fd(walk->inbox), .events = POLLIN};
    return quring_inbox_pending(walk->inbox) && poll(&one, 1, -1) != 1 ? QURING_ESYSTEM : 0;
}

static void walk_all(struct walk *walk) {
    struct remote_client *client = walk->client;
    int error = 0;
    while (!error && client->submitted_count < client->query_count) {
        while (!error && client->submitted_count < client->query_count &&
               quring_inbox_pending(walk->inbox) < client->window)
            error = walk_submit(walk);
        if (!error && !(client->leaves && client->submitted_count > client->query_count / 2))
            error = walk_wait(walk);
        error = error > 0 ? 0 : error;
        while (!error && walk_reap(walk) > 0)
            ;
        if (client->leaves && client->submitted_count > client->query_count / 2)
            return;
    }
    client->error = error == QURING_ESHUTDOWN && client->query_count == UINT32_MAX ? 0 : error;
    while (quring_inbox_pending(walk->inbox) && (walk_wait(walk) >= 0))
        walk_reap(walk);
}

static void *client_main(void *argument) {
    struct remote_client *client = argument;
    struct walk walk = {.client = client, .ends = calloc(ENDS, 1)};
    const quring_inbox_options options = {.query_count = client->window};
    client->error = quring_inbox_open(client->host->engine, &options, &walk.inbox);
    if (client->opened)
        sem_post(client->opened);
    if (!client->error) {
        walk_all(&walk);
        quring_inbox_close(walk.inbox);
    }
    atomic_fetch_add(&client->host->ended_count, 1);
    free(walk.ends);
    return NULL;
}

void remote_client_start(struct remote_client *client) {
    cr_assert_eq(pthread_create(&client->thread, NULL, client_main, client), 0);
}

void remote_client_join(struct remote_client *client) {
    pthread_join(client->thread, NULL);
    cr_assert_eq(client->error, 0, "%s", quring_strerror(client->error));
    cr_assert_eq(client->wrong_count, 0);
    if (!client->leaves)
        cr_assert_eq(client->ended_count, client->submitted_count, "%u of %u", client->ended_count,
                     client->submitted_count);
    if (client->query_count != UINT32_MAX && !client->leaves)
        cr_assert_eq(client->submitted_count, client->query_count);
}

void remote_clients_start(struct remote_host *host, struct remote_client clients[REMOTE_CLIENTS],
                          const struct remote_client *like) {
    for (uint32_t i = 0; i < REMOTE_CLIENTS; i++) {
        clients[i] = *like;
        clients[i].host = host;
        clients[i].window = 1 + 13 * i;
        clients[i].polls = i % 2;
        remote_client_start(&clients[i]);
    }
}

void remote_clients_join(struct remote_client clients[REMOTE_CLIENTS], uint32_t *by_status) {
    for (uint32_t i = 0; i < REMOTE_CLIENTS; i++) {
        remote_client_join(&clients[i]);
        for (int status = 0; by_status && status <= QURING_SHUTDOWN; status++)
            by_status[status] += clients[i].by_status[status];
    }
}

void remote_clients_outlive(struct remote_host *host, unsigned rounds, unsigned pause_us) {
    for (unsigned round = 0; round < rounds; round++) {
        struct remote_client clients[REMOTE_CLIENTS];
        sem_t opened;
        host->grace_ns = round % 2 ? UINT64_C(1000000000) : 0;
        remote_host_start(host);
        sem_init(&opened, 0, 0);
        remote_clients_start(host, clients, &(struct remote_client){.query_count = UINT32_MAX, .opened = &opened});
        for (int i = 0; i < REMOTE_CLIENTS; i++)
            sem_wait(&opened);
        usleep(round * pause_us);
        remote_host_stop(host);
        remote_clients_join(clients, NULL);
        sem_destroy(&opened);
    }
}
