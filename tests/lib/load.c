/* SPDX-License-Identifier: MIT */
#include "lib/load.h"

#include <stdlib.h>

void load_open(struct load *load, struct live *live) {
    ledger_init(&load->ledger, load->count);
    load->submitted = 0;
    if (!load->db)
        load->db = live->db;
    if (load->inserts)
        live_script(live, "drop table if exists live_load;\ncreate table live_load (id int8 primary key)");
}

void load_close(struct load *load) {
    ledger_free(&load->ledger);
}

static bool is_insert(const struct load *load, uint64_t number) {
    return load->inserts && number % 2;
}

static void submit_next(struct load *load, struct live *live) {
    uint32_t number = load->submitted++;
    static const char *const texts[] = {"select $1::int8", "select $1::int8, repeat('x', 500)",
                                        "select $1::int8, pg_sleep(0.0005)"};
    bool insert = is_insert(load, number);
    quring_param param = quring_int64((int64_t)(insert ? number : live_identity(number)));
    quring_query q = {.db = load->db,
                      .sql = insert ? "insert into live_load values ($1)" : texts[number / 2 % 3],
                      .params = &param,
                      .param_count = 1,
                      .user_data = number,
                      .commit = load->commit};
    live_submit(live, &q);
}

static void note(struct live *live, const quring_done *done, void *context) {
    struct load *load = context;
    ledger_note(live, done, &load->ledger);
    if (done->status == QURING_SERVER_ERROR)
        cr_assert_fail("%llu: %s %s", (unsigned long long)done->user_data, done->error->sqlstate, done->error->message);
}

bool load_step(struct load *load, struct live *live, uint64_t wait_ns) {
    while (!load->closed && load->submitted < load->count && quring_pending(live->engine) < load->window)
        submit_next(load, live);
    int error = quring_run(live->engine, 1, wait_ns);
    cr_assert_geq(error, 0, "quring_run: %s %s", quring_strerror(error), quring_errmsg(live->engine));
    live_reap(live, note, load);
    return load->ledger.ended_count < (load->closed ? load->submitted : load->count);
}

void load_until(struct load *load, struct live *live, uint32_t ended_count) {
    uint64_t until = live_now_ns() + LIVE_STALL_NS;
    for (uint32_t before = load->ledger.ended_count; load->ledger.ended_count < ended_count;) {
        load_step(load, live, LIVE_SECOND);
        if (before != load->ledger.ended_count)
            until = live_now_ns() + LIVE_STALL_NS;
        before = load->ledger.ended_count;
        cr_assert_lt(live_now_ns(), until, "stuck at %u of %u", before, load->count);
    }
}

void load_finish(struct load *load, struct live *live) {
    uint32_t all = load->closed ? load->submitted : load->count;
    load_until(load, live, all);
    load->ledger.count = all;
    ledger_check(&load->ledger);
}

void load_check_inserts(const struct load *load, struct live *live) {
    uint8_t *present = calloc(load->count, 1);
    quring_done done = live_run(live, &(quring_query){.sql = "select id from live_load"});
    live_check_ok(&done, "looking the inserts up");
    for (uint64_t row = 0; row < quring_row_count(done.result); row++) {
        int64_t id = -1;
        cr_assert_eq(quring_get_int64(done.result, row, 0, &id), 0);
        cr_assert(id >= 0 && id < load->count && id % 2);
        present[id]++;
    }
    live_release(live, &done);
    for (uint32_t i = 1; i < load->ledger.count; i += 2) {
        quring_status status = (quring_status)load->ledger.status[i];
        if (status == QURING_OK)
            cr_assert(present[i], "%u is OK and is not there", i);
        else if (status != QURING_IN_DOUBT && status != QURING_SHUTDOWN)
            cr_assert_not(present[i], "%u is %s and is there", i, quring_status_name(status));
    }
    free(present);
}
