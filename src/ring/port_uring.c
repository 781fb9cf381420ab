/* SPDX-License-Identifier: MIT */
/*
 * The port on Linux: one io_uring, one io_uring_enter(2) a turn. The only file that knows <liburing.h>.
 *
 * Set-up goes down a ladder by probing, never by version: a kernel that answers EINVAL to a rung gets the next one, one
 * that answers ENOMEM (the rings are charged to RLIMIT_MEMLOCK) gets smaller rings. ladder[] says what each rung gains. The
 * completion queue has room for every operation that can be in flight, so it does not overflow; if it did,
 * kernels since 5.5 keep the events and hand them out at the next enter.
 */
#include "ring/port.h"

#include "base/assert.h"
#include "base/eventfd.h"
#include "ring/port_os.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define PORT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PORT_ASAN 1
#endif
#endif
#ifdef PORT_ASAN
#include <sanitizer/asan_interface.h>
#endif

/* Newer than liburing 2.3's headers; values from the kernel's include/uapi/linux/io_uring.h. */
#ifndef IORING_ENTER_NO_IOWAIT
#define IORING_ENTER_NO_IOWAIT (1U << 7) /* Linux 6.15 */
#endif
#ifndef IORING_FEAT_NO_IOWAIT
#define IORING_FEAT_NO_IOWAIT (1U << 17)
#endif
#ifndef IORING_FEAT_MIN_TIMEOUT
#define IORING_FEAT_MIN_TIMEOUT (1U << 15) /* Linux 6.12 */
#endif

enum { SQ_ENTRIES_MIN = 32, SQ_ENTRIES_MAX = 1024, CQ_ENTRIES_MAX = 65536, GATHER_EVENTS = 32 };

static const uint64_t GATHER_TIMEOUT_NS = 3600000000000; /* of a wait that has none: nobody minds such a wake-up */

struct port_uring {
    struct port port;
    struct io_uring ring;
    unsigned enter_flags;
    bool poll_first; /* the kernel knows it; an older one answers EINVAL to the whole receive */
    int event_fd;    /* registered with the ring, once watched; else -1 */
};

static const struct rung {
    unsigned flags;
    const char *words;
} ladder[] = {
    /* Completions run when we enter, on our thread: a fifth more throughput than the last rung. Linux 6.1. */
    {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE |
         IORING_SETUP_CLAMP,
     "SINGLE_ISSUER|DEFER_TASKRUN|SUBMIT_ALL|CQSIZE|CLAMP"},
    /* No interrupts for completions: within a few per cent of the first. Linux 5.19. */
    {IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
     "COOP_TASKRUN|SUBMIT_ALL|CQSIZE|CLAMP"},
    {IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP, "SUBMIT_ALL|CQSIZE|CLAMP"}, /* 5.18 */
    {IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP, "CQSIZE|CLAMP"},                                      /* 5.6 */
};

static struct port_uring *uring_of(struct port *port) {
    return base_container_of(port, struct port_uring, port);
}

/* ---- Operations ---- */

/*
 * Makes the prepared entries visible to the kernel, and returns how many it has not consumed. This is liburing's
 * __io_uring_flush_sq(), which is not exported. Its io_uring_submit_and_wait_timeout() would do the rest as well, but it
 * returns the number of submitted entries also when a signal ended the wait, and quring_run() has to return then.
 */
static unsigned uring_publish(struct io_uring *ring) {
    struct io_uring_sq *sq = &ring->sq;
    if (sq->sqe_head != sq->sqe_tail) {
        sq->sqe_head = sq->sqe_tail;
        io_uring_smp_store_release(sq->ktail,
                                   sq->sqe_tail); /* the entries are written before the kernel sees the tail */
    }
    return sq->sqe_tail - io_uring_smp_load_acquire(sq->khead);
}

/*
 * Makes event_fd unreadable again, since the events that it announced are about to be collected. It is read before the
 * kernel is entered: an event that comes between the enter and the look at the queue would be lost otherwise.
 */
static void uring_reset_event_fd(const struct port_uring *u) {
    if (base_unlikely(u->event_fd >= 0))
        eventfd_lower(u->event_fd);
}

/*
 * When it has submitted entries, the kernel returns their number and does not tell what ended the wait. If it was neither
 * enough events nor the timeout, it was a signal.
 */
