/* SPDX-License-Identifier: MIT */
#include "lib/transcripts.h"

#include "base/assert.h"
#include "lib/replies.h"
#include "lib/wire_feed.h"

#define ROW(out, ...)                                                                                                  \
    reply_row(out, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *const[]){__VA_ARGS__})
#define MORE(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { INT4 = 23, INT8 = 20, TEXT = 25, VARCHAR = 1043 };

static const struct reply_column users[] = {{"id", INT8, -1}, {"name", VARCHAR, 68}};

static void put_described(struct buf *out) {
    reply_bare(out, '1');
    reply_parameters(out, 1, (const uint32_t[]){INT8});
    reply_columns(out, 2, users);
}

static void put_select(struct buf *out) {
    reply_bare(out, '2');
    ROW(out, "7", "Ada");
    reply_tag(out, "SELECT 1");
    reply_ready(out, 'I');
}

static void build_prepare(struct buf *out) {
    put_described(out);
    put_select(out);
}

static void build_rows(struct buf *out) {
    reply_bare(out, '2');
    ROW(out, "1", NULL);
    ROW(out, "", "\x01 \xc3\xa9");
    ROW(out, NULL, NULL);
    reply_tag(out, "SELECT 3");
    reply_ready(out, 'T');
}

static void build_pipeline(struct buf *out) {
    for (int i = 0; i < 3; i++)
        put_select(out);
}

static void build_no_data(struct buf *out) {
    reply_bare(out, '1');
    reply_parameters(out, 2, (const uint32_t[]){INT4, TEXT});
    reply_bare(out, 'n');
    reply_bare(out, '2');
    reply_tag(out, "INSERT 0 5");
    reply_ready(out, 'I');
}

static void build_sync_points(struct buf *out) {
    reply_ready(out, 'I');
    put_described(out);
    reply_ready(out, 'E');
    reply_bare(out, '3');
    reply_ready(out, 'I');
}

static void build_parse_error(struct buf *out) {
    reply_report(out, 'E', "ERROR", "42601", "syntax error at or near \"selec\"", MORE("P1"));
    reply_ready(out, 'I');
    put_select(out);
}

static void build_describe_error(struct buf *out) {
    reply_bare(out, '1');
    reply_report(out, 'E', "ERROR", "42P18", "could not determine data type of parameter $1", NULL);
    reply_ready(out, 'I');
    reply_bare(out, '1');
    reply_parameters(out, 0, NULL);
    reply_report(out, 'E', "ERROR", "0A000", "cached plan must not change result type", NULL);
    reply_ready(out, 'I');
}

static void build_bind_error(struct buf *out) {
    put_described(out);
    reply_report(out, 'E', "ERROR", "22P02", "invalid input syntax for type bigint: \"x\"",
                 MORE("Wunnamed portal parameter $1"));
    reply_ready(out, 'I');
}

static void build_execute_errors(struct buf *out) {
    reply_bare(out, '2');
    reply_report(out, 'E', "ERROR", "23505", "duplicate key value violates unique constraint \"users_pkey\"",
                 MORE("DKey (id)=(7) already exists.", "spublic", "tusers", "nusers_pkey"));
    reply_ready(out, 'I');
    reply_bare(out, '2');
    ROW(out, "1", "a");
    ROW(out, "2", "b");
    reply_report(out, 'E', "ERROR", "22012", "division by zero", NULL);
    reply_ready(out, 'E');
}

static void build_notices(struct buf *out) {
    reply_report(out, 'N', "WARNING", "25001", "there is already a transaction in progress", NULL);
    reply_bare(out, '2');
    reply_report(out, 'N', "NOTICE", "00000", "one", MORE("Hread on", "P4"));
    ROW(out, "1", "a");
    reply_report(out, 'N', "NOTICE", "00000", "two", NULL);
    reply_tag(out, "SELECT 1");
    reply_report(out, 'N', "LOG", "00000", "duration: 0.1 ms", NULL);
    reply_ready(out, 'T');
}

static void build_group(struct buf *out) {
    for (int i = 0; i < 3; i++) {
        reply_bare(out, '2');
        reply_tag(out, i == 1 ? "UPDATE 3" : "DELETE 0");
    }
    reply_ready(out, 'I');
}

static void build_group_error(struct buf *out) {
    reply_bare(out, '2');
    reply_tag(out, "UPDATE 1");
    reply_bare(out, '2');
    reply_report(out, 'E', "ERROR", "23514", "violates check constraint", NULL);
    reply_ready(out, 'I');
    put_select(out);
}

static void build_fatal(struct buf *out) {
    reply_bare(out, '2');
    ROW(out, "1", "a");
    reply_report(out, 'N', "WARNING", "57P02", "terminating connection because of crash of another process", NULL);
    reply_report(out, 'E', "FATAL", "57P01", "terminating connection due to administrator command", NULL);
    reply_report(out, 'E', "FATAL", "08P01", "and once more", NULL);
}

