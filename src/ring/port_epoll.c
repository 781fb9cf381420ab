/* SPDX-License-Identifier: MIT */
/*
 * The port where io_uring is forbidden, as container runtimes' default seccomp profiles and hardened kernels do: the same
 * operations by readiness, with epoll(7) and non-blocking calls.
 *
 * Each descriptor is registered once, edge-triggered, when its first operation is pushed: to hear of what comes in, and of
 * room for more once a send has found none. What the edges told stands in its file: `readable` until a receive comes back
 * short, `writable` until a send does. An operation that can go on is carried out at once; one that cannot is `pending`
 * until the next edge. An event is made for each operation that has ended, and waits in `ready` to be collected.
 *
 *      push --send--> writable? send(2) --all sent, or an error----------------------------> ready --> collect
 *           |                     +-----EAGAIN--> pending --EPOLLOUT, send(2) in enter-----> ready
 *           +-recv--> pending --readable, or EPOLLIN: recv(2) in enter---------------------> ready
 *
 * Receives are carried out in enter() alone, so that all sends of a turn leave before the first receive.
 */
#include "base/assert.h"
#include "base/list.h"
#include "ring/port.h"
#include "ring/port_os.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EDGES_MAX = 256, FILES_MIN = 64 };

/* An operation of a descriptor; of each direction there is one at most. */
struct epoll_op {
    struct list link; /* of `ready`, or of `receivable`; a pending one is in neither */
    struct port_op what;
    uint32_t done_bytes; /* of a send that was cut short */
    bool is_pending;
    struct port_event event;
};

struct epoll_file {
    int fd;
    bool is_registered;
    bool hears_room;         /* EPOLLOUT makes an edge */
    bool readable, writable; /* a call may succeed: no EAGAIN came since the last edge */
    bool has_ended;          /* the peer's end or an error was announced, so receives go on until they say so */
    struct epoll_op in, out;
};

struct port_epoll {
    struct port port;
    int epoll_fd;
    bool no_pwait2;            /* an older kernel, or a filter that has never heard of it */
    struct epoll_file **files; /* by descriptor; NULL: never seen */
    int file_count;
    struct list receivable; /* receives whose file is readable, to be carried out by the next enter */
    struct list ready;      /* operations that have ended, in their order */
    uint32_t ready_count;
};

static struct port_epoll *epoll_of(struct port *port) {
    return base_container_of(port, struct port_epoll, port);
}

/* ---- Files ---- */

static bool epoll_grow_files(struct port_epoll *e, int fd) {
    int count = e->file_count ? e->file_count : FILES_MIN;
    while (count <= fd)
        count *= 2;
    struct epoll_file **files = realloc(e->files, (size_t)count * sizeof *files);
    if (!files)
        return false;
    memset(files + e->file_count, 0, (size_t)(count - e->file_count) * sizeof *files);
    e->files = files;
    e->file_count = count;
    return true;
}

static struct epoll_file *epoll_new_file(struct port_epoll *e, int fd) {
    struct epoll_file *file = calloc(1, sizeof *file);
    if (!file)
        return NULL;
    file->fd = fd;
    list_init(&file->in.link);
    list_init(&file->out.link);
    return e->files[fd] = file;
}

static int epoll_control(struct port_epoll *e, struct epoll_file *file, int operation, enum port_kind kind) {
    uint32_t directions = kind == PORT_READ ? EPOLLIN : EPOLLIN | EPOLLRDHUP;
    struct epoll_event edge = {.events = directions | EPOLLET, .data.ptr = file};
    if (file->hears_room)
        edge.events |= EPOLLOUT;
    e->port.enter_count++;
    return epoll_ctl(e->epoll_fd, operation, file->fd, &edge) ? -errno : 0;
}

/* What is there already comes as an edge; a send finds out for itself whether it would block. */
static int epoll_register(struct port_epoll *e, struct epoll_file *file, enum port_kind kind) {
    file->hears_room = false;
    int error = epoll_control(e, file, EPOLL_CTL_ADD, kind);
    if (error)
        return error;
    file->is_registered = file->writable = true;
    file->readable = file->has_ended = false;
    return 0;
}

/*
 * A Unix socket makes an edge for room each time its peer reads, also when no send has waited for any: a wake too many in
 * each round trip. A TCP socket makes one only after a send found none, so there it is asked for once and for all. False:
 * the kernel refused.
 */
static bool epoll_hear_room(struct port_epoll *e, struct epoll_file *file, bool hears) {
    if (file->hears_room == hears)
        return true;
    file->hears_room = hears;
    return epoll_control(e, file, EPOLL_CTL_MOD, PORT_SEND) == 0;
}

