/* SPDX-License-Identifier: MIT */
#include "core/status.h"

#include "core/backend.h"

/* The edges of the table in status.h. */
static void status_move(struct quring_db *db, quring_db_state to, uint64_t now_ns) {
    enum { ENDS = 1 << QURING_DB_LOST | 1 << QURING_DB_CLOSING };
    static const uint8_t next[] = {
        [QURING_DB_TRYING] = ENDS | 1 << QURING_DB_UP | 1 << QURING_DB_REFUSED,
        [QURING_DB_UP] = ENDS | 1 << QURING_DB_OUTAGE | 1 << QURING_DB_REFUSED,
        [QURING_DB_OUTAGE] = ENDS | 1 << QURING_DB_UP | 1 << QURING_DB_REFUSED,
        [QURING_DB_REFUSED] = ENDS | 1 << QURING_DB_UP | 1 << QURING_DB_TRYING | 1 << QURING_DB_OUTAGE,
        [QURING_DB_LOST] = 1 << QURING_DB_CLOSING,
        [QURING_DB_CLOSING] = 0,
    };
    struct db_status *status = &db->status;
    bool stays = status->state == QURING_DB_CLOSING || (status->state == QURING_DB_LOST && to != QURING_DB_CLOSING);
    if (status->state == to || stays)
        return;
    PRE(next[status->state] >> to & 1);
    status->state = (uint8_t)to;
    status->at_ns = now_ns;
}

void status_begin(struct quring_db *db, uint64_t now_ns) {
    db->status = (struct db_status){.at_ns = now_ns};
}

void status_up(struct quring_db *db, uint64_t now_ns) {
    db->status.failure_count = 0;
    status_move(db, QURING_DB_UP, now_ns);
}

void status_failed(struct quring_db *db, bool any_up, bool refused, uint64_t now_ns) {
    db->status.failure_count++;
    if (any_up)
        return;
    bool was_up = db->status.state != QURING_DB_TRYING && db->counters.connect_count;
    quring_db_state before = was_up ? QURING_DB_OUTAGE : QURING_DB_TRYING;
    status_move(db, refused ? QURING_DB_REFUSED : before, now_ns);
}

void status_none_up(struct quring_db *db, bool for_good, uint64_t now_ns) {
    if (for_good || db->status.state == QURING_DB_UP)
        status_move(db, for_good ? QURING_DB_LOST : QURING_DB_OUTAGE, now_ns);
}

void status_closing(struct quring_db *db, uint64_t now_ns) {
    status_move(db, QURING_DB_CLOSING, now_ns);
}

void status_fill(const struct quring_db *db, uint64_t now_ns, quring_db_info *info) {
    *info = (quring_db_info){.state = (quring_db_state)db->status.state,
                             .state_at_ns = db->status.at_ns,
                             .failure_count = db->status.failure_count,
                             .retry_ns = QURING_FOREVER,
                             .message = ""};
    db->backend->look(db, now_ns, info);
}