static void build_idle_fatal(struct buf *out) {
    reply_status(out, "TimeZone", "UTC");
    reply_report(out, 'E', "FATAL", "57P05", "terminating connection due to idle-session timeout", NULL);
}

static void build_deferred_error(struct buf *out) {
    reply_bare(out, '2');
    reply_tag(out, "INSERT 0 1");
    reply_report(out, 'E', "ERROR", "23503", "violates foreign key constraint", MORE("DKey (b)=(9) is not present."));
    reply_ready(out, 'I');
}

static void build_evicted(struct buf *out) {
    reply_bare(out, '3');
    put_described(out);
    put_select(out);
    reply_bare(out, '3');
    reply_report(out, 'E', "ERROR", "42P01", "relation \"nowhere\" does not exist", MORE("P15"));
    reply_ready(out, 'I');
}

static void build_empty(struct buf *out) {
    reply_bare(out, '1');
    reply_parameters(out, 0, NULL);
    reply_bare(out, 'n');
    reply_bare(out, '2');
    reply_bare(out, 'I');
    reply_ready(out, 'I');
}

static void build_no_columns(struct buf *out) {
    reply_bare(out, '1');
    reply_parameters(out, 0, NULL);
    reply_columns(out, 0, NULL);
    reply_bare(out, '2');
    reply_row(out, 0, NULL);
    reply_row(out, 0, NULL);
    reply_tag(out, "SELECT 2");
    reply_ready(out, 'I');
}

static void build_asynchronous(struct buf *out) {
    reply_notification(out, 4711, "jobs", "");
    reply_bare(out, '2');
    reply_status(out, "application_name", "quring");
    ROW(out, "1");
    reply_notification(out, 4711, "jobs", "new");
    reply_tag(out, "SHOW");
    reply_status(out, "TimeZone", "");
    reply_ready(out, 'I');
    reply_report(out, 'N', "NOTICE", "00000", "while idle", NULL);
    reply_notification(out, 1, "", "x");
}

static void build_copy(struct buf *out) {
    put_select(out);
    reply_bare(out, '2');
    reply_copy(out, 'G', 2);
    reply_report(out, 'E', "ERROR", "57014", "COPY from stdin failed", NULL);
}

enum {
    EXECUTE = WIRE_BIND | WIRE_FETCH,
    RUN = EXECUTE | WIRE_SYNC,
    PREPARE = WIRE_PARSE | WIRE_DESCRIBE,
    ALL = PREPARE | RUN
};

#define NO_MORE " detail '' hint '' position 0\n"
#define DESCRIBED(n) "parameters " n ": 20\ncolumns " n ": id/20/-1 name/1043/68\n"
#define SELECTED(n) "row " n ": '7' 'Ada'\ncomplete " n ": SELECT 1\nready " n ".." n " I\n"

