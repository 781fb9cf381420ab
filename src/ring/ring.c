/* SPDX-License-Identifier: MIT */
#include "ring/ring.h"

#include "base/eventfd.h"
#include "ring/offload.h"
#include "ring/ring_internal.h"
#include "ring/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { EVENT_BATCH = 256, SOCKET_TIMERS = 3 };

/*
 * A send completes while it is submitted, unless the socket is full, so waiting for one completion would return at once
 * with nothing but sends. A turn with n sends waits for n + 1; should one of them block, the wait ends after this long,
 * so that replies never wait for it.
 */
static const uint64_t SEND_GUARD_NS = 200000;

/*
 * A program that leaves the ring alone for this long may come back to sockets whose peers have gone. Shorter pauses are
 * those of a busy loop, for which a look would be one more system call a turn.
 */
static const uint64_t AWAY_NS = 200000;

/*
 * Rounds of collecting what arrived meanwhile, beside one for each operation that can be in flight. They end by themselves
 * once nothing more comes, but a peer that goes on talking can't keep a turn from beginning, nor a timer from firing.
 */
enum { ROUNDS_MORE = 64 };

static const uint64_t WAKE_TOKEN = UINT64_MAX;

/* ---- Open and close ---- */

/* Refusals of io_uring as such, by an administrator, a container, an old kernel or a limit on locked memory. */
static bool ring_may_fall_back(int error) {
    return error == QURING_EFORBIDDEN || error == QURING_ENORING || error == QURING_EMEMLOCK;
}

static int ring_open_port(const struct ring_options *options, struct port **port, char *message, size_t message_bytes) {
    int uring_error = 0;
    if (options->choice != QURING_PORT_EPOLL) {
        uring_error = port_uring_open(options->socket_count, options->no_defer_taskrun, port, message, message_bytes);
        if (options->choice == QURING_PORT_URING || !ring_may_fall_back(uring_error))
            return uring_error;
    }
    int error = port_epoll_open(port, message, message_bytes);
    if (!error)
        (*port)->info.uring_error = uring_error;
    return error;
}

int ring_open(const struct ring_options *options, struct ring **out, char *message, size_t message_bytes) {
    struct ring *ring = calloc(1, sizeof *ring);
    struct port *port = options->port;
    int error = ring ? 0 : QURING_ENOMEM;
    if (!error && !port)
        error = ring_open_port(options, &port, message, message_bytes);
    if (error) {
        free(ring);
        return error;
    }
    ring->port = port;
    ring->spin_ns = options->spin_ns;
    ring->now_ns = port->methods->now_ns(port);
    ring->inline_last = &ring->inline_first;
    list_init(&ring->dirty);
    atomic_init(&ring->references, 1);
    atomic_init(&ring->foreign_fd, -1);
    ring->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (ring->wake_fd < 0 ||
        !slots_init(&ring->sockets, options->socket_count, sizeof(struct socket *), RING_SLOT_BITS) ||
        !ring_timers_take(ring, SOCKET_TIMERS * options->socket_count + options->timer_count)) {
        error =
            ring->wake_fd < 0 ? (errno == EMFILE || errno == ENFILE ? QURING_EFILES : QURING_ESYSTEM) : QURING_ENOMEM;
        snprintf(message, message_bytes, "eventfd: %s", strerror(errno));
        ring_close(ring);
        return error;
    }
    *out = ring;
    return 0;
}

/* The read on the eventfd writes to wake_bytes, so its event must be collected before the ring's memory is freed. */
static void ring_disarm_wake(struct ring *ring) {
    ring_wake(ring);
    for (int i = 0; ring->wake_armed && i < 1000; i++) {
        struct port_event event;
        int error = ring->port->methods->enter(ring->port, 1, 1000000);
        if (error && error != -ETIME && error != -EINTR)
            break;
        while (ring->port->methods->collect(ring->port, &event, 1))
            if (event.token == WAKE_TOKEN)
                ring->wake_armed = false;
    }
}

void ring_close(struct ring *ring) {
    PRE(list_empty(&ring->dirty) && heap_first(&ring->timers) == NULL && slots_taken(&ring->sockets) == 0);
    if (ring->wake_armed)
        ring_disarm_wake(ring);
    ring->port->methods->destroy(ring->port);
    slots_free(&ring->sockets);
    heap_free(&ring->timers);
    ring_drop(ring);
}

struct ring *ring_hold(struct ring *ring) {
    unsigned before = atomic_fetch_add_explicit(&ring->references, 1, memory_order_relaxed);
    PRE(before > 0);
    return ring;
}

