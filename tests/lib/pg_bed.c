/* SPDX-License-Identifier: MIT */
#include "lib/pg_bed.h"

#include "base/cursor.h"
#include "core/batch.h"
#include "lib/replies.h"
#include "ring/port.h"
#include "ring/ring.h"
#include "value/param.h"
#include "value/value.h"

#include <stdio.h>
#include <stdlib.h>

enum { TURNS = 12 }; /* more than any chain of events without time in between takes */

static _Thread_local struct pg_bed *bed_in_use;

/* ---- Servers ---- */

static void server_received(struct sim_peer *peer, const uint8_t *bytes, size_t size) {
    struct pg_bed_server *server = sim_peer_user(peer);
    buf_put(&server->got, bytes, size);
}

static void server_ended(struct sim_peer *peer, bool reset) {
    (void)peer;
    (void)reset;
}

static const struct sim_peer_events server_events = {.received = server_received, .ended = server_ended};

void pg_bed_connect(struct pg_connect *connect) {
    struct pg_bed *bed = bed_in_use;
    cr_assert_lt(bed->server_count, PG_BED_SERVERS);
    struct pg_bed_server *server = &bed->servers[bed->server_count++];
    server->conn = connect->conn;
    buf_init(&server->got, SIZE_MAX);
    connect->fd = sim_connect(bed->sim, &server_events, server, &server->peer);
    connect->server_pid = 1000 + (int)bed->server_count;
    sim_peer_listen(server->peer, !bed->deaf);
}

static void connector(struct pg_connect *connect) {
    struct pg_bed *bed = bed_in_use;
    bed->tried_count++;
    if (!bed->refusal) {
        pg_bed_connect(connect);
        return;
    }
    memcpy(connect->sqlstate, bed->refusal, sizeof connect->sqlstate);
    snprintf(connect->message, sizeof connect->message, "refused");
}

struct pg_bed_server *pg_bed_server_of(struct pg_bed *bed, const struct pg_conn *conn) {
    for (uint32_t i = bed->server_count; i-- > 0;)
        if (bed->servers[i].conn == conn)
            return &bed->servers[i];
    cr_assert_fail("the connection was never made");
    return NULL;
}

/* ---- What a server says ---- */

static void put_error(struct buf *out, char type, const char *sqlstate) {
    reply_report(out, 'E', type == 'F' ? "FATAL" : "ERROR", sqlstate, "the server's words", NULL);
}

/* So many letters x; static. */
static const char *filler(const char *count) {
    static char text[1 << 16];
    size_t size = strtoul(count, NULL, 10);
    cr_assert_lt(size, sizeof text);
    memset(text, 'x', size);
    text[size] = 0;
    return text;
}

static void put_status(struct buf *out, char *text) {
    char *value = strchr(text, '=');
    *value++ = 0;
    reply_status(out, text, value);
}

static void put_word(struct buf *out, char *word) {
    static const uint32_t oids[] = {23, 25, 23, 25};
    if (word[0] && word[1] != ':') {
        reply_script(out, word);
        return;
    }
    char *text = word + 2;
    switch (word[0]) {
    case 'E':
    case 'F':
        put_error(out, word[0], text);
        break;
    case 'C':
        for (char *at = text; (at = strchr(at, '_'));)
            *at = ' ';
        reply_tag(out, text);
        break;
    case 'Z':
        reply_ready(out, text[0]);
        break;
    case 't':
        reply_parameters(out, (uint16_t)atoi(text), oids);
        break;
    case 'S':
        put_status(out, text);
        break;
    case 'R':
        reply_row(out, 1, (const char *const[]){text});
        break;
    case 'W': {
        const char *const fields[] = {"Dits detail", NULL};
        reply_report(out, 'N', "WARNING", text, "the server's words", *text ? fields : NULL);
        break;
    }
    case 'N':
        reply_report(out, 'N', "NOTICE", "00000", filler(text), NULL);
        break;
    case 'D':
        reply_row(out, 2, (const char *const[]){filler(text), NULL});
        break;
    default:
        cr_assert_fail("%c has no text", word[0]);
    }
}

