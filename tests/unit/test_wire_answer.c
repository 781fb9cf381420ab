/* SPDX-License-Identifier: MIT */
/*
 * wire_session_take_answer() and wire_session_take_inserted() are shortcuts and no more: whatever is asked and whatever
 * comes, a session that takes answers says and does what one says and does that only looks at one message after the other.
 */
#include "base/rng.h"
#include "lib/replies.h"
#include "lib/transcripts.h"
#include "lib/wire_feed.h"

#include <criterion/criterion.h>

enum { ROOM = 1 << 14, LIMIT = 1 << 12, REQUESTS_MAX = 6, COLUMNS_MAX = 3 };
enum { EXECUTE = WIRE_BIND | WIRE_FETCH, RUN = EXECUTE | WIRE_SYNC };

static struct wire_feed shortcut, generic;
static struct buf bytes;

static void setup(void) {
    buf_init(&bytes, ROOM);
}

static void teardown(void) {
    buf_free(&bytes);
}

TestSuite(answer, .init = setup, .fini = teardown);

static void open_both(size_t limit) {
    wire_feed_open(&shortcut, REQUESTS_MAX, limit, ROOM);
    wire_feed_open(&generic, REQUESTS_MAX, limit, ROOM);
    shortcut.takes_answers = true;
}

static void close_both(void) {
    wire_feed_close(&shortcut);
    wire_feed_close(&generic);
}

static void assert_same(const char *where, size_t number) {
    const struct wire_session *a = &shortcut.session, *b = &generic.session;
    cr_assert_str_eq(wire_feed_log(&shortcut), wire_feed_log(&generic), "%s %zu", where, number);
    cr_assert_eq(shortcut.consumed, generic.consumed, "%s %zu", where, number);
    cr_assert_eq(shortcut.last, generic.last);
    cr_assert_eq(shortcut.wanted, generic.wanted);
    cr_assert(a->next == b->next && a->head == b->head && a->first == b->first, "%s %zu", where, number);
    cr_assert(a->phase == b->phase && a->bound == b->bound, "%s %zu", where, number);
    cr_assert(a->column_count == b->column_count && a->skip_bytes == b->skip_bytes, "%s %zu", where, number);
}

static void feed_both(const uint8_t *at, size_t size) {
    wire_feed_bytes(&shortcut, at, size);
    wire_feed_bytes(&generic, at, size);
}

static bool expect_both(uint8_t steps, int32_t column_count) {
    bool told = wire_expect(&shortcut.session, steps, column_count);
    cr_assert_eq(wire_expect(&generic.session, steps, column_count), told);
    return told;
}

/* ---- One reply ---- */

static void put_row(uint16_t count) {
    static const char *const values[] = {"1", NULL, "many words"};
    reply_row(&bytes, count, values);
}

static void put_answer(char transaction) {
    reply_bare(&bytes, '2');
    put_row(2);
    reply_tag(&bytes, "SELECT 1");
    if (transaction)
        reply_ready(&bytes, transaction);
}

/* How many bytes a session takes that waits for this request's reply. */
static size_t taken(uint8_t steps, int32_t column_count, size_t limit, size_t size) {
    struct wire_session session;
    struct wire_event event;
    cr_assert(wire_session_init(&session, REQUESTS_MAX, limit));
    cr_assert(wire_expect(&session, steps, column_count));
    struct wire_session before = session;
    size_t used = wire_session_take_answer(&session, buf_head(&bytes), size, &event);
    if (!used)
        cr_assert_eq(memcmp(&session, &before, sizeof session), 0, "nothing has happened");
    wire_session_free(&session);
    return used;
}

Test(answer, is_taken_when_it_is_whole) {
    put_answer('I');
    size_t size = buf_size(&bytes);
    for (size_t part = 0; part < size; part++)
        cr_assert_eq(taken(RUN, 2, LIMIT, part), 0, "%zu bytes", part);
    cr_assert_eq(taken(RUN, 2, LIMIT, size), size);
    cr_assert_eq(taken(EXECUTE, 2, LIMIT, size), size - 6, "without its ReadyForQuery, which nobody asked for");
    cr_assert_eq(taken(EXECUTE, 2, LIMIT, size - 6), size - 6);
    for (size_t part = 0; part < size - 6; part++)
        cr_assert_eq(taken(EXECUTE, 2, LIMIT, part), 0, "%zu bytes", part);
}

