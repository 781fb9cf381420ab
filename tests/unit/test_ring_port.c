/* SPDX-License-Identifier: MIT */
/* Operations, their ends and their errors on the kernel that is there: the same of both ports, io_uring and epoll. */
#include "ring/port.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static struct port *port;
static char message[256];

/* Two tests of one body, which begins with an open port. */
#define PORT_TEST(name)                                                                                                \
    static void name(void);                                                                                            \
    Test(ring_port_uring, name) {                                                                                      \
        open_uring();                                                                                                  \
        name();                                                                                                        \
        close_port();                                                                                                  \
    }                                                                                                                  \
    Test(ring_port_epoll, name) {                                                                                      \
        open_epoll();                                                                                                  \
        name();                                                                                                        \
        close_port();                                                                                                  \
    }                                                                                                                  \
    static void name(void)

/* The smallest ring, of 32 entries: what is pushed beyond them goes to the kernel by itself. */
static void open_uring(void) {
    int error = port_uring_open(1, false, &port, message, sizeof message);
    if (error == QURING_ENORING || error == QURING_EFORBIDDEN)
        cr_skip_test("no io_uring here: %s", message);
    cr_assert_eq(error, 0, "%d: %s", error, message);
}

static void open_epoll(void) {
    cr_assert_eq(port_epoll_open(&port, message, sizeof message), 0, "%s", message);
}

static void close_port(void) {
    port->methods->destroy(port);
}

static int push_result(int fd, enum port_kind kind, void *bytes, uint32_t size, uint64_t token) {
    struct port_op op = {.token = token, .bytes = bytes, .size = size, .fd = fd, .kind = (uint8_t)kind};
    return port->methods->push(port, &op);
}

static void push(int fd, enum port_kind kind, void *bytes, uint32_t size, uint64_t token) {
    cr_assert_eq(push_result(fd, kind, bytes, size, token), 0);
}

static void enter(void) {
    cr_assert_eq(port->methods->enter(port, 0, 0), 0);
}

static bool has_event(struct port_event *event) {
    enter();
    return port->methods->collect(port, event, 1) == 1;
}

static struct port_event wait_event(void) {
    struct port_event event;
    for (int i = 0; i < 1000; i++) {
        if (port->methods->collect(port, &event, 1))
            return event;
        int error = port->methods->enter(port, 1, 1000000000);
        cr_assert(error == 0 || error == -EINTR || error == -ETIME, "enter: %d", error);
    }
    cr_assert_fail("no event");
    return event;
}

static void expect(uint64_t token, int32_t result) {
    struct port_event event = wait_event();
    cr_assert(event.token == token && event.result == result, "token %llu, result %d", (unsigned long long)event.token,
              event.result);
}