static void say_bytes(struct pg_bed *bed, const struct pg_conn *conn, const struct buf *bytes) {
    sim_peer_write(pg_bed_server_of(bed, conn)->peer, buf_head(bytes), buf_size(bytes));
    pg_bed_settle(bed);
}

void pg_bed_say(struct pg_bed *bed, const struct pg_conn *conn, const char *script) {
    char words[PG_BED_TEXT_BYTES];
    struct buf out;
    buf_init(&out, SIZE_MAX);
    snprintf(words, sizeof words, "%s", script);
    char *rest = words;
    for (char *word; (word = strtok_r(rest, " ", &rest));)
        put_word(&out, word);
    say_bytes(bed, conn, &out);
    buf_free(&out);
}

void pg_bed_answer(struct pg_bed *bed, const struct pg_conn *conn, bool pooled) {
    char nonce[24], pid[24];
    struct buf out;
    snprintf(nonce, sizeof nonce, "%016llx", (unsigned long long)conn->barrier.nonce);
    snprintf(pid, sizeof pid, "%d", conn->barrier.server_pid + pooled);
    static const struct reply_column columns[] = {{"a", 25, -1}, {"b", 25, -1}, {"c", 25, -1}};
    buf_init(&out, SIZE_MAX);
    reply_bare(&out, '1');
    reply_parameters(&out, 2, (const uint32_t[]){25, 25});
    reply_columns(&out, 3, columns);
    reply_bare(&out, '2');
    reply_row(&out, 3, (const char *const[]){nonce, pid, ""});
    reply_script(&out, "CZ");
    say_bytes(bed, conn, &out);
    buf_free(&out);
}

/* ---- What a server is told ---- */

struct words {
    char *at, *end;
};

__attribute__((format(printf, 2, 3))) static void say(struct words *words, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(words->at, (size_t)(words->end - words->at), format, args);
    va_end(args);
    words->at += length;
    cr_assert_lt(words->at, words->end);
}

static const char *take_text(struct cursor *body) {
    const char *text = (const char *)body->at;
    cr_assert(cursor_take(body, strlen(text) + 1));
    return text;
}

/* A name of ours is known by its number. */
static const char *take_name(struct cursor *body) {
    const char *name = take_text(body);
    return strncmp(name, "quring_", 7) == 0 ? name + PG_NAME_PREFIX_BYTES : *name ? name : "-";
}

static void say_formats(struct words *words, struct cursor *body) {
    uint16_t count = cursor_u16(body);
    for (uint16_t i = 0; i < count; i++)
        say(words, "%s%d", i ? " " : "", cursor_u16(body));
}

static void say_bind(struct words *words, struct cursor *body) {
    cr_assert_str_eq(take_text(body), "", "the unnamed portal");
    say(words, "Bind %s (", take_name(body));
    say_formats(words, body);
    uint16_t count = cursor_u16(body);
    for (uint16_t i = 0; i < count; i++) {
        int32_t size = cursor_i32(body);
        cursor_take(body, size > 0 ? (size_t)size : 0);
    }
    say(words, ") -> ");
    say_formats(words, body);
}

static void say_message(struct words *words, char type, struct cursor body) {
    switch (type) {
    case 'P':
        say(words, "Parse %s ", take_name(&body));
        say(words, "'%s'", take_text(&body));
        break;
    case 'D':
    case 'C':
        cr_assert_eq(*cursor_take(&body, 1), 'S', "a statement");
        say(words, "%s %s", type == 'D' ? "Describe" : "Close", take_name(&body));
        break;
    case 'B':
        say_bind(words, &body);
        break;
    case 'E':
        cr_assert_str_eq(take_text(&body), "", "the unnamed portal");
        say(words, "Execute");
        break;
    case 'S':
        say(words, "Sync");
        break;
    case 'H':
        say(words, "Flush");
        break;
    case 'X':
        say(words, "Terminate");
        break;
    default:
        say(words, "%c?", type);
    }
}