const struct transcript transcripts[] = {
    {"select", 1, {{RUN, 2}}, put_select, SELECTED("0")},
    {"prepare", 1, {{ALL, 0}}, build_prepare, DESCRIBED("0") SELECTED("0")},
    {"rows",
     1,
     {{RUN, 2}},
     build_rows,
     "row 0: '1' NULL\nrow 0: '' '\\x01 \\xc3\\xa9'\nrow 0: NULL NULL\ncomplete 0: SELECT 3\nready 0..0 T\n"},
    {"pipeline", 3, {{RUN, 2}, {RUN, 2}, {RUN, 2}}, build_pipeline, SELECTED("0") SELECTED("1") SELECTED("2")},
    {"no_data",
     1,
     {{ALL, 7}},
     build_no_data,
     "parameters 0: 23 25\ncolumns 0: no rows\ncomplete 0: INSERT 0 5\nready 0..0 I\n"},
    {"sync_points",
     3,
     {{WIRE_SYNC, 0}, {PREPARE | WIRE_SYNC, 0}, {WIRE_CLOSE | WIRE_SYNC, 0}},
     build_sync_points,
     "ready 0..0 I\n" DESCRIBED("1") "ready 1..1 E\nready 2..2 I\n"},
    {"parse_error",
     2,
     {{ALL, 0}, {RUN, 2}},
     build_parse_error,
     "error 0: ERROR 42601 'syntax error at or near \"selec\"' detail '' hint '' position 1\n"
     "ready 0..0 I\n" SELECTED("1")},
    {"describe_error",
     2,
     {{ALL, 0}, {ALL, 0}},
     build_describe_error,
     "error 0: ERROR 42P18 'could not determine data type of parameter $1'" NO_MORE "ready 0..0 I\n"
     "parameters 1:\nerror 1: ERROR 0A000 'cached plan must not change result type'" NO_MORE "ready 1..1 I\n"},
    {"bind_error",
     1,
     {{ALL, 0}},
     build_bind_error,
     DESCRIBED("0") "error 0: ERROR 22P02 'invalid input syntax for type bigint: \"x\"'" NO_MORE "ready 0..0 I\n"},
    {"execute_errors",
     2,
     {{RUN, WIRE_NO_ROWS}, {RUN, 2}},
     build_execute_errors,
     "error 0 bound: ERROR 23505 'duplicate key value violates unique constraint \"users_pkey\"' "
     "detail 'Key (id)=(7) already exists.' hint '' position 0\nready 0..0 I\n"
     "row 1: '1' 'a'\nrow 1: '2' 'b'\nerror 1 bound: ERROR 22012 'division by zero'" NO_MORE "ready 1..1 E\n"},
    {"notices",
     1,
     {{RUN, 2}},
     build_notices,
     "notice 0: WARNING 25001 'there is already a transaction in progress'" NO_MORE
     "notice 0: NOTICE 00000 'one' detail '' hint 'read on' position 4\nrow 0: '1' 'a'\n"
     "notice 0: NOTICE 00000 'two'" NO_MORE "complete 0: SELECT 1\n"
     "notice 0: LOG 00000 'duration: 0.1 ms'" NO_MORE "ready 0..0 T\n"},
    {"group",
     3,
     {{EXECUTE, WIRE_NO_ROWS}, {EXECUTE, WIRE_NO_ROWS}, {RUN, WIRE_NO_ROWS}},
     build_group,
     "complete 0: DELETE 0\ncomplete 1: UPDATE 3\ncomplete 2: DELETE 0\nready 0..2 I\n"},
    {"group_error",
     5,
     {{EXECUTE, WIRE_NO_ROWS}, {EXECUTE, WIRE_NO_ROWS}, {ALL & ~WIRE_SYNC, 0}, {RUN, 2}, {RUN, 2}},
     build_group_error,
     "complete 0: UPDATE 1\nerror 1 bound: ERROR 23514 'violates check constraint'" NO_MORE
     "ready 0..3 I\n" SELECTED("4")},
    {"fatal",
     2,
     {{RUN, 2}, {RUN, 2}},
     build_fatal,
     "row 0: '1' 'a'\n"
     "notice 0: WARNING 57P02 'terminating connection because of crash of another process'" NO_MORE
     "fatal 0: FATAL 57P01 'terminating connection due to administrator command'" NO_MORE},
    {"idle_fatal",
     0,
     {{0}},
     build_idle_fatal,
     "status 0: TimeZone=UTC\nfatal 0: FATAL 57P05 'terminating connection due to idle-session timeout'" NO_MORE},
    {"deferred_error",
     1,
     {{RUN, WIRE_NO_ROWS}},
     build_deferred_error,
     "complete 0: INSERT 0 1\nerror 0 bound: ERROR 23503 'violates foreign key constraint' "
     "detail 'Key (b)=(9) is not present.' hint '' position 0\nready 0..0 I\n"},
    {"evicted",
     2,
     {{WIRE_CLOSE | ALL, 0}, {WIRE_CLOSE | ALL, 0}},
     build_evicted,
     DESCRIBED("0")
         SELECTED("0") "error 1: ERROR 42P01 'relation \"nowhere\" does not exist' detail '' hint '' position 15\n"
                       "ready 1..1 I\n"},
    {"empty", 1, {{ALL, 0}}, build_empty, "parameters 0:\ncolumns 0: no rows\ncomplete 0: \nready 0..0 I\n"},
    {"no_columns",
     1,
     {{ALL, 0}},
     build_no_columns,
     "parameters 0:\ncolumns 0:\nrow 0:\nrow 0:\ncomplete 0: SELECT 2\nready 0..0 I\n"},
    {"asynchronous",
     1,
     {{RUN, 1}},
     build_asynchronous,
     "notification 0: jobs=\nstatus 0: application_name=quring\nrow 0: '1'\nnotification 0: jobs=new\n"
     "complete 0: SHOW\nstatus 0: TimeZone=\nready 0..0 I\n"
     "notice 1: NOTICE 00000 'while idle'" NO_MORE "notification 1: =x\n"},
    {"copy", 2, {{RUN, 2}, {RUN, WIRE_NO_ROWS}}, build_copy, SELECTED("0") "copy 1\n"},
};

const size_t transcript_count = sizeof transcripts / sizeof *transcripts;

void transcript_expect(const struct transcript *transcript, struct wire_session *session) {
    for (size_t i = 0; i < transcript->request_count; i++)
        PRE(wire_expect(session, transcript->requests[i].steps, transcript->requests[i].column_count));
}

size_t transcript_message_size(const struct buf *bytes, size_t offset) {
    return 1 + (size_t)bytes_load_u32(buf_head(bytes) + offset + 1);
}