static void pair(int fds[2]) {
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static void close_pair(const int fds[2]) {
    port->methods->close(port, fds[0]);
    port->methods->close(port, fds[1]);
}

/* ---- Bytes ---- */

PORT_TEST(bytes_go_there_and_back) {
    int fds[2];
    char in[16] = "", out[] = "hello";
    pair(fds);
    for (uint64_t round = 0; round < 3; round++) {
        memset(in, 0, sizeof in);
        push(fds[0], PORT_RECV, in, sizeof in, 7);
        push(fds[1], PORT_SEND, out, 5, 8);
        struct port_event first = wait_event(), second = wait_event();
        cr_assert(first.token + second.token == 15 && first.result == 5 && second.result == 5);
        cr_assert_str_eq(in, "hello");
    }
    close_pair(fds);
}

/* A send that the socket cannot take at once goes on by itself, and ends once with all of its bytes. */
PORT_TEST(a_large_send_ends_once_with_all_bytes) {
    enum { SIZE = 4 << 20 };
    static uint8_t out[SIZE], in[64 * 1024];
    int fds[2];
    size_t got = 0;
    bool sent = false;
    pair(fds);
    for (size_t i = 0; i < SIZE; i++)
        out[i] = (uint8_t)(i * 7 >> 4);
    push(fds[1], PORT_SEND, out, SIZE, 1);
    push(fds[0], PORT_RECV, in, sizeof in, 2);
    while (got < SIZE || !sent) {
        struct port_event event = wait_event();
        cr_assert_gt(event.result, 0);
        if (event.token == 1) {
            cr_assert(!sent && event.result == SIZE);
            sent = true;
            continue;
        }
        cr_assert_arr_eq(in, out + got, (size_t)event.result);
        got += (size_t)event.result;
        if (got < SIZE)
            push(fds[0], PORT_RECV, in, sizeof in, 2);
    }
    close_pair(fds);
}

PORT_TEST(more_data_is_told) {
    int fds[2];
    char bytes[8], byte;
    pair(fds);
    cr_assert_eq(write(fds[1], "12345678", 8), 8);
    push(fds[0], PORT_RECV, &byte, 1, 1);
    cr_assert(wait_event().more_data);
    push(fds[0], PORT_RECV, bytes, sizeof bytes, 2);
    struct port_event event = wait_event();
    cr_assert(event.result == 7 && !event.more_data);
    close_pair(fds);
}

/* Bytes that arrive while no receive is in flight wait for the next one, whether or not an enter has passed meanwhile. */
PORT_TEST(bytes_wait_for_a_receive) {
    int fds[2];
    char in[8];
    struct port_event event;
    pair(fds);
    push(fds[0], PORT_RECV, in, sizeof in, 1);
    cr_assert(!has_event(&event));
    cr_assert_eq(write(fds[1], "ab", 2), 2);
    expect(1, 2);
    cr_assert_eq(write(fds[1], "cde", 3), 3);
    enter();
    enter();
    push(fds[0], PORT_RECV, in, sizeof in, 2);
    expect(2, 3);
    push(fds[0], PORT_RECV, in, sizeof in, 3);
    cr_assert(!has_event(&event));
    cr_assert_eq(write(fds[1], "f", 1), 1);
    expect(3, 1);
    close_pair(fds);
}

PORT_TEST(a_counter_is_read_when_it_is_raised) {
    int fd = eventfd(0, EFD_CLOEXEC);
    uint64_t count = 0, one = 1;
    struct port_event event;
    for (uint64_t round = 1; round < 4; round++) {
        push(fd, PORT_READ, &count, sizeof count, round);
        cr_assert(!has_event(&event));
        for (uint64_t i = 0; i < round; i++)
            cr_assert_eq(write(fd, &one, sizeof one), sizeof one);
        expect(round, sizeof count);
        cr_assert_eq(count, round);
    }
    port->methods->close(port, fd);
}

/* More than a queue, or a batch of edges, holds: no event is lost. */
PORT_TEST(many_descriptors_at_once) {
    enum { PAIRS = 300 };
    static int fds[PAIRS][2];
    static char in[PAIRS], seen[2 * PAIRS];
    for (int i = 0; i < PAIRS; i++)
        pair(fds[i]);
    for (int round = 0; round < 3; round++) {
        memset(seen, 0, sizeof seen);
        for (int i = 0; i < PAIRS; i++)
            push(fds[i][0], PORT_RECV, &in[i], 1, (uint64_t)i);
        for (int i = 0; i < PAIRS; i++)
            push(fds[i][1], PORT_SEND, "x", 1, (uint64_t)(PAIRS + i));
        for (int i = 0; i < 2 * PAIRS; i++) {
            struct port_event event = wait_event();
            cr_assert(event.token < 2 * PAIRS && event.result == 1 && !seen[event.token]++);
        }
    }
    for (int i = 0; i < PAIRS; i++)
        close_pair(fds[i]);
}

/* ---- Ends ---- */

PORT_TEST(ends_and_errors_come_as_results) {
    int fds[2];
    char byte = 0;
    pair(fds);
    push(fds[0], PORT_RECV, &byte, 1, 1);
    enter();
    port->methods->shutdown(port, fds[0]); /* ends what is in flight */
    expect(1, 0);
    push(fds[0], PORT_SEND, &byte, 1, 2);
    expect(2, -EPIPE);
    push(fds[1], PORT_RECV, &byte, 1, 3);
    expect(3, 0);
    port->methods->close(port, fds[0]);
    cr_assert(fcntl(fds[0], F_GETFD) < 0 && errno == EBADF);
    int error = push_result(fds[0], PORT_RECV, &byte, 1, 4);
    if (error)
        cr_assert_eq(error, -EBADF);
    else
        expect(4, -EBADF);
    port->methods->close(port, fds[1]);
}

PORT_TEST(the_end_of_a_peer_follows_its_last_bytes) {
    int fds[2];
    char in[8];
    for (int early = 0; early < 2; early++) {
        pair(fds);
        if (early)
            push(fds[0], PORT_RECV, in, sizeof in, 1);
        cr_assert_eq(write(fds[1], "last", 4), 4);
        cr_assert_eq(close(fds[1]), 0);
        if (!early)
            push(fds[0], PORT_RECV, in, sizeof in, 1);
        expect(1, 4);
        push(fds[0], PORT_RECV, in, sizeof in, 2);
        expect(2, 0);
        port->methods->close(port, fds[0]);
    }
}

/* Closing a TCP socket with unread bytes in it resets the connection. */
PORT_TEST(a_reset_is_an_error) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, length), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, length), 0);
    int peer = accept(listener, NULL, NULL);
    char byte = 1;
    push(fd, PORT_SEND, &byte, 1, 1);
    expect(1, 1);
    push(fd, PORT_RECV, &byte, 1, 2);
    enter();
    char ignored;
    cr_assert_eq(recv(peer, &ignored, 1, MSG_PEEK), 1);
    close(peer);
    expect(2, -ECONNRESET);
    port->methods->close(port, fd);
    close(listener);
}

