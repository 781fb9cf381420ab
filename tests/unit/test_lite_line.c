/* SPDX-License-Identifier: MIT */
/* The line of those that want to write one file: who is first, who lets whom pass, and that no wake-up is lost. */
#include "lite/line.h"

#include <criterion/criterion.h>
#include <time.h>

static const uint64_t FOREVER_NS = UINT64_C(300000000000), MS = 1000000;

static struct lite_line line;
static struct lite_place a, b, c;

static void setup(void) {
    lite_line_init(&line);
    a = b = c = (struct lite_place){0};
}

static void teardown(void) {
    lite_line_leave(&line, &a);
    lite_line_leave(&line, &b);
    lite_line_leave(&line, &c);
    lite_line_free(&line);
}

TestSuite(line, .init = setup, .fini = teardown);

Test(line, who_came_first_is_first) {
    cr_assert(lite_line_is_empty(&line));
    lite_line_join(&line, &a, 10);
    lite_line_join(&line, &b, 5);
    lite_line_join(&line, &c, 20);
    lite_line_join(&line, &a, 30);
    cr_assert_not(lite_line_wait(&line, &b, 1));
    cr_assert_not(lite_line_wait(&line, &c, 1));
    cr_assert(lite_line_wait(&line, &a, 1));
    lite_line_leave(&line, &a);
    cr_assert(lite_line_wait(&line, &b, FOREVER_NS), "the leaving wakes it");
    cr_assert_not(lite_line_wait(&line, &c, 1));
    lite_line_leave(&line, &c);
    lite_line_leave(&line, &b);
    cr_assert(lite_line_is_empty(&line));
}

Test(line, a_turn_is_due_when_the_first_has_stood_for_a_while) {
    cr_assert_not(lite_line_is_due(&line, 5 * MS), "nobody stands there");
    lite_line_join(&line, &a, 5 * MS);
    lite_line_join(&line, &b, 1 * MS);
    cr_assert_not(lite_line_is_due(&line, 6 * MS - 1), "it is the first that counts");
    cr_assert(lite_line_is_due(&line, 6 * MS));
    lite_line_leave(&line, &a);
    cr_assert(lite_line_is_due(&line, 2 * MS));
}

/* Else this would wait for FOREVER_NS. */
Test(line, a_transaction_that_ends_before_the_wait_is_not_missed) {
    lite_line_join(&line, &a, 1);
    lite_line_leave(&line, &b);
    cr_assert_not(b.stands, "it only tells that its transaction has ended");
    cr_assert(lite_line_wait(&line, &a, FOREVER_NS));
    cr_assert(lite_line_wait(&line, &a, 1), "it was woken for that once");
}

/* ---- Threads that are told ---- */

enum { IN_LINE = 8 };

/* Nobody is told before its turn, and everybody is then: else one of them would wait for FOREVER_NS. */
static void *wait_for_turn(void *argument) {
    struct lite_place place = {0};
    (void)argument;
    lite_line_join(&line, &place, 1);
    bool first = lite_line_wait(&line, &place, FOREVER_NS);
    lite_line_leave(&line, &place);
    return first ? &line : NULL;
}

Test(line, who_leaves_wakes_the_next_alone) {
    pthread_t threads[IN_LINE];
    for (int i = 0; i < IN_LINE; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, wait_for_turn, NULL), 0);
    while (atomic_load(&line.count) < IN_LINE)
        nanosleep(&(struct timespec){.tv_nsec = (long)MS}, NULL);
    lite_line_leave(&line, &a);
    for (int i = 0; i < IN_LINE; i++) {
        void *first;
        pthread_join(threads[i], &first);
        cr_assert(first);
    }
    cr_assert(lite_line_is_empty(&line));
}

/* ---- Threads that never leave the lock alone ---- */

enum { THREADS = 4, TURNS = 200 };

static atomic_int holder, turn_count;

/* Only who is the first tries, so it finds nobody there. */
static void *write_on(void *argument) {
    int self = (int)(intptr_t)argument;
    struct lite_place place = {0};
    for (int i = 0; i < TURNS; i++) {
        lite_line_join(&line, &place, 1);
        while (!lite_line_wait(&line, &place, MS))
            continue;
        cr_assert_eq(atomic_exchange(&holder, self), 0);
        atomic_fetch_add(&turn_count, 1);
        cr_assert_eq(atomic_exchange(&holder, 0), self);
        lite_line_leave(&line, &place);
    }
    return NULL;
}

Test(line, threads_take_turns) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, write_on, (void *)(intptr_t)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(atomic_load(&turn_count), THREADS * TURNS);
    cr_assert(lite_line_is_empty(&line));
}
