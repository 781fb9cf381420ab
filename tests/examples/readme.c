/* SPDX-License-Identifier: MIT */
/* What stands between the marker lines is the example of README.md, byte for byte: scripts/check_readme. */
/* README: begin */
#include <quring/quring.h>
#include <stdio.h>

enum { COUNT = 100000 };

static void answer(const quring_done *done) {
    int64_t product;
    if (done->status != QURING_OK)
        fprintf(stderr, "%s: %s %s\n", quring_status_name(done->status), done->error->message, done->error->hint);
    else if (quring_get_int64(done->result, 0, 0, &product))
        fprintf(stderr, "%s\n", quring_result_error(done->result));
    else if (done->user_data == 7)
        printf("6 * 7 = %lld\n", (long long)product);
}

int main(int argc, char **argv) {
    quring_engine *engine = NULL; /* the ring; belongs to this thread */
    quring_db *db = NULL;         /* one database: its connections */
    quring_done done[64];
    int error = quring_engine_open(NULL, &engine);
    if (!error)
        error = quring_db_open(engine, argc > 1 ? argv[1] : "sqlite://", NULL, &db);
    for (uint64_t next = 1; !error && (next <= COUNT || quring_pending(engine));) {
        for (; next <= COUNT && !error; next += !error) { /* queues; does no I/O */
            quring_query q = {.db = db,
                              .sql = "select 6 * $1",
                              .user_data = next,
                              .params = QURING_PARAMS(quring_int64((int64_t)next))};
            error = quring_submit(engine, &q, NULL);
        }
        if (!error || error == QURING_EFULL)               /* full is no failure: what is done makes room */
            error = quring_run(engine, 1, QURING_FOREVER); /* all I/O, until one query or more is done */
        error = error < 0 ? error : 0;
        for (int count; (count = quring_reap(engine, done, 64)) > 0;)
            for (int i = 0; i < count; i++) {
                answer(&done[i]);
                quring_release(engine, done[i].id); /* its rows are gone after this */
            }
    }
    if (error)
        fprintf(stderr, "%s: %s\n", quring_strerror(error), quring_errmsg(engine));
    quring_engine_close(engine);
    return error ? 1 : 0;
}
/* README: end */
