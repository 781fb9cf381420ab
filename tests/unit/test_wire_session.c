/* SPDX-License-Identifier: MIT */
/* What the session promises beside the recorded sessions (test_wire_replay.c) and the law (test_wire_matrix.c). */
#include "lib/replies.h"
#include "lib/wire_feed.h"

#include <criterion/criterion.h>
#include <signal.h>

enum { ROOM = 1 << 17, LIMIT = 1 << 16, LIMIT_SMALL = 200 };
enum { EXECUTE = WIRE_BIND | WIRE_FETCH, RUN = EXECUTE | WIRE_SYNC, ALL = WIRE_PARSE | WIRE_DESCRIBE | RUN };

static struct wire_feed feed;
static struct buf bytes;

static void setup(void) {
    wire_feed_open(&feed, 5, LIMIT, ROOM);
    buf_init(&bytes, ROOM);
}

static void teardown(void) {
    wire_feed_close(&feed);
    buf_free(&bytes);
}

TestSuite(session, .init = setup, .fini = teardown);

static void say(const char *script) {
    buf_reset(&bytes, ROOM);
    reply_script(&bytes, script);
    wire_feed_bytes(&feed, buf_head(&bytes), buf_size(&bytes));
}

static void assert_log(const char *log) {
    cr_assert_str_eq(wire_feed_log(&feed), log, "%s\ninstead of\n%s", wire_feed_log(&feed), log);
}

static void assert_last_line(const char *line) {
    const char *log = wire_feed_log(&feed);
    const char *last = log + strlen(log);
    for (last -= last > log; last > log && last[-1] != '\n'; last--)
        ;
    cr_assert_str_eq(last, line, "%sinstead of\n%s", last, line);
}

#define DIVISION "ERROR 22012 'division by zero' detail '' hint '' position 0\n"

struct illegal {
    struct wire_request requests[3];
    const char *script;
    const char *violation;
};

