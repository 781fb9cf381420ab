/* SPDX-License-Identifier: MIT */
/* What stands between the marker lines is the example of README.md, byte for byte: scripts/check_readme. */
/* README: begin */
#include <quring/quring.h>
#include <stdio.h>

int main(int argc, char **argv) {
    quring_engine *engine; /* the ring; belongs to this thread */
    quring_db *db;         /* a database: its connections */
    if (quring_engine_open(NULL, &engine))
        return 1;
    if (quring_db_open(engine, argc > 1 ? argv[1] : "sqlite://", NULL, &db))
        return fprintf(stderr, "%s\n", quring_errmsg(engine)), 1;

    for (int i = 1; i <= 1000; i++) { /* queues; does no I/O */
        quring_query q = {.db = db, .sql = "select 6 * $1", .params = QURING_PARAMS(quring_int32(i)), .user_data = i};
        if (quring_submit(engine, &q, NULL))
            return fprintf(stderr, "%s\n", quring_errmsg(engine)), 1;
    }
    quring_done done[64];
    while (quring_pending(engine)) {
        quring_run(engine, 1, QURING_FOREVER); /* all I/O, until one query or more is done */
        int n = quring_reap(engine, done, 64);
        for (int i = 0; i < n; i++) {
            int64_t product;
            if (done[i].status != QURING_OK)
                fprintf(stderr, "%s: %s\n", quring_status_name(done[i].status), done[i].error->message);
            else if (quring_get_int64(done[i].result, 0, 0, &product))
                fprintf(stderr, "%s\n", quring_result_error(done[i].result));
            else if (done[i].user_data == 7)
                printf("6 * 7 = %lld\n", (long long)product);
            quring_release(engine, done[i].id); /* its rows are gone after this */
        }
    }
    quring_engine_close(engine);
}
/* README: end */
