/* SPDX-License-Identifier: MIT
 *
 * The limit: point selects as bytes that were encoded once, through one io_uring, on one thread.
 *
 * What it measures: the throughput of PostgreSQL's protocol itself, with nothing of a client library around it.
 * A query is three messages (Bind, Execute, Sync) made at the start; only the key is patched. Of an answer
 * only the frames are walked and ReadyForQuery is counted. --sync-every K makes groups of K queries with one
 * Sync, the limit for clients that let queries share one. Why it is a fair limit: the server does exactly the
 * work it does for a real client (named statement, binary parameter and result, one Sync per query), and each
 * way to drive the ring was tried; what won is the default, the others stay as options to try again.
 *
 * A connection has a slot for each group of its depth in its send buffer, twice over, so that the groups of one
 * turn always lie side by side and leave in one send. A slot is written again only when its answer has come, so
 * no send's completion is needed to know that its bytes are free; and as depth x 41 bytes are far below a socket's send
 * buffer, a send never blocks, and two never overtake each other.
 */
#include "bench.h"
#include "bench_pg.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Bind: unnamed portal, statement BENCH_STATEMENT, one binary parameter (int4), binary result. Execute. */
static const char QUERY[] = "B\0\0\0\31\0" BENCH_STATEMENT "\0\0\1\0\1\0\1\0\0\0\4\0\0\0\0\0\1\0\1"
                            "E\0\0\0\11\0\0\0\0\0";
static const char SYNC[] = "S\0\0\0\4";

enum {
    QUERY_BYTES = sizeof QUERY - 1,
    SYNC_BYTES = sizeof SYNC - 1,
    KEY_AT = 18, /* of the parameter's four bytes */
    RECEIVE_BYTES = 64 * 1024,
    COUNTED_NS = 200 * 1000,
};

/* A send's completion is posted at once, inside the enter that submits it, so "wait for one" does not wait. */
enum wait {
    WAIT_SKIP,    /* sends post no completion unless they fail; wait for one receive */
    WAIT_COUNTED, /* wait for this turn's sends and one more, COUNTED_NS at most */
    WAIT_NAIVE,   /* wait for one of anything */
    WAIT_SPIN,    /* as skip, but never sleep */
};
static const char *const WAIT_WORDS[] = {"skip", "counted", "naive", "spin", NULL};

enum op { OP_SEND, OP_RECEIVE };

struct conn {
    PGconn *pg; /* the socket's owner; never used again */
    int fd;
    bool sending;       /* a completion is still to come; never in skip mode */
    unsigned next_slot; /* in [0, 2 x slots) */
    unsigned in_flight; /* groups without an answer */
    size_t received;    /* bytes of an unfinished message, at the start of `in` */
    uint64_t sent_count, answered_count;
    uint64_t probe_count, probe_ns; /* one query at a time is timed: the one that makes sent_count this */
    uint8_t *out, *in;
};

struct raw {
    struct bench_args args;
    int wait, refill, batch, sync_every;
    bool poll_first;
    unsigned slots; /* groups that a connection has in flight */
    size_t slot_bytes;
    unsigned turn_sends;
    uint64_t now_ns;
    uint32_t accounts;
    struct bench_rng rng;
    struct bench_run run;
    struct io_uring ring;
    struct conn *conns;
};

/* ---- connecting --------------------------------------------------------------------------------------------- */

static void slot_make(const struct raw *raw, uint8_t *at) {
    for (int i = 0; i < raw->sync_every; i++, at += QUERY_BYTES)
        memcpy(at, QUERY, QUERY_BYTES);
    memcpy(at, SYNC, SYNC_BYTES);
}

/* libpq connects and prepares; from then on it is only the owner of the socket. */
static void conn_open(struct raw *raw, struct conn *conn) {
    conn->pg = bench_pg_open(raw->args.target);
    if (!raw->accounts)
        raw->accounts = bench_pg_accounts(conn->pg);
    conn->fd = PQsocket(conn->pg);

    unsigned slots = 2 * raw->slots;
    int space;
    socklen_t length = sizeof space;
    if (fcntl(conn->fd, F_SETFL, fcntl(conn->fd, F_GETFL) & ~O_NONBLOCK) != 0 ||
        getsockopt(conn->fd, SOL_SOCKET, SO_SNDBUF, &space, &length) != 0)
        bench_die("socket: %s", strerror(errno));
    if ((unsigned)space < slots * raw->slot_bytes)
        bench_die("depth %d does not fit a send buffer of %d bytes", raw->args.depth, space);

    conn->in = malloc(RECEIVE_BYTES);
    conn->out = malloc(slots * raw->slot_bytes);
    if (!conn->in || !conn->out)
        bench_die("out of memory");
    for (unsigned i = 0; i < slots; i++)
        slot_make(raw, conn->out + i * raw->slot_bytes);
}

