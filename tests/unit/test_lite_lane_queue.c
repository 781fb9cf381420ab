/* SPDX-License-Identifier: MIT */
#include "lite/lane_queue.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <string.h>

enum { QUERIES = 5000, HELD = 64 };

static struct lane_queue queue;
static struct queue shared;
static struct query queries[QUERIES];

static void setup(void) {
    cr_assert(lane_queue_init(&queue));
    for (int i = 0; i < QUERIES; i++)
        queries[i] = (struct query){.id = (quring_id)i, .queue = &shared};
}

static void teardown(void) {
    struct query *rest;
    while (lane_queue_take(&queue, &rest, 1))
        lane_queue_let_go(&queue, 1);
    lane_queue_free(&queue);
}

TestSuite(lane_queue, .init = setup, .fini = teardown);

Test(lane_queue, first_in_first_out_over_growth) {
    struct query *taken[HELD];
    for (int i = 0; i < QUERIES; i++)
        cr_assert(lane_queue_put(&queue, &queries[i]));
    cr_assert_eq(lane_queue_count(&queue), QUERIES);
    for (uint32_t next = 0, n; next < QUERIES; next += n) {
        n = lane_queue_take(&queue, taken, HELD);
        cr_assert_gt(n, 0);
        for (uint32_t i = 0; i < n; i++)
            cr_assert_eq(taken[i], &queries[next + i]);
        lane_queue_let_go(&queue, n);
    }
    cr_assert_eq(lane_queue_take(&queue, taken, HELD), 0);
}

Test(lane_queue, what_is_given_back_comes_first_again) {
    struct query *taken[4];
    for (int i = 0; i < 6; i++)
        cr_assert(lane_queue_put(&queue, &queries[i]));
    cr_assert_eq(lane_queue_take(&queue, taken, 4), 4);
    taken[2] = NULL; /* handed back otherwise */
    lane_queue_give_back(&queue, taken + 1, 3);
    cr_assert_eq(queue.held_count, 2);
    cr_assert_eq(lane_queue_take(&queue, taken, 4), 4);
    cr_assert_eq(taken[0], &queries[1]);
    cr_assert_eq(taken[1], &queries[3]);
    cr_assert_eq(taken[2], &queries[4]);
    cr_assert_eq(taken[3], &queries[5]);
}

Test(lane_queue, withdraws_what_is_queued_only) {
    struct query *taken[8];
    for (int i = 0; i < 3; i++)
        cr_assert(lane_queue_put(&queue, &queries[i]));
    cr_assert(lane_queue_withdraw(&queue, &queries[1]));
    cr_assert_not(lane_queue_withdraw(&queue, &queries[1]));
    cr_assert_not(lane_queue_withdraw(&queue, &queries[7]));
    cr_assert_eq(lane_queue_take(&queue, taken, 8), 2);
    cr_assert_eq(taken[1], &queries[2]);
    cr_assert_not(lane_queue_withdraw(&queue, &queries[0]));
    lane_queue_give_back(&queue, taken, 2);
    cr_assert(lane_queue_withdraw(&queue, &queries[0]));
}

Test(lane_queue, barred_it_hands_out_nothing_and_takes_all) {
    struct query *taken[4];
    cr_assert(lane_queue_put(&queue, &queries[0]) && lane_queue_put(&queue, &queries[1]));
    cr_assert_eq(lane_queue_take(&queue, taken, 1), 1);
    lane_queue_bar(&queue, true);
    cr_assert_eq(lane_queue_take(&queue, taken + 1, 3), 0);
    cr_assert(lane_queue_put(&queue, &queries[2]));
    lane_queue_give_back(&queue, taken, 1);
    cr_assert(lane_queue_withdraw(&queue, &queries[1]));
    cr_assert_eq(lane_queue_take(&queue, taken, 4), 0);
    lane_queue_bar(&queue, false);
    cr_assert_eq(lane_queue_take(&queue, taken, 4), 2);
    cr_assert(taken[0] == &queries[0] && taken[1] == &queries[2]);
}

/* Queries `first` to `first + count` become a unit, which stands in the queue. */
static void put_unit(int first, int count) {
    for (int i = first; i < first + count; i++) {
        queries[i].in_unit = true;
        queries[i].unit_goes_on = i + 1 < first + count;
        cr_assert(lane_queue_put(&queue, &queries[i]));
    }
}

static void assert_taken(uint32_t wanted, uint32_t count, int first, int line) {
    struct query *taken[HELD];
    cr_assert_eq(lane_queue_take(&queue, taken, wanted), count, "line %d", line);
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(taken[i], &queries[first + (int)i], "line %d", line);
}

