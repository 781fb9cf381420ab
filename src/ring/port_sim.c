/* SPDX-License-Identifier: MIT */
#include "base/eventfd.h"
#include "ring/port_sim_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

enum {
    SOCKET_BYTES = 64 * 1024,
    QUEUE_COUNT = 1024,
    STEP_COUNT = 10000000,
    ENTER_NS = 500, /* what an enter() costs at most */
    PATTERN = 0xa5, /* fills the memory of a receive until it is done … */
    PATTERN_HEAD = 256,
    PATTERN_TAIL = 64 /* … at its ends, for large ones */
};

static struct sim *sim_of(struct port *port) {
    return base_container_of(port, struct sim, port);
}

void *sim_memory(void *memory) {
    if (!memory) {
        fputs("port_sim: out of memory\n", stderr);
        abort();
    }
    return memory;
}

/* ---- Trace and failure ---- */

void sim_trace(struct sim *sim, const char *what, int fd, int64_t a, int64_t b) {
    sim->trace[sim->trace_next++ % SIM_TRACE_COUNT] =
        (struct sim_record){.at_ns = sim->now_ns, .what = what, .fd = fd, .a = a, .b = b};
}

void sim_print_trace(const struct sim *sim) {
    uint64_t first = sim->trace_next > SIM_TRACE_COUNT ? sim->trace_next - SIM_TRACE_COUNT : 0;
    for (uint64_t i = first; i < sim->trace_next; i++) {
        const struct sim_record *r = &sim->trace[i % SIM_TRACE_COUNT];
        fprintf(stderr, "%14llu ns  %-20s fd %-8d %12lld %12lld\n",
                (unsigned long long)(r->at_ns - sim->options.start_ns), r->what, r->fd, (long long)r->a,
                (long long)r->b);
    }
}

