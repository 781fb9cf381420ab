/* SPDX-License-Identifier: MIT */
/* The ring's sockets on Linux: small buffers, ends of every kind, close with operations in flight. test_sim_ring.c does the
 * same with chance over a simulated kernel. */
#include "ring/port.h"
#include "ring/ring.h"
#include "ring/socket.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)

static struct ring *ring;

struct client {
    struct socket socket;
    uint64_t received, hash;
    uint32_t lost_count, closed_count;
    int lost_error;
};

static uint64_t mix(uint64_t hash, const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    return hash;
}

static struct client *client_of(struct socket *socket) {
    return base_container_of(socket, struct client, socket);
}

static void on_received(struct socket *socket) {
    struct client *client = client_of(socket);
    size_t size = buf_size(&socket->in);
    client->hash = mix(client->hash, buf_head(&socket->in), size);
    client->received += size;
    buf_consume(&socket->in, size);
}

static void on_lost(struct socket *socket, int error) {
    client_of(socket)->lost_count++;
    client_of(socket)->lost_error = error;
}

static void on_closed(struct socket *socket) {
    client_of(socket)->closed_count++;
    socket_free(socket);
}

static const struct socket_events events = {on_received, on_lost, on_closed};

static void open_ring(void) {
    char message[256] = "";
    struct ring_options options = {.socket_count = 64};
    int error = ring_open(&options, &ring, message, sizeof message);
    if (error == QURING_ENORING || error == QURING_EFORBIDDEN)
        cr_skip_test("no io_uring here: %s", message);
    cr_assert_eq(error, 0, "%s", message);
}

static void close_ring(void) {
    cr_expect_eq(ring_counters(ring)->stale, 0u);
    ring_close(ring);
}

static void open_client(struct client *client, int fd) {
    *client = (struct client){0};
    cr_assert_eq(socket_open(&client->socket, ring, fd, &events, 1 << 20, SIZE_MAX), 0);
}

static void turn(void) {
    int error = ring_turn(ring, SECOND);
    cr_assert(error == 0 || error == -EINTR, "ring_turn: %d", error);
}

static void finish(struct client *client) {
    for (int i = 0; i < 1000 && !client->closed_count; i++)
        turn();
    cr_assert_eq(client->closed_count, 1u);
}

static void pair(int fds[2]) {
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static void tcp_pair(int fds[2]) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, length), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fds[0], (struct sockaddr *)&address, length), 0);
    fds[1] = accept(listener, NULL, NULL);
    cr_assert_geq(fds[1], 0);
    close(listener);
}

/* Of senders alone: TCP with a window of a few hundred bytes waits for its timers. */
static void shrink_buffer(int fd) {
    int size = 2048;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

/* ---- Bytes ---- */

/* Reads a little at a time and sends it all back; blocked writing, it does not read. */
static void *echo_main(void *argument) {
    int fd = *(int *)argument;
    char bytes[3000];
    ssize_t size;
    for (size_t turn_count = 0; (size = read(fd, bytes, 1 + turn_count * 37 % sizeof bytes)) > 0; turn_count++)
        for (ssize_t done = 0; done < size;) {
            ssize_t n = write(fd, bytes + done, (size_t)(size - done));
            if (n <= 0)
                return NULL;
            done += n;
        }
    return NULL;
}

static void echo(int fds[2], uint64_t total) {
    struct client client;
    pthread_t thread;
    uint64_t appended = 0, hash = 0;
    shrink_buffer(fds[0]);
    shrink_buffer(fds[1]);
    pthread_create(&thread, NULL, echo_main, &fds[1]);
    open_client(&client, fds[0]);
    while (client.received < total) {
        while (appended < total && socket_backlog_bytes(&client.socket) < 100000) {
            uint8_t bytes[1000];
            for (size_t i = 0; i < sizeof bytes; i++)
                bytes[i] = (uint8_t)((appended + i) * 2654435761u >> 24);
            buf_put(socket_out(&client.socket), bytes, sizeof bytes);
            hash = mix(hash, bytes, sizeof bytes);
            appended += sizeof bytes;
        }
        socket_dirty(&client.socket);
        turn();
        cr_assert_eq(client.lost_count, 0u, "%s", strerror(client.lost_error));
    }
    cr_assert_eq(client.hash, hash);
    cr_assert_eq(client.socket.accepted_bytes, total);
    socket_close(&client.socket);
    finish(&client);
    pthread_join(thread, NULL);
    close(fds[1]);
}

Test(ring_socket, a_megabyte_through_buffers_of_two_kilobytes) {
    int fds[2];
    open_ring();
    pair(fds);
    echo(fds, 1000000);
    tcp_pair(fds);
    echo(fds, 1000000);
    close_ring();
}

/* ---- Ends ---- */

Test(ring_socket, the_peers_end_comes_after_its_last_byte) {
    int fds[2];
    struct client client;
    open_ring();
    pair(fds);
    open_client(&client, fds[0]);
    cr_assert_eq(write(fds[1], "farewell", 8), 8);
    close(fds[1]);
    finish(&client);
    cr_assert_eq(client.received, 8u);
    cr_assert(client.lost_count == 1 && client.lost_error == 0);
    cr_assert(fcntl(fds[0], F_GETFD) < 0, "the descriptor is still open");
    close_ring();
}

Test(ring_socket, a_reset_is_an_error) {
    int fds[2];
    struct client client;
    struct linger now = {.l_onoff = 1};
    open_ring();
    tcp_pair(fds);
    open_client(&client, fds[0]);
    cr_assert_eq(ring_turn(ring, 0), 0);
    setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fds[1]);
    finish(&client);
    cr_assert(client.lost_count == 1 && client.lost_error == ECONNRESET, "%s", strerror(client.lost_error));
    close_ring();
}

