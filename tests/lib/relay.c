/* SPDX-License-Identifier: MIT */
#include "lib/relay.h"

#include "base/assert.h"
#include "base/bytes.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS_MAX = 4096, CHUNK_BYTES = 65536, HELD_MS = 10 };

struct link {
    struct relay *relay;
    struct relay_plan plan;
    pthread_t thread;
    int client, server;
    bool ready;              /* the first ReadyForQuery has passed */
    bool asking;             /* the client spoke last */
    uint64_t received, sent; /* bytes since then */
    size_t message_left;     /* of the server's message under way, before `ready` */
    uint8_t header[5];
    size_t header_bytes;
};

struct relay {
    int listener, stop[2];
    unsigned port, server_port;
    pthread_t thread;
    pthread_mutex_t mutex;
    struct relay_plan plan; /* under the mutex */
    atomic_uint accepted_count, flight_count;
    atomic_bool held;
    struct link *links[CLIENTS_MAX];
};

/* ---- Sockets ---- */

static struct sockaddr_in loopback(unsigned port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int listen_anywhere(unsigned *port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    PRE(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 128) == 0);
    PRE(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    *port = ntohs(address.sin_port);
    return fd;
}

unsigned relay_dead_port(void) {
    unsigned port;
    close(listen_anywhere(&port));
    return port;
}

static bool write_all(int fd, const void *bytes, size_t size) {
    const uint8_t *at = bytes;
    while (size) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

/* ---- One client ---- */

/* Follows the server's messages up to the first ReadyForQuery. Returns how many bytes belong to what comes before its end. */
static size_t find_ready(struct link *link, const uint8_t *bytes, size_t size) {
    size_t at = 0;
    while (at < size && !link->ready) {
        if (link->message_left) {
            size_t n = size - at < link->message_left ? size - at : link->message_left;
            link->message_left -= n;
            at += n;
        } else {
            link->header[link->header_bytes++] = bytes[at++];
            if (link->header_bytes < sizeof link->header)
                continue;
            link->message_left = bytes_load_u32(link->header + 1) - 4;
        }
        if (link->message_left || link->header_bytes < sizeof link->header)
            continue;
        link->ready = link->header[0] == 'Z';
        link->header_bytes = 0;
    }
    return at;
}

/* Passes bytes on until the plan's cut. False: the link is to end. */
static bool pass(int to, const uint8_t *bytes, size_t size, uint64_t *count, uint64_t cut_after) {
    uint64_t room = cut_after - *count;
    size_t n = size < room ? size : (size_t)room;
    *count += n;
    return write_all(to, bytes, n) && *count < cut_after;
}

static bool pass_reply(struct link *link, const uint8_t *bytes, size_t size) {
    const struct relay_plan *plan = &link->plan;
    if (!link->ready) {
        size_t before = find_ready(link, bytes, size);
        if (!link->ready)
            return write_all(link->client, bytes, size);
        uint8_t joined[CHUNK_BYTES + 4096];
        memcpy(joined, bytes, before);
        if (plan->stray_bytes)
            memcpy(joined + before, plan->stray, plan->stray_bytes);
        if (!write_all(link->client, joined, before + plan->stray_bytes) || plan->cut_after_received == 0)
            return false;
        bytes += before;
        size -= before;
        if (size == 0)
            return true;
    }
    link->asking = false;
    if (plan->freeze)
        return true;
    if (link->received == 0 && plan->late_bytes && !write_all(link->client, plan->late, plan->late_bytes))
        return false;
    return pass(link->client, bytes, size, &link->received, plan->cut_after_received);
}

static void garble(uint8_t *bytes, size_t size, const char *text) {
    size_t length = strlen(text);
    for (size_t i = 0; i + length <= size; i++)
        if (memcmp(bytes + i, text, length) == 0)
            bytes[i + length - 1] = '?';
}

static bool is_cancel(const uint8_t *bytes, size_t size) {
    return size == 16 && bytes_load_u32(bytes) == 16 && bytes_load_u32(bytes + 4) == 80877102;
}

static bool pass_request(struct link *link, uint8_t *bytes, size_t size) {
    static const char no_process[] = "Ecould not fork new process for connection: Resource temporarily unavailable\n";
    if (!link->ready && link->plan.refuse_cancels && is_cancel(bytes, size)) {
        (void)write_all(link->client, (const uint8_t *)no_process, sizeof no_process);
        return false;
    }
    if (!link->ready && link->plan.cut_cancels && is_cancel(bytes, size)) {
        link->plan.reset = true;
        return false;
    }
    if (!link->ready)
        return write_all(link->server, bytes, size);
    if (!link->asking)
        atomic_fetch_add(&link->relay->flight_count, 1);
    link->asking = true;
    if (link->plan.garbled)
        garble(bytes, size, link->plan.garbled);
    return pass(link->server, bytes, size, &link->sent, link->plan.cut_after_sent);
}

/* False: one side closed, or the plan's end is reached. */
static bool link_step(struct link *link, const struct pollfd *fds) {
    uint8_t bytes[CHUNK_BYTES];
    for (int side = 0; side < 2; side++) {
        if (!fds[side].revents)
            continue;
        ssize_t n = recv(side ? link->server : link->client, bytes, sizeof bytes, 0);
        if (n <= 0)
            return false;
        if (!(side ? pass_reply(link, bytes, (size_t)n) : pass_request(link, bytes, (size_t)n)))
            return false;
    }
    return true;
}

static void *link_main(void *argument) {
    struct link *link = argument;
    struct sockaddr_in address = loopback(link->relay->server_port);
    bool open = true;
    if (!link->plan.mute) {
        link->server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        open = connect(link->server, (struct sockaddr *)&address, sizeof address) == 0;
    }
    const atomic_bool *held = &link->relay->held;
    while (open) {
        bool hold = atomic_load(held);
        struct pollfd fds[3] = {{.fd = link->plan.mute || hold ? -1 : link->client, .events = POLLIN},
                                {.fd = hold ? -1 : link->server, .events = POLLIN},
                                {.fd = link->relay->stop[0], .events = POLLIN}};
        open = poll(fds, 3, hold ? HELD_MS : -1) >= 0 && !fds[2].revents && (atomic_load(held) || link_step(link, fds));
    }
    if (link->plan.reset)
        setsockopt(link->client, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    close(link->client);
    if (link->server >= 0)
        close(link->server);
    return NULL;
}

/* ---- The relay ---- */

static void *relay_main(void *argument) {
    struct relay *relay = argument;
    for (uint32_t n = 0; n < CLIENTS_MAX; n++) {
        struct pollfd fds[2] = {{.fd = relay->listener, .events = POLLIN}, {.fd = relay->stop[0], .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 || fds[1].revents)
            break;
        struct link *link = calloc(1, sizeof *link);
        PRE(link);
        link->relay = relay;
        link->server = -1;
        link->client = accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC);
        pthread_mutex_lock(&relay->mutex);
        link->plan = relay->plan;
        pthread_mutex_unlock(&relay->mutex);
        relay->links[n] = link;
        atomic_fetch_add(&relay->accepted_count, 1); /* before its client can hear anything */
        PRE(link->client >= 0 && pthread_create(&link->thread, NULL, link_main, link) == 0);
    }
    return NULL;
}

struct relay *relay_open(unsigned server_port) {
    unsigned port;
    int listener = listen_anywhere(&port);
    return relay_open_on(listener, port, server_port);
}

struct relay *relay_open_on(int listener, unsigned port, unsigned server_port) {
    struct relay *relay = calloc(1, sizeof *relay);
    PRE(relay && pipe(relay->stop) == 0);
    relay->server_port = server_port;
    relay->listener = listener;
    relay->port = port;
    pthread_mutex_init(&relay->mutex, NULL);
    relay_set(relay, &(struct relay_plan){.cut_after_received = RELAY_NEVER, .cut_after_sent = RELAY_NEVER});
    PRE(pthread_create(&relay->thread, NULL, relay_main, relay) == 0);
    return relay;
}

unsigned relay_port(const struct relay *relay) {
    return relay->port;
}

void relay_set(struct relay *relay, const struct relay_plan *plan) {
    pthread_mutex_lock(&relay->mutex);
    relay->plan = *plan;
    pthread_mutex_unlock(&relay->mutex);
}

void relay_hold(struct relay *relay, bool on) {
    atomic_store(&relay->held, on);
}

uint32_t relay_flight_count(struct relay *relay) {
    return atomic_load(&relay->flight_count);
}

uint32_t relay_accepted_count(struct relay *relay) {
    return atomic_load(&relay->accepted_count);
}

void relay_close(struct relay *relay) {
    ssize_t n = write(relay->stop[1], "", 1); /* nobody reads it: all see it */
    PRE(n == 1);
    pthread_join(relay->thread, NULL);
    for (uint32_t i = 0; i < CLIENTS_MAX && relay->links[i]; i++) {
        pthread_join(relay->links[i]->thread, NULL);
        free(relay->links[i]);
    }
    close(relay->listener);
    close(relay->stop[0]);
    close(relay->stop[1]);
    pthread_mutex_destroy(&relay->mutex);
    free(relay);
}
