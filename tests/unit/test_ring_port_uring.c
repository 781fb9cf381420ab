/* SPDX-License-Identifier: MIT */
/* The port on the kernel that is there: operations and their errors, the set-up ladder, and refusals of every kind. */
#include "lib/forbid.h"
#include "ring/port.h"
#include "ring/ring.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* <liburing.h> belongs to port_uring.c; these are the values of the kernel's interface. */
enum { SETUP_SUBMIT_ALL = 1 << 7, SETUP_COOP_TASKRUN = 1 << 8, SETUP_SINGLE_ISSUER = 1 << 12, SETUP_DEFER = 1 << 13 };

static struct port *port;
static char message[256];

static void open_port(uint32_t socket_count, bool no_defer) {
    int error = port_uring_open(socket_count, no_defer, &port, message, sizeof message);
    if (error == QURING_ENORING || error == QURING_EFORBIDDEN)
        cr_skip_test("no io_uring here: %s", message);
    cr_assert_eq(error, 0, "%d: %s", error, message);
}

static void close_port(void) {
    port->methods->destroy(port);
}

static void push(int fd, enum port_kind kind, void *bytes, uint32_t size, uint64_t token) {
    struct port_op op = {.token = token, .bytes = bytes, .size = size, .fd = fd, .kind = (uint8_t)kind};
    cr_assert_eq(port->methods->push(port, &op), 0);
}

static struct port_event wait_event(void) {
    struct port_event event;
    for (int i = 0; i < 1000; i++) {
        if (port->methods->collect(port, &event, 1))
            return event;
        int error = port->methods->enter(port, 1, 1000000000);
        cr_assert(error == 0 || error == -EINTR, "enter: %d", error);
    }
    cr_assert_fail("no event");
    return event;
}

static void pair(int fds[2]) {
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

/* ---- Operations ---- */

static void talk(bool no_defer) {
    int fds[2];
    char in[16] = "", out[] = "hello";
    open_port(4, no_defer);
    pair(fds);
    push(fds[0], PORT_RECV, in, sizeof in, 7);
    push(fds[1], PORT_SEND, out, 5, 8);
    struct port_event first = wait_event(), second = wait_event();
    cr_assert(first.token + second.token == 15 && first.result == 5 && second.result == 5);
    cr_assert_str_eq(in, "hello");
    close_port();
    close(fds[0]), close(fds[1]);
}

Test(ring_port_uring, bytes_go_there_and_back) {
    talk(false);
}

/* ---- Waits that gather ---- */

enum { GATHERED = 33, TOO_LONG_S = 3600, FEAT_MIN_TIMEOUT = 1 << 15 };

static uint32_t collect_all(void) {
    struct port_event events[GATHERED];
    uint32_t count = 0, n;
    while ((n = port->methods->collect(port, events, GATHERED)))
        count += n;
    return count;
}

/* A wait that went on for the whole time would not end within the test's. */
Test(ring_port_uring, a_wait_gathers_until_there_are_many) {
    int fds[GATHERED][2];
    char in[GATHERED];
    open_port(GATHERED, false);
    for (int i = 0; i < GATHERED; i++) {
        pair(fds[i]);
        cr_assert_eq(write(fds[i][1], "x", 1), 1);
        push(fds[i][0], PORT_RECV, &in[i], 1, (uint64_t)i);
    }
    port->gather_ns = TOO_LONG_S * 1000000000ull;
    cr_assert_eq(port->methods->enter(port, 1, UINT64_MAX), 0);
    cr_assert_eq(collect_all(), (uint32_t)GATHERED);
    close_port();
    for (int i = 0; i < GATHERED; i++)
        close(fds[i][0]), close(fds[i][1]);
}

Test(ring_port_uring, a_wait_gathers_until_its_time_has_passed) {
    int fds[2];
    char in[4];
    open_port(4, false);
    port->gather_ns = 1000000;
    pair(fds);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    push(fds[0], PORT_RECV, in, sizeof in, 1);
    cr_assert_eq(port->methods->enter(port, 1, UINT64_MAX), 0);
    cr_assert_eq(collect_all(), 1u);
    push(fds[0], PORT_RECV, in, sizeof in, 2);
    int error = port->methods->enter(port, 1, 20000000);
    cr_assert(error == 0 || error == -ETIME, "%d", error);
    cr_assert_eq(collect_all(), 0u);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    cr_assert_eq(port->methods->enter(port, 1, 500000), 0, "a shorter timeout holds");
    cr_assert_eq(collect_all(), 1u);
    close_port();
    close(fds[0]), close(fds[1]);
}

/* The kernel counts microseconds, and takes 0 for no such time at all. */
Test(ring_port_uring, a_wait_gathers_for_less_than_a_microsecond) {
    int fds[2];
    char in[4];
    open_port(4, false);
    port->gather_ns = 999;
    pair(fds);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    push(fds[0], PORT_RECV, in, sizeof in, 1);
    cr_assert_eq(port->methods->enter(port, 1, UINT64_MAX), 0);
    cr_assert_eq(collect_all(), 1u);
    close_port();
    close(fds[0]), close(fds[1]);
}

/* The time may end the wait before there are as many as were asked for; that is no signal. */
Test(ring_port_uring, a_wait_that_gathered_too_few_was_not_interrupted) {
    int fds[2];
    char in[4], out[] = "x";
    open_port(4, false);
    port->gather_ns = 1000000;
    pair(fds);
    push(fds[0], PORT_RECV, in, sizeof in, 1);
    push(fds[0], PORT_SEND, out, 1, 2);
    if (!(port->info.feature_bits & FEAT_MIN_TIMEOUT))
        cr_skip_test("the kernel has no such waits");
    cr_assert_eq(port->methods->enter(port, 2, UINT64_MAX), 0);
    cr_assert_eq(collect_all(), 1u);
    close_port();
    close(fds[0]), close(fds[1]);
}

Test(ring_port_uring, info_names_what_is_in_use) {
    open_port(100, false);
    cr_expect(port->info.setup && port->info.setup[0]);
    cr_expect_geq(port->info.sq_entry_count, 32u);
    cr_expect_geq(port->info.cq_entry_count, 2u * 100);
    cr_expect_neq(port->info.feature_bits, 0u);
    cr_expect_eq(port->inline_jobs, false);
    close_port();
}

Test(ring_port_uring, defer_taskrun_can_be_left_out) {
    open_port(4, true);
    cr_expect_eq(port->info.setup_flags & SETUP_DEFER, 0u);
    close_port();
    talk(true);
}

static void *enter_elsewhere(void *result) {
    *(int *)result = port->methods->enter(port, 0, 0);
    return NULL;
}

Test(ring_port_uring, another_thread_is_refused) {
    open_port(4, false);
    if (!(port->info.setup_flags & SETUP_SINGLE_ISSUER))
        cr_skip_test("this kernel does not tell threads apart");
    pthread_t thread;
    int result = 0;
    pthread_create(&thread, NULL, enter_elsewhere, &result);
    pthread_join(thread, NULL);
    cr_assert_eq(result, -EEXIST);
    close_port();
}

/* ---- Set-up: the ladder, with liburing's part led through here by the linker (--wrap) ---- */

struct io_uring;
struct io_uring_probe;
struct setup_params { /* the head of struct io_uring_params, which the kernel never changes */
    uint32_t sq_entries, cq_entries, flags;
};
int __real_io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct setup_params *params);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct setup_params *params);
struct io_uring_probe *__real_io_uring_get_probe_ring(struct io_uring *ring);
struct io_uring_probe *__wrap_io_uring_get_probe_ring(struct io_uring *ring);

