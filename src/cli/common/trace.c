/* SPDX-License-Identifier: MIT */
#include "cli/common/trace.h"

#include "cli/common/text.h"

#include <inttypes.h>
#include <string.h>

enum { BATCH = 64 };

void cli_trace_drain(quring_engine *engine, void (*show)(void *arg, const quring_event *event), void *arg) {
    quring_event events[BATCH];
    int count;
    while ((count = quring_trace(engine, events, BATCH)) > 0)
        for (int i = 0; i < count; i++)
            show(arg, &events[i]);
}

static void trace_put_after(struct cli_out *out, const char *what, const quring_event *event, uint64_t at_ns) {
    cli_out_format(out, ", %s after %.3f ms", what, (double)(at_ns - event->submitted_at_ns) / 1e6);
}

void cli_trace_put_done(struct cli_out *out, const quring_event *event) {
    cli_out_text(out, event->status == QURING_OK ? "OK" : quring_status_name(event->status));
    if (*event->sqlstate)
        cli_out_format(out, " %s", event->sqlstate);
    if (event->first_row_at_ns)
        cli_out_format(out, ", %" PRIu64 " row%s", event->row_count, event->row_count == 1 ? "" : "s");
    if (event->connection)
        cli_out_format(out, ", connection %" PRIu32, event->connection);
    if (event->sent_at_ns)
        trace_put_after(out, "sent", event, event->sent_at_ns);
    if (event->first_row_at_ns)
        trace_put_after(out, "first row", event, event->first_row_at_ns);
    trace_put_after(out, "done", event, event->at_ns);
}

void cli_trace_put_connection(struct cli_out *out, const quring_event *event) {
    cli_out_format(out, "connection %" PRIu32 ": %s", event->connection, quring_event_name(event->kind));
    if (event->kind == QURING_EVENT_RETRYING) {
        cli_out_format(out, " in %.1f s", (double)event->wait_ns / 1e9);
        return; /* the reason was that of the event before */
    }
    if (*event->message) {
        cli_out_text(out, ": ");
        cli_text_safe(out, event->message, strlen(event->message), 0);
    }
    if (*event->sqlstate)
        cli_out_format(out, " (SQLSTATE %s)", event->sqlstate);
}

void cli_trace_put_sql(struct cli_out *out, const quring_event *event) {
    cli_text_safe(out, event->sql, event->sql_bytes, 0);
    if (event->sql_is_cut)
        cli_out_text(out, " … (cut)");
}
