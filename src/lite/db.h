/* SPDX-License-Identifier: MIT */
/* The database handle. The map is in lite.c. */
#ifndef QURING_LITE_DB_H
#define QURING_LITE_DB_H

#include "core/backend.h"
#include "core/trace.h"
#include "lite/conn.h"
#include "lite/lane_queue.h"
#include "lite/log_gate.h"
#include "ring/ring.h"

struct lite_lane;
struct lite_lane_events;

/* Lanes of all queries, and beside them those of transactions that only read. */
enum { LITE_LANES_MAX = 64, LITE_APART_MAX = 64 };

/*
 * The states of a handle, moved by lite_move() alone:
 *
 *      COLD --a query--> OPENING --the writer's connection was tried--> OPEN
 *        ^                                                                |
 *        +------------ new queries, and the writer's was not opened ------+
 *
 *      COLD, OPENING, OPEN --close()--> CLOSING --every lane is shut--> base.closed
 *
 * Readers work while OPEN: the file exists then, or there is an error to be told.
 */
enum lite_state { LITE_COLD, LITE_OPENING, LITE_OPEN, LITE_CLOSING };

/* Why a lane's connection could not be opened, or was lost. */
struct lite_reason {
    uint64_t at_ns; /* 0: there is none */
    char sqlstate[6];
    char message[TRACE_MESSAGE_BYTES_MAX];
};

/* The reactor's, but for the lane queues (lane_queue.h), the lanes, what is atomic, and what is constant from open on. */
struct lite_db {
    struct quring_db base;
    struct lite_url url;
    struct lite_config config;
    atomic_bool closing;
    atomic_uint_least64_t open_from_ns;
    enum lite_state state;
    bool writer_is_open;
    bool warming;        /* lanes open their connections without queries */
    uint64_t warm_at_ns; /* when they were last told to: an attempt that began before may have met what is mended */
    bool only_writer;    /* it gets reads, too: it is the only lane, or it is lost, and refuses all there is */
    struct lane_queue writes; /* served by the writer; everything, when that is the only lane */
    struct lane_queue reads;
    uint32_t writes_count, reads_count; /* queries in a queue or with its lanes */
    struct lite_lane *lanes;            /* the writer first, then the readers, and those apart: see tx.h */
    uint32_t lane_count;                /* without those apart */
    uint32_t made_count;                /* with them */
    const struct lite_lane_events *events;
    struct {
        struct list writers, readers; /* queues that wait for the writer's lane, and for one apart */
        uint32_t count;               /* queries in a queue or with its lanes */
        uint32_t held_count;          /* lanes that are not FREE */
        uint32_t apart_count;         /* those of them that are apart */
        bool others_turn;             /* the writer's lane is not reserved … */
        uint32_t turn_end;            /* … until what stands before this position of `writes` was taken */
    } tx;
    struct {
        uint64_t held_count, wait_count; /* quring_db_stats */
        uint32_t page_count;
        struct log_gate gate;
        struct timer timer;         /* set while the gate is not OPEN */
        struct timer look;          /* set while there is a snapshot: for when it is, or may be, too old */
        atomic_uint snapshot_count; /* `tx.apart_count`, for the writer's lane */
        atomic_bool drained;        /* the gate is, and the writer's lane has not tried yet */
    } wal;
    uint32_t open_lane_count; /* whose closer has not come back */
    struct lite_reason last;  /* whatever lane it was */
    uint64_t read_ns;         /* what a read costs, smoothed */
    struct order_place order; /* of order keys whose queries are with the lanes, or parked */
    struct timer interrupt;   /* set while a statement of an abandoned query may not have ended yet */
    struct {
        struct timer timer; /* set while reads wait for lanes at work, and others are idle */
        bool looked;        /* `head` is that of the look before */
        uint32_t head;      /* of `reads` */
    } relief;
};

static inline struct lite_db *lite_of(struct quring_db *db) {
    return base_container_of(db, struct lite_db, base);
}

/* Moves along the diagram; any other move is a broken contract. */
static inline void lite_move(struct lite_db *lite, enum lite_state to) {
    static const uint8_t moves[LITE_CLOSING + 1] = {
        [LITE_COLD] = 1 << LITE_OPENING | 1 << LITE_CLOSING,
        [LITE_OPENING] = 1 << LITE_OPEN | 1 << LITE_CLOSING,
        [LITE_OPEN] = 1 << LITE_COLD | 1 << LITE_CLOSING,
    };
    PRE(moves[lite->state] >> to & 1);
    lite->state = to;
}

#endif
