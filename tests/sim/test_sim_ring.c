/* SPDX-License-Identifier: MIT */
/*
 * The reactor over the simulated kernel: sockets with every split, short send, delay and error; their ends.
 * What a socket may do to memory and descriptors is watched by port_sim itself.
 */
#include "lib/seeds.h"
#include "ring/port_sim.h"
#include "ring/ring.h"
#include "ring/socket.h"

#include <criterion/criterion.h>
#include <errno.h>

enum { STREAMS_MAX = 16, IN_LIMIT = 1 << 20, SECOND = 1000000000 };

/* ---- A client that sends a pattern and a peer that sends it back ---- */

struct world;

struct client {
    struct world *world;
    struct socket socket;
    struct sim_peer *peer;
    uint64_t wanted;   /* bytes to send and to get back */
    uint64_t appended; /* so far */
    uint64_t received;
    uint64_t echoed; /* bytes that came to the peer */
    uint32_t lost_count, closed_count;
    int lost_error;
    bool peer_reset, peer_ended;
};

struct world {
    struct sim *sim;
    struct ring *ring;
    struct client clients[STREAMS_MAX];
    uint32_t count;
};

static uint8_t pattern(const struct client *client, uint64_t at) {
    uint64_t mixed = (at + (uint64_t)(client - client->world->clients) * 977) * 0x9e3779b97f4a7c15u;
    return (uint8_t)(mixed >> 56);
}

static struct client *client_of(struct socket *socket) {
    return base_container_of(socket, struct client, socket);
}

static void client_received(struct socket *socket) {
    struct client *client = client_of(socket);
    const uint8_t *bytes = buf_head(&socket->in);
    size_t size = buf_size(&socket->in);
    /* Leaves some of it for later at times, as a decoder does with half a message. */
    size_t used = rng_next(sim_rng(client->world->sim)) % 4 ? size : size / 2;
    if (client->received + size >= client->wanted)
        used = size;
    for (size_t i = 0; i < used; i++)
        LAW(bytes[i] == pattern(client, client->received + i), "byte %llu of client %d came back wrong",
            (unsigned long long)(client->received + i), (int)(client - client->world->clients));
    client->received += used;
    buf_consume(&socket->in, used);
}

static void client_lost(struct socket *socket, int error) {
    client_of(socket)->lost_count++;
    client_of(socket)->lost_error = error;
    LAW(socket->state == SOCKET_DRAINING, "lost while in state %d", socket->state);
}

static void client_closed(struct socket *socket) {
    struct client *client = client_of(socket);
    client->closed_count++;
    LAW(!socket->sending && !socket->receiving, "closed with operations in the kernel");
    LAW(socket->accepted_bytes == sim_peer_taken_bytes(client->peer), "accepted %llu, the kernel took %llu",
        (unsigned long long)socket->accepted_bytes, (unsigned long long)sim_peer_taken_bytes(client->peer));
    socket_free(socket);
}

static const struct socket_events client_events = {client_received, client_lost, client_closed};

static void echo_received(struct sim_peer *peer, const uint8_t *bytes, size_t size) {
    struct client *client = sim_peer_user(peer);
    for (size_t i = 0; i < size; i++)
        LAW(bytes[i] == pattern(client, client->echoed + i), "byte %llu was sent wrong",
            (unsigned long long)(client->echoed + i));
    client->echoed += size;
    sim_peer_write(peer, bytes, size);
}

static void echo_ended(struct sim_peer *peer, bool reset) {
    struct client *client = sim_peer_user(peer);
    client->peer_ended = !reset;
    client->peer_reset = reset;
}

static const struct sim_peer_events echo_events = {.received = echo_received, .ended = echo_ended};

static void world_open(struct world *world, const struct sim_options *options) {
    char message[256] = "";
    *world = (struct world){.sim = sim_new(options)};
    seeds_watch(world->sim);
    struct ring_options ring = {.socket_count = STREAMS_MAX, .port = sim_port(world->sim)};
    LAW(ring_open(&ring, &world->ring, message, sizeof message) == 0, "%s", message);
}

static void world_close(struct world *world) {
    LAW(ring_counters(world->ring)->stale == 0, "stale completions");
    ring_close(world->ring);
    sim_free(world->sim);
    seeds_watch(NULL);
}

static struct client *world_connect(struct world *world, uint64_t wanted) {
    struct client *client = &world->clients[world->count++];
    *client = (struct client){.world = world, .wanted = wanted};
    int fd = sim_connect(world->sim, &echo_events, client, &client->peer);
    LAW(socket_open(&client->socket, world->ring, fd, &client_events, IN_LIMIT, SIZE_MAX) == 0, "socket_open");
    return client;
}