static const char *in_words(const uint8_t *bytes, size_t size) {
    static char text[PG_BED_TEXT_BYTES];
    struct words words = {text, text + sizeof text};
    struct cursor in = cursor_over(bytes, size);
    *text = 0;
    for (const uint8_t *type; (type = cursor_take(&in, 1));) {
        uint32_t length = cursor_u32(&in);
        const uint8_t *body = cursor_take(&in, length - 4);
        cr_assert(body, "a message is not whole");
        if (words.at > text)
            say(&words, ", ");
        say_message(&words, (char)*type, cursor_over(body, length - 4));
    }
    return text;
}

const char *pg_bed_got(struct pg_bed *bed, const struct pg_conn *conn) {
    struct buf *got = &pg_bed_server_of(bed, conn)->got;
    const char *text = in_words(buf_head(got), buf_size(got));
    buf_reset(got, SIZE_MAX);
    return text;
}

const char *pg_bed_encoded(struct pg_conn *conn) {
    struct buf *out = pg_conn_out(conn);
    return in_words(buf_head(out), buf_size(out));
}

/* ---- Begin and end ---- */

static void fill(quring_db_options *options) {
    if (!options->connection_count)
        options->connection_count = 1;
    if (!options->depth)
        options->depth = 4;
    if (!options->statement_count)
        options->statement_count = 4;
    if (!options->connect_timeout_ns)
        options->connect_timeout_ns = 10000 * PG_BED_MS;
    if (!options->reconnect_wait_ns)
        options->reconnect_wait_ns = 1000 * PG_BED_MS;
    if (!options->silence_ns)
        options->silence_ns = QURING_FOREVER;
    if (!options->query_silence_ns)
        options->query_silence_ns = QURING_FOREVER;
    if (!options->result_bytes)
        options->result_bytes = 1 << 20;
    if (!options->result_row_count)
        options->result_row_count = UINT64_MAX;
    if (!options->message_bytes)
        options->message_bytes = 1 << 20;
}

static void drop_description(void *description) {
    pg_description_drop(description);
}

void pg_bed_begin(struct pg_bed *bed, const quring_db_options *options) {
    memset(bed, 0, sizeof *bed);
    bed_in_use = bed;
    pg_use_connector(connector, NULL);
    bed->sim = sim_new(&(struct sim_options){.seed = 1, .start_ns = 1000 * PG_BED_MS});
    list_init(&bed->hub.done);
    list_init(&bed->hub.databases);
    list_init(&bed->hub.due);
    list_init(&bed->hub.tx_over);
    list_init(&bed->hub.tx_orphans);
    struct ring_options ring = {.socket_count = PG_BED_SERVERS, .port = sim_port(bed->sim)};
    cr_assert_eq(ring_open(&ring, &bed->hub.ring, bed->hub.message, sizeof bed->hub.message), 0);
    struct quring_db *db = &bed->db.base;
    db_init(db);
    db->hub = &bed->hub;
    if (options)
        db->options = *options;
    fill(&db->options);
    db->statements = statement_table_new(db->options.statement_count, 1 << 16, drop_description);
}

static void free_query(struct query *query) {
    if (query->state == QUERY_WAITING || query->state == QUERY_RUNNING)
        query_fail(query, QURING_SHUTDOWN, "57P01", "the test is over");
    if (query->statement)
        statement_drop(query->statement);
    buf_free(&query->store);
    error_free(&query->error);
    result_free(&query->result);
}

static void close_conns(struct pg_bed *bed) {
    bed->db.base.closing = true;
    if (bed->conn.config)
        pg_conn_close(&bed->conn);
    if (bed->pool_open)
        pg_pool_close(&bed->db.pool);
    pg_bed_pass(bed, PG_BED_MS);
}

void pg_bed_end(struct pg_bed *bed) {
    close_conns(bed);
    if (bed->conn.config) {
        cr_assert_eq(bed->conn.state, PG_CONN_DOWN);
        pg_conn_free(&bed->conn);
        pg_attempts_free(&bed->attempts);
    }
    if (bed->pool_open) {
        cr_assert(pg_pool_is_closed(&bed->db.pool));
        pg_pool_free(&bed->db.pool);
    }
    for (uint32_t i = 0; i < bed->query_count; i++)
        free_query(&bed->queries[i]);
    batch_free_all(&bed->hub);
    heap_free(&bed->hub.tx_deadlines);
    statement_table_free(bed->db.base.statements);
    cr_assert_eq(bed->db.kept_bytes, 0);
    cr_assert_eq(bed->hub.unsent_bytes, 0);
    ring_close(bed->hub.ring);
    sim_settle(bed->sim);
    for (uint32_t i = 0; i < bed->server_count; i++)
        buf_free(&bed->servers[i].got);
    sim_free(bed->sim);
    pg_use_connector(NULL, NULL);
}

