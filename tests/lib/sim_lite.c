/* SPDX-License-Identifier: MIT */
#include "lib/sim_lite.h"

#include "base/list.h"
#include "lib/seeds.h"
#include "lite/text.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 256, STEP_NS = 1000 };

struct ring;

int __real_sqlite3_open_v2(const char *, sqlite3 **, int, const char *);
int __real_sqlite3_close(sqlite3 *);
int __real_sqlite3_prepare_v3(sqlite3 *, const char *, int, unsigned, sqlite3_stmt **, const char **);
int __real_sqlite3_step(sqlite3_stmt *);
int __real_sqlite3_reset(sqlite3_stmt *);
int __real_sqlite3_wal_checkpoint_v2(sqlite3 *, const char *, int, int *, int *);
void __real_sqlite3_progress_handler(sqlite3 *, int, int (*)(void *), void *);
void *__real_sqlite3_wal_hook(sqlite3 *, int (*)(void *, sqlite3 *, const char *, int), void *);
void __real_sqlite3_interrupt(sqlite3 *);
uint8_t __real_lite_text_route(const char *, size_t);
bool __real_offload_waiting(const struct ring *);
ssize_t __real_write(int, const void *, size_t);

struct connection {
    sqlite3 *handle;
    int (*progress)(void *);
    void *progress_argument;
    int (*wal)(void *, sqlite3 *, const char *, int);
    void *wal_argument;
    uint64_t begun_count;
    int64_t memo[2];
    sqlite3_stmt *refused; /* was not run, and is to be reset */
};

static struct sim_lite_options options;
static struct connection connections[CONNECTIONS_MAX];

void sim_lite_begin(const struct sim_lite_options *chosen) {
    options = *chosen;
    memset(connections, 0, sizeof connections);
}

/* ---- Connections ---- */

/* A place of its own for each handle that is open. */
static struct connection *connection_of(sqlite3 *handle) {
    struct connection *none = NULL;
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        if (connections[i].handle == handle)
            return &connections[i];
        if (!none && !connections[i].handle)
            none = &connections[i];
    }
    LAW(none, "more than %d connections", CONNECTIONS_MAX);
    *none = (struct connection){.handle = handle};
    return none;
}

int __wrap_sqlite3_open_v2(const char *path, sqlite3 **handle, int flags, const char *vfs) {
    if (threads_simulated())
        threads_work("open", 10000 + threads_draw(200000));
    return __real_sqlite3_open_v2(path, handle, flags, vfs);
}

int __wrap_sqlite3_close(sqlite3 *handle) {
    if (handle && threads_simulated()) {
        threads_work("close", 1000 + threads_draw(100000));
        memset(connection_of(handle), 0, sizeof(struct connection));
    }
    return __real_sqlite3_close(handle);
}

void __wrap_sqlite3_interrupt(sqlite3 *handle) {
    if (threads_simulated())
        threads_point("interrupt", 0);
    __real_sqlite3_interrupt(handle);
    if (threads_simulated())
        threads_point("interrupted", 0);
}

/* ---- What takes time ---- */

static int look(void *argument) {
    struct connection *connection = argument;
    threads_work("steps", (uint64_t)options.look_steps * STEP_NS);
    int code = connection->progress(connection->progress_argument);
    if (options.looked)
        options.looked();
    return code;
}

void __wrap_sqlite3_progress_handler(sqlite3 *handle, int steps, int (*progress)(void *), void *argument) {
    if (!threads_simulated() || !progress) {
        __real_sqlite3_progress_handler(handle, steps, progress, argument);
        return;
    }
    struct connection *connection = connection_of(handle);
    connection->progress = progress;
    connection->progress_argument = argument;
    __real_sqlite3_progress_handler(handle, options.look_steps, look, connection);
}

static int count_frames(void *argument, sqlite3 *handle, const char *database, int frames) {
    struct connection *connection = argument;
    return connection->wal(connection->wal_argument, handle, database, frames * options.frame_factor);
}

void *__wrap_sqlite3_wal_hook(sqlite3 *handle, int (*hook)(void *, sqlite3 *, const char *, int), void *argument) {
    if (!threads_simulated() || !hook)
        return __real_sqlite3_wal_hook(handle, hook, argument);
    struct connection *connection = connection_of(handle);
    connection->wal = hook;
    connection->wal_argument = argument;
    return __real_sqlite3_wal_hook(handle, count_frames, connection);
}

int __wrap_sqlite3_wal_checkpoint_v2(sqlite3 *handle, const char *database, int mode, int *frames, int *copied) {
    if (!threads_simulated())
        return __real_sqlite3_wal_checkpoint_v2(handle, database, mode, frames, copied);
    int all = -1, some = -1;
    threads_work("checkpoint", 1000 + threads_draw(500000));
    int code = __real_sqlite3_wal_checkpoint_v2(handle, database, mode, &all, &some);
    if (frames)
        *frames = all > 0 ? all * options.frame_factor : all;
    if (copied)
        *copied = some > 0 ? some * options.frame_factor : some;
    threads_point("checkpointed", code);
    return code;
}

int __wrap_sqlite3_prepare_v3(sqlite3 *handle, const char *sql, int bytes, unsigned flags, sqlite3_stmt **statement,
                              const char **tail) {
    if (threads_simulated())
        threads_work("prepare", 2000 + threads_draw(20000));
    return __real_sqlite3_prepare_v3(handle, sql, bytes, flags, statement, tail);
}

static bool is_refused(sqlite3_stmt *statement) {
    return options.commit_refusals && strcmp(sqlite3_sql(statement), "commit") == 0 &&
           sqlite3_txn_state(sqlite3_db_handle(statement), "main") == SQLITE_TXN_WRITE &&
           threads_draw(1000) < options.commit_refusals;
}

