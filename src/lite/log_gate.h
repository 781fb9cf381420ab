/* SPDX-License-Identifier: MIT */
/*
 * When transactions that only read wait for SQLite's log. It starts over once nothing reads from it, which snapshots that
 * overlap would put off for ever, each of them younger than snapshot_ns. So once the log is long, new ones wait until those
 * that are open have ended, and the writer's lane has had it start over:
 *
 *      OPEN --the log is long, and the wait is worth it--> DRAINING --the last snapshot has ended--> DRAINED
 *        ^                                                    |                                         |
 *        +-----------------until_ns has passed----------------+----------the writer's lane has tried----+
 *
 *   OPEN      snapshots begin
 *   DRAINING  none begins
 *   DRAINED   the same, and the writer's lane is to have the log start over at once
 *
 * How long a snapshot will be held nobody knows; one that was held for long is taken to be held for as long again. So the
 * wait is worth it if the oldest one is younger than the wait may take, which is a second for each 16,000 pages of the log.
 * Under snapshots of up to d seconds, with p pages written in each second, the log starts over before it has
 *
 *      1.25 (16,000 + p) d + p d pages, or 16,000 + p d if that is more
 *
 * where the quarter is what it grows by after a wait in vain, before the next.
 */
#ifndef QURING_LITE_LOG_GATE_H
#define QURING_LITE_LOG_GATE_H

#include <stdbool.h>
#include <stdint.h>

enum { LITE_LOG_IS_LONG = 16000 /* pages */ };

enum log_gate_state { LOG_GATE_OPEN, LOG_GATE_DRAINING, LOG_GATE_DRAINED };

struct log_gate {
    enum log_gate_state state; /* moved by log_gate_move() of log_gate.c alone */
    uint32_t closes_at;        /* OPEN: so many pages the log has to have; 0: LITE_LOG_IS_LONG */
    uint64_t until_ns;         /* otherwise: it opens then, whatever has become of the log */
};

/* How long snapshots may be kept waiting for a log of so many pages. */
uint64_t log_gate_wait_ns(uint32_t page_count);

/* OPEN, and snapshots are open: closes if the log is long enough for the age of the oldest. True: it has closed. */
bool log_gate_close(struct log_gate *gate, uint32_t page_count, uint64_t oldest_ns, uint64_t now_ns);

/* DRAINING: no snapshot is open. */
void log_gate_drained(struct log_gate *gate);

/* DRAINING, DRAINED: opens, and stays open until the log, which has so many pages, is long, and has grown by a quarter. */
void log_gate_open(struct log_gate *gate, uint32_t page_count);

#endif
