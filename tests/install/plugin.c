/* SPDX-License-Identifier: MIT */
/* A shared object with the library inside, which lets go of an engine whose thread is in the middle of a name look-up. */
#include <quring/quring.h>

int plugin(void (*looking_up)(void));

int plugin(void (*looking_up)(void)) {
    quring_engine *engine = NULL;
    quring_db *db = NULL;
    int error = quring_engine_open(NULL, &engine);
    if (!error)
        error = quring_db_open(engine, "postgresql://user@database.invalid/db", NULL, &db);
    if (!error) {
        quring_query query = {.db = db, .sql = "select 1"};
        error = quring_submit(engine, &query, NULL);
    }
    if (!error)
        error = quring_run(engine, 0, 0);
    if (!error)
        looking_up();
    quring_engine_close(engine);
    return error;
}
