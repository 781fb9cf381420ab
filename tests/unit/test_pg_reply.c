/* SPDX-License-Identifier: MIT */
/* What becomes of queries by the replies to them: which ends how, which runs again, and what it costs the connection. */
#include "lib/pg_fixture.h"
#include "pg/reply.h"

TestSuite(pg_reply, .init = pg_setup, .fini = pg_teardown);

/*
 * The queries of a row, a letter each: r is prepared, n is new, p is being prepared, c commits, b rolls back. In capitals
 * they are members of a group, which the next query in small letters ends, as the end of the row does. Behind the letter:
 * + it ran again once because its plan was stale, ! it is given up once it was sent.
 */
static const char *text_of(char letter) {
    switch (letter | 0x20) {
    case 'r':
        return "select 1";
    case 'c':
        return "commit";
    case 'b':
        return "rollback";
    default:
        return "select 2";
    }
}

struct row {
    const char *what;
    const char *queries;
    const char *replies;
    const char *fates;
    const char *broken; /* the SQLSTATE that the connection is closed with; NULL: it goes on */
};

static uint32_t send_queries(const char *letters, struct query *queries[]) {
    uint32_t count = 0;
    for (const char *at = letters; *at; at++) {
        struct query *query = pg_bed_take(&bed, text_of(*at));
        query->commit = *at >= 'a' ? QURING_COMMIT_EACH : QURING_COMMIT_GROUP;
        query->retried = at[1] == '+';
        pg_conn_send(&bed.conn, query);
        queries[count++] = query;
        at += at[1] == '+' || at[1] == '!';
    }
    cr_assert(pg_conn_sync(&bed.conn));
    pg_conn_flush(&bed.conn);
    pg_bed_settle(&bed);
    count = 0;
    for (const char *at = letters; *at; at++)
        if (*at == '!')
            pg_conn_abandon(&bed.conn, queries[count - 1], QURING_CANCELLED);
        else
            count += *at != '+';
    return count;
}

static const char *fates_of(struct query *const queries[], uint32_t count) {
    static char text[200];
    char *at = text;
    for (uint32_t i = 0; i < count; i++)
        at += snprintf(at, (size_t)(text + sizeof text - at), "%s%s", i ? "; " : "", pg_bed_fate(queries[i]));
    return text;
}

/* What runs again comes first, in its old order, alone, and with nothing left of its first run. */
static void assert_waiting(struct query *const queries[], uint32_t count, const char *what) {
    const struct list *node = bed.db.base.queue.waiting.next;
    for (uint32_t i = 0; i < count; i++) {
        const struct query *query = queries[i];
        if (query->state != QUERY_WAITING)
            continue;
        cr_assert_eq(node, &query->link, "%s: query %u is not in its place", what, i);
        node = node->next;
        cr_assert_eq(query->commit, QURING_COMMIT_EACH, "%s", what);
        cr_assert(query->result.row_count == 0 && !query->result.notices && !query->error.set, "%s", what);
        cr_assert_not(query->sent, "%s", what);
    }
    cr_assert_eq(node, &bed.db.base.queue.waiting, "%s: more queries wait", what);
}

static void open_conn(const quring_db_options *options, bool bound) {
    pg_again(options);
    pg_bed_open_conn(&bed, bound);
    pg_conn_send(&bed.conn, pg_bed_take(&bed, text_of('r')));
    pg_conn_flush(&bed.conn);
    pg_bed_settle(&bed);
    pg_bed_say(&bed, &bed.conn, "1 t:0 T2DCZ");
}

static void play(const struct row *row, bool bound) {
    struct query *queries[8];
    open_conn(NULL, bound);
    uint32_t count = send_queries(row->queries, queries);
    pg_bed_say(&bed, &bed.conn, row->replies);
    pg_bed_assert_text(fates_of(queries, count), row->fates, row->what);
    assert_waiting(queries, count, row->what);
    cr_assert_eq(bed.conn.state, row->broken ? PG_CONN_DOWN : PG_CONN_READY, "%s: state %d", row->what, bed.conn.state);
    if (row->broken)
        cr_assert_str_eq(bed.conn.reason.sqlstate, row->broken, "%s", row->what);
    else
        cr_assert_eq(bed.conn.settled, bed.conn.session.next, "%s: all is settled", row->what);
}

static void play_all(const struct row *rows, size_t count, bool bound) {
    for (size_t i = 0; i < count; i++) {
        play(&rows[i], bound);
    }
}

#define PLAY(rows, bound) play_all(rows, sizeof(rows) / sizeof *(rows), bound)