Test(answer, is_left_where_another_byte_stands) {
    put_answer('I');
    size_t row = 5 + 5; /* the row's count of values and its values may be others */
    size_t row_end = buf_size(&bytes) - 14 - 6;
    for (size_t at = 0; at < buf_size(&bytes); at++) {
        if (at >= row && at < row_end)
            continue;
        buf_head(&bytes)[at] ^= 1;
        cr_assert_eq(taken(RUN, 2, LIMIT, buf_size(&bytes)), 0, "byte %zu", at);
        buf_head(&bytes)[at] ^= 1;
    }
    cr_assert_eq(taken(RUN, 2, LIMIT, buf_size(&bytes)), buf_size(&bytes));
}

Test(answer, is_left_to_other_requests) {
    put_answer('I');
    for (unsigned steps = 1; steps < WIRE_STEPS_END; steps++)
        cr_assert_eq(taken((uint8_t)steps, 2, LIMIT, buf_size(&bytes)) > 0, (steps & ~(unsigned)WIRE_SYNC) == EXECUTE);
    for (int32_t columns = WIRE_NO_ROWS; columns <= COLUMNS_MAX; columns++)
        cr_assert_eq(taken(RUN, columns, LIMIT, buf_size(&bytes)) > 0, columns == 2, "%d columns", columns);
}

Test(answer, is_left_in_other_transactions) {
    for (const char *status = "ITEX"; *status; status++) {
        buf_reset(&bytes, ROOM);
        put_answer(*status);
        cr_assert_eq(taken(RUN, 2, LIMIT, buf_size(&bytes)) > 0, *status == 'I');
    }
}

Test(answer, is_left_over_the_limit) {
    put_answer('I');
    for (size_t limit = 0; limit < 30; limit++) /* the row has 16 bytes, CommandComplete 14 */
        cr_assert_eq(taken(RUN, 2, limit, buf_size(&bytes)) > 0, limit >= 16, "limit %zu", limit);
    buf_reset(&bytes, ROOM);
    reply_bare(&bytes, '2');
    reply_row(&bytes, 0, NULL);
    reply_tag(&bytes, "SELECT 1");
    for (size_t limit = 0; limit < 30; limit++)
        cr_assert_eq(taken(EXECUTE, 0, limit, buf_size(&bytes)) > 0, limit >= 14, "limit %zu", limit);
}

/* ---- An INSERT's reply ---- */

/* How many bytes of it a session takes. */
static size_t taken_inserted(uint8_t steps, size_t limit, size_t size) {
    struct wire_session session;
    uint64_t request = UINT64_MAX;
    cr_assert(wire_session_init(&session, REQUESTS_MAX, limit));
    cr_assert(wire_expect(&session, steps, WIRE_NO_ROWS));
    struct wire_session before = session;
    size_t used = wire_session_take_inserted(&session, buf_head(&bytes), size, &request);
    if (used)
        cr_assert_eq(request, 0);
    else
        cr_assert_eq(memcmp(&session, &before, sizeof session), 0, "nothing has happened");
    wire_session_free(&session);
    return used;
}

static void put_inserted(void) {
    reply_bare(&bytes, '2');
    reply_tag(&bytes, "INSERT 0 1");
}

Test(answer, of_an_insert_is_taken_when_it_is_whole) {
    put_inserted();
    size_t size = buf_size(&bytes);
    reply_ready(&bytes, 'I');
    for (size_t part = 0; part < size; part++)
        cr_assert_eq(taken_inserted(RUN, LIMIT, part), 0, "%zu bytes", part);
    cr_assert_eq(taken_inserted(RUN, LIMIT, size), size);
    cr_assert_eq(taken_inserted(EXECUTE, LIMIT, buf_size(&bytes)), size, "ReadyForQuery is an event of its own");
}

Test(answer, of_an_insert_is_left_where_anything_is_different) {
    put_inserted();
    size_t size = buf_size(&bytes);
    for (size_t at = 0; at < size; at++) {
        buf_head(&bytes)[at] ^= 1;
        cr_assert_eq(taken_inserted(RUN, LIMIT, size), 0, "byte %zu", at);
        buf_head(&bytes)[at] ^= 1;
    }
    for (unsigned steps = 1; steps < WIRE_STEPS_END; steps++)
        cr_assert_eq(taken_inserted((uint8_t)steps, LIMIT, size) > 0, (steps & ~(unsigned)WIRE_SYNC) == EXECUTE);
    for (size_t limit = 0; limit < 30; limit++) /* CommandComplete has 16 bytes */
        cr_assert_eq(taken_inserted(RUN, limit, size) > 0, limit >= 16, "limit %zu", limit);
}

/* ---- Whole sessions ---- */