/* What the peer said before it went is received, although sending to it fails first. */
Test(ring_socket, a_failing_send_loses_no_received_byte) {
    int fds[2];
    struct client client;
    open_ring();
    pair(fds);
    open_client(&client, fds[0]);
    cr_assert_eq(write(fds[1], "error", 5), 5);
    shutdown(fds[1], SHUT_RDWR);
    buf_put(socket_out(&client.socket), "query", 5);
    socket_dirty(&client.socket);
    finish(&client);
    cr_assert_eq(client.received, 5u);
    cr_assert_eq(client.lost_count, 1u);
    close(fds[1]);
    close_ring();
}

/* One receive and one send that is blocked, for ever as far as the peer is concerned. */
Test(ring_socket, close_ends_what_is_in_flight) {
    static char big[1 << 20];
    int fds[2];
    struct client client;
    open_ring();
    for (int kind = 0; kind < 2; kind++) {
        kind ? tcp_pair(fds) : pair(fds);
        open_client(&client, fds[0]);
        for (int i = 0; i < 8; i++)
            buf_put(socket_out(&client.socket), big, sizeof big);
        socket_dirty(&client.socket);
        for (int i = 0; i < 3; i++)
            (void)ring_turn(ring, 1000000);
        cr_assert(client.socket.sending && client.socket.receiving);
        socket_close(&client.socket);
        finish(&client);
        cr_assert_eq(client.lost_count, 0u);
        cr_assert(fcntl(fds[0], F_GETFD) < 0, "the descriptor is still open");
        close(fds[1]);
    }
    close_ring();
}

Test(ring_socket, close_before_anything_was_sent) {
    int fds[2];
    struct client client;
    open_ring();
    pair(fds);
    open_client(&client, fds[0]);
    buf_put(socket_out(&client.socket), "query", 5);
    socket_close(&client.socket);
    finish(&client);
    cr_assert_eq(client.socket.accepted_bytes, 0u);
    close(fds[1]);
    close_ring();
}

/* Descriptors and slots are used again at once; no completion finds the wrong socket. */
Test(ring_socket, descriptors_are_used_again) {
    static struct client clients[32];
    int far[32] = {0};
    open_ring();
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 32; i++) {
            int fds[2];
            pair(fds);
            far[i] = fds[1];
            open_client(&clients[i], fds[0]);
            cr_assert_eq(write(far[i], "x", 1), 1);
        }
        if (round % 2)
            turn();
        for (int i = 0; i < 32; i++)
            socket_close(&clients[i].socket);
        for (int i = 0; i < 32; i++) {
            finish(&clients[i]);
            close(far[i]);
        }
    }
    close_ring();
}

Test(ring_socket, spinning_gets_the_same_bytes) {
    int fds[2];
    char message[256];
    struct ring_options options = {.socket_count = 4, .spin_ns = 50000};
    if (ring_open(&options, &ring, message, sizeof message))
        cr_skip_test("%s", message);
    pair(fds);
    echo(fds, 100000);
    close_ring();
}
