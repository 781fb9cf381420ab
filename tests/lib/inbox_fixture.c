/* SPDX-License-Identifier: MIT */
#include "lib/inbox_fixture.h"

#include <stdio.h>

quring_inbox *inbox;
quring_id inbox_ids[FAKE_QUERIES];

void open_inbox(uint32_t query_count, uint64_t bytes) {
    char message[200] = "";
    const quring_inbox_options options = {.query_count = query_count, .bytes = bytes};
    cr_assert_eq(engine_inbox_open(engine, &options, &inbox, message, sizeof message), 0, "%s", message);
}

void close_inbox(void) {
    inbox_close(inbox);
    inbox = NULL;
}

void inbox_setup(void) {
    engine_setup();
    open_inbox(4, 1000);
}

/* The program's order of closing; each test that closes sets what it closed to NULL. */
void inbox_teardown(void) {
    if (inbox)
        close_inbox();
    engine_teardown();
}

void close_engine(void) {
    engine_close(engine);
    sim_free(fake_sim());
    engine = NULL;
}

int ask_query(uint32_t number, const quring_query *query) {
    quring_query q = *query;
    q.user_data = number;
    return inbox_submit(inbox, &q, &inbox_ids[number]);
}

int ask(struct fake_db *db, uint32_t number) {
    return ask_query(number, &(quring_query){.db = &db->base, .sql = "select 1"});
}

static uint32_t number_of(quring_id id) {
    for (uint32_t i = 0; i < FAKE_QUERIES; i++)
        if (inbox_ids[i] == id)
            return i;
    cr_assert_fail("no query has the id %llu", (unsigned long long)id);
    return 0;
}

const char *reaped(void) {
    static char text[1000];
    quring_done done;
    size_t length = 0;
    int count;
    text[0] = 0;
    while ((count = inbox_reap(inbox, &done, 1)) == 1) {
        length +=
            (size_t)snprintf(text + length, sizeof text - length, "%s%u %s%s", length ? ", " : "",
                             (unsigned)done.user_data, quring_status_name(done.status), done.sent ? "" : " unsent");
        if (done.failed_id)
            length += (size_t)snprintf(text + length, sizeof text - length, " by %u", number_of(done.failed_id));
        cr_assert_eq(done.id, inbox_ids[done.user_data]);
        cr_assert_eq(!done.error, done.status == QURING_OK);
        cr_assert(done.status == QURING_SKIPPED || !done.failed_id);
        cr_assert_eq(inbox_release(inbox, done.id), 0);
    }
    return count < 0 && !length ? quring_strerror(count) : text;
}