static const struct row alone[] = {
    {"it is carried out", "r", "2DCZ", "OK", NULL},
    {"a new one is", "n", "1 t:0 T2DCZ", "OK", NULL},
    {"two are", "rr", "2DCZ2DCZ", "OK; OK", NULL},
    {"it fails", "r", "2 E:22012 Z", "SERVER_ERROR 22012", NULL},
    {"it fails between rows", "r", "2D E:22012 Z", "SERVER_ERROR 22012", NULL},
    {"it fails, and no other", "rr", "2DCZ2 E:22012 Z", "OK; SERVER_ERROR 22012", NULL},
    {"it fails when it commits", "r", "2DC E:23505 Z", "SERVER_ERROR 23505", NULL},
    {"a conflict", "r", "2 E:40001 Z", "SERVER_ERROR 40001", NULL},
    {"a deadlock", "r", "2 E:40P01 Z", "SERVER_ERROR 40P01", NULL},
    {"the server can't tell", "r", "2 E:40003 Z", "IN_DOUBT 40003", NULL},
    {"the server can't tell what its commit came to", "r", "2DC E:08007 Z", "IN_DOUBT 08007", NULL},
    {"it leaves a transaction open", "r", "2DC Z:T", "IN_DOUBT 25001", "25001"},
    {"it leaves a failed transaction open", "r", "2 E:22012 Z:E", "SERVER_ERROR 22012", "25001"},
    {"it was given up", "r!", "2DCZ", "CANCELLED 57014", NULL},
    {"it was given up, and fails", "r!", "2 E:22012 Z", "CANCELLED 57014", NULL},
    {"it was given up, and its plan is stale", "r!", "E:0A000 Z", "CANCELLED 57014", NULL},
};

Test(pg_reply, pg_reply_ready_ends_queries_that_are_alone) {
    PLAY(alone, false);
}

static const struct row stale[] = {
    {"columns have changed", "r", "E:0A000 Z", "waiting, retried", NULL},
    {"nothing of that name is there", "r", "E:26000 Z", "waiting, retried", NULL},
    {"a type is gone", "r", "E:XX000 Z", "waiting, retried", NULL},
    {"a parameter is refused", "r", "E:22P02 Z", "waiting, retried", NULL},
    {"a column takes the parameter no more", "r", "E:42804 Z", "waiting, retried", NULL},
    {"for another reason", "r", "E:53200 Z", "SERVER_ERROR 53200", NULL},
    {"once is enough", "r+", "3 1 t:0 T E:0A000 Z", "SERVER_ERROR 0A000", NULL},
    {"it ran already", "r", "2 E:0A000 Z", "SERVER_ERROR 0A000", NULL},
    {"a type is gone, which shows as it runs", "r", "2 E:XX000 Z", "SERVER_ERROR XX000", NULL},
    {"a new one, by its Parse", "n", "E:0A000 Z", "SERVER_ERROR 0A000", NULL},
    {"a new one, between its Describe and its Bind", "n", "1 t:0 T E:0A000 Z", "waiting, retried", NULL},
    {"a new one, which is gone by its Bind", "n", "1 t:0 T E:26000 Z", "waiting, retried", NULL},
    {"a new one, of which a parameter is refused", "n", "1 t:0 T E:22P02 Z", "SERVER_ERROR 22P02", NULL},
    {"a new one, of which a type is gone", "n", "1 t:0 T E:XX000 Z", "SERVER_ERROR XX000", NULL},
    {"without a name, between its Describe and its Bind", "nn", "1 t:0 T2DCZ 1 t:0 T E:0A000 Z", "OK; waiting, retried",
     NULL},
    {"it leaves a transaction open", "r", "E:0A000 Z:E", "SERVER_ERROR 0A000", "25001"},
    {"what follows it is not held up", "rr", "E:0A000 Z 2DCZ", "waiting, retried; OK", NULL},
};

Test(pg_reply, pg_reply_ready_runs_again_what_a_stale_plan_kept_from_running) {
    PLAY(stale, false);
}

