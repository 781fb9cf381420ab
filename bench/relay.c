/* SPDX-License-Identifier: MIT
 *
 * A link that takes its time: passes bytes between clients and a PostgreSQL server, each way half of DELAY_US after they
 * came, so that a round trip takes DELAY_US longer.
 *
 * What it measures: flights, which are round trips if the client waits for each. A flight begins when a client speaks that
 * has not spoken since the server last did. On each connection they are counted from the first COMMIT that the server
 * answers to the last one: what start-up and preparing take is left out. Why it is fair: bytes are never joined or held up
 * for others, only for their time; and all clients pay the same. TLS is not for it.
 *
 *   relay SERVER_PORT DELAY_US     prints the port that it listens on; at SIGTERM, what it counted
 */
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { LINKS_MAX = 128, BUFFER_BYTES = 1 << 20, CHUNKS_MAX = 4096, EVENTS = 64 };

/* Bytes that came together, and when they are passed on. */
struct chunk {
    uint64_t due_ns;
    size_t bytes;
};

/* One way: what came from one socket and goes to the other. Both rings have free room, or their socket is not read. */
struct way {
    bool readable; /* something came */
    uint8_t *bytes;
    size_t first, held;
    struct chunk chunks[CHUNKS_MAX];
    size_t first_chunk, chunk_count;
    bool ended; /* nothing more will come */
};

/* Where the server's stream of messages stands. */
struct reader {
    uint8_t head[5 + 6]; /* of a message: its type, its length, and as much of a tag as tells COMMIT */
    size_t head_bytes, left;
};

struct link {
    int fds[2];         /* the client's, the server's */
    struct way ways[2]; /* by where the bytes come from */
    uint32_t watched[2];
    struct reader reader;
    bool asking;      /* the client spoke last */
    uint64_t flights; /* since the first COMMIT */
    uint64_t counted; /* of these, up to the last COMMIT */
    uint64_t commits;
};

struct relay {
    int epoll, listener, signals, timer;
    uint16_t server_port;
    uint64_t delay_ns, armed_ns;
    uint64_t commits, flights; /* of links that are gone */
    struct link *links[LINKS_MAX];
};