static void ring_open(struct raw *raw) {
    unsigned entries = 4 * (unsigned)raw->args.connections;
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
        .cq_entries = 2 * entries,
    };
    int ret = io_uring_queue_init_params(entries, &raw->ring, &params);
    if (ret < 0)
        bench_die("io_uring_setup: %s", strerror(-ret));
    io_uring_register_ring_fd(&raw->ring);
}

/* ---- one turn ----------------------------------------------------------------------------------------------- */

static struct io_uring_sqe *sqe_for(struct raw *raw, enum op op, const struct conn *conn) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&raw->ring); /* never full: two a connection and turn */
    if (!sqe)
        bench_die("submission queue full");
    sqe->user_data = (uint64_t)(conn - raw->conns) << 1 | op;
    return sqe;
}

static void conn_receive(struct raw *raw, const struct conn *conn) {
    struct io_uring_sqe *sqe = sqe_for(raw, OP_RECEIVE, conn);
    io_uring_prep_recv(sqe, conn->fd, conn->in + conn->received, RECEIVE_BYTES - conn->received, 0);
    if (raw->poll_first)
        sqe->ioprio = IORING_RECVSEND_POLL_FIRST;
}

static void slot_fill(struct raw *raw, uint8_t *at) {
    for (int i = 0; i < raw->sync_every; i++, at += QUERY_BYTES) {
        uint32_t key = htobe32((uint32_t)bench_rng_key(&raw->rng, raw->accounts));
        memcpy(at + KEY_AT, &key, sizeof key);
    }
}

/* Fills the free slots with queries, if at least `refill` are free, and sends them in one piece. */
static void conn_send(struct raw *raw, struct conn *conn) {
    unsigned each = (unsigned)raw->sync_every;
    unsigned room = raw->slots - conn->in_flight;
    if (conn->sending || room < (unsigned)raw->refill)
        return;
    unsigned count = bench_run_take(&raw->run, room * each) / each; /* -n is a multiple of it */
    if (count == 0)
        return;
    if (conn->next_slot + count > 2 * raw->slots)
        conn->next_slot = 0;

    uint8_t *first = conn->out + conn->next_slot * raw->slot_bytes;
    for (unsigned i = 0; i < count; i++)
        slot_fill(raw, first + i * raw->slot_bytes);
    struct io_uring_sqe *sqe = sqe_for(raw, OP_SEND, conn);
    io_uring_prep_send(sqe, conn->fd, first, count * raw->slot_bytes, MSG_WAITALL | MSG_NOSIGNAL);
    if (raw->wait == WAIT_SKIP || raw->wait == WAIT_SPIN)
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    else
        conn->sending = true;

    conn->next_slot += count;
    conn->in_flight += count;
    conn->sent_count += count;
    if (conn->probe_count <= conn->answered_count) {
        conn->probe_count = conn->sent_count;
        conn->probe_ns = raw->now_ns;
    }
    raw->turn_sends++;
    raw->run.bytes_sent += count * raw->slot_bytes;
}

/* Walks the frames in `in` and keeps the unfinished rest. Returns how many groups were answered. */
static unsigned conn_scan(struct conn *conn, size_t length) {
    const uint8_t *at = conn->in, *end = conn->in + length;
    unsigned ready = 0;

    while (end - at >= 5) {
        uint32_t size;
        memcpy(&size, at + 1, sizeof size);
        size = be32toh(size);
        if (size < 4 || size >= RECEIVE_BYTES)
            bench_die("malformed message %c of %u bytes", *at, size);
        if ((size_t)(end - at) < size + 1)
            break;
        if (*at == 'Z')
            ready++;
        else if (*at == 'E')
            bench_die("the server answered with an error: %.*s", (int)size - 4, at + 5);
        at += size + 1;
    }
    conn->received = (size_t)(end - at);
    memmove(conn->in, at, conn->received);
    return ready;
}

static void on_receive(struct raw *raw, struct conn *conn, int got) {
    if (got <= 0)
        bench_die("receive: %s", got ? strerror(-got) : "the server closed the connection");
    unsigned ready = conn_scan(conn, conn->received + (size_t)got);
    if (ready > conn->in_flight)
        bench_die("more answers than queries");
    conn->in_flight -= ready;
    conn->answered_count += ready;
    raw->run.queries += ready * (unsigned)raw->sync_every;
    raw->run.bytes_received += (unsigned)got;
    if (conn->probe_ns && conn->answered_count >= conn->probe_count) {
        bench_latency_add(&raw->run.latency, raw->now_ns - conn->probe_ns, 1);
        conn->probe_ns = 0;
    }
    conn_send(raw, conn);
    conn_receive(raw, conn);
}

