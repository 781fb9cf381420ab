/* SPDX-License-Identifier: MIT */
/* One connection: its states and what its owner hears of them, what is sent, and what is left of it when it is lost. */
#include "lib/pg_fixture.h"
#include "value/param.h"
#include "value/value.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(pg_conn, .init = pg_setup, .fini = pg_teardown);

#define ONE "select 1"

/* ---- States ---- */

enum { STATES = PG_CONN_DRAINING + 1 };

/* The diagram in conn_state.h, as a table. */
static const bool allowed[STATES][STATES] = {
    [PG_CONN_DOWN] = {[PG_CONN_CONNECTING] = true},
    [PG_CONN_CONNECTING] = {[PG_CONN_BARRIER] = true, [PG_CONN_DOWN] = true},
    [PG_CONN_BARRIER] = {[PG_CONN_READY] = true, [PG_CONN_DRAINING] = true},
    [PG_CONN_READY] = {[PG_CONN_RETIRING] = true, [PG_CONN_DRAINING] = true},
    [PG_CONN_RETIRING] = {[PG_CONN_DRAINING] = true},
    [PG_CONN_DRAINING] = {[PG_CONN_DOWN] = true},
};

static bool aborts(uint8_t from, enum pg_conn_state to) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct pg_conn conn = {.state = from};
        signal(SIGABRT, SIG_DFL);
        fclose(stderr);
        pg_conn_move(&conn, to);
        _exit(0);
    }
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

Test(pg_conn, pg_conn_move_goes_along_the_diagram_and_no_other_way) {
    for (uint8_t from = 0; from < STATES; from++)
        for (int to = 0; to < STATES; to++)
            cr_assert_eq(aborts(from, (enum pg_conn_state)to), !allowed[from][to], "from %d to %d", from, to);
}

/* How a connection gets from DOWN to a state. */
static void bring(enum pg_conn_state state) {
    pg_bed_make_conn(&bed, false);
    if (state == PG_CONN_DOWN)
        return;
    pg_attempt_start(&bed.conn);
    if (state != PG_CONN_CONNECTING)
        pg_bed_settle(&bed);
    if (state == PG_CONN_READY || state == PG_CONN_DRAINING)
        pg_bed_answer(&bed, &bed.conn, false);
    (void)pg_bed_notes(&bed);
    if (state == PG_CONN_DRAINING)
        pg_conn_break(&bed.conn, QURING_IN_DOUBT, "08006", "broken");
    cr_assert_eq(bed.conn.state, state);
}

static void attempt_fails(void) {
    bed.refusal = "28P01";
}

static void server_answers(void) {
    pg_bed_answer(&bed, &bed.conn, false);
}

static void another_answers(void) {
    pg_bed_say(&bed, &bed.conn, "1 t:2 T 2 D C Z");
}

static void answer_in_transaction(void) {
    pg_bed_say(&bed, &bed.conn, "1 t:2 T 2 C Z:T");
}

static void server_refuses(void) {
    pg_bed_say(&bed, &bed.conn, "E:42501 Z");
}

static void server_ends_it(void) {
    pg_bed_say(&bed, &bed.conn, "F:57P01");
}

static void peer_ends(void) {
    sim_peer_end(pg_bed_server_of(&bed, &bed.conn)->peer);
}

static void peer_resets(void) {
    sim_peer_reset(pg_bed_server_of(&bed, &bed.conn)->peer);
}

static void time_passes(void) {
    pg_bed_pass(&bed, bed.db.base.options.connect_timeout_ns + PG_BED_MS);
}

static void stray_byte(void) {
    pg_bed_say(&bed, &bed.conn, "D");
}

static void we_break(void) {
    pg_conn_break(&bed.conn, QURING_IN_DOUBT, "57014", "the owner's wish");
}

static void we_close(void) {
    bed.db.base.closing = true;
    if (bed.conn.state == PG_CONN_CONNECTING)
        pg_attempt_end(&bed.conn);
    else
        pg_conn_close(&bed.conn);
}

static void nothing(void) {
}