Test(answer, recorded_sessions_say_the_same_in_every_split) {
    open_both(LIMIT);
    for (const struct transcript *t = transcripts; t < transcripts + transcript_count; t++) {
        buf_reset(&bytes, ROOM);
        t->build(&bytes);
        for (size_t cut = 0; cut <= buf_size(&bytes); cut++) {
            wire_feed_restart(&shortcut);
            wire_feed_restart(&generic);
            transcript_expect(t, &shortcut.session);
            transcript_expect(t, &generic.session);
            feed_both(buf_head(&bytes), cut);
            assert_same(t->name, cut);
            feed_both(buf_head(&bytes) + cut, buf_size(&bytes) - cut);
            assert_same(t->name, cut);
            cr_assert_str_eq(wire_feed_log(&shortcut), t->events);
        }
    }
    cr_assert_gt(shortcut.answer_count, 0);
    cr_assert_eq(generic.answer_count, 0);
    close_both();
}

static void random_expect(struct rng *rng) {
    uint8_t steps = EXECUTE;
    if (rng_below(rng, 20) == 0)
        steps = (uint8_t)(1 + rng_below(rng, WIRE_STEPS_END - 1));
    if (rng_below(rng, 3))
        steps |= WIRE_SYNC;
    int32_t columns = rng_below(rng, 4) ? 2 : (int32_t)rng_below(rng, COLUMNS_MAX + 2) - 1;
    (void)expect_both(steps, columns);
}

/* Mostly what the request's reply should be, now and then with something in it that should not, or need not. */
static void random_reply(struct rng *rng, const struct wire_request *request) {
    static const char *const tags[] = {"SELECT 1", "SELECT 1", "SELECT 2", "SELECT 10", "INSERT 0 1", "SELECT 1 ", ""};
    static const char any[] = "RK23CdcGHWDIEVvnNAtS1sZTF";
    bool odd = rng_below(rng, 12) == 0;
    uint16_t columns = (uint16_t)(request->column_count < 0 ? 0 : request->column_count);
    if (odd && rng_below(rng, 4) == 0)
        columns = (uint16_t)rng_below(rng, COLUMNS_MAX + 1);
    reply_bare(&bytes, '2');
    if (!odd && request->column_count == WIRE_NO_ROWS) {
        reply_tag(&bytes, "INSERT 0 1");
        if (request->steps & WIRE_SYNC)
            reply_ready(&bytes, 'I');
        return;
    }
    for (uint64_t rows = odd ? rng_below(rng, 3) : 1; rows > 0; rows--)
        put_row(columns);
    if (odd && rng_below(rng, 2))
        reply_script(&bytes, (const char[]){any[rng_below(rng, sizeof any - 1)], 0});
    reply_tag(&bytes, tags[odd ? rng_below(rng, sizeof tags / sizeof *tags) : 0]);
    if (request->steps & WIRE_SYNC)
        reply_ready(&bytes, odd ? "ITEX"[rng_below(rng, 4)] : 'I');
}

static void random_change(struct rng *rng) {
    size_t size = buf_size(&bytes);
    if (size > 0)
        buf_head(&bytes)[rng_below(rng, size)] ^= (uint8_t)(1 << rng_below(rng, 8));
}

/* Replies to all that is out, in random pieces, between which more may be asked. False: the session has ended. */
static bool random_turn(struct rng *rng, uint64_t seed) {
    for (uint64_t count = rng_below(rng, 4); count > 0; count--)
        random_expect(rng);
    buf_reset(&bytes, ROOM);
    for (uint64_t r = generic.session.head; r < generic.session.next; r++)
        random_reply(rng, wire_session_request(&generic.session, r));
    if (rng_below(rng, 20) == 0)
        random_change(rng);
    for (size_t at = 0, piece; at < buf_size(&bytes); at += piece) {
        size_t left = buf_size(&bytes) - at;
        piece = rng_below(rng, 2) ? left : 1 + rng_below(rng, left);
        feed_both(buf_head(&bytes) + at, piece);
        assert_same("seed", seed);
        if (rng_below(rng, 8) == 0)
            random_expect(rng);
    }
    return generic.last == WIRE_NEED_MORE;
}

Test(answer, random_sessions_say_the_same) {
    static const size_t limits[] = {LIMIT, LIMIT, 14, 16, 20};
    size_t answers = 0, endings = 0;
    for (uint64_t seed = 1; seed <= 6000; seed++) {
        struct rng rng = {seed};
        open_both(limits[seed % (sizeof limits / sizeof *limits)]);
        int turns = 0;
        while (turns++ < 20 && random_turn(&rng, seed))
            ;
        endings += generic.last != WIRE_NEED_MORE;
        answers += shortcut.answer_count;
        close_both();
    }
    cr_assert(answers > 10000 && endings > 1000, "%zu answers, %zu endings", answers, endings);
}