static bool is_never(const void *state) {
    (void)state;
    return false;
}

int __wrap_sqlite3_step(sqlite3_stmt *statement) {
    if (!threads_simulated())
        return __real_sqlite3_step(statement);
    threads_work("step", 200 + threads_draw(3000));
    if (options.deaf_steps && threads_draw(1000) < options.deaf_steps)
        threads_wait("deaf", is_never, NULL, threads_now_ns() + threads_draw(60000000));
    sqlite3 *handle = sqlite3_db_handle(statement);
    struct connection *connection = connection_of(handle);
    if (is_refused(statement)) {
        connection->refused = statement;
        return SQLITE_BUSY;
    }
    bool before = sqlite3_get_autocommit(handle);
    int code = __real_sqlite3_step(statement);
    connection->begun_count += before && !sqlite3_get_autocommit(handle);
    if (options.stepped)
        options.stepped(&(struct sim_lite_step){statement, code, connection->begun_count, connection->memo});
    threads_point("stepped", code);
    return code;
}

int __wrap_sqlite3_reset(sqlite3_stmt *statement) {
    int code = __real_sqlite3_reset(statement);
    if (!statement || !threads_simulated())
        return code;
    struct connection *connection = connection_of(sqlite3_db_handle(statement));
    if (connection->refused == statement) {
        connection->refused = NULL;
        code = SQLITE_BUSY;
    }
    threads_point("reset", code);
    return code;
}

uint8_t __wrap_lite_text_route(const char *sql, size_t length) {
    uint8_t route = __real_lite_text_route(sql, length);
    return threads_simulated() && length > 4 && memcmp(sql, "with", 4) == 0 ? LITE_TO_READER : route;
}

/* ---- The ring ---- */

/* What is between the looks of a reactor that goes to sleep is of atomics only: points are put beside them. */
bool __wrap_offload_waiting(const struct ring *ring) {
    if (threads_simulated())
        threads_point("look for jobs", 0);
    bool waiting = __real_offload_waiting(ring);
    if (threads_simulated())
        threads_point("looked for jobs", waiting);
    return waiting;
}

struct bell {
    struct port port;
    uint64_t token;
    int fd;     /* -1: never listened to */
    bool armed; /* a read is in flight */
    bool rung;  /* the descriptor was written to, and not read since */
    bool waits; /* the reactor sleeps */
};

static struct bell *the_bell; /* of the engine that runs */

static struct bell *bell_of(struct port *port) {
    return base_container_of(port, struct bell, port);
}

/* Waking is a write to a descriptor. */
ssize_t __wrap_write(int fd, const void *bytes, size_t size) {
    if (!threads_simulated())
        return __real_write(fd, bytes, size);
    threads_point("ring the bell", fd);
    ssize_t written = __real_write(fd, bytes, size);
    if (the_bell && fd == the_bell->fd)
        the_bell->rung = true;
    threads_point("rung", fd);
    return written;
}

static int bell_push(struct port *port, const struct port_op *op) {
    struct bell *bell = bell_of(port);
    LAW(op->kind == PORT_READ && !bell->armed, "an operation of kind %d", op->kind);
    bell->token = op->token;
    bell->fd = op->fd;
    bell->armed = true;
    bell->rung = poll(&(struct pollfd){.fd = op->fd, .events = POLLIN}, 1, 0) == 1;
    return 0;
}

static bool is_heard(const void *state) {
    const struct bell *bell = state;
    return bell->armed && bell->rung;
}

static int bell_enter(struct port *port, uint32_t wait_count, uint64_t timeout_ns) {
    struct bell *bell = bell_of(port);
    port->enter_count++;
    threads_work("enter", 100 + threads_draw(1000));
    if (wait_count == 0)
        return 0;
    uint64_t now = threads_now_ns(), until = now + timeout_ns < now ? UINT64_MAX : now + timeout_ns;
    bell->waits = true;
    bool heard = threads_wait("sleep in the ring", is_heard, bell, until);
    bell->waits = false;
    return heard ? 0 : -ETIME;
}

bool sim_lite_asleep(void) {
    return the_bell && the_bell->waits && !the_bell->rung;
}

static uint32_t bell_collect(struct port *port, struct port_event *events, uint32_t capacity) {
    struct bell *bell = bell_of(port);
    uint64_t count;
    if (!capacity || !is_heard(bell))
        return 0;
    LAW(read(bell->fd, &count, sizeof count) == sizeof count, "the descriptor was read by somebody else");
    bell->armed = bell->rung = false;
    events[0] = (struct port_event){.token = bell->token, .result = sizeof count};
    return 1;
}

static uint64_t bell_now_ns(struct port *port) {
    (void)port;
    return threads_now_ns();
}

static void bell_no_socket(struct port *port, int fd) {
    (void)port;
    LAW(false, "there are no sockets, and %d is none", fd);
}

static void bell_destroy(struct port *port) {
    the_bell = NULL;
    free(bell_of(port));
}

struct port *sim_lite_port(void) {
    static const struct port_methods methods = {.push = bell_push,
                                                .enter = bell_enter,
                                                .collect = bell_collect,
                                                .now_ns = bell_now_ns,
                                                .shutdown = bell_no_socket,
                                                .close = bell_no_socket,
                                                .destroy = bell_destroy};
    struct bell *bell = calloc(1, sizeof *bell);
    LAW(bell, "out of memory");
    *bell = (struct bell){.port = {.methods = &methods, .poll_fd = -1, .info.setup = "simulated"}, .fd = -1};
    the_bell = bell;
    return &bell->port;
}
