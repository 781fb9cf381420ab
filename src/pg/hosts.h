/* SPDX-License-Identifier: MIT */
/*
 * The hosts that a connection string leads to, as libpq would read them: from the string, its service file, and the
 * environment. They are tried one after the other by attempt.c, and by libpq one at a time. Beside them stands what is known
 * of those that recently made attempts lose time.
 */
#ifndef QURING_PG_HOSTS_H
#define QURING_PG_HOSTS_H

#include "base/rng.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    PG_DETACHED_MAX = 2,      /* threads that are stuck at one address: then it is passed over */
    PG_ADDRESSES_MAX = 16,    /* of one name */
    PG_ADDRESS_BYTES = 64 + 1 /* an IPv6 address with its scope */
};

/* One host of the list. Its strings are parameters for libpq; those that are empty are left to the connection string. */
struct pg_host {
    char *host, *address, *port;
    bool is_name; /* `host` has to be looked up, and each of its addresses is tried */
};

struct pg_addresses {
    uint32_t count;
    char text[PG_ADDRESSES_MAX][PG_ADDRESS_BYTES];
};

/* A name, or an address, at which attempts lost time. */
struct pg_trouble {
    uint64_t key;
    atomic_uint stuck_count; /* detached threads that are inside a call for it still, and those that may come to be */
    uint64_t last_until_ns;  /* up to when it is tried after all others; 0: it is not */
};

enum { PG_TROUBLES = 32 };

/* Shared and counted by reference, since detached attempts may outlive the handle. */
struct pg_hosts {
    atomic_uint references;
    uint64_t timeout_ns; /* libpq's connect_timeout, for each host; 0: nobody set it */
    bool shuffled;       /* load_balance_hosts=random */
    bool prefer_standby; /* target_session_attrs: all are asked for a standby, then any will do */
    struct pg_trouble troubles[PG_TROUBLES];
    struct pg_trouble
        crowd; /* stands for all that found no place above: while threads are stuck there, nothing is tried */
    char *conninfo;
    uint32_t count; /* at least 1 */
    struct pg_host hosts[];
};

struct pg_hosts *pg_hosts_new(const char *conninfo); /* NULL: no memory. May read the service file, and nothing else */
struct pg_hosts *pg_hosts_hold(struct pg_hosts *hosts);
void pg_hosts_drop(struct pg_hosts *hosts);

/* Names what is tried: an address of the host, "" where it needs no look-up, NULL for the look-up itself. */
uint64_t pg_hosts_key(const struct pg_host *host, const char *address);

/* ---- Trouble: on the reactor's thread ---- */

bool pg_hosts_is_stuck(struct pg_hosts *hosts, uint64_t key);
/* It is to be tried after others. When its time is over, the caller is the one that tries it in its place again. */
bool pg_hosts_is_last(struct pg_hosts *hosts, uint64_t key, uint64_t now_ns);
void pg_hosts_put_last(struct pg_hosts *hosts, uint64_t key, uint64_t now_ns);
void pg_hosts_clear(struct pg_hosts *hosts, uint64_t key);
/* Counts a thread that is about to be detached; it counts down the result by itself, on its own thread. */
struct pg_trouble *pg_hosts_stuck(struct pg_hosts *hosts, uint64_t key);
/*
 * Counts a thread that begins, if another is stuck there, and none has come through since: it may end up as that did. Whoever
 * sees its end counts the result down. NULL: it is not counted.
 */
struct pg_trouble *pg_hosts_enter(struct pg_hosts *hosts, uint64_t key);

#endif
