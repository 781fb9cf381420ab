/* SPDX-License-Identifier: MIT */
/* Bytes in bulk: both sides full at once, and results of 100 MB beside small ones. */
#include "lib/live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct live live;

enum { REQUEST_BYTES = 4000 };

struct flood {
    struct ledger ledger;
    uint32_t submitted;
    char text[REQUEST_BYTES];
};

static void submit_next(struct flood *flood) {
    uint32_t i = flood->submitted++;
    live_submit(&live, &(quring_query){.sql = "select $1::int8, repeat('y', 2 * length($2))",
                                       .params = QURING_PARAMS(quring_int64((int64_t)live_identity(i)),
                                                               quring_text_sized(flood->text, REQUEST_BYTES)),
                                       .user_data = i});
}

static void note(struct live *l, const quring_done *done, void *context) {
    struct flood *flood = context;
    ledger_note(l, done, &flood->ledger);
    const char *text = "";
    size_t size = 0;
    cr_assert_eq(quring_get_text(done->result, 0, 1, &text, &size), 0);
    cr_assert(size == 2 * REQUEST_BYTES && text[0] == 'y' && text[size - 1] == 'y');
    if (flood->submitted < flood->ledger.count)
        submit_next(flood);
}

/*
 * Requests of 4 kB are answered with 8 kB each, 10000 deep: 40 MB go one way and 80 MB the other, far more than sockets
 * hold. Had one to be done before the other was read, both sides would wait for ever.
 */
static void flood_with(quring_db_options options, uint32_t count) {
    struct flood *flood = calloc(1, sizeof *flood);
    live_open_url(&live, live_url(), &(quring_options){.query_count = 16384, .inflight_bytes = 256 << 20}, &options);
    memset(flood->text, 'x', sizeof flood->text);
    ledger_init(&flood->ledger, count);
    while (flood->submitted < count && flood->submitted < 12000)
        submit_next(flood);
    live_drain(&live, note, flood);
    ledger_check(&flood->ledger);
    cr_assert_eq(flood->ledger.by_status[QURING_OK], count);
    ledger_free(&flood->ledger);
    free(flood);
    live_close(&live);
}

Test(pg_flow, both_sides_full) {
    flood_with((quring_db_options){.connection_count = 1, .depth = 10000}, LIVE_SANITIZED ? 12500 : 25000);
}

Test(pg_flow, both_sides_full_on_several) {
    flood_with((quring_db_options){.connection_count = 3, .depth = 4000}, 13000);
}

/* ---- Large beside small ---- */

struct mix {
    uint32_t small_count, small_before_big;
    bool big_done;
};

static void note_mix(struct live *l, const quring_done *done, void *context) {
    struct mix *mix = context;
    live_check_ok(done, "mixed");
    if (done->user_data) {
        mix->big_done = true;
        cr_assert_eq(quring_row_count(done->result), 100000);
        const char *text = "";
        size_t size = 0;
        cr_assert_eq(quring_get_text(done->result, 99999, 0, &text, &size), 0);
        cr_assert_eq(size, 1000);
        return;
    }
    mix->small_count++;
    if (mix->big_done)
        return;
    mix->small_before_big++;
    live_submit(l, &(quring_query){.sql = "select 1"});
}

/* Returns how many small ones came back while the large one came. */
static uint32_t mix_large_and_small(void) {
    struct mix mix = {0};
    live_submit(&live,
                &(quring_query){.sql = "select repeat('z', 1000) from generate_series(1, 100000)", .user_data = 1});
    for (int i = 0; i < 3; i++)
        live_submit(&live, &(quring_query){.sql = "select 1"});
    live_drain(&live, note_mix, &mix);
    cr_assert(mix.big_done);
    return mix.small_before_big;
}

/* Small ones keep coming back while 100 MB arrive on another connection, if the server has the time for them: at the best try. */
Test(pg_flow, a_large_result_beside_small_ones) {
    uint32_t best = 0;
    live_open(&live, &(quring_db_options){.connection_count = 4, .result_bytes = 200 << 20});
    live_connect(&live, 4);
    for (int tries = 0; best <= 12 && tries < 20; tries++) {
        uint32_t count = mix_large_and_small();
        best = count > best ? count : best;
    }
    cr_assert_gt(best, 12, "only %u small ones while the large one came", best);
    live_close(&live);
}

/* One value of 100 MB; then the memory that it took serves small ones again. */
Test(pg_flow, a_large_value) {
    live_open(&live,
              &(quring_db_options){.connection_count = 1, .result_bytes = 200 << 20, .message_bytes = 200 << 20});
    for (int run = 0; run < 2; run++) {
        quring_done done = live_run(&live, &(quring_query){.sql = "select repeat('w', 100000000), 77"});
        live_check_ok(&done, "100 MB");
        const char *text = "";
        size_t size = 0;
        int32_t behind = 0;
        cr_assert_eq(quring_get_text(done.result, 0, 0, &text, &size), 0);
        cr_assert(size == 100000000 && text[0] == 'w' && text[size - 1] == 'w' && text[size] == 0);
        cr_assert_eq(quring_get_int32(done.result, 0, 1, &behind), 0);
        cr_assert_eq(behind, 77);
        live_release(&live, &done);
        cr_assert_eq(live_int(&live, "select 3"), 3);
    }
    live_close(&live);
}

/* A parameter of 30 MB goes out beside small queries, and comes back as it went. */
Test(pg_flow, a_large_parameter) {
    size_t size = 30 << 20;
    uint8_t *bytes = malloc(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 31 >> 8);
    live_open_url(&live, live_url(), NULL,
                  &(quring_db_options){.connection_count = 2, .result_bytes = 200 << 20, .message_bytes = 200 << 20});
    for (int run = 0; run < 2; run++) {
        quring_param param = quring_bytes(bytes, size);
        live_submit(&live,
                    &(quring_query){.sql = "select $1::bytea", .params = &param, .param_count = 1, .user_data = 1});
        for (int i = 0; i < 50; i++)
            live_submit(&live, &(quring_query){.sql = "select 1"});
        for (int i = 0; i < 51; i++) {
            quring_done done = live_wait(&live);
            live_check_ok(&done, "30 MB");
            const void *back = NULL;
            size_t back_size = 0;
            if (done.user_data) {
                cr_assert_eq(quring_get_bytes(done.result, 0, 0, &back, &back_size), 0);
                cr_assert(back_size == size && memcmp(back, bytes, size) == 0);
            }
            live_release(&live, &done);
        }
    }
    free(bytes);
    live_close(&live);
}