static void client_append(struct client *client, uint64_t size) {
    struct buf *out = socket_out(&client->socket);
    for (uint64_t i = 0; i < size; i++)
        buf_put_u8(out, pattern(client, client->appended + i));
    client->appended += size;
    socket_dirty(&client->socket);
}

static void turn(struct world *world, uint64_t timeout_ns) {
    const struct sim_fault *fault = sim_fault(world->sim);
    bool set = fault->hit && fault->point == SIM_ENTER;
    int error = ring_turn(world->ring, timeout_ns);
    bool refused = !set && fault->hit && fault->point == SIM_ENTER && error == fault->error;
    LAW(error == 0 || error == -EINTR || refused, "ring_turn: %d", error);
}

static void close_all(struct world *world) {
    for (uint32_t i = 0; i < world->count; i++)
        socket_close(&world->clients[i].socket);
    for (uint32_t i = 0; i < world->count; i++)
        while (!world->clients[i].closed_count)
            turn(world, UINT64_MAX);
}

/* ---- Every byte there and back ---- */

static struct sim_options mild(uint64_t seed) {
    struct rng rng = {seed * 77};
    return (struct sim_options){
        .seed = seed,
        .start_ns = rng_next(&rng) >> (1 + rng_below(&rng, 40)),
        .socket_bytes = (uint32_t)1 << rng_below(&rng, 17),
        .queue_count = 1 + (uint32_t)rng_below(&rng, 40),
        .latency_ns = rng_below(&rng, 3) ? rng_below(&rng, 200000) : 0,
        .bytewise = rng_below(&rng, 10) == 0,
        .split = (uint16_t)rng_below(&rng, 800),
        .short_send = (uint16_t)rng_below(&rng, 500),
        .short_delivery = (uint16_t)rng_below(&rng, 800),
        .again = (uint16_t)(rng_below(&rng, 2) * rng_below(&rng, 200)),
        .cancelled = (uint16_t)(rng_below(&rng, 2) * 500),
        .busy = (uint16_t)(rng_below(&rng, 2) * rng_below(&rng, 200)),
        .interrupt = (uint16_t)(rng_below(&rng, 2) * rng_below(&rng, 200)),
        .withhold = (uint16_t)(rng_below(&rng, 2) * rng_below(&rng, 500)),
        .batch = (uint32_t)(rng_below(&rng, 2) * rng_below(&rng, 6)),
    };
}

static bool echo_all_back(const struct world *world) {
    for (uint32_t i = 0; i < world->count; i++)
        if (world->clients[i].received < world->clients[i].wanted)
            return false;
    return true;
}

static void echo_seed(uint64_t seed) {
    struct world world;
    struct sim_options options = mild(seed);
    world_open(&world, &options);
    struct rng *rng = sim_rng(world.sim);
    uint64_t sockets = 1 + rng_below(rng, 6);
    while (world.count < sockets)
        world_connect(&world, rng_below(rng, options.bytewise || options.socket_bytes < 16 ? 300 : 20000));
    while (!echo_all_back(&world)) {
        struct client *client = &world.clients[rng_below(rng, world.count)];
        uint64_t left = client->wanted - client->appended;
        if (left)
            client_append(client, 1 + rng_below(rng, left));
        turn(&world, rng_below(rng, 3) ? SECOND : 0);
    }
    for (uint32_t i = 0; i < world.count; i++)
        LAW(world.clients[i].lost_count == 0, "a socket was lost: %s", strerror(world.clients[i].lost_error));
    close_all(&world);
    world_close(&world);
}

Test(sim_ring, every_byte_comes_back) {
    seeds_run(600, echo_seed);
}

/* ---- Ends: resets, half-closes, our own close, at any time ---- */

static void end_somehow(struct world *world, struct client *client, uint64_t how) {
    struct rng *rng = sim_rng(world->sim);
    if (sim_peer_over(client->peer))
        return;
    if (how == 0)
        socket_close(&client->socket);
    else if (how == 1)
        sim_peer_reset(client->peer);
    else if (how == 2)
        sim_peer_listen(client->peer, false);
    else if (how == 3)
        sim_peer_reset_at(client->peer, sim_peer_taken_bytes(client->peer) + rng_below(rng, 100), UINT64_MAX);
    else if (how == 4)
        sim_peer_reset_at(client->peer, UINT64_MAX, sim_peer_given_bytes(client->peer) + rng_below(rng, 100));
}

