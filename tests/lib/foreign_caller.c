/* SPDX-License-Identifier: MIT */
#include "lib/foreign_caller.h"

#include <string.h>

#define REFUSED(call)                                                                                                  \
    if ((call) != QURING_EFORKED)                                                                                      \
    return #call

static const char *call_queries(const struct foreign_caller *who) {
    quring_done done;
    quring_id id;
    quring_query by_text = {.db = who->db, .sql = "select 1"}, by_handle = {.db = who->db, .statement = who->statement};
    REFUSED(quring_submit(who->engine, &by_text, &id));
    REFUSED(quring_submit(who->engine, &by_handle, NULL));
    REFUSED(quring_submit(who->engine, NULL, NULL));
    REFUSED(quring_cancel(who->engine, who->id));
    REFUSED(quring_reap(who->engine, &done, 1));
    REFUSED(quring_release(who->engine, who->id));
    REFUSED(quring_submit_batch(who->engine, &by_handle, 1, QURING_BATCH_ATOMIC, NULL));
    REFUSED(quring_release_batch(who->engine, &done, 1));
    return NULL;
}

static const char *call_handles(const struct foreign_caller *who) {
    quring_db *db;
    quring_statement *statement;
    quring_db_info info;
    quring_db_stats stats;
    REFUSED(quring_db_open(who->engine, "sqlite://", NULL, &db));
    REFUSED(quring_db_open(who->engine, "host=nowhere.invalid dbname=x", NULL, &db));
    REFUSED(quring_prepare(who->db, "select 2", &statement));
    REFUSED(quring_db_resize(who->db, 2));
    REFUSED(quring_db_drain(who->db));
    REFUSED(quring_db_status(who->db, &info));
    REFUSED(quring_db_warm_up(who->db, 1000000));
    quring_db_stats_get(who->db, &stats);
    if (stats.submitted_count)
        return "what is counted of a handle";
    if (!who->child)
        quring_statement_release(who->statement);
    quring_db_close(who->db);
    return NULL;
}

const char *foreign_calls(const struct foreign_caller *who) {
    quring_stats stats;
    quring_event event;
    REFUSED(quring_trace(who->engine, &event, 1));
    REFUSED(quring_run(who->engine, 1, QURING_FOREVER));
    REFUSED(quring_run(who->engine, 0, 0));
    REFUSED(quring_fd(who->engine));
    const char *failed = call_queries(who);
    if (!failed)
        failed = call_handles(who);
    if (failed)
        return failed;
    REFUSED(quring_shutdown(who->engine, 1000000));
    quring_engine_close(who->engine);
    if (who->child)
        REFUSED(quring_wake(who->engine));
    quring_stats_get(who->engine, &stats);
    if (quring_pending(who->engine) || quring_timeout_ns(who->engine) != QURING_FOREVER || stats.submitted_count)
        return "what is counted";
    return strstr(quring_errmsg(who->engine), "thread and process") ? NULL : "quring_errmsg()";
}
