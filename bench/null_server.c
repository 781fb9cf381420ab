/* SPDX-License-Identifier: MIT
 *
 * A PostgreSQL server that does nothing: it answers each Execute with one canned row.
 *
 * What it measures: the client. Real PostgreSQL spends some 10 us on a point select, so against it every client
 * looks alike; against this server the client is the bottleneck. Why it is fair: all clients meet the same
 * bytes over the same sockets, whatever one receive brings is answered by one send, and it runs on a core of
 * its own (taskset), where it spins a little before it sleeps, so that no client pays for waking it.
 *
 *   null_server 127.0.0.1:5433 | /dir/.s.PGSQL.5433     ends on SIGTERM and SIGINT
 */
#include "bench.h"
#include "null_session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 16384,
    RECEIVE_BYTES = 64 * 1024, /* to begin with; grows with a longer message */
    RECEIVE_MAX = 2 * 1024 * 1024,
    SPIN_NS = 200 * 1000,
};

enum op { OP_ACCEPT, OP_SIGNAL, OP_RECEIVE, OP_SEND };

/* The kernel owns `in` from its length on while receiving, and `out` while sending; so a connection is let go
 * only once both have ended. */
struct conn {
    int fd;
    bool receiving, sending, closing;
    struct null_session *session;
    uint8_t *in;
    size_t length, capacity;
    struct null_out out;
};

struct server {
    struct io_uring ring;
    int listener, signals;
    bool stop;
    size_t taken_below; /* all places below this one are taken */
    struct conn *conns[CONNECTIONS_MAX];
};

static struct io_uring_sqe *sqe_for(struct server *server, enum op op, size_t index) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&server->ring);
    while (!sqe) {
        io_uring_submit(&server->ring);
        sqe = io_uring_get_sqe(&server->ring);
    }
    sqe->user_data = index << 2 | op; /* io_uring_prep_* leave it alone */
    return sqe;
}

/* ---- one connection --------------------------------------------------------------------------------------- */

static void conn_receive(struct server *server, size_t index) {
    struct conn *conn = server->conns[index];
    io_uring_prep_recv(sqe_for(server, OP_RECEIVE, index), conn->fd, conn->in + conn->length,
                       conn->capacity - conn->length, 0);
    conn->receiving = true;
}

static void conn_send(struct server *server, size_t index) {
    struct conn *conn = server->conns[index];
    io_uring_prep_send(sqe_for(server, OP_SEND, index), conn->fd, conn->out.bytes, conn->out.length,
                       MSG_WAITALL | MSG_NOSIGNAL);
    conn->sending = true;
}

/* Shutdown ends a pending receive; the connection goes with its last operation. */
static void conn_close(struct server *server, size_t index) {
    struct conn *conn = server->conns[index];
    if (!conn->closing)
        shutdown(conn->fd, SHUT_RDWR);
    conn->closing = true;
    if (conn->receiving || conn->sending)
        return;
    close(conn->fd);
    null_session_free(conn->session);
    free(conn->in);
    free(conn->out.bytes);
    free(conn);
    server->conns[index] = NULL;
    if (server->taken_below > index)
        server->taken_below = index;
}

static bool conn_make_room(struct conn *conn) {
    if (conn->length < conn->capacity)
        return true;
    size_t capacity = conn->capacity * 2;
    uint8_t *in = capacity <= RECEIVE_MAX ? realloc(conn->in, capacity) : NULL;
    if (!in)
        return false;
    conn->in = in;
    conn->capacity = capacity;
    return true;
}

/* Answers what has come in with one send, and asks for more. */
static void conn_answer(struct server *server, size_t index) {
    struct conn *conn = server->conns[index];
    ptrdiff_t taken = null_session_feed(conn->session, conn->in, conn->length, &conn->out);
    if (taken < 0) {
        conn_close(server, index);
        return;
    }
    conn->length -= (size_t)taken;
    memmove(conn->in, conn->in + taken, conn->length);
    if (!conn_make_room(conn)) {
        conn_close(server, index);
        return;
    }
    if (conn->out.length)
        conn_send(server, index);
    conn_receive(server, index);
}

static void on_receive(struct server *server, size_t index, int got) {
    struct conn *conn = server->conns[index];
    conn->receiving = false;
    if (got <= 0 || conn->closing) {
        conn_close(server, index);
        return;
    }
    conn->length += (size_t)got;
    if (!conn->sending) /* else the answers wait for their buffer: see on_send */
        conn_answer(server, index);
}

static void on_send(struct server *server, size_t index, int sent) {
    struct conn *conn = server->conns[index];
    bool all = sent >= 0 && (size_t)sent == conn->out.length;
    conn->sending = false;
    conn->out.length = 0;
    if (!all || conn->closing)
        conn_close(server, index);
    else if (!conn->receiving)
        conn_answer(server, index);
}

