/* SPDX-License-Identifier: MIT */
/*
 * A whole session: what is asked and what comes, in turns. The same turns are fed whole, byte by byte and in pieces
 * of odd sizes, and must mean the same; the first and the last way take whole answers at once, the second never does.
 * lib/wire_feed.c holds every single reply against the session's promises.
 *
 *      turn: u8 requests (of which 2 bits count)    { u8 steps   u8 columns + 1 }*    u16 size, little endian    bytes
 */
#include "base/assert.h"
#include "base/cursor.h"
#include "lib/wire_feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROOM = 1 << 14, LIMIT = 1 << 12, REQUESTS_MAX = 6, WAYS = 3 };

static struct wire_feed feeds[WAYS];

static void feed_in_pieces(struct wire_feed *feed, int way, const uint8_t *bytes, size_t size) {
    size_t piece = way == 0 ? size : 1;
    for (size_t at = 0; at < size; at += piece) {
        if (way == 2)
            piece = 1 + (at * 7 + size) % 23;
        if (piece > size - at)
            piece = size - at;
        wire_feed_bytes(feed, bytes + at, piece);
    }
}

/* What was told and fed so far left all three in the same place. */
static void check_same(void) {
    for (int way = 1; way < WAYS; way++) {
        const struct wire_session *a = &feeds[0].session, *b = &feeds[way].session;
        PRE(buf_size(&feeds[0].log) == buf_size(&feeds[way].log));
        PRE(strcmp(wire_feed_log(&feeds[0]), wire_feed_log(&feeds[way])) == 0);
        PRE(feeds[0].consumed == feeds[way].consumed && feeds[0].last == feeds[way].last);
        PRE(feeds[0].wanted == feeds[way].wanted);
        PRE(a->head == b->head && a->first == b->first && a->phase == b->phase);
    }
    PRE(feeds[0].session.first <= feeds[0].session.head && feeds[0].session.head <= feeds[0].session.next);
}

static void expect(uint8_t steps, int32_t column_count) {
    bool told[WAYS];
    steps &= WIRE_STEPS_END - 1;
    for (int way = 0; way < WAYS; way++) {
        bool room = wire_session_outstanding(&feeds[way].session) < REQUESTS_MAX;
        told[way] = steps && wire_expect(&feeds[way].session, steps, column_count);
        PRE(told[way] == (steps && room));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > ROOM / 2)
        return 0;
    for (int way = 0; way < WAYS; way++) {
        if (!feeds[way].session.requests)
            wire_feed_open(&feeds[way], REQUESTS_MAX, LIMIT, ROOM);
        else
            wire_feed_restart(&feeds[way]);
        feeds[way].takes_answers = way != 1;
    }
    struct cursor in = cursor_over(data, size);
    while (!in.failed && cursor_left(&in) > 0) {
        for (int requests = cursor_u8(&in) & 3; requests > 0; requests--) {
            uint8_t steps = cursor_u8(&in);
            expect(steps, cursor_u8(&in) - 1);
        }
        const uint8_t *count = cursor_take(&in, 2);
        size_t chunk = count ? (size_t)count[0] | (size_t)count[1] << 8 : 0;
        if (chunk > cursor_left(&in))
            chunk = cursor_left(&in);
        const uint8_t *bytes = cursor_take(&in, chunk);
        for (int way = 0; bytes && way < WAYS; way++)
            feed_in_pieces(&feeds[way], way, bytes, chunk);
        check_same();
    }
    return 0;
}
