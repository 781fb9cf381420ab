/* SPDX-License-Identifier: MIT */
#include "cli/common/cancel.h"

/*
 * The function beneath pg_stat_activity, since the view joins two catalogs to it. A process number may be given to another
 * backend once the first has ended, so the start time goes with it; and the look-up and the signal are one statement, so
 * that next to no time passes between them. Both connections have the same role, which PostgreSQL asks for in either.
 */
static const char ASK[] = "select pid, backend_start from pg_stat_get_activity(pg_backend_pid())";
static const char SEND[] = "select pg_cancel_backend(pid) from pg_stat_get_activity($1::int4)"
                           " where backend_start = $2::timestamptz";

static void cancel_move(struct cli_cancel *cancel, enum cli_cancel_state state, quring_id id, const char *why) {
    cancel->state = (uint8_t)state;
    cancel->id = id;
    cancel->why = why;
}

void cli_cancel_ask(struct cli_cancel *cancel, quring_engine *engine, quring_db *db) {
    quring_id id;
    if (quring_submit(engine, &(quring_query){.db = db, .sql = ASK}, &id) == 0)
        cancel_move(cancel, CLI_CANCEL_ASKED, id, NULL);
}

static void cancel_take_answer(struct cli_cancel *cancel, const quring_db *db, const quring_done *done) {
    if (done->status != QURING_OK || quring_get_int64(done->result, 0, 0, &cancel->pid) < 0 ||
        quring_get_timestamptz(done->result, 0, 1, &cancel->started_us) < 0)
        cancel_move(cancel, CLI_CANCEL_FAILED, 0, "it does not tell which process that is");
    else if ((uint64_t)cancel->pid != quring_db_server_pid(db))
        cancel_move(cancel, CLI_CANCEL_FAILED, 0, "a pooler stands between, which can give that process to others");
    else
        cancel_move(cancel, CLI_CANCEL_KNOWN, 0, NULL);
}

static void cancel_take_outcome(struct cli_cancel *cancel, const quring_done *done) {
    bool delivered = false;
    if (done->status != QURING_OK)
        cancel_move(cancel, CLI_CANCEL_FAILED, 0, "it refused to cancel it, or could not be reached");
    else if (quring_row_count(done->result) == 0)
        cancel_move(cancel, CLI_CANCEL_FAILED, 0,
                    "a second connection reached another server, or the process has ended");
    else if (quring_get_bool(done->result, 0, 0, &delivered) < 0 || !delivered)
        cancel_move(cancel, CLI_CANCEL_FAILED, 0, "it could not signal the process");
    else
        cancel_move(cancel, CLI_CANCEL_DELIVERED, 0, NULL);
}

bool cli_cancel_take(struct cli_cancel *cancel, const quring_db *db, const quring_done *done) {
    if (cancel->id == 0 || done->id != cancel->id)
        return false;
    if (cancel->state == CLI_CANCEL_ASKED)
        cancel_take_answer(cancel, db, done);
    else
        cancel_take_outcome(cancel, done);
    return true;
}

void cli_cancel_send(struct cli_cancel *cancel, quring_engine *engine, const char *url) {
    quring_id id = 0;
    int error = quring_db_open(engine, url, &(quring_db_options){.connection_count = 1}, &cancel->other);
    if (error == 0) {
        quring_query query = {
            .db = cancel->other,
            .sql = SEND,
            .params = QURING_PARAMS(quring_int64(cancel->pid), quring_timestamptz(cancel->started_us)),
        };
        error = quring_submit(engine, &query, &id);
    }
    if (error < 0)
        cancel_move(cancel, CLI_CANCEL_FAILED, 0, "a second connection could not be opened");
    else
        cancel_move(cancel, CLI_CANCEL_SENT, id, NULL);
}

void cli_cancel_close(struct cli_cancel *cancel) {
    quring_db_close(cancel->other);
    *cancel = (struct cli_cancel){0};
}