static void end_seed(uint64_t seed) {
    struct world world;
    struct sim_options options = mild(seed);
    options.reset = (uint16_t)(seed % 3 ? 0 : 20);
    world_open(&world, &options);
    struct rng *rng = sim_rng(world.sim);
    while (world.count < STREAMS_MAX)
        world_connect(&world, 100000);
    for (uint64_t turns = 20 + rng_below(rng, 50); turns; turns--) {
        struct client *client = &world.clients[rng_below(rng, world.count)];
        if (client->socket.state == SOCKET_OPEN)
            client_append(client, 1 + rng_below(rng, 3000));
        client = &world.clients[rng_below(rng, world.count)];
        if (client->socket.state == SOCKET_OPEN)
            end_somehow(&world, client, rng_below(rng, 12));
        turn(&world, rng_below(rng, 2) * 50000);
    }
    close_all(&world);
    for (uint32_t i = 0; i < world.count; i++) {
        struct client *client = &world.clients[i];
        LAW(client->closed_count == 1 && client->lost_count <= 1, "closed %u times, lost %u times",
            client->closed_count, client->lost_count);
    }
    world_close(&world);
}

Test(sim_ring, every_stream_closes_once_however_it_ends) {
    seeds_run(600, end_seed);
}

/* The peer ends: it is lost once, with error 0, after all it had sent was received. */
static void fin_seed(uint64_t seed) {
    struct world world;
    struct sim_options options = mild(seed);
    world_open(&world, &options);
    struct client *client = world_connect(&world, 500);
    for (uint64_t i = 0; i < client->wanted; i++) {
        uint8_t byte = pattern(client, i);
        sim_peer_write(client->peer, &byte, 1);
    }
    sim_peer_end(client->peer);
    while (!client->closed_count)
        turn(&world, SECOND);
    LAW(client->lost_count == 1 && client->lost_error == 0, "lost %u times, %d", client->lost_count,
        client->lost_error);
    LAW(client->received == client->wanted, "only %llu bytes came", (unsigned long long)client->received);
    world_close(&world);
}

Test(sim_ring, what_the_peer_said_before_its_end_is_received) {
    seeds_run(100, fin_seed);
}

/* ---- Both directions are full ---- */

static void stubborn_received(struct sim_peer *peer, const uint8_t *bytes, size_t size) {
    echo_received(peer, bytes, size);
    sim_peer_listen(peer, sim_peer_backlog_bytes(peer) == 0); /* a server that is blocked writing does not read */
}

static void stubborn_writable(struct sim_peer *peer) {
    sim_peer_listen(peer, true);
}

Test(sim_ring, reads_never_wait_for_writes) {
    static const struct sim_peer_events stubborn = {stubborn_received, stubborn_writable, echo_ended};
    struct world world;
    struct sim_options options = {.seed = 1, .socket_bytes = 1000, .latency_ns = 1000};
    world_open(&world, &options);
    struct client *client = &world.clients[world.count++];
    *client = (struct client){.world = &world, .wanted = 3000000};
    int fd = sim_connect(world.sim, &stubborn, client, &client->peer);
    LAW(socket_open(&client->socket, world.ring, fd, &client_events, IN_LIMIT, SIZE_MAX) == 0, "socket_open");
    client_append(client, client->wanted);
    while (client->received < client->wanted)
        turn(&world, UINT64_MAX);
    cr_assert_eq(client->lost_count, 0);
    close_all(&world);
    world_close(&world);
}

/* Replies of other sockets come while one socket's send is blocked. */
Test(sim_ring, a_blocked_send_holds_up_no_other_stream) {
    struct world world;
    struct sim_options options = {.seed = 1, .socket_bytes = 1000, .latency_ns = 1000};
    world_open(&world, &options);
    struct client *blocked = world_connect(&world, 5000), *free_one = world_connect(&world, 500);
    sim_peer_listen(blocked->peer, false);
    client_append(blocked, 5000);
    client_append(free_one, 500);
    uint64_t start = sim_now_ns(world.sim);
    while (free_one->received < free_one->wanted)
        turn(&world, SECOND);
    cr_assert_lt(sim_now_ns(world.sim) - start, 2000000u);
    close_all(&world);
    world_close(&world);
}

struct asking {
    struct timer timer;
    struct client *client;
};

static void ask(struct timer *timer) {
    client_append(base_container_of(timer, struct asking, timer)->client, 100);
}