Test(lane_queue, lane_queue_take_stops_between_units) {
    cr_assert(lane_queue_put(&queue, &queries[0]));
    put_unit(1, 3);
    put_unit(4, 2);
    cr_assert(lane_queue_put(&queue, &queries[6]));
    assert_taken(3, 1, 0, __LINE__);
    assert_taken(2, 3, 1, __LINE__); /* more than is wanted, but never a part */
    cr_assert_eq(queue.unit_count, 2);
    assert_taken(3, 3, 4, __LINE__);
    cr_assert_eq(queue.unit_count, 0);
    assert_taken(3, 0, 0, __LINE__);
    cr_assert_eq(queue.held_count, 7);
    lane_queue_let_go(&queue, 7);
}

Test(lane_queue, units_are_given_back_and_withdrawn_whole) {
    struct query *taken[HELD];
    put_unit(0, 3);
    put_unit(3, 2);
    cr_assert_eq(lane_queue_take(&queue, taken, 3), 3);
    lane_queue_give_back(&queue, taken, 3);
    cr_assert_eq(queue.unit_count, 5);
    for (int i = 0; i < 3; i++)
        cr_assert(lane_queue_withdraw(&queue, &queries[i]));
    assert_taken(1, 2, 3, __LINE__);
    lane_queue_let_go(&queue, 2);
    put_unit(5, 2);
    cr_assert_eq(lane_queue_take_one(&queue), &queries[5]);
    cr_assert_eq(lane_queue_take_one(&queue), &queries[6]);
    cr_assert_null(lane_queue_take_one(&queue));
    cr_assert_eq(queue.unit_count, 0);
    lane_queue_let_go(&queue, 2);
}

Test(lane_queue, lane_queue_reserve_unit_makes_room_for_the_longest) {
    queue.unit_most = 3;
    cr_assert(lane_queue_reserve_unit(&queue, 3));
    cr_assert_null(queue.room, "there is as much");
    cr_assert(lane_queue_reserve_unit(&queue, 20));
    cr_assert_geq(queue.unit_most, 20);
    struct query **room = queue.room;
    cr_assert(lane_queue_reserve_unit(&queue, 4));
    cr_assert_eq(queue.room, room);
    cr_assert(lane_queue_reserve_unit(&queue, 200)); /* in place of what no lane has taken */
    cr_assert_geq(queue.unit_most, 200);
    put_unit(0, 150);
    cr_assert_eq(lane_queue_take(&queue, queue.room, 3), 150);
    lane_queue_let_go(&queue, 150);
}

/* Against a list of who must come next; positions start where they soon wrap. */
Test(lane_queue, random_moves_match_a_model) {
    static uint32_t model[4 * QUERIES];
    static uint8_t where[QUERIES]; /* 0 free, 1 queued, 2 held */
    struct query *taken[HELD];
    struct rng rng = {7};
    uint32_t first = 2 * QUERIES, last = 2 * QUERIES, held = 0;
    queue.head = queue.tail = UINT32_MAX - 700;
    for (int step = 0; step < 200000; step++) {
        uint32_t at = (uint32_t)rng_below(&rng, QUERIES);
        uint64_t move = rng_below(&rng, 8);
        if (move < 4 && where[at] == 0 && last < 4 * QUERIES) {
            cr_assert(lane_queue_put(&queue, &queries[at]));
            model[last++] = at;
            where[at] = 1;
        } else if (move < 6) {
            cr_assert_eq(lane_queue_withdraw(&queue, &queries[at]), where[at] == 1);
            for (uint32_t i = first; where[at] == 1 && i < last; i++)
                if (model[i] == at)
                    memmove(&model[i], &model[i + 1], (--last - i) * sizeof *model);
            where[at] = where[at] == 1 ? 0 : where[at];
        } else if (held == 0) {
            held = lane_queue_take(&queue, taken, HELD);
            cr_assert_eq(held, last - first < HELD ? last - first : HELD);
            for (uint32_t i = 0; i < held; i++) {
                cr_assert_eq(taken[i]->id, model[first]);
                where[model[first++]] = 2;
            }
        } else {
            uint32_t done = (uint32_t)rng_below(&rng, held + 1);
            for (uint32_t i = 0; i < done; i++)
                where[taken[i]->id] = 0;
            lane_queue_let_go(&queue, done);
            lane_queue_give_back(&queue, taken + done, held - done);
            for (uint32_t i = held; i-- > done;) {
                model[--first] = (uint32_t)taken[i]->id;
                where[taken[i]->id] = 1;
            }
            held = 0;
        }
        cr_assert(first != last || lane_queue_count(&queue) == 0, "nobody would come for a withdrawn query's place");
        if (first == last && !held)
            first = last = 2 * QUERIES;
    }
    cr_assert_leq(queue.capacity, 2 * QUERIES, "withdrawn places are found again");
}