/* The file of a descriptor, registered. NULL: refused, and *error is set. */
static struct epoll_file *epoll_file_of(struct port_epoll *e, const struct port_op *what, int *error) {
    int fd = what->fd;
    PRE(fd >= 0);
    *error = -ENOMEM;
    if (fd >= e->file_count && !epoll_grow_files(e, fd))
        return NULL;
    struct epoll_file *file = e->files[fd] ? e->files[fd] : epoll_new_file(e, fd);
    if (file)
        *error = file->is_registered ? 0 : epoll_register(e, file, (enum port_kind)what->kind);
    return *error ? NULL : file;
}

/* ---- Operations ---- */

static void epoll_op_end(struct port_epoll *e, struct epoll_op *op, int32_t result, bool more_data) {
    op->is_pending = false;
    op->event = (struct port_event){.token = op->what.token, .result = result, .more_data = more_data};
    list_remove(&op->link);
    list_push_back(&e->ready, &op->link);
    e->ready_count++;
}

/* Goes on until all is sent, as MSG_WAITALL has the kernel do in io_uring; what an error cuts short ends with what went. */
static void epoll_send(struct port_epoll *e, struct epoll_file *file) {
    struct epoll_op *op = &file->out;
    while (op->done_bytes < op->what.size) {
        const char *from = (const char *)op->what.bytes + op->done_bytes;
        e->port.enter_count++;
        ssize_t sent = send(file->fd, from, op->what.size - op->done_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN && epoll_hear_room(e, file, true)) {
            file->writable = false; /* room that came since then makes an edge at once: epoll_ctl(2) looks for it */
            return;
        }
        if (sent < 0) {
            epoll_op_end(e, op, op->done_bytes ? (int32_t)op->done_bytes : -errno, false);
            return;
        }
        op->done_bytes += (uint32_t)sent;
    }
    epoll_op_end(e, op, (int32_t)op->done_bytes, false);
}

/*
 * A receive that comes back short has emptied the socket: bytes that arrive later make an edge (epoll(7), questions and
 * answers, 9). The peer's end may have come together with the last bytes, and then makes no other edge.
 */