/* ---- Queries ---- */

struct query *pg_bed_query(struct pg_bed *bed, const char *sql) {
    cr_assert_lt(bed->query_count, PG_BED_QUERIES);
    struct query *query = &bed->queries[bed->query_count++];
    struct quring_db *db = &bed->db.base;
    const quring_param seven = quring_int32(7);
    query->queue = &db->queue;
    query->commit = QURING_COMMIT_EACH;
    list_init(&query->link);
    buf_init(&query->store, 1 << 20);
    error_init(&query->error);
    result_init(&query->result);
    result_begin(&query->result, db->options.result_bytes, db->options.result_row_count);
    query->statement = statement_find(db->statements, sql, strlen(sql));
    query->param_count = strstr(sql, "$1") != NULL;
    query->params = query->param_count ? value_copy_params(&query->store, &seven, 1) : NULL;
    cr_assert(query->statement);
    return query;
}

struct query *pg_bed_ask_tx(struct pg_bed *bed, struct quring_tx *tx, const char *sql) {
    struct query *query = pg_bed_query(bed, sql);
    query->queue = &tx->queue;
    query->commit = QUERY_COMMIT_TX;
    query->id = bed->query_count;
    tx_put(tx, query);
    return query;
}

struct query *pg_bed_ask(struct pg_bed *bed, const char *sql) {
    struct query *query = pg_bed_query(bed, sql);
    queue_put(query);
    return query;
}

struct query *pg_bed_take(struct pg_bed *bed, const char *sql) {
    struct query *query = pg_bed_ask(bed, sql);
    cr_assert_eq(queue_take(query->queue), query, "others wait before it");
    return query;
}

/* ---- Time ---- */

void pg_bed_settle(struct pg_bed *bed) {
    for (int i = 0; i < TURNS; i++)
        cr_assert_eq(ring_turn(bed->hub.ring, 0), 0);
}

void pg_bed_pass(struct pg_bed *bed, uint64_t ns) {
    uint64_t until = sim_now_ns(bed->sim) + ns;
    pg_bed_settle(bed);
    for (uint64_t now; (now = sim_now_ns(bed->sim)) < until;)
        cr_assert_eq(ring_turn(bed->hub.ring, until - now), 0);
    pg_bed_settle(bed);
}

/* ---- The bare connection ---- */

static struct pg_bed *bed_of(const struct pg_conn *conn) {
    return base_container_of(conn, struct pg_bed, conn);
}

static void note(const struct pg_conn *conn, const char *what, const char *more) {
    char *notes = bed_of(conn)->notes;
    size_t length = strlen(notes);
    snprintf(notes + length, sizeof bed_of(conn)->notes - length, "%s%s%s%s", length ? ", " : "", what,
             *more ? " " : "", more);
}

static void note_up(struct pg_conn *conn) {
    note(conn, "up", "");
}

static void note_lost(struct pg_conn *conn) {
    note(conn, "lost", "");
}

static void note_down(struct pg_conn *conn) {
    note(conn, "down", conn->reason.sqlstate);
}

static void note_postponed(struct pg_conn *conn) {
    note(conn, "postponed", conn->reason.sqlstate);
}

/* These come too often to be worth a note. */
static void note_nothing(struct pg_conn *conn) {
    (void)conn;
}

static const struct pg_conn_events note_events = {.up = note_up,
                                                  .lost = note_lost,
                                                  .progressed = note_nothing,
                                                  .retiring = note_nothing,
                                                  .gave_up = note_nothing,
                                                  .down = note_down,
                                                  .let_go = note_nothing,
                                                  .freed = note_nothing,
                                                  .postponed = note_postponed,
                                                  .timer = pg_attempt_timer};