/* The descriptors are closed last: a number that the kernel gave to another file would be written to. */
void ring_drop(struct ring *ring) {
    unsigned before = atomic_fetch_sub_explicit(&ring->references, 1, memory_order_acq_rel);
    PRE(before > 0);
    if (before > 1)
        return;
    if (ring->wake_fd >= 0)
        close(ring->wake_fd);
    int foreign_fd = atomic_load_explicit(&ring->foreign_fd, memory_order_relaxed);
    if (foreign_fd >= 0)
        close(foreign_fd);
    free(ring);
}

bool ring_sockets_take(struct ring *ring, uint32_t count) {
    if (count > ring->sockets.count - ring->reserved_count)
        return false;
    ring->reserved_count += count;
    return true;
}

void ring_sockets_give(struct ring *ring, uint32_t count) {
    PRE(count <= ring->reserved_count);
    ring->reserved_count -= count;
}

struct port *ring_port(struct ring *ring) {
    return ring->port;
}

const struct ring_counters *ring_counters(const struct ring *ring) {
    return &ring->counters;
}

uint64_t ring_now_ns(const struct ring *ring) {
    return ring->now_ns;
}

void ring_read_clock(struct ring *ring) {
    ring->now_ns = ring->port->methods->now_ns(ring->port);
}

/* ---- Waking ---- */

void ring_wake(struct ring *ring) {
    atomic_store(&ring->wake_asked, true);
    ring_interrupt(ring);
}

/* The first load is cheap, and spares the exchange's locked instruction in every turn. */
bool ring_take_wake(struct ring *ring) {
    if (!atomic_load_explicit(&ring->wake_asked, memory_order_relaxed))
        return false;
    return atomic_exchange(&ring->wake_asked, false);
}

void ring_raise(struct ring *ring, int event_fd) {
    PRE(event_fd >= 0);
    struct port_op op = {.token = ring_op_token((uint64_t)event_fd, PORT_RAISE), .fd = event_fd, .kind = PORT_RAISE};
    if (!ring->port->raises || ring->port->methods->push(ring->port, &op))
        eventfd_raise(event_fd);
}

/* In a simulation no other thread exists that could wake the reactor. */
static void ring_arm_wake(struct ring *ring) {
    if (ring->wake_armed || ring->port->inline_jobs)
        return;
    struct port_op op = {.token = WAKE_TOKEN,
                         .bytes = &ring->wake_bytes,
                         .size = sizeof ring->wake_bytes,
                         .fd = ring->wake_fd,
                         .kind = PORT_READ};
    ring->wake_armed = ring->port->methods->push(ring->port, &op) == 0;
}

/* ---- Timers ---- */

bool ring_timers_take(struct ring *ring, uint32_t count) {
    if (!heap_reserve(&ring->timers, (size_t)ring->timer_count + count))
        return false;
    ring->timer_count += count;
    return true;
}

void ring_timers_give(struct ring *ring, uint32_t count) {
    PRE(count <= ring->timer_count);
    ring->timer_count -= count;
}

bool timer_set(struct ring *ring, struct timer *timer, uint64_t at_ns) {
    heap_remove(&ring->timers, &timer->node);
    return heap_push(&ring->timers, &timer->node, at_ns);
}

void timer_clear(struct ring *ring, struct timer *timer) {
    heap_remove(&ring->timers, &timer->node);
}

uint64_t ring_next_timer_ns(const struct ring *ring) {
    const struct heap_node *first = heap_first(&ring->timers);
    return first ? first->key : UINT64_MAX;
}

/* A timer is out of the heap when it fires, so its handler may set it again. */
static void ring_fire_timers(struct ring *ring) {
    struct heap_node *first;
    while ((first = heap_first(&ring->timers)) && first->key <= ring->now_ns) {
        ring->turn_wanted = true;
        heap_remove(&ring->timers, first);
        struct timer *timer = base_container_of(first, struct timer, node);
        timer->fire(timer);
    }
}

/* ---- A turn ---- */

static void ring_emit(struct ring *ring) {
    ring->sends_pushed = 0;
    ring->turn_wanted = ring->unsent = false;
    ring_arm_wake(ring);
    struct list todo;
    list_init(&todo);
    list_append_all(&todo, &ring->dirty); /* a socket that becomes dirty meanwhile waits for the next turn */
    struct list *node;
    while ((node = list_pop_front(&todo)))
        socket_emit(list_entry(node, struct socket, dirty));
}

/* Sets closing sockets aside: what an owner does at the end of its socket is timed, and between two turns the clock stands still. */
static void ring_keep_closed(struct ring *ring, struct list *closed) {
    list_init(closed);
    list_for_each_safe(node, &ring->dirty) {
        if (list_entry(node, struct socket, dirty)->state != SOCKET_DRAINING)
            continue;
        list_remove(node);
        list_push_back(closed, node);
    }
}