static const struct illegal illegal[] = {
    {{{0}}, "Z", "violation 0: ReadyForQuery while waiting for no request\n"},
    {{{0}}, "E", "violation 0: ErrorResponse (22012) while waiting for no request\n"},
    {{{0}}, "D", "violation 0: DataRow while waiting for no request\n"},
    {{{0}}, "R", "violation 0: Authentication while waiting for no request\n"},
    {{{0}}, "NSAK", "violation 0: BackendKeyData while waiting for no request\n"},
    {{{RUN, 2}}, "2DCZZ", "violation 1: ReadyForQuery while waiting for no request\n"},
    {{{RUN, 2}, {RUN, 2}}, "2DCZZ", "violation 1: ReadyForQuery while waiting for BindComplete\n"},
    {{{RUN, 2}}, "Z", "violation 0: ReadyForQuery while waiting for BindComplete\n"},
    {{{RUN, 2}}, "D", "violation 0: DataRow while waiting for BindComplete\n"},
    {{{RUN, 2}}, "22", "violation 0: BindComplete while waiting for DataRow or CommandComplete\n"},
    {{{RUN, 2}}, "2Z", "violation 0: ReadyForQuery while waiting for DataRow or CommandComplete\n"},
    {{{RUN, 2}}, "2DCC", "violation 0: CommandComplete while waiting for ReadyForQuery\n"},
    {{{RUN, 2}}, "2DCD", "violation 0: DataRow while waiting for ReadyForQuery\n"},
    {{{RUN, 2}}, "2DCI", "violation 0: EmptyQueryResponse while waiting for ReadyForQuery\n"},
    {{{RUN, 2}}, "2Ds", "violation 0: PortalSuspended while waiting for DataRow or CommandComplete\n"},
    {{{RUN, 2}}, "2d", "violation 0: CopyData while waiting for DataRow or CommandComplete\n"},
    {{{RUN, 2}}, "2c", "violation 0: CopyDone while waiting for DataRow or CommandComplete\n"},
    {{{RUN, 2}}, "2V", "violation 0: FunctionCallResponse while waiting for DataRow or CommandComplete\n"},
    {{{RUN, 2}}, "2v", "violation 0: NegotiateProtocolVersion while waiting for DataRow or CommandComplete\n"},
    {{{RUN, 2}}, "2T", "violation 0: RowDescription while waiting for DataRow or CommandComplete\n"},
    {{{RUN, 2}}, "G", "violation 0: CopyInResponse while waiting for BindComplete\n"},
    {{{RUN, 2}}, "2CH", "violation 0: CopyOutResponse while waiting for ReadyForQuery\n"},
    {{{RUN, 2}}, "EE", "violation 0: ErrorResponse (22012) while waiting for ReadyForQuery after an error\n"},
    {{{RUN, 2}}, "2DED", "violation 0: DataRow while waiting for ReadyForQuery after an error\n"},
    {{{RUN, 2}}, "EZZ", "violation 1: ReadyForQuery while waiting for no request\n"},
    {{{RUN, 1}}, "2D", "violation 0: DataRow with 2 values for 1 columns\n"},
    {{{RUN, 3}}, "2D", "violation 0: DataRow with 2 values for 3 columns\n"},
    {{{RUN, 0}}, "2D", "violation 0: DataRow with 2 values for 0 columns\n"},
    {{{RUN, WIRE_NO_ROWS}}, "2D", "violation 0: DataRow of a statement that returns no rows\n"},
    {{{RUN, 2}}, "2I", "violation 0: EmptyQueryResponse to a statement of 2 columns\n"},
    {{{WIRE_BIND | WIRE_SYNC, 2}}, "2D", "violation 0: DataRow while waiting for ReadyForQuery\n"},
    {{{WIRE_FETCH | WIRE_SYNC, 2}}, "2", "violation 0: BindComplete while waiting for DataRow or CommandComplete\n"},
    {{{ALL, 0}}, "2", "violation 0: BindComplete while waiting for ParseComplete\n"},
    {{{ALL, 0}}, "1T", "violation 0: RowDescription while waiting for ParameterDescription\n"},
    {{{ALL, 0}}, "1t2", "violation 0: BindComplete while waiting for RowDescription or NoData\n"},
    {{{ALL, 0}}, "1tTT", "violation 0: RowDescription while waiting for BindComplete\n"},
    {{{ALL, 0}}, "1tTn", "violation 0: NoData while waiting for BindComplete\n"},
    {{{ALL, 0}}, "1tn2D", "violation 0: DataRow of a statement that returns no rows\n"},
    {{{ALL, 0}}, "11", "violation 0: ParseComplete while waiting for ParameterDescription\n"},
    {{{ALL, 0}}, "3", "violation 0: CloseComplete while waiting for ParseComplete\n"},
    {{{WIRE_CLOSE | ALL, 0}}, "1", "violation 0: ParseComplete while waiting for CloseComplete\n"},
    {{{WIRE_CLOSE | ALL, 0}}, "33", "violation 0: CloseComplete while waiting for ParseComplete\n"},
    {{{EXECUTE, 2}}, "2DCZ", "violation 1: ReadyForQuery while waiting for no request\n"},
    {{{EXECUTE, 2}}, "EZ", "violation 0: ReadyForQuery while no Sync is outstanding\n"},
    {{{EXECUTE, 2}}, "2DCE", "violation 1: ErrorResponse (22012) while waiting for no request\n"},
    {{{EXECUTE, 2}, {RUN, 2}}, "2DCZ", "violation 1: ReadyForQuery while waiting for BindComplete\n"},
    {{{EXECUTE, 2}, {RUN, 2}}, "E2", "violation 0: BindComplete while waiting for ReadyForQuery after an error\n"},
    {{{EXECUTE, 2}, {RUN, 2}}, "EZZ", "violation 2: ReadyForQuery while waiting for no request\n"},
};

Test(session, what_may_not_come_is_named_with_the_reason) {
    for (const struct illegal *i = illegal; i < illegal + sizeof illegal / sizeof *illegal; i++) {
        wire_feed_restart(&feed);
        for (int r = 0; r < 3 && i->requests[r].steps; r++)
            cr_assert(wire_expect(&feed.session, i->requests[r].steps, i->requests[r].column_count));
        say(i->script);
        cr_assert_eq(feed.last, WIRE_VIOLATION, "%s", i->script);
        assert_last_line(i->violation);
    }
}

static void say_message(char type, const void *body, size_t size) {
    buf_reset(&bytes, ROOM);
    reply_message(&bytes, type, body, size);
    wire_feed_bytes(&feed, buf_head(&bytes), buf_size(&bytes));
}