Test(pg_conn, pg_conn_events_tell_the_owner_of_each_move) {
    static const struct {
        enum pg_conn_state from;
        const char *what;
        void (*happens)(void);
        enum pg_conn_state to;
        const char *notes;
    } rows[] = {
        {PG_CONN_CONNECTING, "the attempt fails", attempt_fails, PG_CONN_DOWN, "down 28P01"},
        {PG_CONN_CONNECTING, "the attempt gets a socket", nothing, PG_CONN_BARRIER, ""},
        {PG_CONN_CONNECTING, "it is closed", we_close, PG_CONN_DOWN, "down 57P01"},
        {PG_CONN_BARRIER, "the right answer", server_answers, PG_CONN_READY, "up"},
        {PG_CONN_BARRIER, "another one's answer", another_answers, PG_CONN_DOWN, "down 08P01"},
        {PG_CONN_BARRIER, "an answer within a transaction", answer_in_transaction, PG_CONN_DOWN, "down 08P01"},
        {PG_CONN_BARRIER, "an error", server_refuses, PG_CONN_DOWN, "down 42501"},
        {PG_CONN_BARRIER, "a fatal error", server_ends_it, PG_CONN_DOWN, "down 57P01"},
        {PG_CONN_BARRIER, "no answer in time", time_passes, PG_CONN_DOWN, "down 08001"},
        {PG_CONN_BARRIER, "a stray byte", stray_byte, PG_CONN_DOWN, "down 08P01"},
        {PG_CONN_BARRIER, "its end", peer_ends, PG_CONN_DOWN, "down 08006"},
        {PG_CONN_BARRIER, "it is closed", we_close, PG_CONN_DOWN, "down 57P01"},
        {PG_CONN_READY, "a fatal error", server_ends_it, PG_CONN_DOWN, "lost, down 57P01"},
        {PG_CONN_READY, "its end", peer_ends, PG_CONN_DOWN, "lost, down 08006"},
        {PG_CONN_READY, "a reset", peer_resets, PG_CONN_DOWN, "lost, down 08006"},
        {PG_CONN_READY, "a stray byte", stray_byte, PG_CONN_DOWN, "lost, down 08P01"},
        {PG_CONN_READY, "it is broken", we_break, PG_CONN_DOWN, "lost, down 57014"},
        {PG_CONN_READY, "it is closed", we_close, PG_CONN_DOWN, "lost, down 57P01"},
        {PG_CONN_READY, "time alone", time_passes, PG_CONN_READY, ""},
        {PG_CONN_DRAINING, "nothing is left of it in the kernel", nothing, PG_CONN_DOWN, "lost, down 08006"},
        {PG_CONN_DRAINING, "it is broken again", we_break, PG_CONN_DOWN, "lost, down 08006"},
        {PG_CONN_DRAINING, "it is closed", we_close, PG_CONN_DOWN, "lost, down 08006"},
        {PG_CONN_DOWN, "it is closed", we_close, PG_CONN_DOWN, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pg_again(NULL);
        bring(rows[i].from);
        rows[i].happens();
        pg_bed_settle(&bed);
        cr_assert_eq(bed.conn.state, rows[i].to, "from %d, %s: to %d", rows[i].from, rows[i].what, bed.conn.state);
        pg_bed_assert_text(pg_bed_notes(&bed), rows[i].notes, rows[i].what);
    }
}

Test(pg_conn, pg_conn_close_tells_the_server) {
    pg_bed_open_conn(&bed, false);
    we_close();
    pg_bed_settle(&bed);
    pg_bed_assert_text(pg_bed_got(&bed, &bed.conn), "Terminate", "closed");
}

Test(pg_conn, pg_attempt_start_is_postponed_while_detached_ones_go_on) {
    pg_bed_make_conn(&bed, false);
    struct pg_hosts *hosts = bed.attempts.hosts;
    struct pg_trouble *trouble = pg_hosts_stuck(hosts, pg_hosts_key(&hosts->hosts[0], ""));
    atomic_store(&trouble->stuck_count, PG_DETACHED_MAX);
    pg_attempt_start(&bed.conn);
    pg_bed_assert_text(pg_bed_notes(&bed), "postponed 08001", "two are detached");
    cr_assert_eq(bed.conn.state, PG_CONN_DOWN);
    atomic_store(&trouble->stuck_count, PG_DETACHED_MAX - 1);
    pg_attempt_start(&bed.conn);
    cr_assert_eq(bed.conn.state, PG_CONN_CONNECTING);
    pg_bed_settle(&bed);
}

/* ---- The first exchange ---- */

Test(pg_conn, barrier_take_up_decides_on_names_and_formats) {
    static const struct {
        const char *what;
        quring_prepared_statements option;
        bool pooled, bound;
        bool unnamed, text_only, pid;
    } rows[] = {
        {"a server", QURING_PREPARED_DEFAULT, false, false, false, false, false},
        {"a server, of a bound connection", QURING_PREPARED_DEFAULT, false, true, false, true, true},
        {"a pooler", QURING_PREPARED_DEFAULT, true, false, true, true, false},
        {"a pooler, of a bound connection", QURING_PREPARED_DEFAULT, true, true, true, true, false},
        {"a pooler that knows of names", QURING_PREPARED_ALWAYS, true, false, false, true, false},
        {"a server, without names", QURING_PREPARED_NEVER, false, false, true, false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pg_again(&(quring_db_options){.prepared_statements = rows[i].option});
        pg_bed_make_conn(&bed, rows[i].bound);
        pg_attempt_start(&bed.conn);
        pg_bed_settle(&bed);
        pg_bed_answer(&bed, &bed.conn, rows[i].pooled);
        cr_assert_eq(bed.conn.state, PG_CONN_READY, "%s", rows[i].what);
        cr_assert_eq(bed.conn.prepared.unnamed, rows[i].unnamed, "%s", rows[i].what);
        cr_assert_eq(bed.conn.text_only, rows[i].text_only, "%s", rows[i].what);
        cr_assert_eq(bed.db.base.server_pid != 0, rows[i].pid, "%s", rows[i].what);
    }
}

Test(pg_conn, barrier_take_up_ends_the_time_limit) {
    pg_bed_make_conn(&bed, false);
    pg_attempt_start(&bed.conn);
    pg_bed_settle(&bed);
    cr_assert_not(bed.conn.was_up);
    pg_bed_answer(&bed, &bed.conn, false);
    cr_assert(bed.conn.was_up);
    cr_assert_not(heap_contains(&bed.conn.timer.node), "its time is not limited any more");
}

/* ---- Sending ---- */

static struct query *send(const char *sql, bool group) {
    struct query *query = pg_bed_take(&bed, sql);
    query->commit = group ? QURING_COMMIT_GROUP : QURING_COMMIT_EACH;
    pg_conn_send(&bed.conn, query);
    return query;
}

/* One that is out: the kernel has all of it. */
static struct query *send_off(const char *sql) {
    struct query *query = send(sql, false);
    pg_conn_flush(&bed.conn);
    pg_bed_settle(&bed);
    return query;
}

static void prepare(const char *sql) {
    struct query *query = send_off(sql);
    pg_bed_say(&bed, &bed.conn, "1 t:0 T2DCZ");
    pg_bed_assert_text(pg_bed_fate(query), "OK", sql);
}

/* ---- Last words ---- */

static void open_to(bool pooled) {
    pg_again(&(quring_db_options){.depth = 4});
    pg_bed_make_conn(&bed, false);
    pg_attempt_start(&bed.conn);
    pg_bed_settle(&bed);
    pg_bed_answer(&bed, &bed.conn, pooled);
    cr_assert_eq(bed.conn.state, PG_CONN_READY);
}

/* Behind a pooler the answers that are on their way must not become another client's. */
Test(pg_conn, pg_conn_break_and_pg_conn_end_flush_what_is_out_behind_a_pooler) {
    static const struct {
        const char *what;
        bool pooled;
        int out, answered, unsent;
        const char *broken, *ended;
    } rows[] = {
        {"a server, idle", false, 0, 0, 0, "", "Terminate"},
        {"a server at work", false, 2, 1, 0, "", "Terminate"},
        {"a pooler, idle", true, 0, 0, 0, "", "Terminate"},
        {"a pooler, all is answered", true, 2, 2, 0, "", "Terminate"},
        {"a pooler, nothing is answered", true, 2, 0, 0, "Flush, Terminate", "Flush, Terminate"},
        {"a pooler, one is answered", true, 3, 1, 0, "Flush, Terminate", "Flush, Terminate"},
        {"a pooler, another is encoded", true, 2, 1, 1, "Flush, Terminate", "Flush, Terminate"},
    };
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        const char *what = rows[i / 2].what;
        open_to(rows[i / 2].pooled);
        for (int n = 0; n < rows[i / 2].out; n++)
            send_off(ONE);
        for (int n = 0; n < rows[i / 2].answered; n++)
            pg_bed_say(&bed, &bed.conn, n == 0 || rows[i / 2].pooled ? "1 t:0 T2DCZ" : "2DCZ");
        for (int n = 0; n < rows[i / 2].unsent; n++)
            send(ONE, false);
        (void)pg_bed_got(&bed, &bed.conn);
        if (i % 2)
            pg_conn_end(&bed.conn, "its end");
        else
            we_break();
        pg_bed_settle(&bed);
        cr_assert_eq(bed.conn.state, PG_CONN_DOWN, "%s", what);
        pg_bed_assert_text(pg_bed_got(&bed, &bed.conn), i % 2 ? rows[i / 2].ended : rows[i / 2].broken, what);
    }
}

/* A Flush there would be read as a part of the query's text. */
Test(pg_conn, pg_conn_break_says_nothing_in_the_middle_of_a_message) {
    static char sql[200000];
    memset(sql, 'x', sizeof sql - 1);
    for (int ends = 0; ends < 2; ends++) {
        open_to(true);
        send_off(ONE);
        struct pg_bed_server *server = pg_bed_server_of(&bed, &bed.conn);
        sim_peer_listen(server->peer, false);
        send_off(sql);
        cr_assert_gt(socket_backlog_bytes(&bed.conn.socket), 0);
        if (ends)
            pg_conn_end(&bed.conn, "its end");
        else
            we_break();
        sim_peer_listen(server->peer, true);
        pg_bed_settle(&bed);
        cr_assert_eq(bed.conn.state, PG_CONN_DOWN);
        const uint8_t *last = buf_head(&server->got) + buf_size(&server->got) - 10;
        cr_assert_eq(memcmp(last, "xxxxxxxxxx", 10), 0, "something came behind half a message");
    }
}

/* ---- Groups ---- */

#define RUN "Bind 1 () -> 1, Execute"

Test(pg_conn, pg_conn_send_ends_groups_with_sync) {
    static const struct {
        const char *queries; /* g joins a group, e is alone, f can't join one; | flushes, . ends the group */
        const char *messages;
        bool open;
    } rows[] = {
        {"e", RUN ", Sync", false},
        {"g", RUN, true},
        {"g.", RUN ", Sync", false},
        {"g..", RUN ", Sync", false},
        {"gg.", RUN ", " RUN ", Sync", false},
        {"ge", RUN ", Sync, " RUN ", Sync", false},
        {"eg", RUN ", Sync, " RUN, true},
        {"gegg.", RUN ", Sync, " RUN ", Sync, " RUN ", " RUN ", Sync", false},
        {"gf", RUN ", Sync, Parse - 'fetch 1 from c', Describe -, Bind - () -> , Execute, Sync", false},
        {"g|", RUN, true},
        {"g|g.", RUN ", " RUN ", Sync", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pg_again(NULL);
        pg_bed_open_conn(&bed, false);
        prepare(ONE);
        (void)pg_bed_got(&bed, &bed.conn);
        for (const char *at = rows[i].queries; *at; at++)
            if (*at == '|')
                pg_conn_flush(&bed.conn);
            else if (*at == '.')
                cr_assert(pg_conn_sync(&bed.conn));
            else
                send(*at == 'f' ? "fetch 1 from c" : ONE, *at != 'e');
        cr_assert_eq(bed.conn.group_open, rows[i].open, "%s", rows[i].queries);
        pg_conn_flush(&bed.conn);
        pg_bed_settle(&bed);
        pg_bed_assert_text(pg_bed_got(&bed, &bed.conn), rows[i].messages, rows[i].queries);
    }
}

/* The ring of requests grows while some are out, at whatever ordinal: each answer still finds its query. */
Test(pg_conn, pg_conn_send_has_room_up_to_the_depth) {
    enum { DEPTH = 64 };
    struct query *queries[DEPTH];
    for (int before = 0; before < 6; before++) {
        pg_again(&(quring_db_options){.depth = DEPTH});
        pg_bed_open_conn(&bed, false);
        prepare(ONE);
        for (int i = 0; i < before; i++) {
            struct query *query = send_off(ONE);
            pg_bed_say(&bed, &bed.conn, "2DCZ");
            pg_bed_assert_text(pg_bed_fate(query), "OK", "one after the other");
        }
        for (int i = 0; i < DEPTH; i++)
            queries[i] = send_off(ONE);
        for (int i = 0; i < DEPTH; i++) {
            pg_bed_assert_text(pg_bed_fate(queries[i]), "running", "not answered");
            pg_bed_say(&bed, &bed.conn, i % 2 ? "2DCZ" : "2 E:22012 Z");
            pg_bed_assert_text(pg_bed_fate(queries[i]), i % 2 ? "OK" : "SERVER_ERROR 22012", "answered");
        }
    }
}

Test(pg_conn, pg_conn_send_gives_up_what_fits_no_message) {
    pg_bed_open_conn(&bed, false);
    struct buf *out = pg_conn_out(&bed.conn);
    size_t limit = out->limit;
    out->limit = 10;
    buf_free(out);
    struct query *query = send(ONE, true);
    pg_bed_assert_text(pg_bed_fate(query), "NOT_SENT 54000", "too large");
    cr_assert_not(query->sent);
    cr_assert_not(bed.conn.group_open);
    out->limit = limit;
    pg_bed_assert_text(pg_bed_fate(send_off(ONE)), "running", "the connection goes on");
}

Test(pg_conn, pg_conn_sync_breaks_where_a_group_can_not_be_ended) {
    pg_bed_open_conn(&bed, false);
    struct query *member = send(ONE, true);
    buf_fail(pg_conn_out(&bed.conn));
    struct query *alone = send(ONE, false);
    cr_assert_eq(bed.conn.state, PG_CONN_DRAINING);
    pg_bed_assert_text(pg_bed_fate(alone), "waiting", "it goes back in line");
    pg_bed_settle(&bed);
    pg_bed_assert_text(pg_bed_fate(member), "waiting", "no byte of it was sent");
    pg_bed_assert_text(pg_bed_notes(&bed), "lost, down 53200", "out of memory");
}

/* ---- Replies ---- */

Test(pg_conn, conn_on_event_breaks_for_what_it_can_not_go_on_with) {
    static const struct {
        const char *what, *replies, *fate;
        bool broken;
    } rows[] = {
        {"FATAL", "F:57P01", "IN_DOUBT 57P01", true},
        {"FATAL behind the reply", "2DCZ F:57P01", "OK", true},
        {"a violation", "2DCC", "PROTOCOL 08P01", true},
        {"COPY IN", "2G", "IN_DOUBT 0A000", true},
        {"COPY OUT", "2H", "IN_DOUBT 0A000", true},
        {"another encoding", "S:client_encoding=LATIN1 2DCZ", "IN_DOUBT 22021", true},
        {"another encoding, behind the reply", "2DCZ S:client_encoding=LATIN1", "OK", true},
        {"the same encoding", "S:client_encoding=UTF8 2DCZ", "OK", false},
        {"another setting", "S:TimeZone=UTC 2DCZ", "OK", false},
        {"notices and notifications", "NA 2NDAC NZA", "OK", false},
        {"a reply that nobody asked for", "2DCZ 2", "OK", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pg_again(NULL);
        pg_bed_open_conn(&bed, false);
        prepare(ONE);
        struct query *query = send_off(ONE);
        pg_bed_say(&bed, &bed.conn, rows[i].replies);
        pg_bed_assert_text(pg_bed_fate(query), rows[i].fate, rows[i].what);
        cr_assert_eq(bed.conn.state, rows[i].broken ? PG_CONN_DOWN : PG_CONN_READY, "%s", rows[i].what);
    }
}

Test(pg_conn, conn_on_asynchronous_breaks_for_notices_without_end) {
    pg_bed_open_conn(&bed, false);
    prepare(ONE);
    struct query *first = send_off(ONE), *second = send_off(ONE);
    for (int i = 0; i < 16 * 16; i++)
        pg_bed_say(&bed, &bed.conn, "N:65000");
    pg_bed_say(&bed, &bed.conn, "2DCZ");
    pg_bed_assert_text(pg_bed_fate(first), "OK", "less than 16 MiB");
    for (int i = 0; i < 17 * 16 && bed.conn.state == PG_CONN_READY; i++)
        pg_bed_say(&bed, &bed.conn, "N:65000");
    pg_bed_assert_text(pg_bed_fate(second), "LIMIT 54000", "the count begins anew at a sync point");
    cr_assert_eq(bed.conn.state, PG_CONN_DOWN);
}

Test(pg_conn, conn_on_parameter_status_begins_an_epoch_where_it_is_bound) {
    for (int bound = 0; bound < 2; bound++) {
        pg_again(NULL);
        pg_bed_open_conn(&bed, bound);
        uint32_t epoch = bed.conn.prepared.plan_epoch;
        pg_bed_say(&bed, &bed.conn, "S:TimeZone=UTC");
        cr_assert_eq(bed.conn.prepared.plan_epoch, epoch + (uint32_t)bound);
    }
}

/* ---- What a lost connection leaves ---- */

Test(pg_conn, conn_closed_puts_back_in_line_what_was_not_sent) {
    static const struct {
        const char *what;
        bool bound, closing, abandoned;
        const char *out, *encoded; /* the fates of one that the kernel has, and of one behind it that it has not */
    } rows[] = {
        {"shared", false, false, false, "IN_DOUBT 08006", "waiting"},
        {"bound", true, false, false, "IN_DOUBT 08006", "NOT_SENT 08006"},
        {"shared, and its handle is closing", false, true, false, "IN_DOUBT 08006", "NOT_SENT 08006"},
        {"bound, and its handle is closing", true, true, false, "IN_DOUBT 08006", "NOT_SENT 08006"},
        {"given up", false, false, true, "CANCELLED 57014", "CANCELLED 57014"},
        {"given up, bound", true, false, true, "CANCELLED 57014", "CANCELLED 57014"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pg_again(NULL);
        pg_bed_open_conn(&bed, rows[i].bound);
        struct query *out = send_off(ONE), *encoded = send(ONE, false);
        bed.db.base.closing = rows[i].closing;
        if (rows[i].abandoned) {
            pg_conn_abandon(&bed.conn, encoded, QURING_CANCELLED);
            pg_conn_abandon(&bed.conn, out, QURING_CANCELLED);
        }
        pg_conn_break(&bed.conn, QURING_IN_DOUBT, "08006", "lost");
        pg_bed_settle(&bed);
        pg_bed_assert_text(pg_bed_fate(out), rows[i].out, rows[i].what);
        pg_bed_assert_text(pg_bed_fate(encoded), rows[i].encoded, rows[i].what);
        cr_assert_eq(bed.db.base.running_count, 0);
    }
}

Test(pg_conn, conn_closed_puts_back_in_the_order_of_their_requests) {
    pg_bed_open_conn(&bed, false);
    struct query *queries[3];
    for (int i = 0; i < 3; i++)
        queries[i] = send(ONE, true);
    pg_conn_break(&bed.conn, QURING_IN_DOUBT, "08006", "lost");
    struct query *behind = pg_bed_ask(&bed, ONE);
    pg_bed_settle(&bed);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(queue_take(&bed.db.base.queue), queries[i]);
    cr_assert_eq(queue_take(&bed.db.base.queue), behind);
}

/* A part of it is as good as all of it: the server may have the rest. */
Test(pg_conn, conn_closed_has_sent_what_the_kernel_has_a_byte_of) {
    bed.deaf = true;
    pg_bed_make_conn(&bed, false);
    pg_attempt_start(&bed.conn);
    pg_bed_settle(&bed);
    pg_bed_answer(&bed, &bed.conn, false);
    static char large[200000];
    struct query *part = pg_bed_query(&bed, "select $1");
    const quring_param param = quring_bytes(large, sizeof large);
    part->params = value_copy_params(&part->store, &param, 1);
    queue_put(part);
    pg_conn_send(&bed.conn, queue_take(part->queue));
    struct query *behind = send(ONE, false);
    pg_conn_flush(&bed.conn);
    pg_bed_settle(&bed);
    pg_conn_break(&bed.conn, QURING_IN_DOUBT, "08006", "lost");
    pg_bed_settle(&bed);
    pg_bed_assert_text(pg_bed_fate(part), "IN_DOUBT 08006", "the kernel has a part of it");
    pg_bed_assert_text(pg_bed_fate(behind), "waiting", "and none of what is behind it");
}

Test(pg_conn, conn_closed_leaves_nothing_prepared) {
    pg_bed_open_conn(&bed, false);
    prepare(ONE);
    const struct query *query = pg_bed_query(&bed, ONE);
    cr_assert_eq(pg_prepared_of(&bed.conn.prepared, query->statement)->state, PG_PREPARED_READY);
    pg_conn_break(&bed.conn, QURING_IN_DOUBT, "08006", "lost");
    pg_bed_settle(&bed);
    cr_assert_eq(pg_prepared_of(&bed.conn.prepared, query->statement)->state, PG_PREPARED_ABSENT);
}

/* ---- Given up ---- */

Test(pg_conn, pg_conn_abandon_drops_the_reply_and_no_other) {
    pg_bed_open_conn(&bed, false);
    prepare(ONE);
    struct query *given_up = send_off(ONE), *kept = send_off(ONE);
    pg_conn_abandon(&bed.conn, given_up, QURING_TIMEOUT);
    pg_bed_assert_text(pg_bed_fate(given_up), "TIMEOUT 57014", "at once");
    cr_assert(given_up->sent);
    pg_bed_say(&bed, &bed.conn, "2DDDCZ 2DCZ");
    pg_bed_assert_text(pg_bed_fate(kept), "OK", "its own reply");
    cr_assert_eq(quring_row_count(&kept->result), 1);
}

/* Their bytes are in the send buffer still, and count against the engine's limit for as long as they are. */
Test(pg_conn, pg_conn_abandon_charges_what_was_not_sent) {
    pg_bed_open_conn(&bed, false);
    struct query *out = send_off(ONE);
    size_t before = buf_size(pg_conn_out(&bed.conn));
    struct query *first = send("select 2", false);
    size_t first_bytes = buf_size(pg_conn_out(&bed.conn)) - before;
    struct query *second = send("select 3", false);
    size_t both_bytes = buf_size(pg_conn_out(&bed.conn)) - before;
    pg_conn_abandon(&bed.conn, out, QURING_CANCELLED);
    cr_assert_eq(bed.hub.unsent_bytes, 0, "the kernel has it");
    pg_conn_abandon(&bed.conn, first, QURING_CANCELLED);
    cr_assert_eq(bed.hub.unsent_bytes, first_bytes);
    pg_conn_abandon(&bed.conn, second, QURING_CANCELLED);
    cr_assert_eq(bed.hub.unsent_bytes, both_bytes);
    cr_assert_not(list_empty(&bed.db.base.due), "the next turn looks whether they have gone");
    cr_assert_not(pg_conn_credit_unsent(&bed.conn));
    pg_conn_flush(&bed.conn);
    pg_bed_settle(&bed);
    cr_assert(pg_conn_credit_unsent(&bed.conn));
    cr_assert_eq(bed.hub.unsent_bytes, 0);
}

Test(pg_conn, pg_conn_credit_unsent_once_it_is_down) {
    pg_bed_open_conn(&bed, false);
    pg_conn_abandon(&bed.conn, send(ONE, false), QURING_CANCELLED);
    cr_assert_neq(bed.hub.unsent_bytes, 0);
    pg_conn_break(&bed.conn, QURING_IN_DOUBT, "08006", "lost");
    cr_assert_neq(bed.hub.unsent_bytes, 0);
    pg_bed_settle(&bed);
    cr_assert_eq(bed.hub.unsent_bytes, 0);
}

Test(pg_conn, pg_conn_abandon_twice_is_a_broken_contract, .signal = SIGABRT) {
    pg_bed_open_conn(&bed, false);
    struct query *query = send(ONE, false);
    pg_conn_abandon(&bed.conn, query, QURING_CANCELLED);
    pg_conn_abandon(&bed.conn, query, QURING_CANCELLED);
}
