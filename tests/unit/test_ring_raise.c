/* SPDX-License-Identifier: MIT */
/* ring_raise(): descriptors become readable once, by the turn that follows or before it, whatever becomes of that turn. */
#include "ring/port.h"
#include "ring/ring.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { FDS = 100 };

static struct ring *ring;
static int fds[FDS];

static void open_fds(void) {
    for (int i = 0; i < FDS; i++)
        cr_assert_geq(fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), 0);
}

/* The smallest io_uring, of 32 entries: what is pushed beyond them goes to the kernel by itself. */
static void open_ring(quring_port choice) {
    char message[256] = "";
    struct ring_options options = {.socket_count = 1, .choice = choice};
    int error = ring_open(&options, &ring, message, sizeof message);
    if (choice == QURING_PORT_URING && (error == QURING_ENORING || error == QURING_EFORBIDDEN))
        cr_skip_test("no io_uring here: %s", message);
    cr_assert_eq(error, 0, "%s", message);
    open_fds();
}

static void close_ring(void) {
    ring_close(ring);
    for (int i = 0; i < FDS; i++)
        close(fds[i]);
}

static void raise_all(int count) {
    for (int i = 0; i < count; i++)
        ring_raise(ring, fds[i]);
}

static void turn(void) {
    cr_assert_eq(ring_turn(ring, 0), 0);
}

/* How often it was raised since the last call. */
static uint64_t raised(int fd) {
    uint64_t count = 0;
    return read(fd, &count, sizeof count) == sizeof count ? count : 0;
}

static void each_was_raised(uint64_t times, int from, int to) {
    for (int i = from; i < to; i++) {
        uint64_t found = raised(fds[i]);
        cr_assert_eq(found, times, "%d: %d times", i, (int)found);
    }
}

/* ---- The kernel's io_uring_enter(2), with liburing's call led through here by the linker (--wrap) ---- */

int __real_io_uring_enter2(unsigned fd, unsigned to_submit, unsigned min_complete, unsigned flags, sigset_t *sig,
                           size_t size);
int __wrap_io_uring_enter2(unsigned fd, unsigned to_submit, unsigned min_complete, unsigned flags, sigset_t *sig,
                           size_t size);

static int refusals_left, refusal; /* refusal 0: the kernel takes three entries and no more */

int __wrap_io_uring_enter2(unsigned fd, unsigned to_submit, unsigned min_complete, unsigned flags, sigset_t *sig,
                           size_t size) {
    if (!refusals_left)
        return __real_io_uring_enter2(fd, to_submit, min_complete, flags, sig, size);
    refusals_left--;
    return refusal ? refusal : __real_io_uring_enter2(fd, to_submit < 3 ? to_submit : 3, 0, flags, sig, size);
}

/* ---- Tests ---- */

Test(ring_raise, goes_with_the_next_turn) {
    open_ring(QURING_PORT_URING);
    turn();
    uint64_t entered = ring_port(ring)->enter_count, completions = ring_counters(ring)->completions;
    raise_all(5);
    each_was_raised(0, 0, 5);
    turn();
    each_was_raised(1, 0, 5);
    cr_assert_eq(ring_port(ring)->enter_count, entered + 1);
    cr_assert_eq(ring_counters(ring)->completions, completions, "it has no event");
    turn();
    each_was_raised(0, 0, 5);
    close_ring();
}

Test(ring_raise, there_may_be_more_of_them_than_entries) {
    open_ring(QURING_PORT_URING);
    raise_all(FDS);
    raise_all(FDS);
    turn();
    each_was_raised(2, 0, FDS);
    close_ring();
}

/*
 * Short of room for events, or of memory, the kernel takes nothing, or not all: the next turn may be long in coming. Behind
 * EBADFD none may come.
 */
Test(ring_raise, does_not_wait_for_a_turn_that_the_kernel_takes) {
    static const int refused[] = {-EBUSY, -EAGAIN, 0, -EBADFD};
    open_ring(QURING_PORT_URING);
    turn();
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        refusal = refused[i];
        refusals_left = 1;
        raise_all(9);
        cr_assert_eq(ring_turn(ring, 0), refusal == -EBADFD ? -EBADFD : 0);
        cr_assert_eq(refusals_left, 0);
        each_was_raised(1, 0, 9);
        turn();
        each_was_raised(0, 0, 9);
    }
    refusal = -EAGAIN;
    refusals_left = 1; /* of the enter for want of room */
    raise_all(50);
    turn();
    each_was_raised(1, 0, 50);
    close_ring();
}

/* A full counter is readable already, and a write to it ends with EAGAIN. */
Test(ring_raise, a_full_counter_stays_readable) {
    uint64_t most = UINT64_MAX - 1;
    open_ring(QURING_PORT_URING);
    cr_assert_eq(write(fds[0], &most, sizeof most), (ssize_t)sizeof most);
    raise_all(2);
    turn();
    turn();
    cr_assert_eq(raised(fds[0]), most);
    each_was_raised(1, 1, 2);
    close_ring();
}

Test(ring_raise, older_kernels_are_not_asked_to) {
    open_ring(QURING_PORT_URING);
    ring_port(ring)->raises = false;
    raise_all(FDS);
    each_was_raised(1, 0, FDS);
    turn();
    each_was_raised(0, 0, FDS);
    close_ring();
}

Test(ring_raise, on_epoll_it_is_done_at_once) {
    open_ring(QURING_PORT_EPOLL);
    raise_all(FDS);
    each_was_raised(1, 0, FDS);
    turn();
    each_was_raised(0, 0, FDS);
    close_ring();
}

/* ---- A port that has no memory for it ---- */

static struct port_op pushed;

static int stub_push(struct port *port, const struct port_op *op) {
    (void)port;
    pushed = *op;
    return 0;
}

static int stub_enter(struct port *port, uint32_t wait_count, uint64_t timeout_ns) {
    (void)port, (void)wait_count, (void)timeout_ns;
    return 0;
}

static uint32_t stub_collect(struct port *port, struct port_event *events, uint32_t capacity) {
    (void)port, (void)capacity;
    if (pushed.kind != PORT_RAISE)
        return 0;
    events[0] = (struct port_event){.token = pushed.token, .result = -ENOMEM};
    pushed = (struct port_op){0};
    return 1;
}

static uint64_t stub_now_ns(struct port *port) {
    (void)port;
    return 1;
}

static void stub_destroy(struct port *port) {
    (void)port;
}

Test(ring_raise, one_that_fails_for_lack_of_memory_is_done_by_hand) {
    static const struct port_methods methods = {.push = stub_push,
                                                .enter = stub_enter,
                                                .collect = stub_collect,
                                                .now_ns = stub_now_ns,
                                                .destroy = stub_destroy};
    static struct port port = {.methods = &methods, .poll_fd = -1, .inline_jobs = true, .raises = true};
    char message[256];
    struct ring_options options = {.socket_count = 1, .port = &port};
    cr_assert_eq(ring_open(&options, &ring, message, sizeof message), 0, "%s", message);
    open_fds();
    ring_raise(ring, fds[FDS - 1]);
    cr_assert_eq(raised(fds[FDS - 1]), 0);
    turn();
    each_was_raised(0, 0, FDS - 1);
    each_was_raised(1, FDS - 1, FDS);
    close_ring();
}