void ring_push(struct ring *ring) {
    if (base_likely(!ring->unsent))
        return;
    struct list closed;
    ring_keep_closed(ring, &closed);
    ring_emit(ring);
    list_append_all(&ring->dirty, &closed);
    /* A foreign loop hears of what the enter takes, and of room that was made, from nothing else. */
    ring->turn_wanted = true;
    (void)ring->port->methods->enter(ring->port, 0, 0); /* the next one tells of an error, too */
}

void ring_want_turn(struct ring *ring) {
    ring->turn_wanted = true;
}

/* A stale token is counted and dropped: its slot was given back, and no event of an open socket bears it. */
static void ring_dispatch(struct ring *ring, const struct port_event *event) {
    ring->counters.completions++;
    if (event->token == WAKE_TOKEN) {
        ring->wake_armed = false;
        return;
    }
    if (base_unlikely((event->token & 0xff) == PORT_RAISE)) {
        if (event->result == -ENOMEM)
            eventfd_raise((int)ring_slot_token(event->token));
        return;
    }
    struct socket **slot = slots_get(&ring->sockets, ring_slot_token(event->token));
    if (!slot) {
        ring->counters.stale++;
        return;
    }
    socket_event(*slot, (enum port_kind)(event->token & 0xff), event);
}

/* Ends by itself: an operation has one event, and the next one of its socket is pushed by an emit. */
static uint32_t ring_collect(struct ring *ring) {
    struct port_event events[EVENT_BATCH];
    uint32_t total = 0, count;
    do {
        count = ring->port->methods->collect(ring->port, events, EVENT_BATCH);
        for (uint32_t i = 0; i < count; i++)
            ring_dispatch(ring, &events[i]);
        total += count;
    } while (count == EVENT_BATCH);
    if (offload_waiting(ring)) {
        ring->turn_wanted = true;
        offload_collect(ring);
    }
    return total;
}

static uint64_t ring_wait_limit_ns(const struct ring *ring, uint64_t timeout_ns) {
    uint64_t timer = ring_next_timer_ns(ring);
    if (timer == UINT64_MAX)
        return timeout_ns;
    uint64_t until_timer = timer > ring->now_ns ? timer - ring->now_ns : 0;
    return until_timer < timeout_ns ? until_timer : timeout_ns;
}

/*
 * Polls for completions until one of them, or a finished job, wants a turn. Completions that want none are ends of sends,
 * which the next sleep need not wait for any more.
 */
static int ring_spin(struct ring *ring, uint64_t spin_ns) {
    uint64_t from = ring->now_ns;
    do {
        int error = ring->port->methods->enter(ring->port, 0, 0);
        if (error)
            return error;
        uint32_t collected = ring_collect(ring);
        ring->sends_pushed -= collected < ring->sends_pushed ? collected : ring->sends_pushed;
        ring_read_clock(ring);
    } while (!ring_wants_turn(ring) && !atomic_load_explicit(&ring->wake_asked, memory_order_relaxed) &&
             ring->now_ns - from < spin_ns);
    return 0;
}

/* Sleeps until an event that is not the end of a send, a finished job, a wake, or the timeout. */
static int ring_block(struct ring *ring, uint64_t timeout_ns) {
    if (ring->sends_pushed && timeout_ns > SEND_GUARD_NS)
        timeout_ns = SEND_GUARD_NS;
    /*
     * The flag goes up before the last look at `finished`, and offload_finish() pushes before it looks at the flag, both
     * sequentially consistent: one of the two sees the other, so a job never finishes unseen before a sleep.
     */
    atomic_store(&ring->asleep, true);
    bool ready = timeout_ns == 0 || offload_waiting(ring) || atomic_load(&ring->wake_asked);
    int error = ring->port->methods->enter(ring->port, ready ? 0 : ring->sends_pushed + 1, timeout_ns);
    atomic_store_explicit(&ring->asleep, false, memory_order_relaxed);
    return error;
}

static int ring_wait(struct ring *ring, uint64_t timeout_ns) {
    if (ring_wants_turn(ring)) /* among others for an operation that the kernel refused for now: no event would come */
        timeout_ns = 0;
    if (!ring->spin_ns || !timeout_ns)
        return ring_block(ring, timeout_ns);
    uint64_t from = ring->now_ns;
    int error = ring_spin(ring, ring->spin_ns < timeout_ns ? ring->spin_ns : timeout_ns);
    if (error || ring_wants_turn(ring))
        return error;
    uint64_t spent = ring->now_ns - from;
    if (timeout_ns != UINT64_MAX)
        timeout_ns -= spent < timeout_ns ? spent : timeout_ns;
    return ring_block(ring, timeout_ns);
}

static bool ring_is_sending(const struct ring *ring) {
    return ring->counters.sends != ring->sends_ended;
}