static bool uring_was_interrupted(struct port_uring *u, uint32_t wait_count, uint64_t from_ns, uint64_t timeout_ns) {
    return wait_count && io_uring_cq_ready(&u->ring) < wait_count &&
           (timeout_ns == UINT64_MAX || port_os_now_ns(&u->port) - from_ns < timeout_ns);
}

/* The kernel's struct io_uring_getevents_arg, with a name for what liburing 2.3's header takes for padding. */
struct uring_wait {
    uint64_t sigmask;
    uint32_t sigmask_bytes;
    uint32_t min_wait_us;
    uint64_t timespec;
};
_Static_assert(sizeof(struct uring_wait) == sizeof(struct io_uring_getevents_arg), "it is what the kernel takes");

/*
 * Asks for more events than have to be there, until a time after which those are enough, and returns how many. The kernel
 * looks at the clock for that only where the wait has a longer timeout, too.
 */
static uint32_t uring_gather(const struct port_uring *u, uint32_t wait_count, uint64_t *timeout_ns,
                             struct uring_wait *wait) {
    uint64_t gather_ns = u->port.gather_ns;
    if (base_likely(!gather_ns) || !wait_count || !(u->port.info.feature_bits & IORING_FEAT_MIN_TIMEOUT))
        return wait_count;
    if (*timeout_ns > gather_ns)
        wait->min_wait_us = (uint32_t)((gather_ns + 999) / 1000); /* 0 would be for ever */
    if (*timeout_ns == UINT64_MAX)
        *timeout_ns = GATHER_TIMEOUT_NS;
    return wait_count + GATHER_EVENTS;
}

/*
 * Short of memory or of room for events, the kernel leaves entries for the next enter, which may be long in coming, or never
 * come. Threads sleep until these descriptors are raised.
 */
static __attribute__((cold, noinline)) void uring_raise_left(struct port_uring *u) {
    struct io_uring_sq *sq = &u->ring.sq;
    for (unsigned at = io_uring_smp_load_acquire(sq->khead); at != sq->sqe_tail; at++) {
        struct io_uring_sqe *sqe = &sq->sqes[at & sq->ring_mask];
        if (sqe->opcode != IORING_OP_WRITE)
            continue;
        eventfd_raise(sqe->fd);
        io_uring_prep_nop(sqe);
        sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    }
}

static int uring_enter(struct port *port, uint32_t wait_count, uint64_t timeout_ns) {
    struct port_uring *u = uring_of(port);
    uring_reset_event_fd(u);
    unsigned to_submit = uring_publish(&u->ring);
    struct __kernel_timespec ts = {0};
    struct uring_wait wait = {0};
    uint32_t asked_count = uring_gather(u, wait_count, &timeout_ns, &wait);
    if (wait_count && timeout_ns != UINT64_MAX) {
        ts.tv_sec = (long long)(timeout_ns / 1000000000u);
        ts.tv_nsec = (long long)(timeout_ns % 1000000000u);
        wait.timespec = (uint64_t)(uintptr_t)&ts;
    }
    unsigned flags = u->enter_flags | IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    port->enter_count++;
    unsigned fd = (unsigned)u->ring.enter_ring_fd;
    uint64_t from_ns = to_submit && wait_count ? port_os_now_ns(port) : 0;
    int result = io_uring_enter2(fd, to_submit, asked_count, flags, (sigset_t *)&wait, sizeof wait);
    if (base_unlikely(result < (int)to_submit))
        uring_raise_left(u);
    uint32_t enough = asked_count > wait_count ? 1 : wait_count;
    if (result > 0 && (unsigned)result == to_submit && uring_was_interrupted(u, enough, from_ns, timeout_ns))
        return -EINTR;
    /* EBUSY and EAGAIN: the kernel wants its events collected before it takes more, which comes next anyway. */
    if (result >= 0 || result == -EBUSY || result == -EAGAIN)
        return 0;
    /*
     * A registered descriptor is valid on the thread that registered it alone, so on another thread the kernel answers
     * EINVAL or EBADF. Without a registered one it answers EEXIST by itself, for a ring with SINGLE_ISSUER.
     */
    bool registered = u->enter_flags & IORING_ENTER_REGISTERED_RING;
    return registered && (result == -EINVAL || result == -EBADF) ? -EEXIST : result;
}

