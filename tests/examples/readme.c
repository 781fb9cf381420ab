/* SPDX-License-Identifier: MIT */
/* What stands between the marker lines is the example of README.md, byte for byte: scripts/check_readme. */
/* README: begin */
#include <quring/quring.h>
#include <stdio.h>

int main(int argc, char **argv) {
    quring_engine *engine = NULL; /* the ring; belongs to this thread */
    quring_db *db = NULL;         /* one database: its connections */
    int error = quring_engine_open(NULL, &engine);
    if (!error)
        error = quring_db_open(engine, argc > 1 ? argv[1] : "sqlite://", NULL, &db);
    for (int i = 1; i <= 1000 && !error; i++) { /* queues; does no I/O */
        quring_query q = {.db = db, .sql = "select 6 * $1", .params = QURING_PARAMS(quring_int32(i)), .user_data = i};
        error = quring_submit(engine, &q, NULL);
    }
    if (error)
        fprintf(stderr, "%s: %s\n", quring_strerror(error), quring_errmsg(engine));
    while (quring_pending(engine)) {
        quring_done done[64];
        quring_run(engine, 1, QURING_FOREVER); /* all I/O, until one query or more is done */
        int count = quring_reap(engine, done, 64);
        for (int i = 0; i < count; i++) {
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
    return error ? 1 : 0;
}
/* README: end */