/*
 * Collects until nothing more comes. One receive reports one thing: bytes, and only the next one the end of the connection
 * behind them, so each round arms them again. An enter that waits for nothing carries out a part of what io_uring put off
 * (Linux 6.13: 20 operations), and when it brings nothing there is nothing more, unless all of that part were sends that
 * went on and are not done. Only with `exact` and a send in flight is all asked for, because an enter that does so, and has
 * to find out that less is there, takes as long as the kernel lets timers be late (50 us). The clock stays as it was read
 * before, unless a socket ends. 0, -EINTR when a signal came, or another negative errno that ends the ring's life.
 */
static __attribute__((noinline)) int ring_gather(struct ring *ring, bool exact) {
    struct port *port = ring->port;
    uint32_t in_flight_max = 2 * slots_taken(&ring->sockets) + 1, wait_count = 0;
    bool interrupted = false, wanted = false;
    for (uint32_t rounds = ROUNDS_MORE + in_flight_max; rounds; rounds--) {
        wanted |= ring->turn_wanted; /* which an emit takes back */
        ring_emit(ring);
        int error = port->methods->enter(port, wait_count, 0);
        if (error && error != -ETIME && error != -EINTR)
            return error;
        interrupted |= error == -EINTR;
        bool asked_for_all = wait_count != 0;
        wait_count = 0;
        if (ring_collect(ring))
            continue;
        if (!exact || !ring_is_sending(ring) || asked_for_all)
            break;
        wait_count = in_flight_max;
    }
    ring->turn_wanted |= wanted;
    return interrupted ? -EINTR : 0;
}

int ring_look(struct ring *ring, bool idle) {
    if (slots_taken(&ring->sockets) == 0)
        return 0;
    uint64_t now_ns = ring->port->methods->now_ns(ring->port);
    if (!idle && now_ns - ring->now_ns < AWAY_NS)
        return 0;
    ring->now_ns = now_ns;
    return ring_gather(ring, false);
}

/*
 * Timers judge what has not come by their time, so all that the kernel holds by then is collected before they fire: after
 * a program was away that is often the very answer. A foreign loop hears of what the kernel put off once, and not again of
 * the part that is left of it.
 */
static bool ring_needs_all(const struct ring *ring, bool foreign) {
    return base_unlikely(ring_next_timer_ns(ring) <= ring->now_ns) || (foreign && ring_is_sending(ring));
}

void ring_gather_for(struct ring *ring, uint64_t gather_ns) {
    ring->port->gather_ns = gather_ns;
}

int ring_turn(struct ring *ring, uint64_t timeout_ns) {
    ring_emit(ring);
    /* The program has spent time of its own since the last turn: a wait that is measured starts from a fresh clock. */
    if (timeout_ns && (ring->spin_ns || heap_first(&ring->timers)))
        ring_read_clock(ring);
    int error = ring_wait(ring, ring_wait_limit_ns(ring, timeout_ns));
    if (error && error != -ETIME && error != -EINTR)
        return error;
    ring_read_clock(ring);
    ring_collect(ring);
    bool foreign = atomic_load_explicit(&ring->foreign_fd, memory_order_relaxed) >= 0;
    if (ring_needs_all(ring, foreign)) {
        int gathered = ring_gather(ring, true);
        if (gathered && gathered != -EINTR)
            return gathered;
        error = error == -EINTR ? error : gathered;
        ring_fire_timers(ring);
    }
    /* A foreign loop may sleep as soon as this returns, so jobs that finish from here on have to wake it. */
    if (foreign) {
        atomic_store(&ring->asleep, true);
        if (offload_waiting(ring))
            ring_interrupt(ring);
    }
    return error == -EINTR ? -EINTR : 0;
}

/* ---- Foreign loops ---- */

/*
 * The descriptor polls readable at first: for what came before it was asked for, and for jobs that finish before the next
 * turn, which find nobody asleep.
 */
int ring_poll_fd(struct ring *ring) {
    if (!ring->port->methods->watch)
        return QURING_EUNSUPPORTED;
    int error = ring->port->methods->watch(ring->port);
    if (error)
        return error;
    if (atomic_load_explicit(&ring->foreign_fd, memory_order_relaxed) >= 0)
        return ring->port->poll_fd;
    int foreign_fd = fcntl(ring->port->poll_fd, F_DUPFD_CLOEXEC, 0);
    if (foreign_fd < 0)
        return errno == EMFILE ? QURING_EFILES : QURING_ESYSTEM;
    atomic_store(&ring->foreign_fd, foreign_fd);
    ring_arm_wake(ring);
    ring_interrupt(ring);
    return ring->port->poll_fd;
}

bool ring_wants_turn(const struct ring *ring) {
    /* While the read on wake_fd is not armed, nothing would end a sleep when another thread wakes the ring. */
    bool can_wake = ring->wake_armed || ring->port->inline_jobs;
    return ring->turn_wanted || !list_empty(&ring->dirty) || !can_wake;
}
