/* SPDX-License-Identifier: MIT */
/* Events of the trace, in words. */
#include "cli/common/trace.h"

#include <criterion/criterion.h>
#include <string.h>

static void expect(void (*put)(struct cli_out *out, const quring_event *event), const quring_event *event,
                   const char *wanted) {
    struct cli_out out;
    cli_out_init(&out, CLI_OUT_MEMORY);
    put(&out, event);
    cli_out_char(&out, 0);
    cr_expect_str_eq(out.data, wanted);
    cli_out_free(&out);
}

static quring_event done(quring_status status) {
    return (quring_event){.kind = QURING_EVENT_DONE,
                          .status = status,
                          .id = 1,
                          .submitted_at_ns = 5000000,
                          .at_ns = 9234567,
                          .sql = "",
                          .message = ""};
}

Test(trace, outcome_times_count_from_the_submission) {
    quring_event event = done(QURING_OK);
    event.sent_at_ns = 5012000;
    event.first_row_at_ns = 8000000;
    event.connection = 3;
    event.row_count = 1;
    expect(cli_trace_put_done, &event,
           "OK, 1 row, connection 3, sent after 0.012 ms, first row after 3.000 ms, done after 4.235 ms");
    event.row_count = 20;
    expect(cli_trace_put_done, &event,
           "OK, 20 rows, connection 3, sent after 0.012 ms, first row after 3.000 ms, done after 4.235 ms");
}

Test(trace, outcome_names_the_sqlstate_and_leaves_out_what_was_not) {
    quring_event event = done(QURING_NOT_SENT);
    strcpy(event.sqlstate, "08001");
    expect(cli_trace_put_done, &event, "NOT_SENT 08001, done after 4.235 ms");
    event = done(QURING_TIMEOUT);
    event.sent_at_ns = 6000000;
    event.connection = 1;
    expect(cli_trace_put_done, &event, "TIMEOUT, connection 1, sent after 1.000 ms, done after 4.235 ms");
}

Test(trace, connection_has_its_reason_made_safe) {
    quring_event event = {
        .kind = QURING_EVENT_LOST, .connection = 2, .sqlstate = "57P01", .sql = "", .message = "so\n\x1b[2J"};
    expect(cli_trace_put_connection, &event, "connection 2: lost: so\\n\\x1b[2J (SQLSTATE 57P01)");
    event = (quring_event){
        .kind = QURING_EVENT_RETRYING, .connection = 2, .wait_ns = 1234567890, .sql = "", .message = "x"};
    expect(cli_trace_put_connection, &event, "connection 2: retrying in 1.2 s");
}

Test(trace, sql_is_one_line_and_says_where_it_was_cut) {
    quring_event event = {.kind = QURING_EVENT_DONE, .sql = "select\n\t1", .sql_bytes = 9, .message = ""};
    expect(cli_trace_put_sql, &event, "select\\n\\t1");
    event.sql_is_cut = true;
    expect(cli_trace_put_sql, &event, "select\\n\\t1 … (cut)");
}