static const struct row groups[] = {
    {"all are carried out", "RRR", "2DC2DC2DCZ", "OK; OK; OK", NULL},
    {"the first one fails", "RRR", "2 E:23505 Z", "SERVER_ERROR 23505; waiting; waiting", NULL},
    {"one in the middle fails", "RRR", "2DC2 E:23505 Z", "waiting; SERVER_ERROR 23505; waiting", NULL},
    {"the last one fails", "RRR", "2DC2DC2 E:23505 Z", "waiting; waiting; SERVER_ERROR 23505", NULL},
    {"a new one does not parse", "RN", "2DC E:42601 Z", "waiting; SERVER_ERROR 42601", NULL},
    {"a conflict, which a neighbour may have caused", "RR", "2DC2 E:40001 Z", "waiting; waiting", NULL},
    {"a deadlock, which a neighbour may have caused", "RR", "2 E:40P01 Z", "waiting; waiting", NULL},
    {"a group of one has no neighbour", "R", "2 E:40001 Z", "SERVER_ERROR 40001", NULL},
    {"the commit fails", "RR", "2DC2DC E:23505 Z", "waiting; waiting", NULL},
    {"a plan is stale", "RR", "2DC E:0A000 Z", "waiting; waiting, retried", NULL},
    {"a plan is stale once more", "RR+", "2DC 3 1 t:0 T E:0A000 Z", "waiting; SERVER_ERROR 0A000", NULL},
    {"the server can't tell, by the first one", "RR", "2 E:40003 Z", "IN_DOUBT 40003; IN_DOUBT 40003", NULL},
    {"the server can't tell, by the last one", "RR", "2DC2 E:08007 Z", "IN_DOUBT 40003; IN_DOUBT 08007", NULL},
    {"the server can't tell what the commit came to", "RR", "2DC2DC E:40003 Z", "IN_DOUBT 40003; IN_DOUBT 40003", NULL},
    {"a tag that may have ended it", "RR", "2DC2 C:DO Z", "IN_DOUBT 40003; IN_DOUBT 40003", NULL},
    {"a tag that may have ended it, before an error", "RR", "2 C:DO 2 E:23505 Z", "IN_DOUBT 40003; SERVER_ERROR 23505",
     NULL},
    {"such a tag in a group of one", "R", "2 C:DO Z", "OK", NULL},
    {"it stays open", "RR", "2DC2DC Z:T", "IN_DOUBT 25001; IN_DOUBT 25001", "25001"},
    {"it failed, and stays open", "RR", "2DC2 E:23505 Z:E", "IN_DOUBT 25001; SERVER_ERROR 23505", "25001"},
    {"the server can't tell, and it stays open", "RR", "2DC2 E:40003 Z:E", "IN_DOUBT 25001; IN_DOUBT 40003", "25001"},
    {"one that was given up", "R!R", "2DC2DCZ", "CANCELLED 57014; OK", NULL},
    {"one that was given up fails", "R!R", "2 E:23505 Z", "CANCELLED 57014; waiting", NULL},
    {"one that was given up is undone", "R!R", "2DC2 E:23505 Z", "CANCELLED 57014; SERVER_ERROR 23505", NULL},
    {"one alone behind it", "RRr", "2DC2DCZ 2DCZ", "OK; OK; OK", NULL},
    {"one alone behind it, which fails by itself", "RRr", "2DC2DCZ 2 E:22012 Z", "OK; OK; SERVER_ERROR 22012", NULL},
    {"one alone behind one that fails", "RRr", "2 E:23505 Z 2DCZ", "SERVER_ERROR 23505; waiting; OK", NULL},
    {"one alone before it", "rRR", "2DCZ 2 E:23505 Z", "OK; SERVER_ERROR 23505; waiting", NULL},
};

Test(pg_reply, pg_reply_ready_ends_groups_or_runs_their_members_again) {
    PLAY(groups, false);
}

static const struct row bound[] = {
    {"a transaction goes on", "r", "2DC Z:T", "OK", NULL},
    {"a failed one goes on", "r", "2 E:22012 Z:E", "SERVER_ERROR 22012", NULL},
    {"COMMIT", "c", "1 t:0 n2 C:COMMIT Z", "OK", NULL},
    {"COMMIT of a failed transaction", "c", "1 t:0 n2 C:ROLLBACK Z", "SERVER_ERROR 40000", NULL},
    {"COMMIT AND CHAIN of a failed transaction", "c", "1 t:0 n2 C:ROLLBACK Z:T", "SERVER_ERROR 40000", NULL},
    {"ROLLBACK", "b", "1 t:0 n2 C:ROLLBACK Z", "OK", NULL},
    {"COMMIT that was given up", "c!", "1 t:0 n2 C:ROLLBACK Z", "CANCELLED 57014", NULL},
    {"a stale plan", "r", "E:0A000 Z", "waiting, retried", NULL},
    {"a stale plan in a transaction", "r", "E:0A000 Z:E", "SERVER_ERROR 0A000", NULL},
    {"a stale plan of one that is followed", "rr", "E:0A000 Z 2DCZ", "SERVER_ERROR 0A000; OK", NULL},
    {"a stale plan of one that follows", "rr", "2DCZ E:0A000 Z", "OK; waiting, retried", NULL},
};

Test(pg_reply, pg_reply_ready_keeps_the_order_of_a_bound_connection) {
    PLAY(bound, true);
}

