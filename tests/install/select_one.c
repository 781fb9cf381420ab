/* SPDX-License-Identifier: MIT */
/* A user's first program, in the subset that C11 and C++17 share: built from an installed copy only. */
#include <quring/quring.h>
#include <stdio.h>

static int fail(const char *what, int error) {
    fprintf(stderr, "%s: %s\n", what, quring_strerror(error));
    return 1;
}

int main(void) {
    quring_engine *engine = NULL;
    quring_db *db = NULL;
    static quring_query query; /* static: zeroed in both languages */
    quring_done done;
    int64_t value = 0;
    int error;

    if ((error = quring_engine_open(NULL, &engine)) < 0)
        return fail("quring_engine_open", error);
    if ((error = quring_db_open(engine, "sqlite://", NULL, &db)) < 0)
        return fail("quring_db_open", error);
    query.db = db;
    query.sql = "select 1";
    if ((error = quring_submit(engine, &query, NULL)) < 0)
        return fail("quring_submit", error);
    while (quring_reap(engine, &done, 1) == 0)
        if ((error = quring_run(engine, 1, QURING_FOREVER)) < 0)
            return fail("quring_run", error);
    if (done.status != QURING_OK) {
        fprintf(stderr, "%s: %s\n", quring_status_name(done.status), done.error->message);
        return 1;
    }
    if ((error = quring_get_int64(done.result, 0, 0, &value)) < 0)
        return fail("quring_get_int64", error);
    quring_release(engine, done.id);
    quring_engine_close(engine);
    printf("quring %s: %d\n", quring_version(), (int)value);
    return value == 1 ? 0 : 1;
}