/* A send that waits for room ends with what went, and the next one with the error. */
PORT_TEST(a_shutdown_ends_a_send_that_waits) {
    enum { SIZE = 8 << 20 };
    static uint8_t out[SIZE];
    int fds[2];
    pair(fds);
    push(fds[0], PORT_SEND, out, SIZE, 1);
    enter();
    port->methods->shutdown(port, fds[0]);
    struct port_event event = wait_event();
    cr_assert(event.token == 1 && (event.result == -EPIPE || (event.result > 0 && event.result < SIZE)));
    push(fds[0], PORT_SEND, out, 1, 2);
    expect(2, -EPIPE);
    close_pair(fds);
}

/* The kernel gives a closed descriptor's number to the next one, which has nothing to do with it. */
PORT_TEST(a_descriptor_may_be_used_again) {
    char in[8];
    for (uint64_t round = 0; round < 20; round++) {
        int fds[2];
        pair(fds);
        push(fds[0], PORT_RECV, in, sizeof in, round);
        if (round % 2) {
            enter();
            cr_assert_eq(write(fds[1], "x", 1), 1);
            expect(round, 1);
        } else {
            cr_assert_eq(close(fds[1]), 0);
            expect(round, 0);
        }
        port->methods->close(port, fds[0]);
        if (round % 2)
            close(fds[1]);
    }
}

/* ---- Waits ---- */

PORT_TEST(a_wait_ends_with_its_time) {
    uint64_t took;
    do { /* a hundred times as long it may be now and then, on a machine that is busy */
        uint64_t start = port->methods->now_ns(port);
        cr_assert_eq(port->methods->enter(port, 1, 20000000), -ETIME);
        took = port->methods->now_ns(port) - start;
        cr_assert_geq(took, 20000000u);
    } while (took > 2000000000u);
    int error = port->methods->enter(port, 0, UINT64_MAX); /* does not wait at all */
    cr_assert(error == 0);
}

static void nothing(int number) {
    (void)number;
}

/* Again and again: the first may come before the wait has begun. */
PORT_TEST(a_signal_ends_a_wait) {
    struct sigaction action = {.sa_handler = nothing};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval often = {.it_value.tv_usec = 20000, .it_interval.tv_usec = 20000}, never = {0};
    setitimer(ITIMER_REAL, &often, NULL);
    cr_assert_eq(port->methods->enter(port, 1, UINT64_MAX), -EINTR);
    setitimer(ITIMER_REAL, &never, NULL);
}