static int uring_submit(struct port_uring *u) {
    u->port.enter_count++;
    unsigned fd = (unsigned)u->ring.enter_ring_fd;
    int result = io_uring_enter2(fd, uring_publish(&u->ring), 0, u->enter_flags, NULL, 0);
    return result < 0 && result != -EBUSY && result != -EAGAIN && result != -EINTR ? result : 0;
}

static void uring_check_ownership(const struct port_op *op) {
#ifdef PORT_ASAN
    /* The sanitizer does not see the kernel's reads and writes, so look before handing memory over. */
    if (__asan_region_is_poisoned(op->bytes, op->size))
        UNREACHABLE("memory given to the kernel is not ours");
#else
    (void)op;
#endif
}

static int uring_push(struct port *port, const struct port_op *op) {
    struct port_uring *u = uring_of(port);
    uring_check_ownership(op);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    if (!sqe) {
        int error = uring_submit(u);
        sqe = error ? NULL : io_uring_get_sqe(&u->ring);
        if (!sqe)
            return error ? error : -EBUSY;
    }
    switch ((enum port_kind)op->kind) {
    case PORT_RECV:
        io_uring_prep_recv(sqe, op->fd, op->bytes, op->size, 0);
        if (op->poll_first && u->poll_first)
            sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
        break;
    case PORT_SEND:
        /* WAITALL: the kernel goes on by itself after a short send (Linux 5.19). */
        io_uring_prep_send(sqe, op->fd, op->bytes, op->size, MSG_WAITALL | MSG_NOSIGNAL);
        break;
    case PORT_READ:
        io_uring_prep_read(sqe, op->fd, op->bytes, op->size, 0);
        break;
    case PORT_RAISE:
        io_uring_prep_write(sqe, op->fd, &EVENTFD_ONE, sizeof EVENTFD_ONE, 0);
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
        break;
    }
    sqe->user_data = op->token;
    return 0;
}

static uint32_t uring_collect(struct port *port, struct port_event *events, uint32_t capacity) {
    struct port_uring *u = uring_of(port);
    uint32_t count = 0;
    unsigned head;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&u->ring, head, cqe) {
        if (count == capacity)
            break;
        events[count++] = (struct port_event){
            .token = cqe->user_data, .result = cqe->res, .more_data = (cqe->flags & IORING_CQE_F_SOCK_NONEMPTY) != 0};
    }
    io_uring_cq_advance(&u->ring, count);
    return count;
}

/*
 * A registered eventfd, and not the ring's own descriptor: with DEFER_TASKRUN, completions whose task work waits to be run
 * wake no poller of the latter.
 */
static int uring_watch(struct port *port) {
    struct port_uring *u = uring_of(port);
    if (u->event_fd >= 0)
        return 0;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return errno == EMFILE || errno == ENFILE ? QURING_EFILES : QURING_ESYSTEM;
    if (io_uring_register_eventfd(&u->ring, fd)) {
        (void)close(fd);
        return QURING_ESYSTEM;
    }
    port->poll_fd = u->event_fd = fd;
    return 0;
}

static void uring_destroy(struct port *port) {
    struct port_uring *u = uring_of(port);
    io_uring_queue_exit(&u->ring);
    if (u->event_fd >= 0)
        (void)close(u->event_fd);
    free(u);
}

static const struct port_methods uring_methods = {
    .push = uring_push,
    .enter = uring_enter,
    .collect = uring_collect,
    .now_ns = port_os_now_ns,
    .send_now = port_os_send_now,
    .shutdown = port_os_shutdown,
    .close = port_os_close,
    .watch = uring_watch,
    .destroy = uring_destroy,
};

/* ---- Set-up ---- */

static unsigned uring_power_of_two_above(unsigned n, unsigned min, unsigned max) {
    unsigned size = min;
    while (size < n && size < max)
        size *= 2;
    return size;
}

static int uring_setup_error(int error) {
    switch (-error) {
    case EPERM:
    case EACCES:
        return QURING_EFORBIDDEN;
    case ENOSYS:
    case EINVAL:
        return QURING_ENORING;
    case ENOMEM:
        return QURING_EMEMLOCK;
    case EMFILE:
    case ENFILE:
        return QURING_EFILES;
    default:
        return QURING_ESYSTEM;
    }
}

