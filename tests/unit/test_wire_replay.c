/* SPDX-License-Identifier: MIT */
/* Recorded sessions, cut and disturbed in every way that must not matter. */
#include "lib/replies.h"
#include "lib/transcripts.h"
#include "lib/wire_feed.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { ROOM = 8192, LIMIT = 1 << 20 };

static struct wire_feed feed;
static struct buf bytes;

static void setup(void) {
    wire_feed_open(&feed, 8, LIMIT, ROOM);
    buf_init(&bytes, ROOM);
}

static void teardown(void) {
    wire_feed_close(&feed);
    buf_free(&bytes);
}

TestSuite(replay, .init = setup, .fini = teardown);

#define for_each_transcript(t) for (const struct transcript *t = transcripts; t < transcripts + transcript_count; t++)

static void record(const struct transcript *t) {
    buf_reset(&bytes, ROOM);
    t->build(&bytes);
    cr_assert_not(buf_failed(&bytes));
}

static void restart(const struct transcript *t) {
    wire_feed_restart(&feed);
    transcript_expect(t, &feed.session);
}

static void assert_all_came(const struct transcript *t, const char *how, size_t where) {
    cr_assert_str_eq(wire_feed_log(&feed), t->events, "%s, %s %zu:\n%s\ninstead of\n%s", t->name, how, where,
                     wire_feed_log(&feed), t->events);
    cr_assert_eq(feed.consumed, buf_size(&bytes), "%s, %s %zu", t->name, how, where);
    cr_assert(feed.last == WIRE_NEED_MORE && feed.wanted == 0);
}

Test(replay, events_of_each_session) {
    cr_assert_geq(transcript_count, 12);
    for_each_transcript(t) {
        record(t);
        restart(t);
        wire_feed_bytes(&feed, buf_head(&bytes), buf_size(&bytes));
        assert_all_came(t, "whole", 0);
    }
}

Test(replay, nothing_stays_outstanding_but_after_an_end) {
    for_each_transcript(t) {
        record(t);
        restart(t);
        cr_assert_eq(wire_session_outstanding(&feed.session), t->request_count);
        wire_feed_bytes(&feed, buf_head(&bytes), buf_size(&bytes));
        bool ended = strstr(t->events, "fatal ") || strstr(t->events, "copy ");
        cr_assert_eq(wire_session_outstanding(&feed.session) != 0, ended && t->request_count > 0, "%s", t->name);
    }
}

Test(replay, byte_by_byte) {
    for_each_transcript(t) {
        record(t);
        restart(t);
        for (size_t i = 0; i < buf_size(&bytes); i++)
            wire_feed_bytes(&feed, buf_head(&bytes) + i, 1);
        assert_all_came(t, "byte by byte", 0);
    }
}

Test(replay, every_split_in_two) {
    for_each_transcript(t) {
        record(t);
        for (size_t cut = 0; cut <= buf_size(&bytes); cut++) {
            restart(t);
            wire_feed_bytes(&feed, buf_head(&bytes), cut);
            wire_feed_bytes(&feed, buf_head(&bytes) + cut, buf_size(&bytes) - cut);
            assert_all_came(t, "split at", cut);
        }
    }
}

Test(replay, every_split_in_three_of_the_short_ones) {
    size_t tried = 0;
    for_each_transcript(t) {
        record(t);
        size_t size = buf_size(&bytes);
        for (size_t a = 0; size <= 200 && a <= size; a++) {
            for (size_t b = a; b <= size; b++, tried++) {
                restart(t);
                wire_feed_bytes(&feed, buf_head(&bytes), a);
                wire_feed_bytes(&feed, buf_head(&bytes) + a, b - a);
                wire_feed_bytes(&feed, buf_head(&bytes) + b, size - b);
                assert_all_came(t, "split in three at", a);
            }
        }
    }
    cr_assert_gt(tried, 10000);
}

