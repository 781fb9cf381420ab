/* SPDX-License-Identifier: MIT */
/* The simulated kernel itself: it notices what an engine must not do. */
#include "lib/seeds.h"
#include "ring/port_sim.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

static struct sim *sim;
static struct port *port;
static struct sim_peer *peer;
static int fd;
static char heard[100];
static size_t heard_bytes;
static int ends;

static void on_received(struct sim_peer *from, const uint8_t *bytes, size_t size) {
    (void)from;
    memcpy(heard + heard_bytes, bytes, size);
    heard_bytes += size;
}

static void on_ended(struct sim_peer *from, bool reset) {
    (void)from;
    (void)reset;
    ends++;
}

static const struct sim_peer_events peer_events = {.received = on_received, .ended = on_ended};

static void open_pair(void) {
    struct sim_options options = {.seed = 1, .latency_ns = 1000};
    sim = sim_new(&options);
    port = sim_port(sim);
    fd = sim_connect(sim, &peer_events, NULL, &peer);
}

TestSuite(sim_port, .init = open_pair);

static int push(enum port_kind kind, void *bytes, uint32_t size) {
    struct port_op op = {.token = 7, .bytes = bytes, .size = size, .fd = fd, .kind = (uint8_t)kind};
    return port->methods->push(port, &op);
}

static struct port_event wait_event(void) {
    struct port_event event;
    cr_assert_eq(port->methods->enter(port, 1, UINT64_MAX), 0);
    cr_assert_eq(port->methods->collect(port, &event, 1), 1);
    return event;
}

static void close_pair(void) {
    port->methods->close(port, fd);
    port->methods->destroy(port);
    sim_settle(sim);
    sim_free(sim);
}

Test(sim_port, bytes_go_both_ways) {
    char in[10] = "", out[] = "hello";
    cr_assert_eq(push(PORT_SEND, out, 5), 0);
    cr_assert_eq(wait_event().result, 5);
    sim_settle(sim);
    cr_assert(heard_bytes == 5 && memcmp(heard, "hello", 5) == 0);
    sim_peer_write(peer, "bye", 3);
    cr_assert_eq(push(PORT_RECV, in, sizeof in), 0);
    cr_assert_eq(wait_event().result, 3);
    cr_assert_eq(memcmp(in, "bye", 3), 0);
    close_pair();
    cr_assert_eq(ends, 1);
}

/* Each of these ends the process: see sim_fail(). */

Test(sim_port, a_second_send_in_flight, .signal = SIGABRT) {
    char out[] = "hello";
    (void)push(PORT_SEND, out, 5);
    (void)push(PORT_SEND, out, 5);
}

Test(sim_port, a_second_receive_before_the_first_was_collected, .signal = SIGABRT) {
    char in[10];
    sim_peer_write(peer, "bye", 3);
    (void)push(PORT_RECV, in, sizeof in);
    (void)port->methods->enter(port, 1, UINT64_MAX);
    (void)push(PORT_RECV, in, sizeof in);
}

Test(sim_port, bytes_that_change_while_they_are_sent, .signal = SIGABRT) {
    char out[] = "hello";
    (void)push(PORT_SEND, out, 5);
    (void)port->methods->enter(port, 1, UINT64_MAX);
    out[4] = 'x';
    (void)wait_event();
}

Test(sim_port, memory_of_a_receive_that_is_written_to, .signal = SIGABRT) {
    char in[10];
    (void)push(PORT_RECV, in, sizeof in);
    in[9] = 'x';
    sim_peer_write(peer, "bye", 3);
    (void)wait_event();
}

/* Behind the bytes that came, at each end of what is looked at. */
static void write_to_large_receive(size_t at) {
    static char in[4096];
    (void)push(PORT_RECV, in, sizeof in);
    in[at] = 'x';
    sim_peer_write(peer, "bye", 3);
    (void)wait_event();
}

Test(sim_port, memory_behind_the_bytes_of_a_large_receive, .signal = SIGABRT) {
    write_to_large_receive(3);
}

Test(sim_port, memory_at_the_head_of_a_large_receive, .signal = SIGABRT) {
    write_to_large_receive(255);
}

Test(sim_port, memory_before_the_end_of_a_large_receive, .signal = SIGABRT) {
    write_to_large_receive(4096 - 64);
}

Test(sim_port, memory_at_the_end_of_a_large_receive, .signal = SIGABRT) {
    write_to_large_receive(4095);
}

Test(sim_port, a_close_in_flight, .signal = SIGABRT) {
    char in[10];
    (void)push(PORT_RECV, in, sizeof in);
    port->methods->close(port, fd);
}

Test(sim_port, an_operation_on_what_is_closed, .signal = SIGABRT) {
    char in[10];
    port->methods->close(port, fd);
    (void)push(PORT_RECV, in, sizeof in);
}

Test(sim_port, a_sleep_without_an_end, .signal = SIGABRT) {
    char in[10];
    (void)push(PORT_RECV, in, sizeof in);
    (void)port->methods->enter(port, 1, UINT64_MAX);
}

Test(sim_port, a_descriptor_that_is_left_open, .signal = SIGABRT) {
    port->methods->destroy(port);
    sim_free(sim);
}
