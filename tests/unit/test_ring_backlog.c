/* SPDX-License-Identifier: MIT */
/*
 * The program was away, and the kernel holds more than it hands out at once: io_uring carries out 20 operations an enter
 * (Linux 6.13), epoll has batches of 256 edges. No timer fires, and no look ends, before all of it was collected.
 */
#include "ring/port.h"
#include "ring/ring.h"
#include "ring/socket.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEERS = 300, LARGE = 700000, IN_LIMIT = 1 << 20 };

#define MS UINT64_C(1000000)

struct client {
    struct socket socket;
    int peer;
    size_t received;
    bool lost, closed;
};

static struct ring *ring;
static struct client clients[PEERS];
static uint32_t count;

static struct client *client_of(struct socket *socket) {
    return base_container_of(socket, struct client, socket);
}

static void on_received(struct socket *socket) {
    client_of(socket)->received += buf_size(&socket->in);
    buf_consume(&socket->in, buf_size(&socket->in));
}

static void on_lost(struct socket *socket, int error) {
    (void)error;
    client_of(socket)->lost = true;
}

static void on_closed(struct socket *socket) {
    client_of(socket)->closed = true;
    socket_free(socket);
}

static const struct socket_events events = {on_received, on_lost, on_closed};

static void open_ring(quring_port choice) {
    char message[256] = "";
    struct ring_options options = {.socket_count = PEERS, .choice = choice};
    int error = ring_open(&options, &ring, message, sizeof message);
    if (error == QURING_ENORING || error == QURING_EFORBIDDEN)
        cr_skip_test("no io_uring here: %s", message);
    cr_assert_eq(error, 0, "%s", message);
}

static void turn(uint64_t timeout_ns) {
    int error = ring_turn(ring, timeout_ns);
    cr_assert(error == 0 || error == -EINTR, "ring_turn: %d", error);
}

/* With receives armed, as they are on connections that wait for answers. */
static void open_clients(uint32_t wanted) {
    for (count = 0; count < wanted; count++) {
        struct client *client = &clients[count];
        int fds[2];
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        *client = (struct client){.peer = fds[1]};
        cr_assert_eq(socket_open(&client->socket, ring, fds[0], &events, IN_LIMIT, 16 << 20), 0);
    }
    turn(0);
    turn(0);
}

static void close_all(void) {
    for (uint32_t i = 0; i < count; i++) {
        if (clients[i].peer >= 0)
            close(clients[i].peer);
        socket_close(&clients[i].socket);
    }
    for (uint32_t i = 0; i < count; i++)
        while (!clients[i].closed)
            turn(100 * MS);
    ring_close(ring);
}

static void answer(struct client *client) {
    cr_assert_eq(write(client->peer, "answer", 6), 6);
}

static void answer_and_end(struct client *client) {
    answer(client);
    cr_assert_eq(close(client->peer), 0);
    client->peer = -1;
}

static uint64_t kernel_now_ns(void) {
    return ring_port(ring)->methods->now_ns(ring_port(ring));
}

/* ---- Timers ---- */

struct alarm {
    struct timer timer;
    bool rang;
    size_t fewest; /* bytes that any client had got when it rang */
};

static void alarm_rings(struct timer *timer) {
    struct alarm *alarm = base_container_of(timer, struct alarm, timer);
    alarm->rang = true;
    alarm->fewest = SIZE_MAX;
    for (uint32_t i = 0; i < count; i++)
        if (clients[i].received < alarm->fewest)
            alarm->fewest = clients[i].received;
}

/* Turns until it rings, so that what was collected before is what the ring took, and not what the test did. */
static void wait_for(struct alarm *alarm, uint64_t timeout_ns) {
    while (!alarm->rang)
        turn(timeout_ns);
}

static void ring_after_answers(quring_port choice, uint64_t timeout_ns) {
    struct alarm alarm = {.timer.fire = alarm_rings};
    open_ring(choice);
    open_clients(PEERS);
    for (uint32_t i = 0; i < PEERS; i++)
        answer(&clients[i]);
    cr_assert(timer_set(ring, &alarm.timer, kernel_now_ns()));
    wait_for(&alarm, timeout_ns);
    cr_assert_eq(alarm.fewest, 6);
    close_all();
}

