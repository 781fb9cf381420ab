/* SPDX-License-Identifier: MIT */
#include "lib/batches.h"

#include <stdio.h>
#include <string.h>

void batch_begin(struct live *live, struct batch_run *run, const quring_query *queries, uint32_t count,
                 uint32_t first) {
    quring_query own[BATCH_MOST];
    cr_assert_leq(count, BATCH_MOST);
    *run = (struct batch_run){.count = count, .first = first};
    for (uint32_t i = 0; i < count; i++) {
        own[i] = queries[i];
        own[i].user_data = first + i;
        own[i].db = live->db;
    }
    int taken = quring_submit_batch(live->engine, own, count, QURING_BATCH_ATOMIC, run->ids);
    cr_assert_eq(taken, (int)count, "%s", quring_errmsg(live->engine));
}

void batch_begin_texts(struct live *live, struct batch_run *run, const char *const texts[], uint32_t count) {
    quring_query queries[BATCH_MOST] = {{0}};
    for (uint32_t i = 0; i < count; i++)
        queries[i].sql = texts[i];
    batch_begin(live, run, queries, count, 0);
}

/* The number of the member that is named as the reason, from 1. */
static uint32_t number_of(const struct batch_run *run, quring_id id) {
    for (uint32_t i = 0; i < run->count; i++)
        if (run->ids[i] == id)
            return i + 1;
    return 0;
}

static void describe(char *text, size_t size, const struct batch_run *run, const quring_done *done) {
    if (done->status == QURING_OK)
        snprintf(text, size, "OK");
    else if (done->status == QURING_SKIPPED)
        snprintf(text, size, "SKIPPED %s by %u", done->error->sqlstate, number_of(run, done->failed_id));
    else
        snprintf(text, size, "%s %s", quring_status_name(done->status), done->error->sqlstate);
    cr_assert_eq(done->failed_id != 0, done->status == QURING_SKIPPED);
}

const char *batch_end(struct live *live, const struct batch_run *run) {
    static char text[BATCH_MOST * 48];
    char parts[BATCH_MOST][48];
    for (uint32_t ended = 0; ended < run->count; ended++) {
        quring_done done = live_wait(live);
        uint32_t at = (uint32_t)done.user_data - run->first;
        cr_assert_lt(at, run->count);
        cr_assert_eq(done.id, run->ids[at]);
        describe(parts[at], sizeof parts[at], run, &done);
        live_release(live, &done);
    }
    text[0] = 0;
    for (uint32_t i = 0; i < run->count; i++) {
        size_t length = strlen(text);
        snprintf(text + length, sizeof text - length, "%s%s", i ? "; " : "", parts[i]);
    }
    return text;
}

const char *batch_texts(struct live *live, const char *const texts[], uint32_t count) {
    struct batch_run run;
    batch_begin_texts(live, &run, texts, count);
    return batch_end(live, &run);
}

void batch_same(const char *actual, const char *expected, int line) {
    cr_assert_str_eq(actual, expected, "line %d:\n%s\ninstead of\n%s", line, actual, expected);
}