/* A session that ends early asks for more, knows how much, and has said what it could say and no other. */
Test(replay, every_truncation_asks_for_more) {
    for_each_transcript(t) {
        record(t);
        for (size_t size = 0; size < buf_size(&bytes); size++) {
            size_t boundary = 0;
            while (boundary + 5 <= size && boundary + transcript_message_size(&bytes, boundary) <= size)
                boundary += transcript_message_size(&bytes, boundary);
            restart(t);
            wire_feed_bytes(&feed, buf_head(&bytes), size);
            cr_assert_eq(feed.last, WIRE_NEED_MORE, "%s, %zu bytes", t->name, size);
            const char *log = wire_feed_log(&feed);
            cr_assert_eq(strncmp(log, t->events, strlen(log)), 0, "%s, %zu bytes:\n%s", t->name, size, log);
            bool ended = strstr(log, "fatal ") || strstr(log, "copy ");
            cr_assert_eq(feed.consumed, ended ? size : boundary, "%s, %zu bytes", t->name, size);
            cr_assert_eq(feed.wanted, ended || size - boundary < 5 ? 0 : transcript_message_size(&bytes, boundary));
        }
    }
}

/* The log without the lines of asynchronous messages that were added. */
static size_t take_out(const char *log, const char *needle, struct buf *rest) {
    size_t count = 0;
    buf_reset(rest, ROOM);
    while (*log) {
        size_t length = strcspn(log, "\n") + 1;
        char line[512];
        snprintf(line, sizeof line, "%.*s", (int)length, log);
        if (strstr(line, needle))
            count++;
        else
            buf_put(rest, log, length);
        log += length;
    }
    buf_put_u8(rest, 0);
    cr_assert_not(buf_failed(rest));
    return count;
}

static void put_asynchronous(struct buf *out, char type) {
    if (type == 'N')
        reply_report(out, 'N', "INFO", "00000", "put between", NULL);
    else if (type == 'S')
        reply_status(out, "put between", "");
    else
        reply_notification(out, 1, "put between", "payload");
}

Test(replay, asynchronous_messages_at_every_boundary_disturb_nothing) {
    struct buf disturbed, rest;
    buf_init(&disturbed, 2 * ROOM);
    buf_init(&rest, 2 * ROOM);
    for_each_transcript(t) {
        record(t);
        bool ends = strstr(t->events, "fatal ") || strstr(t->events, "copy ");
        for (size_t at = 0, messages = 0;; at += transcript_message_size(&bytes, at), messages++) {
            for (const char *kinds = "N\0S\0A\0NSANSA\0"; *kinds; kinds += strlen(kinds) + 1) {
                buf_reset(&disturbed, 2 * ROOM);
                buf_put(&disturbed, buf_head(&bytes), at);
                for (const char *kind = kinds; *kind; kind++)
                    put_asynchronous(&disturbed, *kind);
                buf_put(&disturbed, buf_head(&bytes) + at, buf_size(&bytes) - at);
                restart(t);
                wire_feed_bytes(&feed, buf_head(&disturbed), buf_size(&disturbed));
                size_t seen = take_out(wire_feed_log(&feed), "put between", &rest);
                cr_assert_str_eq((char *)buf_head(&rest), t->events, "%s, %s before message %zu", t->name, kinds,
                                 messages);
                if (!ends) /* what follows an end is passed over */
                    cr_assert_eq(seen, strlen(kinds), "%s, %s before message %zu", t->name, kinds, messages);
                cr_assert_eq(feed.consumed, buf_size(&disturbed));
            }
            if (at == buf_size(&bytes))
                break;
        }
    }
    buf_free(&disturbed);
    buf_free(&rest);
}

/* The same again and again on one session: ordinals and the ring of requests go on. */
Test(replay, sessions_go_on_for_long) {
    for_each_transcript(t) {
        record(t);
        if (strstr(t->events, "fatal ") || strstr(t->events, "copy ") || t->request_count == 0)
            continue;
        restart(t);
        for (size_t round = 1; round < 1000; round++) {
            wire_feed_bytes(&feed, buf_head(&bytes), buf_size(&bytes));
            cr_assert_eq(feed.session.head, round * t->request_count, "%s", t->name);
            cr_assert_eq(feed.session.first, round * t->request_count);
            transcript_expect(t, &feed.session);
        }
        cr_assert_eq(feed.consumed, 999 * buf_size(&bytes));
        cr_assert_null(strstr(wire_feed_log(&feed), "violation"));
    }
}