Test(sim_ring, a_push_sends_what_a_turn_has_left) {
    struct world world;
    struct sim_options options = {.seed = 1, .socket_bytes = 1000, .latency_ns = 1000};
    world_open(&world, &options);
    struct asking asking = {.timer = {.fire = ask}, .client = world_connect(&world, 200)};
    turn(&world, 0);
    timer_set(world.ring, &asking.timer, ring_now_ns(world.ring) + SECOND);
    while (!asking.client->appended)
        turn(&world, UINT64_MAX);
    ring_push(world.ring);
    sim_settle(world.sim);
    cr_assert_eq(asking.client->echoed, 100);
    while (asking.client->received < 50)
        turn(&world, SECOND);
    client_append(asking.client, 100);
    ring_push(world.ring);
    cr_assert(ring_wants_turn(world.ring), "a foreign loop hears of it");
    sim_settle(world.sim);
    cr_assert_eq(asking.client->echoed, 200);
    close_all(&world);
    world_close(&world);
}

static uint64_t closed_at_ns;

static void note_closed(struct socket *socket) {
    closed_at_ns = ring_now_ns(client_of(socket)->world->ring);
    client_closed(socket);
}

static void back(struct sim_timer *timer) {
    (void)timer;
}

/* What an owner does about its end is timed, and between two turns the time stands still. */
Test(sim_ring, a_push_closes_no_socket_and_a_turn_tells_the_time_with_it) {
    static const struct socket_events events = {client_received, client_lost, note_closed};
    struct world world;
    struct sim_options options = {.seed = 1, .socket_bytes = 1000, .latency_ns = 1000};
    world_open(&world, &options);
    struct client *ending = world_connect(&world, 100), *other = world_connect(&world, 100);
    ending->socket.events = &events;
    turn(&world, 0);
    socket_close(&ending->socket);
    while (ending->socket.receiving)
        turn(&world, SECOND);
    cr_assert_eq(ending->closed_count, 0);
    struct sim_timer timer = {.fire = back};
    sim_timer_set(world.sim, &timer, 6 * (uint64_t)SECOND);
    sim_settle(world.sim);
    client_append(other, 100);
    ring_push(world.ring);
    cr_assert_eq(ending->closed_count, 0);
    turn(&world, 0);
    cr_assert_eq(ending->closed_count, 1);
    cr_assert_geq(closed_at_ns, 6 * (uint64_t)SECOND);
    close_all(&world);
    world_close(&world);
}

/* ---- Memory ---- */

Test(sim_ring, buffers_of_an_idle_stream_shrink) {
    struct world world;
    struct sim_options options = {.seed = 1, .socket_bytes = 1 << 20};
    world_open(&world, &options);
    struct client *client = world_connect(&world, 2000000);
    client_append(client, 1900000);
    while (client->received < 1900000)
        turn(&world, SECOND);
    cr_assert_gt(client->socket.in.capacity, 64u * 1024);
    for (int i = 0; i < 100; i++) {
        uint64_t before = client->received;
        client_append(client, 10);
        while (client->received < before + 5)
            turn(&world, SECOND);
    }
    cr_expect_leq(client->socket.in.capacity, 16u * 1024);
    cr_expect_leq(client->socket.out.capacity, 64u * 1024);
    cr_expect_leq(client->socket.flight.capacity, 64u * 1024);
    close_all(&world);
    world_close(&world);
}

static void hoarder_received(struct socket *socket) {
    socket_expect(socket, IN_LIMIT + 500000); /* consumes nothing */
}

Test(sim_ring, a_message_over_the_limit_ends_the_stream) {
    static const struct socket_events hoarder = {hoarder_received, client_lost, client_closed};
    struct world world;
    struct sim_options options = {.seed = 1};
    world_open(&world, &options);
    struct client *client = &world.clients[world.count++];
    *client = (struct client){.world = &world};
    int fd = sim_connect(world.sim, &echo_events, client, &client->peer);
    LAW(socket_open(&client->socket, world.ring, fd, &hoarder, IN_LIMIT, SIZE_MAX) == 0, "socket_open");
    sim_peer_write(client->peer, "x", 1);
    while (!client->closed_count)
        turn(&world, SECOND);
    cr_assert_eq(client->lost_count, 1);
    world_close(&world);
}

/* ---- Each operation in turn fails ---- */

