/* SPDX-License-Identifier: MIT */
/*
 * A server between the client and PostgreSQL that misbehaves to order. It passes start-up and authentication on as they
 * are; what it does, it does from the first ReadyForQuery on, where the client hands the socket over to its ring.
 * One thread per relay and per connection; everything is joined in relay_close().
 */
#ifndef QURING_TESTS_LIB_RELAY_H
#define QURING_TESTS_LIB_RELAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RELAY_NEVER UINT64_MAX

struct relay_plan {
    const void *stray; /* put right behind ReadyForQuery, in one write with it */
    size_t stray_bytes;
    const void *late; /* put before the server's next bytes */
    size_t late_bytes;
    uint64_t cut_after_received; /* bytes from the server behind ReadyForQuery; then both sides are closed */
    uint64_t cut_after_sent;     /* bytes of the client behind start-up */
    bool reset;                  /* close with RST instead of FIN */
    bool mute;                   /* accepts, and never says a word */
    bool freeze;                 /* nothing comes back behind ReadyForQuery */
    bool refuse_cancels;         /* says what a server says that can start no process, and closes */
    bool cut_cancels;            /* a connection that comes with a request to cancel is reset once that was read */
    const char *garbled; /* the last character of this text becomes a question mark, wherever the client says it */
};

struct relay;

/* Listens on a port of its own and connects to 127.0.0.1:server_port for each client. */
struct relay *relay_open(unsigned server_port);
/* The same, on a socket that listens already, which becomes the relay's; relay_port() says what is given here. */
struct relay *relay_open_on(int listener, unsigned port, unsigned server_port);
unsigned relay_port(const struct relay *relay);
/* For connections accepted from now on. The bytes it points to stay the caller's. */
void relay_set(struct relay *relay, const struct relay_plan *plan);
/* It hangs: accepts, and passes nothing on in either direction, on any connection, until it is let go. */
void relay_hold(struct relay *relay, bool on);
uint32_t relay_accepted_count(struct relay *relay);
/* How often clients spoke behind start-up, having been silent since the server last did: round trips, one client at a time. */
uint32_t relay_flight_count(struct relay *relay);
void relay_close(struct relay *relay);

/* A port on which nobody listens. */
unsigned relay_dead_port(void);

#endif