static int turn_enter(struct raw *raw) {
    struct __kernel_timespec limit = {.tv_nsec = COUNTED_NS};
    struct io_uring_cqe *cqe;

    raw->run.enters++;
    switch ((enum wait)raw->wait) {
    case WAIT_SKIP:
        return io_uring_submit_and_wait(&raw->ring, raw->run.left ? (unsigned)raw->batch : 1);
    case WAIT_NAIVE:
        return io_uring_submit_and_wait(&raw->ring, 1);
    case WAIT_SPIN:
        return io_uring_submit_and_get_events(&raw->ring);
    case WAIT_COUNTED:
        return io_uring_submit_and_wait_timeout(&raw->ring, &cqe, raw->turn_sends + 1, &limit, NULL);
    }
    return -EINVAL;
}

static void turn(struct raw *raw) {
    int ret = turn_enter(raw);
    if (ret < 0 && ret != -EINTR && ret != -ETIME)
        bench_die("io_uring_enter: %s", strerror(-ret));
    raw->turn_sends = 0;
    raw->now_ns = bench_now_ns();
    bench_run_tick(&raw->run, raw->now_ns);

    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;
    io_uring_for_each_cqe(&raw->ring, head, cqe) {
        struct conn *conn = &raw->conns[cqe->user_data >> 1];
        seen++;
        if ((cqe->user_data & 1) == OP_RECEIVE) {
            on_receive(raw, conn, cqe->res);
        } else {
            if (cqe->res <= 0)
                bench_die("send: %s", strerror(-cqe->res));
            conn->sending = false;
            conn_send(raw, conn);
        }
    }
    io_uring_cq_advance(&raw->ring, seen);
}

static bool is_done(const struct raw *raw) {
    if (raw->run.left)
        return false;
    for (int i = 0; i < raw->args.connections; i++)
        if (raw->conns[i].in_flight)
            return false;
    return true;
}

int main(int argc, char **argv) {
    static struct raw raw = {
        .args = BENCH_ARGS, .refill = 1, .batch = 1, .sync_every = 1, .rng = {0x9e3779b97f4a7c15u}};
    const struct bench_flag flags[] = {
        {"--wait", BENCH_WORD, &raw.wait, "how a turn waits", WAIT_WORDS},
        {"--sync-every", BENCH_INT, &raw.sync_every, "queries to one Sync (default 1)", NULL},
        {"--refill", BENCH_INT, &raw.refill, "send once this many groups are free (default 1)", NULL},
        {"--batch", BENCH_INT, &raw.batch, "with skip: wait for this many receives (default 1)", NULL},
        {"--poll-first", BENCH_BOOL, &raw.poll_first, "do not try a receive before polling", NULL},
        {0},
    };
    bench_args_parse(argc, argv, "pre-encoded point selects through io_uring: the limit", &raw.args, flags);
    if (raw.sync_every < 1 || raw.args.depth % raw.sync_every || raw.args.queries % raw.sync_every)
        bench_die("--sync-every must divide the depth and the number of queries");
    raw.slots = (unsigned)(raw.args.depth / raw.sync_every);
    raw.slot_bytes = (size_t)raw.sync_every * QUERY_BYTES + SYNC_BYTES;
    if (raw.refill < 1 || (unsigned)raw.refill > raw.slots)
        bench_die("--refill must lie between 1 and the depth, in groups of --sync-every");

    raw.conns = calloc((size_t)raw.args.connections, sizeof *raw.conns);
    ring_open(&raw);
    for (int i = 0; i < raw.args.connections; i++)
        conn_open(&raw, &raw.conns[i]);

    bench_run_start(&raw.run, &raw.args);
    raw.now_ns = raw.run.start_ns;
    for (int i = 0; i < raw.args.connections; i++) {
        conn_send(&raw, &raw.conns[i]);
        conn_receive(&raw, &raw.conns[i]);
    }
    while (!is_done(&raw))
        turn(&raw);
    bench_run_finish(&raw.run);
    char commit[32];
    snprintf(commit, sizeof commit, raw.sync_every == 1 ? "each" : "every %d", raw.sync_every);
    bench_report(&raw.args, &raw.run, &(struct bench_label){"raw_wire", "select", commit});
    return 0;
}