static bool fail_at(enum sim_point point, uint64_t nth, int error) {
    struct world world;
    struct sim_options options = {.seed = nth, .latency_ns = 1000, .split = 300, .short_send = 300};
    world_open(&world, &options);
    struct client *client = world_connect(&world, 3000);
    struct sim_fault fault = {.point = point, .nth = nth, .error = error};
    sim_set_fault(world.sim, &fault);
    uint32_t turns = 0;
    while (client->received < client->wanted && !client->lost_count && turns++ < 100000) {
        if (client->appended < client->wanted)
            client_append(client, 300);
        turn(&world, SECOND);
    }
    bool hit = sim_fault(world.sim)->hit;
    bool passing = error == -EINTR || error == -EAGAIN || error == -ETIME || error == -EBUSY || point == SIM_ENTER;
    LAW(client->received == client->wanted || client->lost_count, "stuck");
    LAW(!passing || !client->lost_count, "lost for an error that passes: %s", strerror(-error));
    LAW(passing || !hit || client->lost_count || client->received == client->wanted, "a failure went unnoticed");
    close_all(&world);
    LAW(client->closed_count == 1, "closed %u times", client->closed_count);
    world_close(&world);
    return hit;
}

static void fail_each(enum sim_point point, const int *errors) {
    for (; *errors; errors++)
        for (uint64_t nth = 1; fail_at(point, nth, *errors); nth++)
            ;
}

static void fail_all(uint64_t seed) {
    (void)seed;
    static const int of_push[] = {-EBUSY, -EAGAIN, -ENOMEM, 0}, of_enter[] = {-EINTR, -ETIME, -ENOMEM, 0},
                     of_socket[] = {-EINTR, -EAGAIN, -ECONNRESET, -EPIPE, -ECANCELED, -ETIMEDOUT, -ENOMEM, 0};
    fail_each(SIM_PUSH, of_push);
    fail_each(SIM_ENTER, of_enter);
    fail_each(SIM_RECV, of_socket);
    fail_each(SIM_SEND, of_socket);
}

Test(sim_ring, each_operation_in_turn_fails) {
    seeds_run(1, fail_all);
}

/* ---- Descriptors and slots that are used again ---- */

static void reuse_seed(uint64_t seed) {
    struct world world;
    struct sim_options options = {.seed = seed, .latency_ns = 5000, .cancelled = 500, .withhold = 300};
    world_open(&world, &options);
    struct rng *rng = sim_rng(world.sim);
    world.count = STREAMS_MAX;
    for (int opened = 0; opened < 2000;) {
        struct client *client = &world.clients[rng_below(rng, STREAMS_MAX)];
        if (client->socket.state == SOCKET_UNUSED) {
            *client = (struct client){.world = &world, .wanted = 1000};
            int fd = sim_connect(world.sim, &echo_events, client, &client->peer);
            LAW(socket_open(&client->socket, world.ring, fd, &client_events, IN_LIMIT, SIZE_MAX) == 0, "socket_open");
            client_append(client, 50);
            opened++;
        } else if (client->socket.state == SOCKET_OPEN && client->received > 20) {
            socket_close(&client->socket);
        }
        turn(&world, rng_below(rng, 2) * 2000);
    }
    for (uint32_t i = 0; i < STREAMS_MAX; i++)
        if (world.clients[i].socket.state == SOCKET_UNUSED)
            world.clients[i].closed_count = 1;
    close_all(&world);
    world_close(&world);
}

Test(sim_ring, completions_find_their_own_stream) {
    seeds_run(5, reuse_seed);
}

Test(sim_ring, no_more_sockets_than_promised) {
    struct world world;
    struct sim_options options = {.seed = 1};
    world_open(&world, &options);
    for (int i = 0; i < STREAMS_MAX; i++)
        world_connect(&world, 0);
    struct socket more = {0};
    struct sim_peer *peer;
    struct client unused = {.world = &world};
    int fd = sim_connect(world.sim, &echo_events, &unused, &peer);
    cr_assert_eq(socket_open(&more, world.ring, fd, &client_events, IN_LIMIT, SIZE_MAX), QURING_EFULL);
    sim_port(world.sim)->methods->close(sim_port(world.sim), fd);
    close_all(&world);
    world_close(&world);
}

/* ---- A foreign loop ---- */

/*
 * A foreign loop turns only when the descriptor is readable, a timer is due, or ring_wants_turn(): which must be so while
 * a socket's next receive or send waits for the coming turn.
 */
Test(sim_ring, a_foreign_loop_is_told_when_to_turn) {
    struct world world;
    struct sim_options options = {.seed = 1, .latency_ns = 1000, .split = 700, .short_send = 500, .busy = 100};
    world_open(&world, &options);
    struct client *client = world_connect(&world, 5000);
    client_append(client, 5000);
    while (client->received < client->wanted) {
        uint64_t at = ring_next_timer_ns(world.ring);
        uint64_t now = sim_now_ns(world.sim);
        if (!ring_wants_turn(world.ring))
            sim_wait(world.sim, at == UINT64_MAX ? UINT64_MAX : at > now ? at - now : 0);
        turn(&world, 0);
    }
    close_all(&world);
    world_close(&world);
}