/* ---- the server --------------------------------------------------------------------------------------------- */

static void on_accept(struct server *server, int fd) {
    io_uring_prep_accept(sqe_for(server, OP_ACCEPT, 0), server->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    size_t index = server->taken_below;
    while (index < CONNECTIONS_MAX && server->conns[index])
        index++;
    server->taken_below = index;
    struct conn *conn = index < CONNECTIONS_MAX ? calloc(1, sizeof *conn) : NULL;
    if (!conn) {
        close(fd);
        return;
    }
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails on a unix socket, as it may */
    conn->fd = fd;
    conn->session = null_session_new();
    conn->capacity = RECEIVE_BYTES;
    conn->in = malloc(conn->capacity);
    if (!conn->session || !conn->in)
        bench_die("out of memory");
    server->conns[index] = conn;
    conn_receive(server, index);
}

static void on_completion(struct server *server, const struct io_uring_cqe *cqe) {
    size_t index = (size_t)(cqe->user_data >> 2);
    switch ((enum op)(cqe->user_data & 3)) {
    case OP_ACCEPT:
        on_accept(server, cqe->res);
        break;
    case OP_SIGNAL:
        server->stop = true;
        break;
    case OP_RECEIVE:
        on_receive(server, index, cqe->res);
        break;
    case OP_SEND:
        on_send(server, index, cqe->res);
        break;
    }
}

/* Spins for SPIN_NS after the last completion, then sleeps until the next. */
static void serve(struct server *server) {
    uint64_t busy_ns = bench_now_ns();
    bool idle = false;

    while (!server->stop) {
        int ret = idle ? io_uring_submit_and_wait(&server->ring, 1) : io_uring_submit_and_get_events(&server->ring);
        if (ret < 0 && ret != -EINTR && ret != -EBUSY && ret != -EAGAIN)
            bench_die("io_uring_enter: %s", strerror(-ret));

        struct io_uring_cqe *cqe;
        unsigned head, seen = 0;
        io_uring_for_each_cqe(&server->ring, head, cqe) {
            const struct io_uring_cqe copy = *cqe;
            seen++;
            on_completion(server, &copy);
        }
        io_uring_cq_advance(&server->ring, seen);
        uint64_t now_ns = bench_now_ns();
        if (seen)
            busy_ns = now_ns;
        idle = now_ns - busy_ns > SPIN_NS;
    }
}

static int listen_on(const char *where) {
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in inet = {.sin_family = AF_INET};
    const struct sockaddr *address = (const struct sockaddr *)&inet;
    socklen_t length = sizeof inet;
    const char *colon = strrchr(where, ':');
    char host[64];

    if (where[0] == '/') {
        if (strlen(where) >= sizeof local.sun_path)
            bench_die("path too long: %s", where);
        memcpy(local.sun_path, where, strlen(where) + 1);
        unlink(where);
        address = (const struct sockaddr *)&local;
        length = sizeof local;
    } else {
        if (!colon || (size_t)(colon - where) >= sizeof host)
            bench_die("want ADDRESS:PORT or /path/to/.s.PGSQL.PORT, not %s", where);
        memcpy(host, where, (size_t)(colon - where));
        host[colon - where] = '\0';
        inet.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
        if (inet_pton(AF_INET, host, &inet.sin_addr) != 1)
            bench_die("not an IPv4 address: %s", host);
    }
    const int on = 1;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, address, length) != 0 || listen(fd, 512) != 0)
        bench_die("cannot listen on %s: %s", where, strerror(errno));
    return fd;
}

static int signals_fd(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

/* A descriptor a connection; where fewer are allowed, accept(2) says so. */
static void raise_file_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv) {
    static struct server server;
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
        .cq_entries = 4 * CONNECTIONS_MAX,
    };
    static struct signalfd_siginfo info;

    if (argc != 2 || argv[1][0] == '-') {
        fprintf(stderr, "usage: %s 127.0.0.1:PORT | /dir/.s.PGSQL.PORT\n", argv[0]);
        return 2;
    }
    raise_file_limit();
    server.listener = listen_on(argv[1]);
    server.signals = signals_fd();
    int ret = io_uring_queue_init_params(1024, &server.ring, &params);
    if (ret < 0)
        bench_die("io_uring_setup: %s", strerror(-ret));
    io_uring_register_ring_fd(&server.ring);

    io_uring_prep_accept(sqe_for(&server, OP_ACCEPT, 0), server.listener, NULL, NULL, SOCK_CLOEXEC);
    io_uring_prep_read(sqe_for(&server, OP_SIGNAL, 0), server.signals, &info, sizeof info, 0);
    serve(&server);
    io_uring_queue_exit(&server.ring);
    if (argv[1][0] == '/')
        unlink(argv[1]);
    return 0;
}
