/* SPDX-License-Identifier: MIT */
/* A fast, seeded 64-bit hash for what a caller controls (SQL, keys); the seed keeps hostile texts from colliding. */
#ifndef QURING_BASE_HASH_H
#define QURING_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The high and the low half of the product: every bit of the result depends on every bit of both factors. */
static inline uint64_t hash_mix(uint64_t a, uint64_t b) {
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Up to 8 bytes as one word. */
static inline uint64_t hash_tail(const uint8_t *at, size_t size) {
    uint64_t word = 0;
    if (size)
        memcpy(&word, at, size);
    return word;
}

static inline uint64_t hash_bytes(const void *bytes, size_t size, uint64_t seed) {
    const uint8_t *at = bytes;
    /* The constants are wyhash's. */
    const uint64_t k0 = 0xa0761d6478bd642fu, k1 = 0xe7037ed1a0b428dbu;
    /* Text is mixed with secrets alone: one that could make a factor 0 would wipe out all that was mixed in before. */
    const uint64_t secret = hash_mix(seed ^ k0, k1);
    uint64_t h = seed ^ k0;
    size_t left = size;
    while (left > 16) {
        uint64_t a, b;
        memcpy(&a, at, 8);
        memcpy(&b, at + 8, 8);
        h = hash_mix(a ^ secret, b ^ h);
        at += 16;
        left -= 16;
    }
    uint64_t a = hash_tail(at, left > 8 ? 8 : left);
    uint64_t b = left > 8 ? hash_tail(at + 8, left - 8) : 0;
    return hash_mix(k1 ^ size, hash_mix(a ^ secret, b ^ h));
}

/*
 * Makes the seed of a table, which differs from one process and table to the next: with a known one, whoever chooses what is
 * hashed could choose it to share a bucket.
 */
uint64_t hash_seed(const void *table);

#endif
