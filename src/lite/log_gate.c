/* SPDX-License-Identifier: MIT */
#include "lite/log_gate.h"

#include "base/assert.h"

static const uint64_t WAIT_NS = 1000000000; /* for each LITE_LOG_IS_LONG */

static void log_gate_move(struct log_gate *gate, enum log_gate_state to) {
    static const uint8_t moves[] = {
        [LOG_GATE_OPEN] = 1 << LOG_GATE_DRAINING,
        [LOG_GATE_DRAINING] = 1 << LOG_GATE_DRAINED | 1 << LOG_GATE_OPEN,
        [LOG_GATE_DRAINED] = 1 << LOG_GATE_OPEN,
    };
    PRE(moves[gate->state] >> to & 1);
    gate->state = to;
}

uint64_t log_gate_wait_ns(uint32_t page_count) {
    return WAIT_NS / LITE_LOG_IS_LONG * page_count;
}

bool log_gate_close(struct log_gate *gate, uint32_t page_count, uint64_t oldest_ns, uint64_t now_ns) {
    PRE(gate->state == LOG_GATE_OPEN);
    uint64_t wait_ns = log_gate_wait_ns(page_count);
    if (page_count < LITE_LOG_IS_LONG || page_count < gate->closes_at || oldest_ns > wait_ns)
        return false;
    gate->until_ns = now_ns + wait_ns;
    log_gate_move(gate, LOG_GATE_DRAINING);
    return true;
}

void log_gate_drained(struct log_gate *gate) {
    log_gate_move(gate, LOG_GATE_DRAINED);
}

void log_gate_open(struct log_gate *gate, uint32_t page_count) {
    gate->closes_at = page_count + page_count / 4;
    log_gate_move(gate, LOG_GATE_OPEN);
}