static unsigned refused_flags, refused_above, tries;
static bool no_probe;

int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct setup_params *params) {
    tries++;
    if (params->flags & refused_flags)
        return -EINVAL;
    if (refused_above && entries > refused_above)
        return -ENOMEM;
    return __real_io_uring_queue_init_params(entries, ring, params);
}

struct io_uring_probe *__wrap_io_uring_get_probe_ring(struct io_uring *ring) {
    return no_probe ? NULL : __real_io_uring_get_probe_ring(ring);
}

Test(ring_port_uring, older_kernels_get_a_lower_rung) {
    static const unsigned lacking[] = {SETUP_DEFER, SETUP_DEFER | SETUP_COOP_TASKRUN,
                                       SETUP_DEFER | SETUP_COOP_TASKRUN | SETUP_SUBMIT_ALL};
    const char *before = "";
    for (unsigned i = 0; i < 3; i++) {
        refused_flags = lacking[i];
        tries = 0;
        open_port(4, false);
        cr_expect_eq(port->info.setup_flags & lacking[i], 0u);
        cr_expect_eq(tries, i + 2);
        cr_expect_str_neq(port->info.setup, before);
        before = port->info.setup;
        close_port();
        talk(false);
    }
}

Test(ring_port_uring, little_memory_gets_smaller_rings) {
    refused_above = 64;
    open_port(1000, false);
    cr_expect_leq(port->info.sq_entry_count, 64u);
    close_port();
    talk(false);
    refused_above = 1;
    cr_assert_eq(port_uring_open(4, false, &port, message, sizeof message), QURING_EMEMLOCK);
    cr_expect_str_not_empty(message);
}

Test(ring_port_uring, a_kernel_that_lacks_too_much_is_no_ring) {
    refused_flags = UINT32_MAX;
    cr_assert_eq(port_uring_open(4, false, &port, message, sizeof message), QURING_ENORING);
    refused_flags = 0;
    no_probe = true;
    cr_assert_eq(port_uring_open(4, false, &port, message, sizeof message), QURING_ENORING);
    cr_expect_str_not_empty(message);
}

