/* SPDX-License-Identifier: MIT */
/* What both ports on Linux do by the same calls. */
#ifndef QURING_RING_PORT_OS_H
#define QURING_RING_PORT_OS_H

#include "ring/port.h"

uint64_t port_os_now_ns(struct port *port);
void port_os_send_now(struct port *port, int fd, const void *bytes, size_t size);
void port_os_shutdown(struct port *port, int fd);
void port_os_close(struct port *port, int fd);

#endif