/* Tries one rung, with smaller rings while memory is refused. */
static int uring_setup_rung(struct port_uring *u, unsigned flags, unsigned sq, unsigned cq) {
    for (;;) {
        struct io_uring_params params = {.flags = flags, .cq_entries = cq};
        int error = io_uring_queue_init_params(sq, &u->ring, &params);
        if (error != -ENOMEM || sq <= SQ_ENTRIES_MIN) {
            u->port.info.feature_bits = params.features;
            u->port.info.sq_entry_count = params.sq_entries;
            u->port.info.cq_entry_count = params.cq_entries;
            return error;
        }
        sq /= 2;
        cq /= 2;
    }
}

/* A socket has one receive and one send in flight at most, and the wake has a read. */
static int uring_setup_ladder(struct port_uring *u, uint32_t socket_count, bool no_defer_taskrun) {
    unsigned sq = uring_power_of_two_above(2 * socket_count + 8, SQ_ENTRIES_MIN, SQ_ENTRIES_MAX);
    unsigned cq = uring_power_of_two_above(2 * socket_count + 256, 2 * SQ_ENTRIES_MIN, CQ_ENTRIES_MAX);
    cq = cq < 2 * sq ? 2 * sq : cq;
    int error = -EINVAL;
    for (size_t i = no_defer_taskrun ? 1 : 0; i < sizeof ladder / sizeof *ladder && error == -EINVAL; i++) {
        error = uring_setup_rung(u, ladder[i].flags, sq, cq);
        u->port.info.setup_flags = ladder[i].flags;
        u->port.info.setup = ladder[i].words;
        /* POLL_FIRST came with COOP_TASKRUN, in 5.19. */
        u->poll_first = ladder[i].flags & (IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN);
    }
    return error;
}

static bool uring_has_needed_features(struct port_uring *u) {
    struct io_uring_probe *probe = io_uring_get_probe_ring(&u->ring);
    bool has = probe && io_uring_opcode_supported(probe, IORING_OP_RECV) &&
               io_uring_opcode_supported(probe, IORING_OP_SEND) && io_uring_opcode_supported(probe, IORING_OP_READ);
    io_uring_free_probe(probe);
    return has && (u->port.info.feature_bits & IORING_FEAT_EXT_ARG) && (u->port.info.feature_bits & IORING_FEAT_NODROP);
}

/* A filter may allow the set-up and forbid all that comes behind it. */
static int uring_try_enter(struct port_uring *u) {
    int error = uring_enter(&u->port, 0, 0);
    u->port.enter_count = 0;
    return error == -EPERM || error == -EACCES || error == -ENOSYS ? error : 0;
}

int port_uring_open(uint32_t socket_count, bool no_defer_taskrun, struct port **port, char *message,
                    size_t message_bytes) {
    struct port_uring *u = calloc(1, sizeof *u);
    if (!u)
        return QURING_ENOMEM;
    u->port.methods = &uring_methods;
    u->port.info.port = QURING_PORT_URING;
    u->port.poll_fd = u->event_fd = -1;
    int error = uring_setup_ladder(u, socket_count, no_defer_taskrun);
    if (error) {
        snprintf(message, message_bytes, "io_uring_setup: %s", strerror(-error));
        free(u);
        return uring_setup_error(error);
    }
    error = uring_try_enter(u);
    if (error) {
        snprintf(message, message_bytes, "io_uring_enter: %s", strerror(-error));
        uring_destroy(&u->port);
        return uring_setup_error(error);
    }
    if (!uring_has_needed_features(u)) {
        snprintf(message, message_bytes, "this kernel's io_uring lacks EXT_ARG (Linux 5.11), NODROP, or recv and send");
        uring_destroy(&u->port);
        return QURING_ENORING;
    }
    if (io_uring_register_ring_fd(&u->ring) == 1) /* Linux 5.18: spares the look-up of the descriptor at each enter */
        u->enter_flags |= IORING_ENTER_REGISTERED_RING;
    u->port.raises = u->port.info.feature_bits & IORING_FEAT_CQE_SKIP; /* Linux 5.17 */
    if (u->port.info.feature_bits & IORING_FEAT_NO_IOWAIT) /* a thread that waits for a server is idle, not in iowait */
        u->enter_flags |= IORING_ENTER_NO_IOWAIT;
    (void)io_uring_ring_dontfork(&u->ring); /* a child that wrote to the shared rings would submit for its parent */
    *port = &u->port;
    return 0;
}
