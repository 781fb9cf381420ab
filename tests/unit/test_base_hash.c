/* SPDX-License-Identifier: MIT */
#include "base/hash.h"

#include "base/rng.h"
#include "lib/guard.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { SEED = 42, LENGTH_MAX = 70 };

Test(hash, depends_on_every_bit_of_text_and_seed_and_on_the_length) {
    struct guard guard;
    guard_open(&guard, LENGTH_MAX + 1);
    uint8_t text[LENGTH_MAX + 1] = {0};
    for (size_t size = 0; size <= LENGTH_MAX; size++) {
        uint64_t whole = hash_bytes(guard_place(&guard, text, size), size, SEED);
        cr_assert_eq(hash_bytes(text, size, SEED), whole);
        cr_assert_neq(hash_bytes(text, size + 1, SEED), whole, "one NUL more, %zu", size);
        for (int bit = 0; bit < 64; bit++)
            cr_assert_neq(hash_bytes(text, size, SEED ^ (uint64_t)1 << bit), whole);
        for (size_t bit = 0; bit < 8 * size; bit++) {
            text[bit / 8] ^= (uint8_t)(1 << bit % 8);
            cr_assert_neq(hash_bytes(guard_place(&guard, text, size), size, SEED), whole, "bit %zu of %zu", bit, size);
            text[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        text[size] = (uint8_t)(size * 37 + 1);
    }
    guard_close(&guard);
}

Test(hash, no_text_is_a_text) {
    cr_assert_eq(hash_bytes(NULL, 0, SEED), hash_bytes("", 0, SEED));
}

Test(hash, numbered_texts_fill_buckets_evenly) {
    enum { BUCKETS = 1 << 12, TEXTS = 16 * BUCKETS };
    static uint16_t low[BUCKETS], high[BUCKETS];
    char text[64];
    for (int i = 0; i < TEXTS; i++) {
        int size = snprintf(text, sizeof text, "select name from users where id = %d", i);
        uint64_t hash = hash_bytes(text, (size_t)size, SEED);
        low[hash % BUCKETS]++;
        high[hash >> 52]++;
    }
    for (int i = 0; i < BUCKETS; i++) /* 16 expected; 48 is eight standard deviations off */
        cr_assert(low[i] < 48 && high[i] < 48, "bucket %d: %u and %u", i, low[i], high[i]);
}

/* Public constants in a text must not cancel out what the seed and the text before them put in. */
Test(hash, no_block_of_text_wipes_out_what_came_before) {
    static const uint64_t constants[] = {0, 0xa0761d6478bd642fu, 0xe7037ed1a0b428dbu,
                                         0xa0761d6478bd642fu ^ 0xe7037ed1a0b428dbu};
    uint64_t text[6] = {0};
    for (size_t c = 0; c < 4; c++) {
        for (size_t place = 2; place < 6; place++) {
            text[place] = constants[c];
            text[0] = 1;
            uint64_t one = hash_bytes(text, sizeof text, SEED);
            text[0] = 2;
            cr_assert_neq(hash_bytes(text, sizeof text, SEED), one, "constant %zu at word %zu", c, place);
            cr_assert_neq(hash_bytes(text, sizeof text, SEED + 1), hash_bytes(text, sizeof text, SEED));
        }
    }
}
