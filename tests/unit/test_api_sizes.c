/* SPDX-License-Identifier: MIT */
/* Programs that were compiled with an older or newer header than the library pass structs of another size. */
#include "quring/quring.h"

#include <criterion/criterion.h>
#include <stddef.h>
#include <string.h>

enum { LATER_BYTES = 24, CANARY = 0x5a };

/* As a later header might have them: members behind ours. */
#define LATER(type)                                                                                                    \
    struct {                                                                                                           \
        type known;                                                                                                    \
        uint8_t unknown[LATER_BYTES];                                                                                  \
    }

static quring_engine *engine;
static quring_db *db;

static void begin(void) {
    cr_assert_eq(quring_engine_open(NULL, &engine), 0);
    cr_assert_eq(quring_db_open(engine, "sqlite://", NULL, &db), 0);
}

static void end(void) {
    quring_engine_close(engine);
}

TestSuite(api_sizes, .init = begin, .fini = end);

static void wait_for_one(void) {
    while (quring_run(engine, 1, QURING_FOREVER) == 0)
        ;
}

Test(api_sizes, an_older_program_has_no_later_members) {
    size_t bytes = offsetof(quring_query, user_data); /* what it never heard of counts as zero */
    quring_query query = {.db = db, .sql = "select 1", .user_data = 7, .commit = (quring_commit_mode)99};
    cr_assert_eq(quring_submit_sized(engine, &query, bytes, NULL), 0);
    wait_for_one();
    quring_done done;
    memset(&done, CANARY, sizeof done);
    bytes = offsetof(quring_done, result);
    cr_assert_eq(quring_reap_sized(engine, &done, bytes, 1), 1);
    cr_assert_eq(done.user_data, 0);
    cr_assert_eq(done.status, QURING_OK);
    for (size_t i = bytes; i < sizeof done; i++)
        cr_assert_eq(((uint8_t *)&done)[i], CANARY, "byte %zu behind the program's struct was written", i);
    cr_assert_eq(quring_release(engine, done.id), 0);

    quring_stats stats;
    memset(&stats, CANARY, sizeof stats);
    quring_stats_get_sized(engine, &stats, sizeof stats.submitted_count);
    cr_assert_eq(stats.submitted_count, 1);
    cr_assert_eq(*(uint8_t *)&stats.row_count, CANARY);

    quring_db_stats of_db;
    memset(&of_db, CANARY, sizeof of_db);
    quring_db_stats_get_sized(db, &of_db, sizeof of_db.submitted_count);
    cr_assert_eq(of_db.submitted_count, 1);
    cr_assert_eq(*(uint8_t *)&of_db.done_count, CANARY);
}

Test(api_sizes, an_older_and_a_later_program_get_the_state_of_a_handle) {
    struct {
        quring_db_state state;
        uint8_t behind[8];
    } older;
    memset(&older, CANARY, sizeof older);
    cr_assert_eq(quring_db_status_sized(db, (quring_db_info *)&older, sizeof older.state), 0);
    cr_assert_eq(older.state, QURING_DB_TRYING);
    cr_assert_eq(older.behind[0], CANARY);
    LATER(quring_db_info) later;
    memset(&later, CANARY, sizeof later);
    cr_assert_eq(quring_db_status_sized(db, &later.known, sizeof later), 0);
    cr_assert_eq(later.known.wanted_count, 1);
    cr_assert_str_eq(later.known.message, "");
    cr_assert_eq(later.unknown[0], 0);
}

/* One of its members is an array, behind which more may come. */
Test(api_sizes, a_later_program_gets_a_handles_statistics) {
    LATER(quring_db_stats) stats;
    memset(&stats, CANARY, sizeof stats);
    cr_assert_eq(quring_submit(engine, &(quring_query){.db = db, .sql = "select 5"}, NULL), 0);
    wait_for_one();
    quring_db_stats_get_sized(db, &stats.known, sizeof stats);
    cr_assert_eq(stats.known.done_count[QURING_OK], 1);
    for (size_t i = 0; i < LATER_BYTES; i++)
        cr_assert_eq(stats.unknown[i], 0);
}

