/* SPDX-License-Identifier: MIT */
/*
 * Every type of message, known or not, at every kind of length, in every phase of a session: the right answer or a
 * violation, and nothing else. What is right is worked out by tests/lib/wire_reference.c.
 */
#include "base/rng.h"
#include "lib/guard.h"
#include "lib/replies.h"
#include "lib/wire_feed.h"
#include "lib/wire_reference.h"
#include "wire/session.h"

#include <criterion/criterion.h>

enum { ROOM = 1 << 17 };
enum { EXECUTE = WIRE_BIND | WIRE_FETCH, RUN = EXECUTE | WIRE_SYNC, ALL = WIRE_PARSE | WIRE_DESCRIBE | RUN };

struct place {
    const char *name;
    struct wire_request request;
    const char *script; /* what came before */
    struct reference_place is;
};

static const struct place places[] = {
    {"idle", {0}, "", {"", -1, false}},
    {"idle again", {RUN, 2}, "2DCZ", {"", -1, false}},
    {"idle within a group", {EXECUTE, 2}, "2DC", {"", -1, false}},
    {"close", {WIRE_CLOSE | ALL, 0}, "", {"3", -1, true}},
    {"parse", {ALL, 0}, "", {"1", -1, true}},
    {"parse after close", {WIRE_CLOSE | ALL, 0}, "3", {"1", -1, true}},
    {"parameters", {ALL, 0}, "1", {"t", -1, true}},
    {"columns", {ALL, 0}, "1t", {"Tn", -1, true}},
    {"bind", {RUN, 2}, "", {"2", -1, true}},
    {"bind after describe", {ALL, 0}, "1tT", {"2", -1, true}},
    {"bind alone", {WIRE_BIND | WIRE_SYNC, 2}, "", {"2", -1, true}},
    {"sync after bind", {WIRE_BIND | WIRE_SYNC, 2}, "2", {"Z", -1, true}},
    {"rows without bind", {WIRE_FETCH | WIRE_SYNC, 2}, "", {"DCIGHW", 2, true}},
    {"rows of 2", {RUN, 2}, "2", {"DCIGHW", 2, true}},
    {"more rows of 2", {ALL, 0}, "1tT2DD", {"DCIGHW", 2, true}},
    {"rows of 0", {RUN, 0}, "2", {"DCIGHW", 0, true}},
    {"no rows", {ALL, 0}, "1tn2", {"DCIGHW", -1, true}},
    {"sync", {RUN, 2}, "2C", {"Z", -1, true}},
    {"sync alone", {WIRE_SYNC, 0}, "", {"Z", -1, true}},
    {"skip", {RUN, 2}, "2DE", {"Z", -1, false}},
    {"skip after sync", {RUN, 2}, "2CE", {"Z", -1, false}},
    {"skip without sync", {EXECUTE, 2}, "E", {"", -1, false}},
};
enum { PLACES = sizeof places / sizeof *places };

static struct guard guard;
static struct wire_session session;

static void setup(void) {
    guard_open(&guard, ROOM);
}

static void teardown(void) {
    guard_close(&guard);
    wire_session_free(&session);
}

TestSuite(matrix, .init = setup, .fini = teardown);

/* Puts a fresh session in its place; the bytes that lead there are all consumed. */
static void enter(const struct place *place, size_t limit) {
    struct buf before;
    struct wire_event event;
    buf_init(&before, ROOM);
    reply_script(&before, place->script);
    wire_session_free(&session);
    cr_assert(wire_session_init(&session, 2, limit));
    if (place->request.steps)
        cr_assert(wire_expect(&session, place->request.steps, place->request.column_count));
    while (buf_size(&before) > 0) {
        buf_consume(&before, wire_session_next(&session, buf_head(&before), buf_size(&before), &event));
        cr_assert(event.kind != WIRE_VIOLATION && event.kind != WIRE_FATAL);
    }
    buf_free(&before);
}

/* What the session says to these bytes, in the reference's words; the session is back where it was afterwards. */
static int answer(const uint8_t *bytes, size_t size, size_t message_size, struct wire_event *event) {
    struct wire_session before = session;
    const uint8_t *at = guard_place(&guard, bytes, size);
    size_t used = wire_session_next(&session, at, size, event);
    int kind = (int)event->kind;
    if (kind == WIRE_NEED_MORE && used > 0)
        kind = REFERENCE_SILENT;
    else if (kind == WIRE_NEED_MORE)
        cr_assert_eq(event->size, message_size);
    size_t there = kind == WIRE_SKIPPED && size < message_size ? size : message_size;
    cr_assert_eq(used, kind == WIRE_NEED_MORE || kind == WIRE_VIOLATION ? 0 : there);
    session = before;
    return kind;
}

/* A well-formed message, of a letter as in reply_script(). */
static size_t scripted(char letter, uint8_t *bytes) {
    struct buf out;
    buf_init(&out, ROOM);
    reply_script(&out, (const char[]){letter, 0});
    size_t size = buf_size(&out);
    memcpy(bytes, buf_head(&out), size);
    buf_free(&out);
    return size;
}