static void assert_refused(uint8_t steps, const char *before, char type, const void *body, size_t size,
                           const char *violation) {
    wire_feed_restart(&feed);
    cr_assert(wire_expect(&feed.session, steps, 2));
    say(before);
    size_t consumed = feed.consumed;
    say_message(type, body, size);
    cr_assert_eq(feed.last, WIRE_VIOLATION);
    cr_assert_eq(feed.consumed, consumed, "what is refused is not consumed");
    assert_last_line(violation);
}

Test(session, malformed_bodies_are_refused_with_their_name) {
    assert_refused(RUN, "2", 'D', "\0\2\0\0\0\1a\0\0\0\2b", 12,
                   "violation 0: DataRow whose values do not fill its 12 bytes\n");
    assert_refused(RUN, "2", 'D', "\0\2\0\0\0\1a\xff\xff\xff\xfe", 11,
                   "violation 0: DataRow whose values do not fill its 11 bytes\n");
    assert_refused(RUN, "2", 'C', "SELECT", 6, "violation 0: CommandComplete whose body is malformed\n");
    assert_refused(RUN, "2", 'E', "Mno end", 7, "violation 0: ErrorResponse whose body is malformed\n");
    assert_refused(RUN, "2", 'N', "M\0\0\0", 4, "violation 0: NoticeResponse whose body is malformed\n");
    assert_refused(RUN, "2", 'S', "a\0b", 3, "violation 0: ParameterStatus whose body is malformed\n");
    assert_refused(RUN, "2", 'S', "a\0b\0c", 5, "violation 0: ParameterStatus whose body is malformed\n");
    assert_refused(RUN, "2", 'A', "\0\0\0\1a\0b", 7, "violation 0: NotificationResponse whose body is malformed\n");
    assert_refused(RUN, "2", 'G', "\0\0\2\0\0", 5, "violation 0: CopyInResponse whose body is malformed\n");
    assert_refused(ALL, "1", 't', "\0\1\0\0\0", 5, "violation 0: ParameterDescription whose body is malformed\n");
    assert_refused(ALL, "1t", 'T', "\0\1a\0", 4, "violation 0: RowDescription whose body is malformed\n");
    assert_refused(RUN, "2DC", 'Z', "X", 1, "violation 0: ReadyForQuery with transaction status 0x58\n");
    assert_refused(RUN, "2DC", 'Z', "\0", 1, "violation 0: ReadyForQuery with transaction status 0x00\n");
}

Test(session, lengths_beyond_law_or_limit_are_refused_by_the_header_alone) {
    static char body[LIMIT];
    memset(body, 'x', sizeof body);
    assert_refused(RUN, "2", 'C', body, 30000, "violation 0: CommandComplete of length 30004, above its most, 30000\n");
    assert_refused(ALL, "1t", 'T', body, LIMIT - 4,
                   "violation 0: RowDescription of length 65536, above the limit of 65536 bytes a message\n");
    assert_refused(ALL, "1tn2", 'D', body, LIMIT - 4,
                   "violation 0: DataRow of length 65536, above the limit of 65536 bytes a message\n");
    assert_refused(RUN, "2DCZ", 'E', body, LIMIT - 4,
                   "violation 1: ErrorResponse of length 65536, above the limit of 65536 bytes a message\n");
    assert_refused(RUN, "", '2', "", 1, "violation 0: BindComplete of length 5, above its most, 4\n");
    assert_refused(RUN, "2", 'x', "", 0, "violation 0: message of unknown type 0x78\n");
    wire_feed_restart(&feed);
    cr_assert(wire_expect(&feed.session, RUN, 2));
    say("2");
    wire_feed_bytes(&feed, "D\0\0\xff\xff", 5);
    cr_assert(feed.last == WIRE_NEED_MORE && feed.wanted == LIMIT);
}