/* ---- Rows and tags ---- */

Test(pg_reply, pg_reply_complete_takes_command_and_count_from_the_tag) {
    static const struct {
        const char *tag, *command;
        uint64_t affected_count;
    } rows[] = {{"SELECT_3", "SELECT", 0}, {"INSERT_0_5", "INSERT", 5},
                {"UPDATE_7", "UPDATE", 7}, {"DELETE_0", "DELETE", 0},
                {"DELETE_2", "DELETE", 2}, {"MERGE_4", "MERGE", 4},
                {"FETCH_9", "FETCH", 0},   {"MOVE_2", "MOVE", 0},
                {"COPY_6", "COPY", 0},     {"CREATE_TABLE", "CREATE TABLE", 0}};
    open_conn(NULL, false);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char replies[40];
        struct query *query;
        send_queries("r", &query);
        snprintf(replies, sizeof replies, "2 C:%s Z", rows[i].tag);
        pg_bed_say(&bed, &bed.conn, replies);
        pg_bed_assert_text(pg_bed_fate(query), "OK", rows[i].tag);
        cr_assert_str_eq(quring_command(&query->result), rows[i].command);
        cr_assert_eq(quring_affected_count(&query->result), rows[i].affected_count, "%s", rows[i].tag);
    }
}

Test(pg_reply, pg_reply_complete_breaks_where_parameters_were_not_as_described) {
    open_conn(NULL, false);
    struct query *query = pg_bed_take(&bed, "select $1");
    pg_conn_send(&bed.conn, query);
    pg_conn_flush(&bed.conn);
    pg_bed_settle(&bed);
    pg_bed_say(&bed, &bed.conn, "1 t:2 T2DC");
    pg_bed_assert_text(pg_bed_fate(query), "PROTOCOL 08P01", "two are described, and one was bound");
    cr_assert_eq(bed.conn.state, PG_CONN_DOWN);
}

Test(pg_reply, pg_reply_row_drops_what_goes_over_a_limit) {
    static const struct {
        const char *what;
        quring_db_options options;
        const char *replies, *fate, *words;
    } rows[] = {
        {"rows", {.result_row_count = 2}, "2DDDDCZ", "LIMIT 54000", "more than 2 rows"},
        {"as many as may be", {.result_row_count = 2}, "2DDCZ", "OK", ""},
        {"bytes", {.result_bytes = 1000}, "2 D:500 D:500 D C Z", "LIMIT 54000", "more than 1000 bytes"},
        {"bytes of a message", {.message_bytes = 1000}, "2D D:2000 D C Z", "LIMIT 54000", "message_bytes (1000)"},
        {"rows, and then it fails", {.result_row_count = 2}, "2DDD E:22012 Z", "SERVER_ERROR 22012", ""},
        {"bytes of a message, and then it fails",
         {.message_bytes = 1000},
         "2 D:2000 E:22012 Z",
         "SERVER_ERROR 22012",
         ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct query *query;
        open_conn(&rows[i].options, false);
        send_queries("r", &query);
        pg_bed_say(&bed, &bed.conn, rows[i].replies);
        pg_bed_assert_text(pg_bed_fate(query), rows[i].fate, rows[i].what);
        cr_assert(strstr(query->error.view.message, rows[i].words), "%s: %s", rows[i].what, query->error.view.message);
        cr_assert_eq(bed.conn.state, PG_CONN_READY, "it costs its own query the answer, and nobody else");
    }
}

/* Its rows are its own fault; the transaction that it shares is not touched. */
Test(pg_reply, pg_reply_row_over_a_limit_leaves_the_group_alone) {
    struct query *queries[3];
    open_conn(&(quring_db_options){.result_row_count = 1}, false);
    send_queries("RRR", queries);
    pg_bed_say(&bed, &bed.conn, "2DC2DDC2DCZ");
    pg_bed_assert_text(fates_of(queries, 3), "OK; LIMIT 54000; OK", "the one in the middle has too many rows");
}

/* ---- Notices ---- */

Test(pg_reply, pg_query_restart_leaves_nothing_of_the_first_run) {
    struct query *queries[2];
    open_conn(NULL, false);
    send_queries("RR", queries);
    pg_bed_say(&bed, &bed.conn, "N2DCN2 E:23505 Z");
    pg_bed_assert_text(fates_of(queries, 2), "waiting; SERVER_ERROR 23505", "undone");
    cr_assert_eq(quring_notice_count(&queries[0]->result), 0);
    cr_assert_eq(quring_row_count(&queries[0]->result), 0);
    cr_assert_eq(quring_notice_count(&queries[1]->result), 1, "what failed keeps its notices");
}