/* poll_fd is for loops of others: it shows what came, until that was collected. */
PORT_TEST(a_watched_port_shows_its_events) {
    int fds[2];
    char in[8];
    pair(fds);
    cr_assert_eq(port->methods->watch(port), 0);
    push(fds[0], PORT_RECV, in, sizeof in, 1);
    enter();
    enter(); /* the first sight of a descriptor may be an event of its own */
    struct pollfd watched = {.fd = port->poll_fd, .events = POLLIN};
    cr_assert_eq(poll(&watched, 1, 0), 0);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    cr_assert_eq(poll(&watched, 1, -1), 1);
    expect(1, 1);
    enter();
    cr_assert_eq(poll(&watched, 1, 0), 0);
    close_pair(fds);
}

/* ---- Room for sends, on epoll ---- */

static int edges_there(void) {
    struct pollfd watched = {.fd = port->poll_fd, .events = POLLIN};
    return poll(&watched, 1, 0);
}

/* A request goes, and its reader tells nobody. */
static void expect_silent_reader(const int fds[2]) {
    char byte = 0;
    push(fds[0], PORT_SEND, "x", 1, 3);
    expect(3, 1);
    enter();
    cr_assert_eq(edges_there(), 0);
    cr_assert_eq(read(fds[1], &byte, 1), 1);
    cr_assert_eq(edges_there(), 0, "the reader of a Unix socket woke its writer");
}

Test(ring_port_epoll, a_reader_of_a_unix_socket_wakes_nobody) {
    int fds[2];
    char in;
    open_epoll();
    pair(fds);
    cr_assert_eq(port->methods->watch(port), 0);
    push(fds[0], PORT_RECV, &in, 1, 1);
    for (int i = 0; i < 3; i++)
        expect_silent_reader(fds);
    cr_assert_eq(write(fds[1], "y", 1), 1);
    expect(1, 1);
    close_pair(fds);
    close_port();
}

/* Room is announced as long as a send waits for it, and a while later not any more. */
Test(ring_port_epoll, room_is_told_of_to_those_who_wait_for_it) {
    enum { SIZE = 8 << 20 };
    static char out[SIZE], in[SIZE];
    int fds[2];
    open_epoll();
    pair(fds);
    cr_assert_eq(port->methods->watch(port), 0);
    for (int round = 0; round < 2; round++) {
        struct port_event event = {0};
        push(fds[0], PORT_SEND, out, SIZE, 2);
        for (size_t got = 0; got < SIZE;) {
            ssize_t n = recv(fds[1], in, sizeof in, MSG_DONTWAIT);
            got += n > 0 ? (size_t)n : 0;
            (void)(event.token || has_event(&event));
        }
        cr_assert(event.token == 2 || has_event(&event));
        cr_assert(event.token == 2 && event.result == SIZE);
        enter(); /* the last of the reading above may have made an edge, which is for nobody */
        expect_silent_reader(fds);
    }
    close_pair(fds);
    close_port();
}

/* ---- Kernels before 5.11, and filters that have never heard of epoll_pwait2() ---- */

static int refused_with, refusals;
int __real_epoll_pwait2(int epoll, struct epoll_event *events, int count, const struct timespec *limit,
                        const sigset_t *set);
int __wrap_epoll_pwait2(int epoll, struct epoll_event *events, int count, const struct timespec *limit,
                        const sigset_t *set);

int __wrap_epoll_pwait2(int epoll, struct epoll_event *events, int count, const struct timespec *limit,
                        const sigset_t *set) {
    if (!refused_with)
        return __real_epoll_pwait2(epoll, events, count, limit, set);
    refusals++;
    errno = refused_with;
    return -1;
}

Test(ring_port_epoll, waits_in_milliseconds_where_it_must) {
    static const int reasons[] = {ENOSYS, EPERM};
    for (int i = 0; i < 2; i++) {
        int fds[2];
        char in[8];
        refused_with = reasons[i];
        refusals = 0;
        open_epoll();
        pair(fds);
        uint64_t start = port->methods->now_ns(port);
        cr_assert_eq(port->methods->enter(port, 1, 1500000), -ETIME);
        cr_assert_geq(port->methods->now_ns(port) - start, 1500000u);
        push(fds[0], PORT_RECV, in, sizeof in, 1);
        cr_assert_eq(write(fds[1], "x", 1), 1);
        cr_assert_eq(port->methods->enter(port, 1, UINT64_MAX), 0);
        expect(1, 1);
        cr_assert_eq(refusals, 1);
        close_pair(fds);
        close_port();
    }
}
