/* SPDX-License-Identifier: MIT */
#include "lib/inbox_tx_fixture.h"

quring_tx *tx;

quring_tx *open_tx(const quring_tx_options *options) {
    quring_tx *other;
    cr_assert_eq(quring_inbox_tx_open(inbox, &a->base, options, &other), 0, "%s", quring_inbox_errmsg(inbox));
    return other;
}

void inbox_tx_setup(void) {
    inbox_setup();
    close_inbox();
    open_inbox(6, 1000);
    tx = open_tx(NULL);
}

int ask_sql(quring_tx *of, uint32_t number, const char *sql) {
    const quring_query query = {.tx = of, .sql = sql, .user_data = number};
    return quring_inbox_submit(inbox, &query, &inbox_ids[number]);
}

int ask_tx(quring_tx *of, uint32_t number) {
    return ask_sql(of, number, "insert into t values (1)");
}

int commit(quring_tx *of, uint32_t number) {
    return quring_commit(of, number, &inbox_ids[number]);
}

void run(void) {
    engine_turn();
    engine_turn();
}

void log_is(const char *expected, const char *what) {
    fake_assert_text(fake_log(), expected, what);
}

void reaped_are(const char *expected, const char *what) {
    engine_turn();
    fake_assert_text(reaped(), expected, what);
}

/* A release behind an end wakes nobody, so the engine is made to look. */
void assert_nothing_left(int line) {
    engine_inboxes_read(engine);
    cr_assert_eq(slots_taken(&inbox->queries), 0, "line %d", line);
    cr_assert_eq(slots_taken(&inbox->txs), 0, "line %d", line);
    cr_assert_eq(inbox->charged_bytes, 0, "line %d", line);
    cr_assert_eq(slots_taken(&engine->queries), 0, "line %d", line);
    cr_assert_eq(engine->charged_bytes, 0, "line %d", line);
    cr_assert_eq(engine->pending_count, 0, "line %d", line);
    cr_assert(list_empty(&a->base.txs), "line %d", line);
}