/* With no request out the letter is enough; with one out, and for what may come at any time, the header has to be whole. */
Test(session, one_stray_byte_is_enough_while_no_request_is_out) {
    wire_feed_restart(&feed);
    wire_feed_bytes(&feed, "C", 1);
    cr_assert_eq(feed.last, WIRE_VIOLATION);
    assert_last_line("violation 0: CommandComplete while waiting for no request\n");
    wire_feed_restart(&feed);
    wire_feed_bytes(&feed, "x", 1);
    assert_last_line("violation 0: message of unknown type 0x78\n");
    for (const char *lawful = "NSAE"; *lawful; lawful++) {
        wire_feed_restart(&feed);
        wire_feed_bytes(&feed, lawful, 1);
        cr_assert_eq(feed.last, WIRE_NEED_MORE);
    }
    wire_feed_restart(&feed);
    cr_assert(wire_expect(&feed.session, RUN, 2));
    wire_feed_bytes(&feed, "C", 1);
    cr_assert_eq(feed.last, WIRE_NEED_MORE);
}

/* ---- Over the limit ---- */

static void say_long(struct buf *out, char type) {
    static const char body[3 * LIMIT_SMALL] = "";
    reply_message(out, type, body, sizeof body);
}

/* Fed whole, byte by byte, and in two at each byte. What is passed over is never kept. */
static void feed_split(struct wire_feed *small, size_t split) {
    wire_feed_restart(small);
    for (int i = 0; i < 3; i++)
        cr_assert(wire_expect(&small->session, RUN, 2));
    for (size_t at = 0, piece; at < buf_size(&bytes); at += piece) {
        piece = split == 0 ? 1 : at == 0 && split < buf_size(&bytes) ? split : buf_size(&bytes) - at;
        wire_feed_bytes(small, bytes.data + at, piece);
        cr_assert_lt(buf_size(&small->pending), LIMIT_SMALL);
    }
    cr_assert_str_eq(wire_feed_log(small), "skipped 0: N of 605\nskipped 0 bound: D of 605\nrow 0: '1' NULL\n"
                                           "skipped 0 bound: D of 605\nskipped 0 bound: A of 605\n"
                                           "complete 0: SELECT 1\nready 0..0 I\n"
                                           "row 1: '1' NULL\nskipped 1 bound: E of 605\nskipped 1 bound: N of 605\n"
                                           "ready 1..1 I\n"
                                           "row 2: '1' NULL\ncomplete 2: SELECT 1\nready 2..2 I\n"
                                           "skipped 3: S of 605\n");
    cr_assert_eq(small->consumed, buf_size(&bytes));
}

Test(session, messages_over_the_limit_are_passed_over) {
    struct wire_feed small;
    wire_feed_open(&small, 5, LIMIT_SMALL, ROOM);
    for (const char *at = "n2dDdaCZ2DenZ2DCZs"; *at; at++)
        if (*at >= 'a')
            say_long(&bytes, (char)(*at - 'a' + 'A'));
        else
            reply_script(&bytes, (const char[]){*at, 0});
    for (size_t split = 0; split <= buf_size(&bytes); split++)
        feed_split(&small, split);
    wire_feed_close(&small);
}

/* A request may be told of while the rest of a message is still to come. */
Test(session, a_request_may_be_told_of_while_a_message_is_passed_over) {
    struct wire_feed small;
    wire_feed_open(&small, 5, LIMIT_SMALL, ROOM);
    say_long(&bytes, 'N');
    size_t half = buf_size(&bytes);
    reply_script(&bytes, "2DCZ");
    wire_feed_bytes(&small, bytes.data, half / 2);
    cr_assert(wire_expect(&small.session, RUN, 2));
    wire_feed_bytes(&small, bytes.data + half / 2, buf_size(&bytes) - half / 2);
    cr_assert_str_eq(wire_feed_log(&small), "skipped 0: N of 605\nrow 0: '1' NULL\ncomplete 0: SELECT 1\n"
                                            "ready 0..0 I\n");
    wire_feed_close(&small);
}

Test(session, a_violation_stays_one) {
    wire_expect(&feed.session, RUN, 2);
    say("Z");
    size_t consumed = feed.consumed;
    for (int i = 0; i < 3; i++) {
        say("2DCZ");
        cr_assert_eq(feed.last, WIRE_VIOLATION);
        cr_assert_eq(feed.consumed, consumed);
    }
    struct wire_event event;
    cr_assert_eq(wire_session_next(&feed.session, NULL, 0, &event), 0);
    cr_assert_eq(event.kind, WIRE_VIOLATION);
    cr_assert_str_eq(event.violation, "ReadyForQuery while waiting for BindComplete");
}

