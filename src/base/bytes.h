/* SPDX-License-Identifier: MIT */
/* Big-endian integers at unaligned addresses: the byte order of PostgreSQL's protocol and of our rows. */
#ifndef QURING_BASE_BYTES_H
#define QURING_BASE_BYTES_H

#include <stdint.h>
#include <string.h>

/* Access goes through memcpy(), since an unaligned pointer is undefined; compilers make one instruction of it. */
static inline uint16_t bytes_load_u16(const void *at) {
    uint16_t v;
    memcpy(&v, at, sizeof v);
    return __builtin_bswap16(v);
}

static inline uint32_t bytes_load_u32(const void *at) {
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return __builtin_bswap32(v);
}

static inline uint64_t bytes_load_u64(const void *at) {
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return __builtin_bswap64(v);
}

static inline void bytes_store_u16(void *at, uint16_t v) {
    v = __builtin_bswap16(v);
    memcpy(at, &v, sizeof v);
}

static inline void bytes_store_u32(void *at, uint32_t v) {
    v = __builtin_bswap32(v);
    memcpy(at, &v, sizeof v);
}

static inline void bytes_store_u64(void *at, uint64_t v) {
    v = __builtin_bswap64(v);
    memcpy(at, &v, sizeof v);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "bytes.h swaps on load: port it before using a big-endian CPU");

#endif