static struct sockaddr_in loopback(uint16_t port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void check(int error, const char *what) {
    if (error < 0)
        bench_die("%s: %s", what, strerror(errno));
}

/* ---- counting --------------------------------------------------------------------------------------------- */

static void link_spoke(struct link *link) {
    link->flights += !link->asking;
    link->asking = true;
}

static void link_committed(struct link *link) {
    if (link->commits++ == 0)
        link->flights = 0;
    link->counted = link->flights;
}

static size_t message_left(const uint8_t *head) {
    return (size_t)((uint32_t)head[1] << 24 | (uint32_t)head[2] << 16 | (uint32_t)head[3] << 8 | head[4]) - 4;
}

/* Follows the server's messages, which begin where the last one ended, and may come in any pieces. */
static void link_read(struct link *link, const uint8_t *bytes, size_t size) {
    struct reader *reader = &link->reader;
    for (size_t i = 0; i < size;) {
        if (reader->head_bytes < 5 || (reader->left && reader->head_bytes < sizeof reader->head)) {
            reader->head[reader->head_bytes++] = bytes[i++];
            if (reader->head_bytes == 5)
                reader->left = message_left(reader->head);
            else if (reader->head_bytes > 5)
                reader->left--;
        } else {
            size_t n = size - i < reader->left ? size - i : reader->left;
            reader->left -= n;
            i += n;
        }
        if (reader->head_bytes < 5 || reader->left)
            continue;
        if (reader->head[0] == 'C' && memcmp(reader->head + 5, "COMMIT", 6) == 0)
            link_committed(link);
        *reader = (struct reader){.head_bytes = 0};
    }
    link->asking = false;
}

/* ---- passing on ------------------------------------------------------------------------------------------- */

static void link_watch(struct relay *relay, struct link *link, int side) {
    const struct way *in = &link->ways[side], *out = &link->ways[!side];
    bool room = in->held < BUFFER_BYTES && in->chunk_count < CHUNKS_MAX && !in->ended;
    bool stuck = out->chunk_count && out->chunks[out->first_chunk].due_ns == 0;
    uint32_t wanted = (room ? EPOLLIN : 0u) | (stuck ? EPOLLOUT : 0u);
    struct epoll_event event = {.events = wanted, .data.ptr = &link->ways[side]};
    if (wanted != link->watched[side])
        check(epoll_ctl(relay->epoll, EPOLL_CTL_MOD, link->fds[side], &event), "epoll_ctl");
    link->watched[side] = wanted;
}

/* Reads what has come, as far as there is room in one piece. False: the socket is broken. */
static bool way_receive(struct relay *relay, struct link *link, int side, uint64_t now_ns) {
    struct way *way = &link->ways[side];
    size_t end = (way->first + way->held) % BUFFER_BYTES;
    size_t room = end < way->first ? way->first - end : BUFFER_BYTES - end;
    if (!way->readable || way->held == BUFFER_BYTES || way->chunk_count == CHUNKS_MAX || way->ended)
        return true;
    way->readable = false;
    ssize_t n = recv(link->fds[side], way->bytes + end, room, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    way->ended = n == 0;
    if (way->ended)
        return true;
    way->chunks[(way->first_chunk + way->chunk_count++) % CHUNKS_MAX] =
        (struct chunk){now_ns + relay->delay_ns / 2, (size_t)n};
    way->held += (size_t)n;
    if (side == 0)
        link_spoke(link);
    else
        link_read(link, way->bytes + end, (size_t)n);
    return true;
}

/* Passes on what is due; what the other socket does not take is due as soon as it does. False: the socket is broken. */
static bool way_send(struct link *link, int side, uint64_t now_ns) {
    struct way *way = &link->ways[side];
    while (way->chunk_count && way->chunks[way->first_chunk].due_ns <= now_ns) {
        struct chunk *chunk = &way->chunks[way->first_chunk];
        size_t size = chunk->bytes < BUFFER_BYTES - way->first ? chunk->bytes : BUFFER_BYTES - way->first;
        ssize_t n = send(link->fds[!side], way->bytes + way->first, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        chunk->due_ns = 0;
        if (n < 0)
            return true;
        way->first = (way->first + (size_t)n) % BUFFER_BYTES;
        way->held -= (size_t)n;
        chunk->bytes -= (size_t)n;
        if (chunk->bytes)
            continue;
        way->first_chunk = (way->first_chunk + 1) % CHUNKS_MAX;
        way->chunk_count--;
    }
    return true;
}

static void link_close(struct relay *relay, size_t index) {
    struct link *link = relay->links[index];
    relay->commits += link->commits ? link->commits - 1 : 0;
    relay->flights += link->counted;
    for (int side = 0; side < 2; side++) {
        close(link->fds[side]);
        free(link->ways[side].bytes);
    }
    free(link);
    relay->links[index] = NULL;
}

/* All that can be done on a link at this time. */
static void link_step(struct relay *relay, size_t index, uint64_t now_ns) {
    struct link *link = relay->links[index];
    bool well = true, over = false;
    for (int side = 0; well && side < 2; side++) {
        well = way_receive(relay, link, side, now_ns) && way_send(link, side, now_ns);
        over |= link->ways[side].ended && !link->ways[side].chunk_count;
    }
    if (!well || over) {
        link_close(relay, index);
        return;
    }
    link_watch(relay, link, 0);
    link_watch(relay, link, 1);
}

static void relay_accept(struct relay *relay) {
    size_t index = 0;
    while (index < LINKS_MAX && relay->links[index])
        index++;
    struct link *link = calloc(1, sizeof *link);
    struct sockaddr_in server = loopback(relay->server_port);
    if (index == LINKS_MAX || !link)
        bench_die("too many connections");
    link->fds[0] = accept(relay->listener, NULL, NULL);
    link->fds[1] = socket(AF_INET, SOCK_STREAM, 0);
    check(link->fds[0], "accept");
    check(connect(link->fds[1], (struct sockaddr *)&server, sizeof server), "cannot connect to the server");
    for (int side = 0; side < 2; side++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &link->ways[side]};
        link->ways[side].bytes = malloc(BUFFER_BYTES);
        if (!link->ways[side].bytes)
            bench_die("out of memory");
        link->watched[side] = EPOLLIN;
        setsockopt(link->fds[side], IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        check(epoll_ctl(relay->epoll, EPOLL_CTL_ADD, link->fds[side], &event), "epoll_ctl");
    }
    relay->links[index] = link;
}

/* ---- the loop --------------------------------------------------------------------------------------------- */

/* A timer's own descriptor keeps its time to the microsecond, where a timeout of epoll_wait() rounds up. */
static void relay_arm(struct relay *relay) {
    uint64_t first_ns = UINT64_MAX;
    for (size_t i = 0; i < LINKS_MAX; i++) {
        for (int side = 0; relay->links[i] && side < 2; side++) {
            const struct way *way = &relay->links[i]->ways[side];
            uint64_t due_ns = way->chunk_count ? way->chunks[way->first_chunk].due_ns : 0;
            if (due_ns && due_ns < first_ns)
                first_ns = due_ns;
        }
    }
    if (first_ns == relay->armed_ns)
        return;
    relay->armed_ns = first_ns;
    struct itimerspec at = {0};
    if (first_ns != UINT64_MAX) {
        at.it_value.tv_sec = (time_t)(first_ns / 1000000000);
        at.it_value.tv_nsec = (long)(first_ns % 1000000000);
    }
    check(timerfd_settime(relay->timer, TFD_TIMER_ABSTIME, &at, NULL), "timerfd_settime");
}

/* Returns false when the program is to end. */
static bool relay_take(struct relay *relay, void *source) {
    uint64_t ticks;
    if (source == &relay->signals)
        return false;
    if (source == &relay->listener)
        relay_accept(relay);
    else if (source != &relay->timer)
        ((struct way *)source)->readable = true;
    else if (read(relay->timer, &ticks, sizeof ticks) > 0)
        relay->armed_ns = 0;
    return true;
}

static void relay_run(struct relay *relay) {
    struct epoll_event events[EVENTS];
    for (;;) {
        int count = epoll_wait(relay->epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++)
            if (!relay_take(relay, events[i].data.ptr))
                return;
        uint64_t now_ns = bench_now_ns();
        for (size_t i = 0; i < LINKS_MAX; i++)
            if (relay->links[i])
                link_step(relay, i, now_ns);
        relay_arm(relay);
    }
}

static void relay_open(struct relay *relay) {
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    check(relay->epoll = epoll_create1(0), "epoll_create1");
    check(relay->signals = signalfd(-1, &signals, 0), "signalfd");
    check(relay->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), "timerfd_create");
    check(relay->listener = socket(AF_INET, SOCK_STREAM, 0), "socket");
    check(bind(relay->listener, (struct sockaddr *)&address, size), "bind");
    check(listen(relay->listener, LINKS_MAX), "listen");
    check(getsockname(relay->listener, (struct sockaddr *)&address, &size), "getsockname");
    int *fds[] = {&relay->signals, &relay->timer, &relay->listener};
    for (size_t i = 0; i < 3; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = fds[i]};
        check(epoll_ctl(relay->epoll, EPOLL_CTL_ADD, *fds[i], &event), "epoll_ctl");
    }
    printf("%u\n", ntohs(address.sin_port));
    fflush(stdout);
}

int main(int argc, char **argv) {
    static struct relay relay;
    int port = argc == 3 ? atoi(argv[1]) : 0, delay_us = argc == 3 ? atoi(argv[2]) : -1;
    if (port < 1 || port > 65535 || delay_us < 0)
        bench_die("usage: relay SERVER_PORT DELAY_US");
    relay.server_port = (uint16_t)port;
    relay.delay_ns = (uint64_t)delay_us * 1000;
    relay_open(&relay);
    relay_run(&relay);
    for (size_t i = 0; i < LINKS_MAX; i++)
        if (relay.links[i])
            link_close(&relay, i);
    printf("{\"transactions\": %" PRIu64 ", \"flights\": %" PRIu64 "}\n", relay.commits, relay.flights);
    return 0;
}