/* ---- Refusals of the system, each in a child of its own ---- */

enum { SKIP = 77 };

/* What the child returns is its exit status. */
static int in_child(int (*body)(void)) {
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(body());
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status), "the child died of signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

static int open_error(void) {
    return -port_uring_open(16, false, &port, message, sizeof message);
}

static int forbidden(void) {
    return forbid_io_uring(EPERM) ? open_error() : SKIP;
}

static int not_there(void) {
    return forbid_io_uring(ENOSYS) ? open_error() : SKIP;
}

static int out_of_files(void) {
    struct rlimit limit = {.rlim_cur = 3, .rlim_max = 3};
    for (int fd = 3; fd < 100; fd++)
        close(fd);
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? open_error() : SKIP;
}

static int out_of_lockable_memory(void) {
    struct rlimit limit = {0};
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
        return SKIP;
    int error = open_error();
    return error ? error : SKIP; /* kernels since 5.12 charge rings to the memory control group instead */
}

static void expect_refusal(int (*body)(void), int error) {
    int got = in_child(body);
    if (got == SKIP)
        cr_skip_test("can't be had on this system");
    cr_assert_eq(got, -error);
}

Test(ring_port_uring, a_filter_that_forbids_it_is_told) {
    expect_refusal(forbidden, QURING_EFORBIDDEN);
}

Test(ring_port_uring, a_kernel_without_it_is_told) {
    expect_refusal(not_there, QURING_ENORING);
}

Test(ring_port_uring, too_many_files_are_told) {
    expect_refusal(out_of_files, QURING_EFILES);
}

Test(ring_port_uring, too_little_lockable_memory_is_told) {
    expect_refusal(out_of_lockable_memory, QURING_EMEMLOCK);
}

/* ---- What a ring does then ---- */

static int ring_error(quring_port choice, quring_ring_info *info) {
    struct ring *ring;
    struct ring_options options = {.socket_count = 16, .choice = choice};
    int error = ring_open(&options, &ring, message, sizeof message);
    if (!error) {
        *info = ring_port(ring)->info;
        ring_close(ring);
    }
    return error;
}

static int falls_back(void) {
    quring_ring_info info = {0};
    if (!forbid_io_uring(EPERM))
        return SKIP;
    if (ring_error(QURING_PORT_URING, &info) != QURING_EFORBIDDEN)
        return 1;
    if (ring_error(QURING_PORT_AUTO, &info) || info.port != QURING_PORT_EPOLL || info.uring_error != QURING_EFORBIDDEN)
        return 2;
    return ring_error(QURING_PORT_EPOLL, &info) || info.port != QURING_PORT_EPOLL || info.uring_error ? 3 : 0;
}

Test(ring_open, falls_back_to_epoll_where_io_uring_is_refused) {
    expect_refusal(falls_back, 0);
}

/* A filter that was written call by call may let the set-up pass, and nothing behind it. */
static int falls_back_without_enter(void) {
    quring_ring_info info = {0};
    if (ring_error(QURING_PORT_URING, &info) || !forbid_call(SYS_io_uring_enter, EPERM))
        return SKIP;
    if (ring_error(QURING_PORT_URING, &info) != QURING_EFORBIDDEN || !strstr(message, "io_uring_enter"))
        return 1;
    return ring_error(QURING_PORT_AUTO, &info) || info.port != QURING_PORT_EPOLL ||
                   info.uring_error != QURING_EFORBIDDEN
               ? 2
               : 0;
}

Test(ring_open, falls_back_to_epoll_where_only_the_setup_is_allowed) {
    expect_refusal(falls_back_without_enter, 0);
}

static int falls_back_for_files(void) {
    quring_ring_info info;
    struct rlimit limit = {.rlim_cur = 3, .rlim_max = 3};
    for (int fd = 3; fd < 100; fd++)
        close(fd);
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return SKIP;
    return -ring_error(QURING_PORT_AUTO, &info);
}

/* Epoll would need as many. */
Test(ring_open, does_not_fall_back_for_other_reasons) {
    expect_refusal(falls_back_for_files, QURING_EFILES);
}

Test(ring_open, takes_io_uring_where_it_can) {
    quring_ring_info info;
    open_port(4, false);
    close_port();
    cr_assert_eq(ring_error(QURING_PORT_AUTO, &info), 0);
    cr_assert(info.port == QURING_PORT_URING && info.uring_error == 0);
    cr_assert_eq(ring_error(QURING_PORT_EPOLL, &info), 0);
    cr_assert(info.port == QURING_PORT_EPOLL && info.uring_error == 0);
}
