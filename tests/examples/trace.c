/* SPDX-License-Identifier: MIT */
/*
 * Prints what happens to a few queries and to their connections, as it becomes known: how long each has been under way, on
 * which connection, and what the database says of it.
 */
#include <quring/quring.h>

#include <stdio.h>

static quring_engine *engine;

static void print_event(const quring_event *e) {
    if (!e->id) /* a connection's */
        printf("%-9s connection %u", quring_event_name(e->kind), e->connection);
    else
        printf("%-9s %8.3f ms  %s", quring_event_name(e->kind), (double)(e->at_ns - e->submitted_at_ns) / 1e6, e->sql);
    if (e->kind == QURING_EVENT_DONE)
        printf(": %s, %llu rows", quring_status_name(e->status), (unsigned long long)e->row_count);
    printf("%s%s %s\n", e->message[0] ? ": " : "", e->sqlstate, e->message);
}

static void print_events(void) {
    quring_event events[16];
    for (int count; (count = quring_trace(engine, events, 16)) > 0;)
        for (int i = 0; i < count; i++)
            print_event(&events[i]);
}

int main(int argc, char **argv) {
    static const char *const texts[] = {"select 6 * 7", "select 1 union all select 2", "select no_such_column"};
    quring_db *db = NULL;
    quring_done done;
    int error = quring_engine_open(&(quring_options){.trace_count = 1000}, &engine);
    if (!error)
        error = quring_db_open(engine, argc > 1 ? argv[1] : "sqlite://", NULL, &db);
    for (int i = 0; !error && i < 3; i++)
        error = quring_submit(engine, &(quring_query){.db = db, .sql = texts[i]}, NULL);
    while (!error && quring_pending(engine)) {
        error = quring_run(engine, 1, QURING_FOREVER);
        error = error < 0 ? error : 0;
        print_events();
        while (quring_reap(engine, &done, 1) == 1)
            quring_release(engine, done.id);
    }
    if (error)
        fprintf(stderr, "%s: %s\n", quring_strerror(error), quring_errmsg(engine));
    quring_engine_close(engine);
    return error ? 1 : 0;
}
