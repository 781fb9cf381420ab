/* SPDX-License-Identifier: MIT */
/* When attempts may begin: written as what happens, and what is then allowed. */
#include "pg/manners.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const uint64_t MS = 1000000, SECOND = 1000000000;

static struct rng rng;
static struct pg_manners manners;
static struct pg_situation now;

static void begin(void) {
    rng.state = 1;
    pg_manners_init(&manners, &rng);
    now = (struct pg_situation){.now_ns = 1000 * SECOND};
}

TestSuite(pg_manners, .init = begin);

static uint32_t room(void) {
    return pg_manners_room(&manners, &now);
}

static uint64_t fail(const char *sqlstate) {
    return pg_manners_failed(&manners, manners.epoch, sqlstate, "the server's words", &now);
}

static void succeed(void) {
    now.any_up = true;
    pg_manners_succeeded(&manners, manners.epoch, now.now_ns);
}

static void pass(uint64_t ns) {
    now.now_ns += ns;
}

static void within(uint64_t wait_ns, uint64_t least_ms, uint64_t most_ms, int line) {
    cr_assert(wait_ns >= least_ms * MS && wait_ns <= most_ms * MS, "line %d: %lu ms", line,
              (unsigned long)(wait_ns / MS));
}

Test(pg_manners, each_success_doubles_and_each_failure_halves) {
    static const char story[] = "ssssssssfsfffffffffss";
    static const uint32_t then[] = {2, 4, 8, 16, 32, 64, 64, 64, 32, 64, 32, 16, 8, 4, 2, 1, 1, 1, 1, 2, 4};
    now.any_up = true;
    cr_assert_eq(room(), 1);
    for (size_t i = 0; i + 1 < sizeof story; i++) {
        if (story[i] == 's')
            succeed();
        else
            pass(fail("08001"));
        cr_assert_eq(room(), then[i], "after %zu: %u", i + 1, room());
    }
}

Test(pg_manners, those_under_way_take_room) {
    for (int i = 0; i < 4; i++)
        succeed();
    for (now.trying_count = 0; now.trying_count < 20; now.trying_count++)
        cr_assert_eq(room(), now.trying_count < 16 ? 16 - now.trying_count : 0);
    now.any_up = false;
    cr_assert_eq(room(), 0, "one alone");
    now.trying_count = 0;
    cr_assert_eq(room(), 1);
}

Test(pg_manners, the_wait_doubles_up_to_about_a_second) {
    static const uint64_t most_ms[] = {100, 200, 400, 800, 1200, 1200};
    for (size_t i = 0; i < 6; i++) {
        uint64_t wait = fail("57P03");
        within(wait, most_ms[i] / 2, most_ms[i], __LINE__);
        cr_assert_eq(room(), 0);
        pass(wait - 1);
        cr_assert_eq(room(), 0);
        pass(1);
        cr_assert_eq(room(), 1);
    }
    succeed();
    within(fail("57P03"), 600, 1200, __LINE__);
    pass(7 * SECOND);
    within(fail("57P03"), 50, 100, __LINE__);
}

/* Sixty-four attempts and a thousand connections end at once: that is one failure. Later ones count anew. */
Test(pg_manners, what_began_before_a_failure_counts_no_more) {
    for (int i = 0; i < 8; i++)
        succeed();
    uint32_t before = manners.epoch;
    cr_assert_gt(fail("08006"), 0);
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(pg_manners_failed(&manners, before, "08006", "", &now), 0);
        pg_manners_succeeded(&manners, before, now.now_ns);
    }
    pass(SECOND);
    cr_assert_eq(room(), 32);
    cr_assert_gt(fail("08006"), 0);
}

Test(pg_manners, refused_for_good_waits_for_a_query_and_half_a_minute) {
    static const char *const sqlstates[] = {"28P01", "28000", "3D000", "42501"};
    for (size_t i = 0; i < 4; i++) {
        begin();
        uint64_t least = UINT64_MAX, most = 0;
        for (int n = 0; n < 200; n++) {
            cr_assert_eq(fail(sqlstates[i]), 0, "no attempt is planned");
            cr_assert_eq(pg_manners_next_ns(&manners), UINT64_MAX);
            uint64_t wait = manners.next_ns - now.now_ns;
            within(wait, 30000, 60000, __LINE__);
            least = wait < least ? wait : least;
            most = wait > most ? wait : most;
            now.asked = true;
            pass(wait - 1);
            cr_assert_eq(room(), 0, "not yet");
            pass(1);
            cr_assert_eq(room(), 1);
            now.asked = false;
            cr_assert_eq(room(), 0, "nobody asks");
        }
        cr_assert(most - least > 20 * SECOND, "%s: they differ", sqlstates[i]);
        succeed();
        cr_assert_eq(room(), 2);
    }
    cr_assert_not(pg_manners_is_for_good("57P03") || pg_manners_is_for_good("53300") ||
                  pg_manners_is_for_good("08001") || pg_manners_is_for_good("42704"));
}

Test(pg_manners, a_server_that_has_another_trouble_by_now_is_tried_again) {
    (void)fail("28P01");
    pass(61 * SECOND);
    now.asked = true;
    within(fail("57P03"), 50, 100, __LINE__);
    now.asked = false;
    pass(SECOND);
    cr_assert_eq(room(), 1);
}

Test(pg_manners, without_a_place_one_at_a_time_up_to_a_minute) {
    static const struct {
        const char *sqlstate, *message;
    } rows[] = {{"53300", "sorry, too many clients already"},
                {"08P01", "no more connections allowed (max_client_conn)"}};
    for (size_t i = 0; i < 2; i++) {
        begin();
        for (int n = 0; n < 8; n++)
            succeed();
        uint64_t last = 0, total = 0;
        for (int n = 0; n < 14; n++) {
            last = pg_manners_failed(&manners, manners.epoch, rows[i].sqlstate, rows[i].message, &now);
            total += last;
            pass(last);
            cr_assert_eq(room(), 1, "one at a time");
        }
        within(last, 30000, 60000, __LINE__);
        cr_assert_gt(total, 120 * SECOND);
        /* A place was free; the next one is looked for later, but not as late. */
        succeed();
        cr_assert_eq(room(), 0);
        within(pg_manners_next_ns(&manners) - now.now_ns, 1, 10000, __LINE__);
        for (int n = 0; n < 4; n++) {
            pass(10 * SECOND);
            succeed();
        }
        cr_assert_eq(manners.state, PG_MANNERS_GROWING);
        cr_assert_geq(room(), 2);
    }
}

/* Its places are taken by others, and it serves us nothing: it is asked as one that is down. */
Test(pg_manners, without_a_place_and_none_up_as_one_that_is_down) {
    for (int n = 0; n < 10; n++) {
        uint64_t wait = fail("53300");
        within(wait, 50, 1200, __LINE__);
        pass(wait);
    }
    now.any_up = true;
    for (int n = 0; n < 12; n++)
        pass(fail("53300"));
    now.any_up = false;
    pg_manners_none_up(&manners);
    cr_assert_eq(room(), 1, "at once");
    within(fail("53300"), 50, 100, __LINE__);
}