/* More than one receive takes, and all of it was there. */
static void ring_after_a_large_answer(quring_port choice) {
    static char bytes[LARGE];
    struct alarm alarm = {.timer.fire = alarm_rings};
    int room = 4 << 20;
    open_ring(choice);
    open_clients(1);
    (void)setsockopt(clients[0].peer, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    ssize_t held = send(clients[0].peer, bytes, sizeof bytes, MSG_DONTWAIT);
    cr_assert_gt(held, 100000);
    cr_assert(timer_set(ring, &alarm.timer, kernel_now_ns()));
    wait_for(&alarm, 0);
    cr_assert_eq(alarm.fewest, (size_t)held);
    close_all();
}

/* A timer that is not due costs no call of the kernel. */
static void look_only_when_due(quring_port choice) {
    struct alarm alarm = {.timer.fire = alarm_rings};
    open_ring(choice);
    open_clients(4);
    cr_assert(timer_set(ring, &alarm.timer, kernel_now_ns() + 3600 * 1000 * MS));
    uint64_t before = ring_port(ring)->enter_count;
    for (int i = 0; i < 10; i++)
        turn(0);
    cr_assert_eq(ring_port(ring)->enter_count - before, 10);
    timer_clear(ring, &alarm.timer);
    close_all();
}

Test(ring_backlog, a_timer_fires_after_all_answers_uring) {
    ring_after_answers(QURING_PORT_URING, 0);
}

Test(ring_backlog, a_timer_fires_after_all_answers_epoll) {
    ring_after_answers(QURING_PORT_EPOLL, 0);
}

Test(ring_backlog, a_timer_ends_a_sleep_after_all_answers_uring) {
    ring_after_answers(QURING_PORT_URING, UINT64_MAX);
}

Test(ring_backlog, a_timer_ends_a_sleep_after_all_answers_epoll) {
    ring_after_answers(QURING_PORT_EPOLL, UINT64_MAX);
}

Test(ring_backlog, a_timer_fires_after_a_large_answer_uring) {
    ring_after_a_large_answer(QURING_PORT_URING);
}

Test(ring_backlog, a_timer_fires_after_a_large_answer_epoll) {
    ring_after_a_large_answer(QURING_PORT_EPOLL);
}

Test(ring_backlog, a_timer_that_is_not_due_costs_nothing_uring) {
    look_only_when_due(QURING_PORT_URING);
}

Test(ring_backlog, a_timer_that_is_not_due_costs_nothing_epoll) {
    look_only_when_due(QURING_PORT_EPOLL);
}

/* ---- Foreign loops ---- */

/* The loop turns until the ring wants no more, then sleeps; false once it would sleep for ever. */
static bool foreign_turns(int fd) {
    struct pollfd watched = {.fd = fd, .events = POLLIN};
    if (!ring_wants_turn(ring) && poll(&watched, 1, 0) == 0)
        return false;
    turn(0);
    return true;
}

/*
 * Ends of sends make no socket want a turn, and the descriptor was readable for all of them once: those that one enter does
 * not hand out must not be left behind, or what waits in their sockets would never be sent.
 */
static void loop_collects_all_sends(quring_port choice) {
    enum { WRITERS = 60, SIZE = 2 << 20 };
    static char bytes[SIZE];
    open_ring(choice);
    open_clients(WRITERS);
    int fd = ring_poll_fd(ring);
    cr_assert_geq(fd, 0);
    for (uint32_t i = 0; i < WRITERS; i++) {
        buf_put(socket_out(&clients[i].socket), bytes, SIZE);
        socket_dirty(&clients[i].socket);
    }
    while (foreign_turns(fd))
        ;
    for (size_t held = 1; held;) {
        held = 0;
        for (uint32_t i = 0; i < WRITERS; i++)
            for (ssize_t n = 1; n > 0; held += n > 0 ? (size_t)n : 0)
                n = recv(clients[i].peer, bytes, SIZE, MSG_DONTWAIT);
        while (foreign_turns(fd))
            ;
    }
    for (uint32_t i = 0; i < WRITERS; i++)
        cr_assert_eq(socket_backlog_bytes(&clients[i].socket), 0, "client %u: %zu bytes are left", i,
                     socket_backlog_bytes(&clients[i].socket));
    close_all();
}

Test(ring_backlog, a_foreign_loop_collects_all_sends_uring) {
    loop_collects_all_sends(QURING_PORT_URING);
}

Test(ring_backlog, a_foreign_loop_collects_all_sends_epoll) {
    loop_collects_all_sends(QURING_PORT_EPOLL);
}

/* ---- Looks ---- */

static void look_sees_all(quring_port choice) {
    open_ring(choice);
    open_clients(PEERS);
    for (uint32_t i = 0; i < PEERS; i++)
        answer_and_end(&clients[i]);
    cr_assert_eq(ring_look(ring, true), 0);
    for (uint32_t i = 0; i < PEERS; i++)
        cr_assert(clients[i].received == 6 && clients[i].lost, "client %u: %zu bytes", i, clients[i].received);
    close_all();
}

Test(ring_backlog, a_look_sees_all_that_ended_uring) {
    look_sees_all(QURING_PORT_URING);
}

Test(ring_backlog, a_look_sees_all_that_ended_epoll) {
    look_sees_all(QURING_PORT_EPOLL);
}

/* A look asks for more than there is, and must not sleep for the rest. */
static void look_does_not_sleep(quring_port choice) {
    open_ring(choice);
    open_clients(40);
    answer(&clients[3]);
    cr_assert_eq(ring_look(ring, true), 0); /* would not return */
    cr_assert_eq(clients[3].received, 6);
    close_all();
}

Test(ring_backlog, a_look_does_not_sleep_uring) {
    look_does_not_sleep(QURING_PORT_URING);
}

Test(ring_backlog, a_look_does_not_sleep_epoll) {
    look_does_not_sleep(QURING_PORT_EPOLL);
}
