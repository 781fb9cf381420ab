/* SPDX-License-Identifier: MIT */
#include "base/slots.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <signal.h>

enum { COUNT = 17, OBJECT_BYTES = 72 };

static struct slots slots;

static void setup(void) {
    cr_assert(slots_init(&slots, COUNT, OBJECT_BYTES, 64));
}

static void teardown(void) {
    slots_free(&slots);
}

TestSuite(slots, .init = setup, .fini = teardown);

Test(slots, objects_are_zeroed_aligned_and_apart) {
    cr_assert_geq(slots.object_bytes, OBJECT_BYTES);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint8_t *object = slots_at(&slots, i);
        cr_assert_eq((uintptr_t)object % 64, 0);
        for (int b = 0; b < OBJECT_BYTES; b++)
            cr_assert_eq(object[b], 0);
        memset(object, 0xff, OBJECT_BYTES);
    }
}

Test(slots, all_can_be_taken_once) {
    uint64_t tokens[COUNT];
    void *objects[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        objects[i] = slots_take(&slots, &tokens[i]);
        cr_assert_not_null(objects[i]);
        cr_assert_eq(slots_taken(&slots), i + 1);
        cr_assert_neq(tokens[i], 0);
        for (uint32_t k = 0; k < i; k++)
            cr_assert(objects[k] != objects[i] && tokens[k] != tokens[i]);
    }
    uint64_t none;
    cr_assert_null(slots_take(&slots, &none));
    for (int i = 0; i < COUNT; i++)
        cr_assert_eq(slots_get(&slots, tokens[i]), objects[i]);
}

Test(slots, tokens_of_what_was_given_back_name_nothing) {
    uint64_t first, second;
    void *object = slots_take(&slots, &first);
    slots_give(&slots, first);
    cr_assert_null(slots_get(&slots, first));
    cr_assert_eq(slots_take(&slots, &second), object, "the warmest slot comes first");
    cr_assert_neq(first, second);
    cr_assert_null(slots_get(&slots, first));
    cr_assert_eq(slots_get(&slots, second), object);
}

Test(slots, what_is_no_token_names_nothing) {
    uint64_t token;
    cr_assert_not_null(slots_take(&slots, &token));
    cr_assert_null(slots_get(&slots, 0));
    cr_assert_null(slots_get(&slots, UINT64_MAX));
    cr_assert_null(slots_get(&slots, token ^ (uint64_t)1 << 63));
    for (uint64_t index = 0; index < 32; index++) {
        cr_assert_null(slots_get(&slots, 2 << 5 | index), "even generations are free ones");
        cr_assert_null(slots_get(&slots, index));
        if (index != token % 32)
            cr_assert_null(slots_get(&slots, token / 32 * 32 | index));
    }
}

/* At ten million queries a second, on one slot. */
Test(slots, tokens_do_not_come_again_in_years) {
    const uint64_t year = UINT64_C(10000000) * 86400 * 365;
    struct slots one;
    uint64_t token;
    cr_assert(slots_init(&one, 4096, 8, 64));
    cr_assert_gt(one.token_mask / one.step / 2, 5 * year);
    one.tokens[0] = UINT64_C(1) << 44; /* where 32 bits would begin again */
    cr_assert_not_null(slots_take(&one, &token));
    cr_assert_eq(token >> 12, (UINT64_C(1) << 32) + 1);
    cr_assert_null(slots_get(&one, UINT64_C(1) << 12));
    slots_free(&one);
}

/* Where generations do end, they begin anew; and no token is larger than was asked for. */
Test(slots, generations_begin_again_at_their_end) {
    struct slots few;
    uint64_t token, first;
    cr_assert(slots_init(&few, 5, 8, 56));
    cr_assert_eq(few.step, 8);
    cr_assert_not_null(slots_take(&few, &first));
    slots_give(&few, first);
    few.tokens[0] = (UINT64_C(1) << 56) - 16;
    cr_assert_not_null(slots_take(&few, &token));
    cr_assert_eq(token, (UINT64_C(1) << 56) - 8);
    cr_assert_not_null(slots_get(&few, token));
    slots_give(&few, token);
    cr_assert_eq(few.tokens[0], 0);
    cr_assert_not_null(slots_take(&few, &token));
    cr_assert_eq(token, first);
    slots_free(&few);
}

Test(slots, memory_that_cannot_be_had_is_a_failure) {
    struct slots none;
    cr_assert_not(slots_init(&none, 1, SIZE_MAX / 4, 64));
    cr_assert(none.objects == NULL && none.tokens == NULL && none.free_stack == NULL && none.count == 0);
}

Test(slots, nothing_is_given_back_twice, .signal = SIGABRT) {
    uint64_t token;
    slots_take(&slots, &token);
    slots_give(&slots, token);
    slots_give(&slots, token);
}

Test(slots, agrees_with_a_model) {
    struct rng rng = {5};
    struct {
        uint64_t token;
        uint64_t *object;
    } live[COUNT];
    uint32_t count = 0;
    uint64_t stale[64] = {0};
    for (uint64_t round = 1; round < 50000; round++) {
        if (count < COUNT && rng_below(&rng, 2)) {
            live[count].object = slots_take(&slots, &live[count].token);
            *live[count].object = live[count].token;
            count++;
        } else if (count) {
            uint32_t i = (uint32_t)rng_below(&rng, count);
            cr_assert_eq(*live[i].object, live[i].token, "no other owner wrote to it");
            slots_give(&slots, live[i].token);
            stale[round % 64] = live[i].token;
            live[i] = live[--count];
        }
        cr_assert_eq(slots_taken(&slots), count);
        for (int i = 0; i < 64; i++)
            cr_assert_null(slots_get(&slots, stale[i]));
        for (uint32_t i = 0; i < count; i++)
            cr_assert_eq(slots_get(&slots, live[i].token), (void *)live[i].object);
    }
}