/* The same of any type; one that is unknown has no body that is right. */
static size_t of_type(int type, uint8_t *bytes) {
    if (type && strchr("RK23CdcGHWDIEVvnNAtS1sZT", type))
        return scripted((char)type, bytes);
    memcpy(bytes, (const uint8_t[]){(uint8_t)type, 0, 0, 0, 8, 's', 'o', 'm', 'e'}, 9);
    return 9;
}

static uint8_t message[ROOM];

/* The message with another length word, followed by as many of its bytes and then zeroes as there is room for. */
static void try_length(const struct place *place, size_t limit, int type, uint32_t length) {
    struct wire_event event;
    bytes_store_u32(message + 1, length);
    size_t body = length < 4 ? 0 : length - 4 < 40000 ? length - 4 : 100;
    int wanted = reference_answer(&place->is, type, length, limit, message + 5, body);
    int got = answer(message, 5 + body, (size_t)length + 1, &event);
    cr_assert_eq(got, wanted, "%s: type 0x%02x length %u limit %zu: %d, not %d", place->name, type, length, limit, got,
                 wanted);
    if (wanted != WIRE_NEED_MORE)
        return;
    got = answer(message, 5, (size_t)length + 1, &event);
    cr_assert_eq(got, WIRE_NEED_MORE, "%s: type 0x%02x length %u: its header alone", place->name, type, length);
}

static void try_all_lengths(const struct place *place, size_t limit) {
    static const uint32_t lengths[] = {0,          1,          2,          3,          4,          5,
                                       6,          30000,      30001,      0x3ffffffe, 0x3fffffff, 0x7ffffffe,
                                       0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff};
    enter(place, limit);
    for (int type = 0; type < 256; type++) {
        memset(message, 0, 512);
        uint32_t exact = (uint32_t)of_type(type, message) - 1;
        for (uint32_t length = exact - 1; length <= exact + 1; length++)
            try_length(place, limit, type, length);
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
            try_length(place, limit, type, lengths[i]);
    }
}

Test(matrix, every_type_at_every_length_in_every_phase) {
    for (int p = 0; p < PLACES; p++) {
        try_all_lengths(&places[p], 1 << 20);
        try_all_lengths(&places[p], SIZE_MAX);
        try_all_lengths(&places[p], 30000);
    }
}

Test(matrix, every_well_formed_message_is_the_answer_somewhere) {
    struct wire_event event;
    for (const char *type = "23CGHWDIEnNAtS1ZT"; *type; type++) {
        int accepted = 0;
        for (int p = 0; p < PLACES; p++) {
            size_t size = scripted(*type, message);
            enter(&places[p], ROOM);
            accepted += answer(message, size, size, &event) != WIRE_VIOLATION;
        }
        cr_assert(accepted > 0 && (accepted < PLACES || strchr("NSA", *type)), "%c: %d places", *type, accepted);
    }
    for (const char *type = "RKdcVvs"; *type; type++) {
        for (int p = 0; p < PLACES; p++) {
            size_t size = scripted(*type, message);
            enter(&places[p], ROOM);
            cr_assert_eq(answer(message, size, size, &event), WIRE_VIOLATION, "%c", *type);
        }
    }
}

/* Bodies with bytes changed, cut out and put in; the length word fits what is left. */
static size_t mutate(uint8_t *bytes, size_t size, struct rng *rng) {
    static const uint8_t values[] = {0, 1, 2, 3, 0x7f, 0x80, 0xfe, 0xff, 'S', 'V', 'C', 'F', 'I'};
    for (uint64_t changes = rng_below(rng, 4); changes > 0; changes--) {
        size_t at = 5 + rng_below(rng, size - 5 + 1);
        switch (rng_below(rng, 3)) {
        case 0:
            memmove(bytes + at + 1, bytes + at, size - at);
            bytes[at] = values[rng_below(rng, sizeof values)];
            size++;
            break;
        case 1:
            if (at < size) {
                memmove(bytes + at, bytes + at + 1, size - at - 1);
                size--;
            }
            break;
        default:
            if (at < size)
                bytes[at] = values[rng_below(rng, sizeof values)];
            break;
        }
    }
    bytes_store_u32(bytes + 1, (uint32_t)size - 1);
    return size;
}

Test(matrix, changed_bodies_get_the_answer_of_the_reference) {
    struct rng rng = {7};
    struct wire_event event;
    int counts[REFERENCE_SILENT + 1] = {0};
    for (int p = 0; p < PLACES; p++) {
        const struct place *place = &places[p];
        enter(place, ROOM);
        for (const char *type = "DTtCEFNASGZ"; *type; type++) {
            for (int round = 0; round < 1500; round++) {
                size_t size = mutate(message, scripted(*type, message), &rng);
                int wanted = reference_answer(&place->is, message[0], (uint32_t)size - 1, ROOM, message + 5, size - 5);
                int got = answer(message, size, size, &event);
                cr_assert_eq(got, wanted, "%s: %c, round %d: %d, not %d", place->name, *type, round, got, wanted);
                counts[got]++;
            }
        }
    }
    for (int kind = WIRE_PARAMETERS; kind <= WIRE_VIOLATION; kind++)
        cr_assert(counts[kind] > 100 || kind == WIRE_SKIPPED, "kind %d: %d", kind, counts[kind]);
}
