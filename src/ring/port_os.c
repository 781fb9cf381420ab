/* SPDX-License-Identifier: MIT */
#include "ring/port_os.h"

#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

uint64_t port_os_now_ns(struct port *port) {
    (void)port;
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void port_os_send_now(struct port *port, int fd, const void *bytes, size_t size) {
    (void)port;
    (void)!send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void port_os_shutdown(struct port *port, int fd) {
    (void)port;
    (void)shutdown(fd, SHUT_RDWR);
}

void port_os_close(struct port *port, int fd) {
    (void)port;
    (void)close(fd);
}