const char *pg_bed_notes(struct pg_bed *bed) {
    static char notes[sizeof bed->notes];
    memcpy(notes, bed->notes, sizeof notes);
    bed->notes[0] = 0;
    return notes;
}

void pg_bed_make_conn(struct pg_bed *bed, bool bound) {
    struct quring_db *db = &bed->db.base;
    cr_assert(pg_attempts_init(&bed->attempts, "host=bed", 1));
    list_init(&bed->owing);
    bed->config = (struct pg_conn_config){
        .db = db, .attempts = &bed->attempts, .kept_bytes = &bed->db.kept_bytes, .owing = &bed->owing};
    pg_conn_init(&bed->conn, &bed->config, &note_events, &db->queue, 0);
    if (bound)
        db->queue.bound = &bed->conn;
}

void pg_bed_open_conn(struct pg_bed *bed, bool bound) {
    pg_bed_make_conn(bed, bound);
    pg_attempt_start(&bed->conn);
    pg_bed_settle(bed);
    pg_bed_answer(bed, &bed->conn, false);
    cr_assert_eq(bed->conn.state, PG_CONN_READY);
    (void)pg_bed_got(bed, &bed->conn);
    (void)pg_bed_notes(bed);
}

const char *pg_bed_got_short(struct pg_bed *bed, const struct pg_conn *conn) {
    static char texts[4][1000];
    static int next;
    char all[PG_BED_TEXT_BYTES], *rest = all, *text = texts[next++ % 4];
    bool parsed = false;
    snprintf(all, sizeof all, "%s", pg_bed_got(bed, conn));
    *text = 0;
    for (char *word; (word = strtok_r(rest, ",", &rest));) {
        char *at = text + strlen(text);
        size_t room = sizeof texts[0] - strlen(text);
        word += *word == ' ';
        if (strncmp(word, "Parse", 5) == 0) {
            const char *sql = strchr(word, '\'') + 1;
            bool named = word[6] != '-';
            snprintf(at, room, "%s%.*s%s", *text ? " " : "", (int)strcspn(sql, "'"), sql, named ? "*" : "");
            parsed = true;
        } else if (strncmp(word, "Bind", 4) == 0) {
            snprintf(at, room, "%s", parsed ? "" : *text ? " bound" : "bound");
        } else if (strncmp(word, "Execute", 7) == 0) {
            parsed = false;
        } else if (strncmp(word, "Sync", 4) == 0) {
            snprintf(at, room, " |");
        } else if (strncmp(word, "Terminate", 9) == 0) {
            snprintf(at, room, " end");
        }
    }
    return text;
}

/* ---- Looking ---- */

const char *pg_bed_fate(const struct query *query) {
    static char texts[8][40];
    static int next;
    char *text = texts[next++ % 8];
    const char *status = quring_status_name((quring_status)query->status);
    switch ((enum query_state)query->state) {
    case QUERY_FREE:
        return "free";
    case QUERY_WAITING:
        return query->retried ? "waiting, retried" : "waiting";
    case QUERY_RUNNING:
        return "running";
    case QUERY_DONE:
    case QUERY_REAPED:
    case QUERY_DETACHED:
    case QUERY_RETURNED:
        break;
    }
    snprintf(text, sizeof texts[0], "%s%s%s", status, query->status == QURING_OK ? "" : " ",
             query->status == QURING_OK ? "" : query->error.view.sqlstate);
    return text;
}

const char *pg_bed_fates(struct query *const queries[], uint32_t count) {
    static char text[600];
    char *at = text;
    for (uint32_t i = 0; i < count; i++) {
        bool skipped = queries[i]->state == QUERY_DONE && queries[i]->status == QURING_SKIPPED;
        cr_assert_lt((size_t)(at - text), sizeof text - 80);
        at += snprintf(at, 60, "%s%s", i ? "; " : "", pg_bed_fate(queries[i]));
        if (skipped)
            at += snprintf(at, 20, " by %u", (unsigned)queries[i]->failed_id);
    }
    return text;
}

void pg_bed_same(const char *actual, const char *expected, const char *what, int line) {
    cr_assert_str_eq(actual, expected, "line %d: %s:\n%s\ninstead of\n%s", line, what, actual, expected);
}