Test(session, after_a_fatal_error_or_a_copy_everything_is_passed_over) {
    static const char *const scripts[] = {"F", "2F", "2DF", "2DCF", "EF", "2G", "2DH", "2W", "2DCZF"};
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        wire_feed_restart(&feed);
        wire_expect(&feed.session, RUN, 2);
        say(scripts[i]);
        size_t size = strlen(wire_feed_log(&feed)), consumed = feed.consumed;
        cr_assert_eq(consumed, buf_size(&bytes));
        say("FZ2DEC");
        wire_feed_bytes(&feed, "\xff\xff\xff\xff\xff\xff", 6);
        cr_assert_eq(feed.last, WIRE_NEED_MORE);
        cr_assert_eq(feed.consumed, consumed + buf_size(&bytes) + 6);
        cr_assert_eq(strlen(wire_feed_log(&feed)), size, "%s", scripts[i]);
        cr_assert(wire_expect(&feed.session, RUN, 2), "what is told later does no harm");
    }
}

Test(session, ring_holds_as_many_requests_as_it_was_made_for) {
    for (int i = 0; i < 5; i++)
        cr_assert(wire_expect(&feed.session, RUN, 2));
    cr_assert_not(wire_expect(&feed.session, RUN, 2));
    cr_assert_eq(wire_session_outstanding(&feed.session), 5);
    say("2DC");
    cr_assert_not(wire_expect(&feed.session, RUN, 2), "not before its ReadyForQuery");
    say("Z");
    cr_assert(wire_expect(&feed.session, EXECUTE, 2));
    cr_assert_not(wire_expect(&feed.session, RUN, 2));
    say("EZ2CZ2CZEZ2C");
    cr_assert_eq(wire_session_outstanding(&feed.session), 0);
    assert_last_line("complete 5: SELECT 1\n");
}

Test(session, a_portal_may_be_bound_in_one_request_and_fetched_in_another) {
    wire_expect(&feed.session, WIRE_BIND, 2);
    wire_expect(&feed.session, WIRE_FETCH, 2);
    wire_expect(&feed.session, WIRE_BIND | WIRE_SYNC, 2);
    wire_expect(&feed.session, WIRE_FETCH | WIRE_SYNC, 2);
    say("2DDC2ZEZ");
    assert_log("row 1: '1' NULL\nrow 1: '1' NULL\ncomplete 1: SELECT 1\nready 0..2 I\nerror 3: " DIVISION
               "ready 3..3 I\n");
    cr_assert_eq(wire_session_outstanding(&feed.session), 0);
}

Test(session, a_sync_may_be_told_of_after_the_error_it_ends) {
    wire_expect(&feed.session, EXECUTE, 2);
    wire_expect(&feed.session, EXECUTE, 2);
    say("2CE");
    cr_assert_eq(wire_session_outstanding(&feed.session), 1);
    wire_expect(&feed.session, ALL & ~WIRE_SYNC, 0);
    wire_expect(&feed.session, WIRE_SYNC, 0);
    wire_expect(&feed.session, RUN, 2);
    say("Z2C");
    assert_log("complete 0: SELECT 1\nerror 1: " DIVISION "ready 0..3 I\ncomplete 4: SELECT 1\n");
}

Test(session, a_group_may_be_answered_before_its_sync_is_told_of) {
    wire_expect(&feed.session, EXECUTE, 2);
    say("2C");
    cr_assert_eq(wire_session_outstanding(&feed.session), 0);
    say("N");
    wire_expect(&feed.session, EXECUTE, 2);
    say("2C");
    wire_expect(&feed.session, WIRE_SYNC, 0);
    say("Z");
    assert_log("complete 0: SELECT 1\nnotice 1: NOTICE 00000 'well' detail '' hint '' position 0\n"
               "complete 1: SELECT 1\nready 0..2 I\n");
}

Test(session, an_error_of_the_sync_itself_belongs_to_the_request_that_has_it) {
    wire_expect(&feed.session, EXECUTE, 2);
    wire_expect(&feed.session, WIRE_SYNC, 0);
    say("2CEZ");
    assert_log("complete 0: SELECT 1\nerror 1: " DIVISION "ready 0..1 I\n");
}

static void end_group(void) {
    buf_reset(&bytes, ROOM);
    cr_assert(wire_session_end_group(&feed.session, &bytes));
}

