/* SPDX-License-Identifier: MIT */
#include "lib/crowd.h"

#include "base/buf.h"
#include "base/cursor.h"
#include "lib/replies.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROUND_MS = 2, TEXT = 25 };

struct client {
    struct buf in;
    bool started, let_in, served;
};

struct crowd {
    pthread_t thread;
    unsigned port;
    uint32_t client_count; /* fds[1] … fds[client_count] are clients; fds[0] listens */
    struct pollfd *fds;
    struct client *clients;
    atomic_bool away, over;
    atomic_bool is_away;
    atomic_uint accepted_count, waiting_most;
};

/* ---- What is said ---- */

static void say(int fd, struct buf *out) {
    (void)!send(fd, buf_head(out), buf_size(out), MSG_NOSIGNAL);
    buf_free(out);
}

static void let_in(int fd) {
    struct buf out;
    buf_init(&out, SIZE_MAX);
    reply_message(&out, 'R', "\0\0\0\0", 4);
    reply_status(&out, "client_encoding", "UTF8");
    reply_status(&out, "DateStyle", "ISO, MDY");
    reply_message(&out, 'K', "\0\0\0\7\0\0\0\0", 8);
    reply_ready(&out, 'I');
    say(fd, &out);
}

/* The nonce is the first parameter of the Bind, and the process is the one that was named. */
static void answer(int fd, struct cursor bind) {
    static const struct reply_column columns[] = {{"a", TEXT, -1}, {"b", TEXT, -1}, {"c", TEXT, -1}};
    char nonce[64] = "";
    struct buf out;
    cursor_take(&bind, 2);
    cursor_take(&bind, (size_t)cursor_u16(&bind) * 2);
    (void)cursor_u16(&bind);
    uint32_t size = cursor_u32(&bind);
    const uint8_t *text = size < sizeof nonce ? cursor_take(&bind, size) : NULL;
    cr_assert(text);
    memcpy(nonce, text, size);
    buf_init(&out, SIZE_MAX);
    reply_bare(&out, '1');
    reply_parameters(&out, 2, (const uint32_t[]){TEXT, TEXT});
    reply_columns(&out, 3, columns);
    reply_bare(&out, '2');
    reply_row(&out, 3, (const char *const[]){nonce, "7", ""});
    reply_tag(&out, "SELECT 1");
    reply_ready(&out, 'I');
    say(fd, &out);
}

/* ---- What is heard ---- */

static void take_messages(struct client *client, int fd) {
    for (;;) {
        size_t skip = client->started, have = buf_size(&client->in);
        struct cursor head = cursor_over(buf_head(&client->in), have);
        const uint8_t *type = skip ? cursor_take(&head, 1) : NULL;
        uint32_t length = cursor_u32(&head);
        if (have < 4 + skip || have < length + skip)
            return;
        if (type && *type == 'B') {
            answer(fd, cursor_over(buf_head(&client->in) + 5, length - 4));
            client->served = true;
        }
        client->started = true;
        buf_consume(&client->in, length + skip);
    }
}

static void drop(struct crowd *crowd, uint32_t i) {
    struct linger reset = {.l_onoff = 1};
    (void)setsockopt(crowd->fds[i].fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(crowd->fds[i].fd);
    buf_free(&crowd->clients[i].in);
    crowd->fds[i].fd = -1;
    crowd->clients[i] = (struct client){0};
}

static void hear(struct crowd *crowd, uint32_t i) {
    uint8_t bytes[8192];
    struct client *client = &crowd->clients[i];
    ssize_t size = recv(crowd->fds[i].fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (size <= 0) {
        drop(crowd, i);
        return;
    }
    buf_put(&client->in, bytes, (size_t)size);
    take_messages(client, crowd->fds[i].fd);
}

static void take_client(struct crowd *crowd) {
    uint32_t i = 1;
    while (i <= crowd->client_count && crowd->fds[i].fd >= 0)
        i++;
    cr_assert_leq(i, crowd->client_count, "more clients than were to come");
    crowd->fds[i].fd = accept(crowd->fds[0].fd, NULL, NULL);
    if (crowd->fds[i].fd < 0)
        return;
    buf_init(&crowd->clients[i].in, SIZE_MAX);
    atomic_fetch_add(&crowd->accepted_count, 1);
}

/* ---- The thread ---- */

static void listen_on_port(struct crowd *crowd) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)crowd->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    cr_assert(bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 1000) == 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    crowd->port = ntohs(address.sin_port);
    crowd->fds[0] = (struct pollfd){.fd = fd, .events = POLLIN};
}

