/* SPDX-License-Identifier: MIT */
#include "lib/live_tx.h"

#include <stdio.h>

struct live live;

quring_tx *begin_with(const quring_tx_options *options) {
    quring_tx_options own = options ? *options : (quring_tx_options){0};
    quring_tx *tx = NULL;
    if (!own.idle_timeout_ns)
        own.idle_timeout_ns = QURING_FOREVER;
    if (!own.resolve_timeout_ns)
        own.resolve_timeout_ns = LIVE_STALL_NS;
    int error = quring_tx_open(live.db, &own, &tx);
    cr_assert_eq(error, 0, "%s", quring_errmsg(live.engine));
    return tx;
}

quring_tx *begin(void) {
    return begin_with(NULL);
}

quring_id ask(quring_tx *tx, const char *sql) {
    quring_id id = 0;
    int error = quring_submit(live.engine, &(quring_query){.db = tx ? NULL : live.db, .tx = tx, .sql = sql}, &id);
    cr_assert_eq(error, 0, "%s: %s", sql, quring_errmsg(live.engine));
    return id;
}

quring_id commit(quring_tx *tx) {
    quring_id id = 0;
    int error = quring_commit(tx, 0, &id);
    cr_assert_eq(error, 0, "%s", quring_errmsg(live.engine));
    return id;
}

void ends(quring_id id, const char *expected) {
    char got[64] = "";
    quring_done done = live_wait(&live);
    if (done.status != QURING_OK)
        snprintf(got, sizeof got, "%s %s", quring_status_name(done.status), done.error->sqlstate);
    cr_assert_eq(done.id, id, "another query came: %s %s", got, done.error ? done.error->message : "");
    cr_assert_str_eq(got, expected, "%s", done.error ? done.error->message : "");
    live_release(&live, &done);
}

void ends_behind(quring_id id, quring_id failed) {
    quring_done done = live_wait(&live);
    cr_assert_eq(done.id, id, "another query came");
    cr_assert_eq(done.status, QURING_SKIPPED);
    cr_assert_eq(done.failed_id, failed);
    cr_assert(!done.sent);
    live_release(&live, &done);
}

void ends_as(quring_tx *tx, const char *sql, const char *expected) {
    ends(ask(tx, sql), expected);
}

int64_t ask_int(quring_tx *tx, const char *sql) {
    int64_t value = -1;
    ask(tx, sql);
    quring_done done = live_wait(&live);
    live_check_ok(&done, sql);
    cr_assert_eq(quring_get_int64(done.result, 0, 0, &value), 0);
    live_release(&live, &done);
    return value;
}

void take_steps(const struct tx_step *steps, uint32_t count, bool at_once) {
    enum { MOST = 32 };
    quring_id ids[MOST];
    quring_tx *tx = begin();
    cr_assert_leq(count, MOST);
    for (uint32_t i = 0; i < count; i++) {
        ids[i] = ask(tx, steps[i].sql);
        if (!at_once)
            ends(ids[i], steps[i].ends);
    }
    for (uint32_t i = 0; at_once && i < count; i++)
        ends(ids[i], steps[i].ends);
    quring_tx_release(tx);
}

void end_with_commit(quring_tx *tx, const char *expected) {
    ends(commit(tx), expected);
    quring_tx_release(tx);
}