static void epoll_receive(struct port_epoll *e, struct epoll_file *file) {
    struct epoll_op *op = &file->in;
    ssize_t got;
    do {
        e->port.enter_count++;
        got = op->what.kind == PORT_READ ? read(file->fd, op->what.bytes, op->what.size)
                                         : recv(file->fd, op->what.bytes, op->what.size, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN) {
        file->readable = false;
        list_remove(&op->link);
        return;
    }
    bool more = got == (ssize_t)op->what.size || file->has_ended;
    file->readable = op->what.kind == PORT_RECV && more;
    epoll_op_end(e, op, got < 0 ? -errno : (int32_t)got, file->readable);
}

static int epoll_push(struct port *port, const struct port_op *what) {
    struct port_epoll *e = epoll_of(port);
    int error;
    struct epoll_file *file = epoll_file_of(e, what, &error);
    if (!file)
        return error;
    struct epoll_op *op = what->kind == PORT_SEND ? &file->out : &file->in;
    PRE(!op->is_pending && list_empty(&op->link));
    op->what = *what;
    op->done_bytes = 0;
    op->is_pending = true;
    if (what->kind == PORT_SEND && file->writable)
        epoll_send(e, file);
    else if (what->kind != PORT_SEND && file->readable)
        list_push_back(&e->receivable, &op->link);
    return 0;
}

/* ---- Waiting ---- */

static void epoll_take_edge(struct port_epoll *e, const struct epoll_event *edge) {
    struct epoll_file *file = edge->data.ptr;
    const uint32_t ends = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
    if (edge->events & ends)
        file->has_ended = true;
    if (edge->events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
        file->writable = true;
        if (file->out.is_pending)
            epoll_send(e, file);
        else if (!(edge->events &
                   (EPOLLIN | ends))) /* an edge for other reasons tells of the room that is there, too */
            (void)epoll_hear_room(e, file, false);
    }
    if (edge->events & (EPOLLIN | ends)) {
        file->readable = true;
        if (file->in.is_pending && list_empty(&file->in.link))
            list_push_back(&e->receivable, &file->in.link);
    }
}

static void epoll_receive_all(struct port_epoll *e) {
    struct list *node;
    while ((node = list_first(&e->receivable)))
        epoll_receive(e, base_container_of(list_entry(node, struct epoll_op, link), struct epoll_file, in));
}

/* epoll_wait(2) counts milliseconds; rounded up, because a wait that ends early would only be entered again. */
static int epoll_wait_edges(struct port_epoll *e, struct epoll_event *edges, uint64_t timeout_ns) {
    bool forever = timeout_ns == UINT64_MAX;
    e->port.enter_count++;
    if (base_likely(!e->no_pwait2)) {
        struct timespec limit = {.tv_sec = (time_t)(timeout_ns / 1000000000u),
                                 .tv_nsec = (long)(timeout_ns % 1000000000u)};
        int count = epoll_pwait2(e->epoll_fd, edges, EDGES_MAX, forever ? NULL : &limit, NULL);
        if (base_likely(count >= 0 || (errno != ENOSYS && errno != EPERM)))
            return count;
        e->no_pwait2 = true;
    }
    uint64_t ms = timeout_ns / 1000000 + (timeout_ns % 1000000 != 0);
    return epoll_wait(e->epoll_fd, edges, EDGES_MAX, forever ? -1 : ms < INT_MAX ? (int)ms : INT_MAX);
}

/*
 * Takes the edges that are there, after a wait of up to `timeout_ns` for the first. A full batch may have left some behind;
 * there are as many batches as files can fill, since a busy one may make edges for ever. 0, -EINTR or another negative errno.
 */
static int epoll_take_edges(struct port_epoll *e, uint64_t timeout_ns) {
    struct epoll_event edges[EDGES_MAX];
    int count = EDGES_MAX;
    for (int taken = 0; count == EDGES_MAX && taken <= e->file_count; taken += count) {
        count = epoll_wait_edges(e, edges, taken ? 0 : timeout_ns);
        if (count < 0)
            return -errno;
        for (int i = 0; i < count; i++)
            epoll_take_edge(e, &edges[i]);
    }
    epoll_receive_all(e);
    return 0;
}

/* The edges are looked at even when enough has ended already, so that a busy descriptor does not hide the others. */
static int epoll_enter(struct port *port, uint32_t wait_count, uint64_t timeout_ns) {
    struct port_epoll *e = epoll_of(port);
    epoll_receive_all(e);
    uint64_t from_ns = wait_count && timeout_ns && timeout_ns != UINT64_MAX ? port_os_now_ns(port) : 0;
    uint64_t left_ns = e->ready_count < wait_count ? timeout_ns : 0;
    for (;;) {
        int error = epoll_take_edges(e, left_ns);
        if (error || e->ready_count >= wait_count)
            return error;
        if (timeout_ns == UINT64_MAX)
            continue;
        uint64_t spent_ns = timeout_ns ? port_os_now_ns(port) - from_ns : 0;
        if (spent_ns >= timeout_ns)
            return -ETIME;
        left_ns = timeout_ns - spent_ns;
    }
}

static uint32_t epoll_collect(struct port *port, struct port_event *events, uint32_t capacity) {
    struct port_epoll *e = epoll_of(port);
    uint32_t count = 0;
    while (count < capacity && e->ready_count) {
        events[count++] = list_entry(list_pop_front(&e->ready), struct epoll_op, link)->event;
        e->ready_count--;
    }
    return count;
}

static void epoll_close(struct port *port, int fd) {
    struct port_epoll *e = epoll_of(port);
    struct epoll_file *file = fd < e->file_count ? e->files[fd] : NULL;
    if (file && file->is_registered) {
        PRE(!file->in.is_pending && !file->out.is_pending);
        (void)epoll_ctl(e->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        file->is_registered = false;
    }
    port_os_close(port, fd);
}

/* Readable while an edge waits to be taken. */
static int epoll_watch(struct port *port) {
    port->poll_fd = epoll_of(port)->epoll_fd;
    return 0;
}

static void epoll_destroy(struct port *port) {
    struct port_epoll *e = epoll_of(port);
    (void)close(e->epoll_fd);
    for (int i = 0; i < e->file_count; i++)
        free(e->files[i]);
    free(e->files);
    free(e);
}

static const struct port_methods epoll_methods = {
    .push = epoll_push,
    .enter = epoll_enter,
    .collect = epoll_collect,
    .now_ns = port_os_now_ns,
    .send_now = port_os_send_now,
    .shutdown = port_os_shutdown,
    .close = epoll_close,
    .watch = epoll_watch,
    .destroy = epoll_destroy,
};

int port_epoll_open(struct port **port, char *message, size_t message_bytes) {
    struct port_epoll *e = calloc(1, sizeof *e);
    if (!e)
        return QURING_ENOMEM;
    *e = (struct port_epoll){
        .port = {.methods = &epoll_methods, .poll_fd = -1, .info = {.port = QURING_PORT_EPOLL, .setup = ""}},
        .epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    if (e->epoll_fd < 0) {
        int error = errno;
        snprintf(message, message_bytes, "epoll_create1: %s", strerror(error));
        free(e);
        return error == EMFILE || error == ENFILE ? QURING_EFILES : error == ENOMEM ? QURING_ENOMEM : QURING_ESYSTEM;
    }
    list_init(&e->receivable);
    list_init(&e->ready);
    *port = &e->port;
    return 0;
}
