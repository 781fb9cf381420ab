/* SPDX-License-Identifier: MIT */
#include "core/status.h"

#include <criterion/criterion.h>

static struct quring_db db;

static void up(void) {
    db.counters.connect_count++;
    status_up(&db, 9);
}

static void fails(void) {
    status_failed(&db, false, false, 9);
}

static void is_refused(void) {
    status_failed(&db, false, true, 9);
}

static void none_up(void) {
    status_none_up(&db, false, 9);
}

static void none_for_good(void) {
    status_none_up(&db, true, 9);
}

static void shut_down(void) {
    status_closing(&db, 9);
}

/* A way there from the beginning. */
static void bring(const char *way) {
    db = (struct quring_db){0};
    status_begin(&db, 1);
    for (; *way; way++) {
        static void (*const steps[])(void) = {
            ['u'] = up, ['r'] = is_refused, ['n'] = none_up, ['l'] = none_for_good, ['s'] = shut_down};
        steps[(unsigned char)*way]();
    }
    db.status.at_ns = 1;
}

/* The table in status.h, and what the functions promise besides. */
Test(status, status_move_by_what_happens) {
    enum { T = QURING_DB_TRYING, U, O, R, L, C };
    static const struct {
        const char *way;
        int from, up, fails, refused, none, none_for_good, shut_down;
    } rows[] = {
        {"", T, U, T, R, T, L, C},  {"u", U, U, O, R, O, L, C},   {"un", O, U, O, R, O, L, C},
        {"r", R, U, T, R, R, L, C}, {"unr", R, U, O, R, R, L, C}, {"ul", L, L, L, L, L, L, C},
        {"s", C, C, C, C, C, C, C}, {"us", C, C, C, C, C, C, C},  {"uls", C, C, C, C, C, C, C},
    };
    static void (*const events[])(void) = {up, fails, is_refused, none_up, none_for_good, shut_down};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int event = 0; event < 6; event++) {
            bring(rows[i].way);
            cr_assert_eq(db.status.state, rows[i].from, "by %s", rows[i].way);
            events[event]();
            int to = (&rows[i].up)[event];
            cr_assert_eq(db.status.state, to, "by %s, event %d: to %d", rows[i].way, event, db.status.state);
            cr_assert_eq(db.status.at_ns, to == rows[i].from ? 1 : 9, "by %s, event %d", rows[i].way, event);
        }
}

Test(status, failures_count_since_a_connection_was_made) {
    bring("");
    fails();
    is_refused();
    cr_assert_eq(db.status.failure_count, 2);
    up();
    cr_assert_eq(db.status.failure_count, 0);
    status_failed(&db, true, true, 9);
    cr_assert_eq(db.status.state, QURING_DB_UP, "one failed beside it");
    none_up();
    cr_assert_eq(db.status.failure_count, 1);
}

/* A lane counts a connection when it opens one, and its news may tell of the opening and of a loss behind it at once. */
Test(status, a_connection_that_nobody_told_of_was_none) {
    bring("");
    db.counters.connect_count++;
    fails();
    cr_assert_eq(db.status.state, QURING_DB_TRYING);
}