Test(api_sizes, a_later_program_must_leave_later_members_zero) {
    LATER(quring_query) query = {.known = {.db = db, .sql = "select 2"}};
    cr_assert_eq(quring_submit_sized(engine, &query.known, sizeof query, NULL), 0);
    query.unknown[LATER_BYTES - 1] = 1;
    cr_assert_eq(quring_submit_sized(engine, &query.known, sizeof query, NULL), QURING_EINVAL);
    cr_assert(strstr(quring_errmsg(engine), "newer"));
    cr_assert_eq(quring_pending(engine), 1);

    LATER(quring_db_options) options = {.unknown = {1}};
    quring_db *other;
    cr_assert_eq(quring_db_open_sized(engine, "sqlite://", &options.known, sizeof options, &other), QURING_EINVAL);
    LATER(quring_options) engine_options = {.unknown = {1}};
    quring_engine *second;
    cr_assert_eq(quring_engine_open_sized(&engine_options.known, sizeof engine_options, &second), QURING_EINVAL);
}

/* Completions are an array: each stands where the program's own struct has it. */
Test(api_sizes, a_later_program_gets_zeroes_for_later_members) {
    for (uint64_t i = 0; i < 3; i++)
        cr_assert_eq(quring_submit(engine, &(quring_query){.db = db, .sql = "select 3", .user_data = i}, NULL), 0);
    cr_assert_eq(quring_run(engine, 3, QURING_FOREVER), 3);
    LATER(quring_done) done[4];
    memset(done, CANARY, sizeof done);
    cr_assert_eq(quring_reap_sized(engine, &done[0].known, sizeof done[0], 4), 3);
    for (uint64_t i = 0; i < 3; i++) {
        cr_assert_eq(done[i].known.user_data, i);
        cr_assert_eq(done[i].unknown[0], 0);
        cr_assert_eq(done[i].unknown[LATER_BYTES - 1], 0);
        cr_assert_eq(quring_release(engine, done[i].known.id), 0);
    }
    cr_assert_eq(done[3].unknown[0], CANARY);
}

/* An older program's events are shorter, and a later one's longer: both get the rest of each right. */
Test(api_sizes, events_stand_where_the_program_has_them) {
    end();
    cr_assert_eq(quring_engine_open(&(quring_options){.trace_count = 100}, &engine), 0);
    cr_assert_eq(quring_db_open(engine, "sqlite://", NULL, &db), 0);
    for (uint64_t i = 0; i < 3; i++)
        cr_assert_eq(quring_submit(engine, &(quring_query){.db = db, .sql = "select 4", .user_data = i}, NULL), 0);
    size_t bytes = offsetof(quring_event, row_count);
    uint8_t older[sizeof(quring_event)];
    memset(older, CANARY, sizeof older);
    cr_assert_eq(quring_trace_sized(engine, (quring_event *)older, bytes, 1), 1);
    quring_event first = {0};
    memcpy(&first, older, bytes);
    cr_assert_eq(first.kind, QURING_EVENT_SUBMITTED);
    cr_assert_str_eq(first.sql, "select 4");
    for (size_t i = bytes; i < sizeof older; i++)
        cr_assert_eq(older[i], CANARY, "byte %zu behind the program's struct was written", i);

    LATER(quring_event) later[3];
    memset(later, CANARY, sizeof later);
    cr_assert_eq(quring_trace_sized(engine, &later[0].known, sizeof later[0], 3), 2);
    for (uint64_t i = 0; i < 2; i++) {
        cr_assert_eq(later[i].known.user_data, i + 1);
        cr_assert_str_eq(later[i].known.sql, "select 4");
        cr_assert_eq(later[i].unknown[0], 0);
        cr_assert_eq(later[i].unknown[LATER_BYTES - 1], 0);
    }
    cr_assert_eq(later[2].unknown[0], CANARY);
}
