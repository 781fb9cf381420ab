/* SPDX-License-Identifier: MIT */
#include "lib/impostor.h"

#include "base/assert.h"
#include "base/bytes.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS_MAX = 1000, FILLERS = 4, ITERATIONS = 1000000, SSL_REQUEST = 80877103 };

struct impostor {
    enum impostor_kind kind;
    struct sockaddr_in address;
    int listener, stop[2];
    pthread_t thread;
    atomic_uint count;
    int clients[CLIENTS_MAX];
    uint32_t client_count;
};

static size_t read_message(int fd, char *body, size_t room, bool has_type) {
    uint8_t head[5];
    size_t skip = has_type ? 1 : 0, size;
    if (recv(fd, head, 4 + skip, MSG_WAITALL) != (ssize_t)(4 + skip))
        return 0;
    size = bytes_load_u32(head + skip) - 4;
    return size < room && recv(fd, body, size, MSG_WAITALL) == (ssize_t)size ? size : 0;
}

static void send_message(int fd, char type, const void *body, size_t size) {
    uint8_t head[5] = {(uint8_t)type};
    bytes_store_u32(head + 1, (uint32_t)(4 + size));
    (void)send(fd, head, sizeof head, MSG_NOSIGNAL);
    (void)send(fd, body, size, MSG_NOSIGNAL);
}

/* False: it went away. A request for TLS is answered with no. */
static bool read_startup(int fd) {
    char body[4096];
    for (;;) {
        size_t size = read_message(fd, body, sizeof body, false);
        if (size < 4 || bytes_load_u32((const uint8_t *)body) != SSL_REQUEST)
            return size >= 4;
        (void)send(fd, "N", 1, MSG_NOSIGNAL);
    }
}

static bool serve_standby(int fd) {
    static const char *const settings[][2] = {{"server_version", "16.0"}, {"client_encoding", "UTF8"},
                                              {"DateStyle", "ISO, MDY"},  {"integer_datetimes", "on"},
                                              {"in_hot_standby", "on"},   {"default_transaction_read_only", "off"}};
    if (!read_startup(fd))
        return false;
    send_message(fd, 'R', "\0\0\0\0", 4);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char text[100];
        int length = snprintf(text, sizeof text, "%s%c%s", settings[i][0], 0, settings[i][1]);
        send_message(fd, 'S', text, (size_t)length + 1);
    }
    send_message(fd, 'K', "\0\0\0\1\0\0\0\1", 8);
    send_message(fd, 'Z', "I", 1);
    return true;
}

static bool serve_scram(int fd) {
    static const char methods[] = "\0\0\0\12SCRAM-SHA-256\0"; /* AuthenticationSASL */
    char body[2048] = "", answer[2100] = "\0\0\0\13";         /* AuthenticationSASLContinue */
    if (!read_startup(fd))
        return false;
    send_message(fd, 'R', methods, sizeof methods);
    size_t size = read_message(fd, body, sizeof body - 1, true);
    const char *nonce = size ? memmem(body, size, "r=", 2) : NULL;
    if (!nonce)
        return false;
    int length = snprintf(answer + 4, sizeof answer - 4, "%sserver,s=c2FsdHNhbHRzYWx0,i=%d", nonce, ITERATIONS);
    send_message(fd, 'R', answer, 4 + (size_t)length);
    return true;
}

static bool serve(const struct impostor *impostor, int fd) {
    switch (impostor->kind) {
    case IMPOSTOR_SILENT:
        return true;
    case IMPOSTOR_STANDBY:
        return serve_standby(fd);
    case IMPOSTOR_SCRAM:
        return serve_scram(fd);
    case IMPOSTOR_UNREACHABLE:
        break;
    }
    return false;
}

static void *impostor_main(void *argument) {
    struct impostor *impostor = argument;
    while (impostor->client_count < CLIENTS_MAX) {
        struct pollfd fds[2] = {{.fd = impostor->listener, .events = POLLIN},
                                {.fd = impostor->stop[0], .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 || fds[1].revents)
            break;
        int fd = accept4(impostor->listener, NULL, NULL, SOCK_CLOEXEC);
        PRE(fd >= 0);
        impostor->clients[impostor->client_count++] = fd;
        atomic_fetch_add(&impostor->count, serve(impostor, fd));
    }
    return NULL;
}

/* Connections that nobody accepts fill the queue, and the kernel drops the SYN of any other. */
static void fill_queue(struct impostor *impostor) {
    for (int i = 0; i < FILLERS; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        PRE(fd >= 0);
        (void)connect(fd, (struct sockaddr *)&impostor->address, sizeof impostor->address);
        (void)poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, 100);
        impostor->clients[impostor->client_count++] = fd;
    }
}

struct impostor *impostor_open(enum impostor_kind kind, const char *address, unsigned port) {
    struct impostor *impostor = calloc(1, sizeof *impostor);
    PRE(impostor && pipe(impostor->stop) == 0);
    impostor->kind = kind;
    impostor->address = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = inet_addr(address)};
    socklen_t size = sizeof impostor->address;
    struct sockaddr *bound = (struct sockaddr *)&impostor->address;
    impostor->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(impostor->listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    PRE(impostor->listener >= 0 && bind(impostor->listener, bound, size) == 0);
    PRE(listen(impostor->listener, kind == IMPOSTOR_UNREACHABLE ? 0 : 128) == 0);
    PRE(getsockname(impostor->listener, bound, &size) == 0);
    if (kind == IMPOSTOR_UNREACHABLE)
        fill_queue(impostor);
    else
        PRE(pthread_create(&impostor->thread, NULL, impostor_main, impostor) == 0);
    return impostor;
}

unsigned impostor_port(const struct impostor *impostor) {
    return ntohs(impostor->address.sin_port);
}

uint32_t impostor_count(struct impostor *impostor) {
    return atomic_load(&impostor->count);
}

void impostor_close(struct impostor *impostor) {
    if (impostor->kind != IMPOSTOR_UNREACHABLE) {
        ssize_t n = write(impostor->stop[1], "", 1);
        PRE(n == 1);
        pthread_join(impostor->thread, NULL);
    }
    for (uint32_t i = 0; i < impostor->client_count; i++)
        close(impostor->clients[i]);
    close(impostor->listener);
    close(impostor->stop[0]);
    close(impostor->stop[1]);
    free(impostor);
}

int impostor_threads_connecting(void) {
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;
    for (struct dirent *task; (task = readdir(tasks));) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        FILE *file = fopen(path, "r");
        if (file && fgets(name, sizeof name, file))
            count += strcmp(name, "quring-connect\n") == 0;
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return count;
}