void sim_fail(struct sim *sim, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (getenv("QURING_SIM_TRACE"))
        sim_print_trace(sim);
    fprintf(stderr, "port_sim, seed 0x%llx: ", (unsigned long long)sim->options.seed);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

/* ---- Chance ---- */

struct rng *sim_rng(struct sim *sim) {
    return &sim->rng;
}

bool sim_chance(struct sim *sim, uint16_t thousandths) {
    return thousandths && rng_below(&sim->rng, 1000) < thousandths;
}

uint64_t sim_delay(struct sim *sim) {
    return sim->options.latency_ns ? rng_below(&sim->rng, sim->options.latency_ns + 1) : 0;
}

void sim_set_chances(struct sim *sim, const struct sim_options *options) {
    struct sim_options *now = &sim->options;
    now->bytewise = options->bytewise;
    now->split = options->split;
    now->short_send = options->short_send;
    now->short_delivery = options->short_delivery;
    now->again = options->again;
    now->reset = options->reset;
    now->cancelled = options->cancelled;
    now->busy = options->busy;
    now->interrupt = options->interrupt;
    now->withhold = options->withhold;
    now->batch = options->batch;
}

void sim_set_fault(struct sim *sim, const struct sim_fault *fault) {
    sim->fault = *fault;
    sim->fault_count = 0;
}

const struct sim_fault *sim_fault(const struct sim *sim) {
    return &sim->fault;
}

int sim_take_fault(struct sim *sim, enum sim_point point) {
    if (sim->fault.point != point || ++sim->fault_count != sim->fault.nth)
        return 0;
    sim->fault.hit = true;
    sim_trace(sim, "fault", -1, point, sim->fault.error);
    return sim->fault.error;
}

/* ---- Time ---- */

uint64_t sim_now_ns(const struct sim *sim) {
    return sim->now_ns;
}

void sim_timer_set(struct sim *sim, struct sim_timer *timer, uint64_t after_ns) {
    heap_remove(&sim->timers, &timer->node);
    if (!heap_push(&sim->timers, &timer->node, sim->now_ns + after_ns))
        sim_memory(NULL);
}

void sim_timer_clear(struct sim *sim, struct sim_timer *timer) {
    heap_remove(&sim->timers, &timer->node);
}

/* Does the next thing that happens until `until_ns`; false when nothing does. */
static bool sim_step(struct sim *sim, uint64_t until_ns) {
    struct heap_node *first = heap_first(&sim->timers);
    if (!first || first->key > until_ns)
        return false;
    if (++sim->step_count > sim->options.step_count_max)
        sim_fail(sim, "more than %llu steps: a livelock", (unsigned long long)sim->options.step_count_max);
    if (first->key > sim->now_ns)
        sim->now_ns = first->key;
    heap_remove(&sim->timers, first);
    struct sim_timer *timer = base_container_of(first, struct sim_timer, node);
    timer->fire(timer);
    return true;
}

/* Lets things happen until `wait_count` events are ready or it is `until_ns`. False: it came to the latter. */
static bool sim_pass_time(struct sim *sim, uint32_t wait_count, uint64_t until_ns) {
    while (sim_step(sim, sim->now_ns))
        ; /* everything that is due happens, even when nothing is waited for */
    while (sim->ready_count < wait_count) {
        if (sim_step(sim, until_ns))
            continue;
        if (until_ns == UINT64_MAX)
            sim_fail(sim, "sleeps for ever, waiting for %u events with %u ready", wait_count, sim->ready_count);
        sim->now_ns = until_ns;
        return false;
    }
    return true;
}

static uint64_t sim_time_after(const struct sim *sim, uint64_t ns) {
    return sim->now_ns + ns < sim->now_ns ? UINT64_MAX : sim->now_ns + ns;
}

bool sim_wait(struct sim *sim, uint64_t timeout_ns) {
    return sim_pass_time(sim, 1, sim_time_after(sim, timeout_ns));
}

void sim_settle(struct sim *sim) {
    while (sim_step(sim, UINT64_MAX))
        ;
}

/* ---- Operations ---- */

static void sim_pattern_fill(struct sim_op *op) {
    size_t head = op->size < PATTERN_HEAD ? op->size : PATTERN_HEAD;
    size_t tail = op->size < PATTERN_TAIL ? op->size : PATTERN_TAIL;
    memset(op->bytes, PATTERN, head);
    memset(op->bytes + op->size - tail, PATTERN, tail);
}

/* Each byte of a run that is as it was filled equals the next one. */
static void sim_pattern_check_run(const struct sim_op *op, size_t from, size_t end) {
    if (from >= end ||
        (op->bytes[from] == PATTERN && memcmp(op->bytes + from, op->bytes + from + 1, end - from - 1) == 0))
        return;
    while (op->bytes[from] == PATTERN)
        from++;
    sim_fail(op->peer->sim, "byte %zu of a receive in flight on fd %d was written to", from, op->peer->fd);
}

static void sim_pattern_check(const struct sim_op *op) {
    size_t from = op->result > 0 ? (size_t)op->result : 0;
    size_t head = op->size < PATTERN_HEAD ? op->size : PATTERN_HEAD;
    size_t tail = op->size < PATTERN_TAIL ? 0 : op->size - PATTERN_TAIL;
    sim_pattern_check_run(op, from, head);
    sim_pattern_check_run(op, from > tail ? from : tail, op->size);
}

void sim_op_done(struct sim_op *op, int32_t result) {
    struct sim *sim = op->peer->sim;
    sim_timer_clear(sim, &op->due);
    op->state = SIM_OP_READY;
    op->result = result;
    list_push_back(&sim->ready, &op->link);
    sim->ready_count++;
    sim_trace(sim, op == &op->peer->send ? "send done" : "recv done", op->peer->fd, result, op->more_data);
}

static int sim_push_raise(struct sim *sim, int fd) {
    if (sim->raised_count == SIM_RAISED)
        return -EBUSY;
    sim->raised[sim->raised_count++] = fd;
    return 0;
}

static int sim_push(struct port *port, const struct port_op *what) {
    struct sim *sim = sim_of(port);
    if (what->kind == PORT_RAISE)
        return sim_push_raise(sim, what->fd);
    struct sim_peer *peer = sim_peer_of(sim, what->fd);
    bool sends = what->kind == PORT_SEND;
    int error = sim_take_fault(sim, SIM_PUSH);
    if (error || sim->queued_count >= sim->options.queue_count || sim_chance(sim, sim->options.busy)) {
        sim_trace(sim, "push refused", what->fd, error, 0);
        return error ? error : -EBUSY;
    }
    struct sim_op *op = sends ? &peer->send : &peer->recv;
    if (what->kind != PORT_SEND && what->kind != PORT_RECV)
        sim_fail(sim, "operation kind %d on a socket", what->kind);
    if (op->state != SIM_OP_NONE)
        sim_fail(sim, "second %s in flight on fd %d", sends ? "send" : "receive", what->fd);
    if (!what->size || !what->bytes)
        sim_fail(sim, "an operation without memory on fd %d", what->fd);
    op->state = SIM_OP_QUEUED;
    op->token = what->token;
    op->bytes = what->bytes;
    op->size = what->size;
    op->progress = 0;
    op->more_data = false;
    op->error = sim_take_fault(sim, sends ? SIM_SEND : SIM_RECV);
    if (sends) {
        buf_reset(&op->copy, SIZE_MAX);
        buf_put(&op->copy, op->bytes, op->size);
    } else {
        sim_pattern_fill(op);
    }
    list_push_back(&sim->queued, &op->link);
    sim->queued_count++;
    sim_trace(sim, sends ? "push send" : "push recv", what->fd, what->size, 0);
    return 0;
}

static void sim_submit_queued(struct sim *sim) {
    struct list *node;
    while ((node = list_pop_front(&sim->queued))) {
        sim->queued_count--;
        struct sim_op *op = list_entry(node, struct sim_op, link);
        op->state = SIM_OP_FLYING;
        sim_peer_submit(op);
    }
}

/* As io_uring does with what it put off: an enter carries out a part of it. */
static void sim_make_events(struct sim *sim, uint32_t wait_count) {
    uint32_t batch = sim->options.batch, most = wait_count > batch ? wait_count : batch;
    uint32_t left = sim->ready_count - sim->made_count;
    sim->made_count += batch && left > most ? most : left;
}

static int sim_enter(struct port *port, uint32_t wait_count, uint64_t timeout_ns) {
    struct sim *sim = sim_of(port);
    port->enter_count++;
    int error = sim_take_fault(sim, SIM_ENTER);
    while (sim->raised_count)
        eventfd_raise(sim->raised[--sim->raised_count]);
    if (error && error != -EINTR && error != -ETIME)
        return error;
    sim_submit_queued(sim);
    sim_trace(sim, "enter", -1, wait_count, (int64_t)timeout_ns);
    sim->now_ns += 1 + rng_below(&sim->rng, ENTER_NS);
    if (!error && sim_chance(sim, sim->options.interrupt))
        error = rng_next(&sim->rng) & 1 ? -EINTR : -ETIME;
    if (error)
        sim_pass_time(sim, 0, sim->now_ns);
    else
        error = sim_pass_time(sim, wait_count, sim_time_after(sim, timeout_ns)) ? 0 : -ETIME;
    sim_make_events(sim, wait_count);
    return error;
}

/* Takes the n-th ready event: any of them, since each socket has one a direction at most. */
static struct port_event sim_take_ready(struct sim *sim, uint64_t n) {
    struct list *node = sim->ready.next;
    while (n--)
        node = node->next;
    struct sim_op *op = list_entry(node, struct sim_op, link);
    if (op == &op->peer->send) {
        if (memcmp(op->copy.data, op->bytes, op->size) != 0)
            sim_fail(sim, "the bytes of a send in flight on fd %d were changed", op->peer->fd);
    } else {
        sim_pattern_check(op);
    }
    list_remove(node);
    sim->ready_count--;
    op->state = SIM_OP_NONE;
    return (struct port_event){.token = op->token, .result = op->result, .more_data = op->more_data};
}

static uint32_t sim_collect(struct port *port, struct port_event *events, uint32_t capacity) {
    struct sim *sim = sim_of(port);
    uint32_t there = sim->options.batch ? sim->made_count : sim->ready_count;
    uint32_t count = there < capacity ? there : capacity;
    if (count && sim_chance(sim, sim->options.withhold))
        count = (uint32_t)rng_below(&sim->rng, count);
    for (uint32_t i = 0; i < count; i++)
        events[i] = sim_take_ready(sim, rng_below(&sim->rng, sim->ready_count));
    sim->made_count -= count < sim->made_count ? count : sim->made_count;
    return count;
}

static uint64_t sim_port_now_ns(struct port *port) {
    return sim_of(port)->now_ns;
}

static void sim_send_now(struct port *port, int fd, const void *bytes, size_t size) {
    struct sim *sim = sim_of(port);
    sim_trace(sim, "send now", fd, (int64_t)size, 0);
    sim_peer_send_now(sim_peer_of(sim, fd), bytes, size);
}

static void sim_shutdown(struct port *port, int fd) {
    struct sim *sim = sim_of(port);
    sim_trace(sim, "shutdown", fd, 0, 0);
    sim_peer_shutdown(sim_peer_of(sim, fd));
}

static void sim_close(struct port *port, int fd) {
    struct sim *sim = sim_of(port);
    sim_trace(sim, "close", fd, 0, 0);
    sim_peer_close(sim_peer_of(sim, fd));
}

static void sim_destroy(struct port *port) {
    struct sim *sim = sim_of(port);
    if (sim->destroyed)
        sim_fail(sim, "destroyed twice");
    if (sim->queued_count || sim->ready_count)
        sim_fail(sim, "destroyed with %u operations queued and %u events not collected", sim->queued_count,
                 sim->ready_count);
    if (sim->raised_count)
        sim_fail(sim, "no turn followed, and %u sleepers were not woken", sim->raised_count);
    sim->destroyed = true;
}

static const struct port_methods sim_methods = {
    .push = sim_push,
    .enter = sim_enter,
    .collect = sim_collect,
    .now_ns = sim_port_now_ns,
    .send_now = sim_send_now,
    .shutdown = sim_shutdown,
    .close = sim_close,
    .destroy = sim_destroy,
};

/* ---- Life ---- */

struct sim *sim_new(const struct sim_options *options) {
    struct sim *sim = sim_memory(calloc(1, sizeof *sim));
    sim->port.methods = &sim_methods;
    sim->port.poll_fd = -1;
    sim->port.inline_jobs = sim->port.raises = true;
    sim->port.info.setup = "simulated";
    sim->options = *options;
    sim->rng.state = options->seed;
    sim->now_ns = options->start_ns;
    if (!sim->options.socket_bytes)
        sim->options.socket_bytes = SOCKET_BYTES;
    if (!sim->options.queue_count)
        sim->options.queue_count = QUEUE_COUNT;
    if (!sim->options.step_count_max)
        sim->options.step_count_max = STEP_COUNT;
    list_init(&sim->queued);
    list_init(&sim->ready);
    list_init(&sim->peers);
    return sim;
}

void sim_free(struct sim *sim) {
    if (sim->open_count)
        sim_fail(sim, "%u descriptors were left open", sim->open_count);
    struct list *node;
    while ((node = list_pop_front(&sim->peers)))
        sim_peer_free(list_entry(node, struct sim_peer, link));
    heap_free(&sim->timers);
    free(sim->by_fd);
    free(sim);
}

struct port *sim_port(struct sim *sim) {
    return &sim->port;
}

uint64_t sim_open_count(const struct sim *sim) {
    return sim->open_count;
}