Test(session, a_group_may_be_ended_after_its_newest_request_was_told_of) {
    for (int round = 0; round < 2; round++) {
        wire_expect(&feed.session, EXECUTE, 2);
        wire_expect(&feed.session, EXECUTE, 2);
        end_group();
    }
    wire_expect(&feed.session, EXECUTE, 2);
    end_group();
    say("2C2CZEZ2C");
    assert_log("complete 0: SELECT 1\ncomplete 1: SELECT 1\nready 0..1 I\nerror 2: " DIVISION "ready 2..3 I\n"
               "complete 4: SELECT 1\n");
    say("Z");
    assert_last_line("ready 4..4 I\n");
}

Test(session, a_group_cannot_be_ended_after_its_replies, .signal = SIGABRT) {
    wire_expect(&feed.session, EXECUTE, 2);
    say("2C");
    end_group();
}

Test(session, bound_is_told_of_each_request_anew) {
    wire_expect(&feed.session, EXECUTE, 2);
    wire_expect(&feed.session, ALL, 2);
    wire_expect(&feed.session, ALL, 2);
    wire_expect(&feed.session, RUN, 2);
    say("2C1EZ1tT2EZEZ");
    assert_log("complete 0: SELECT 1\nerror 1: " DIVISION "ready 0..1 I\n"
               "parameters 2: 23\ncolumns 2: id/23/-1 name/25/-1\nerror 2 bound: " DIVISION "ready 2..2 I\n"
               "error 3: " DIVISION "ready 3..3 I\n");
}

Test(session, what_a_describe_says_is_forgotten_with_its_request) {
    wire_expect(&feed.session, ALL, 7);
    wire_expect(&feed.session, RUN, 3);
    say("1tT2DCZ2D");
    cr_assert_eq(feed.last, WIRE_VIOLATION);
    assert_last_line("violation 1: DataRow with 2 values for 3 columns\n");
}

/* The ring of requests grows while some are out, at whatever ordinal, and each keeps what is known of it. */
Test(session, requests_are_known_however_many_are_out) {
    enum { MANY = 100 };
    for (uint32_t before = 0; before < 9; before++) {
        wire_feed_close(&feed);
        wire_feed_open(&feed, MANY, LIMIT, ROOM);
        for (uint32_t i = 0; i < before; i++) {
            cr_assert(wire_expect(&feed.session, RUN, 2));
            say("2DCZ");
        }
        for (uint32_t i = 0; i < MANY; i++)
            cr_assert(wire_expect(&feed.session, RUN, i % 3 ? 2 : WIRE_NO_ROWS));
        cr_assert_not(wire_expect(&feed.session, RUN, 2), "over its limit");
        for (uint32_t i = 0; i < MANY; i++)
            say(i % 3 ? "2DCZ" : "2CZ");
        cr_assert_neq(feed.last, WIRE_VIOLATION, "%s", wire_feed_log(&feed));
        cr_assert_eq(wire_session_outstanding(&feed.session), 0);
        say("2");
        cr_assert_eq(feed.last, WIRE_VIOLATION);
    }
}

/* The event is large and rows are many: an event costs what it says, and no more. */
Test(session, an_event_writes_only_what_its_kind_has) {
    static const enum wire_event_kind kinds[] = {WIRE_ROW, WIRE_COMPLETE, WIRE_READY};
    struct wire_event event, before;
    memset(&before, 0xa5, sizeof before);
    wire_expect(&feed.session, RUN, 2);
    reply_script(&bytes, "2DCZ");
    for (int i = 0; i < 3; i++) {
        memcpy(&event, &before, sizeof event);
        buf_consume(&bytes, wire_session_next(&feed.session, buf_head(&bytes), buf_size(&bytes), &event));
        cr_assert_eq(event.kind, kinds[i]);
        cr_assert_eq(memcmp(&event.error, &before.error, sizeof event.error), 0);
        cr_assert_eq(memcmp(&event.columns, &before.columns, sizeof event.columns), 0);
        cr_assert_eq(event.violation, before.violation);
    }
    cr_assert_eq(buf_size(&bytes), 0);
}

Test(session, a_request_of_nothing_is_a_broken_contract, .signal = SIGABRT) {
    wire_expect(&feed.session, 0, 0);
}