static void come_or_go(struct crowd *crowd) {
    bool away = atomic_load(&crowd->away);
    if (away == atomic_load(&crowd->is_away))
        return;
    if (away) {
        for (uint32_t i = 1; i <= crowd->client_count; i++)
            if (crowd->fds[i].fd >= 0)
                drop(crowd, i);
        close(crowd->fds[0].fd);
        crowd->fds[0].fd = -1;
    } else {
        atomic_store(&crowd->waiting_most, 0);
        listen_on_port(crowd);
    }
    atomic_store(&crowd->is_away, away);
}

/* All that came in one round are let in together in the next, so that they meet. */
static void count_and_let_in(struct crowd *crowd) {
    uint32_t waiting = 0;
    for (uint32_t i = 1; i <= crowd->client_count; i++)
        waiting += crowd->fds[i].fd >= 0 && !crowd->clients[i].served;
    if (atomic_load(&crowd->waiting_most) < waiting)
        atomic_store(&crowd->waiting_most, waiting);
    for (uint32_t i = 1; i <= crowd->client_count; i++)
        if (crowd->clients[i].started && !crowd->clients[i].let_in) {
            crowd->clients[i].let_in = true;
            let_in(crowd->fds[i].fd);
        }
}

static void *crowd_main(void *argument) {
    struct crowd *crowd = argument;
    while (!atomic_load(&crowd->over)) {
        come_or_go(crowd);
        (void)poll(crowd->fds, crowd->client_count + 1, ROUND_MS);
        for (uint32_t i = 1; i <= crowd->client_count; i++)
            if (crowd->fds[i].fd >= 0 && crowd->fds[i].revents)
                hear(crowd, i);
        count_and_let_in(crowd);
        if (crowd->fds[0].fd >= 0 && crowd->fds[0].revents)
            take_client(crowd);
    }
    return NULL;
}

/* ---- For the test ---- */

struct crowd *crowd_open(uint32_t client_count) {
    struct crowd *crowd = calloc(1, sizeof *crowd);
    crowd->client_count = client_count;
    crowd->fds = calloc(client_count + 1, sizeof *crowd->fds);
    crowd->clients = calloc(client_count + 1, sizeof *crowd->clients);
    for (uint32_t i = 0; i <= client_count; i++)
        crowd->fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    listen_on_port(crowd);
    cr_assert_eq(pthread_create(&crowd->thread, NULL, crowd_main, crowd), 0);
    return crowd;
}

unsigned crowd_port(const struct crowd *crowd) {
    return crowd->port;
}

void crowd_go_away(struct crowd *crowd, bool away) {
    atomic_store(&crowd->away, away);
    while (atomic_load(&crowd->is_away) != away)
        (void)poll(NULL, 0, 1);
}

uint32_t crowd_accepted_count(struct crowd *crowd) {
    return atomic_load(&crowd->accepted_count);
}

uint32_t crowd_waiting_most(struct crowd *crowd) {
    return atomic_load(&crowd->waiting_most);
}

void crowd_close(struct crowd *crowd) {
    atomic_store(&crowd->over, true);
    pthread_join(crowd->thread, NULL);
    for (uint32_t i = 1; i <= crowd->client_count; i++)
        if (crowd->fds[i].fd >= 0)
            drop(crowd, i);
    if (crowd->fds[0].fd >= 0)
        close(crowd->fds[0].fd);
    free(crowd->fds);
    free(crowd->clients);
    free(crowd);
}
