/* SPDX-License-Identifier: MIT */
#include "core/xid.h"
#include "lib/replies.h"
#include "lib/sim_server_internal.h"

#include <inttypes.h>
#include <stdlib.h>

enum { OID_BOOL = 16, OID_INT8 = 20, OID_INT4 = 23, OID_TEXT = 25, OID_UUID = 2950 };

/* ---- Texts ---- */

/* What stands between a verb and $1: n a number, s an SQLSTATE. Rows: the columns of `shapes`. */
static const struct {
    const char *word;
    const char *arguments;
    uint8_t shape;
    bool bare; /* it takes no parameter */
} verbs[] = {
    [SIM_BARRIER] = {"select $1::text, pg_backend_pid()::text,", "", 4},
    [SIM_SELECT] = {"select id", "", 1},
    [SIM_TOKEN] = {"insert into public.sim_tokens (token, committed) values ($1, true)", "", 0, true},
    [SIM_CLAIM] = {"insert into public.sim_tokens (token, committed) values ($1, false) on conflict (token) do nothing",
                   "", 0, true},
    [SIM_TOLD] = {"select committed from public.sim_tokens where token = $1", "", 5, true},
    [SIM_NOTE] = {XID_NOTE_SQL, "", 6, true},
    [SIM_STATUS] = {XID_ASK_SQL, "", 6, true},
    [SIM_INSERT] = {"insert", "", 0},
    [SIM_ROWS] = {"rows", "n", 3},
    [SIM_BIG] = {"big", "n", 2},
    [SIM_NULL] = {"null", "", 2},
    [SIM_SLEEP] = {"sleep", "n", 1},
    [SIM_NOTICE] = {"notice", "n", 1},
    [SIM_FLOOD] = {"flood", "", 1},
    [SIM_BAD] = {"bad", "s", 1},
    [SIM_REFUSE] = {"refuse", "s", 1},
    [SIM_ERROR] = {"error", "s", 1},
    [SIM_LATE] = {"late", "ns", 3},
    [SIM_DEFER] = {"defer", "s", 0},
    [SIM_OPEN] = {"open", "", 1},
    [SIM_FATAL] = {"fatal", "s", 1},
    [SIM_FAREWELL] = {"farewell", "s", 1},
    [SIM_SILENT] = {"silent", "", 1},
    [SIM_COPY] = {"copy", "", 0},
    [SIM_HOSTILE] = {"hostile", "n", 1},
    [SIM_DISCARD] = {"discard all", "", 0, true},
    [SIM_SETTINGS] = {"1 where set_config('datestyle', 'iso', false) is null or set_config('extra_float_digits', "
                      "greatest(current_setting('extra_float_digits')::int4, 1)::text, false) is null",
                      "", 0, true},
    [SIM_CALL] = {"call", "", 0},
    [SIM_TAG] = {"tag", "", 0},
    [SIM_BEGIN] = {"begin", "", 0, true},
    [SIM_START] = {"start transaction", "", 0, true},
    [SIM_COMMIT] = {"commit", "", 0, true},
    [SIM_END] = {"end", "", 0, true},
    [SIM_ROLLBACK] = {"rollback", "", 0, true},
    [SIM_SAVEPOINT] = {"savepoint", "n", 0, true},
    [SIM_ROLLBACK_TO] = {"rollback to", "n", 0, true},
    [SIM_RELEASE] = {"release", "n", 0, true},
};

static const struct {
    uint16_t count;
    struct reply_column columns[3];
} shapes[] = {
    {0, {{0}}},
    {1, {{"id", OID_INT8, -1}}},
    {2, {{"id", OID_INT8, -1}, {"text", OID_TEXT, -1}}},
    {3, {{"id", OID_INT8, -1}, {"n", OID_INT4, -1}, {"text", OID_TEXT, -1}}},
    {3, {{"text", OID_TEXT, -1}, {"pg_backend_pid", OID_TEXT, -1}, {"case", OID_TEXT, -1}}},
    {1, {{"committed", OID_BOOL, 1}}},
    {1, {{"case", OID_TEXT, -1}}},
};

bool sim_sql_returns_rows(const struct sim_statement *statement) {
    return shapes[verbs[statement->verb].shape].count != 0;
}

bool sim_sql_has_token(const struct sim_statement *statement) {
    return statement->verb == SIM_TOKEN || statement->verb == SIM_CLAIM || statement->verb == SIM_TOLD;
}

bool sim_sql_has_note(const struct sim_statement *statement) {
    return statement->verb == SIM_NOTE || statement->verb == SIM_STATUS;
}

bool sim_sql_has_identity(const struct sim_statement *statement) {
    return statement->verb != SIM_BARRIER && !verbs[statement->verb].bare;
}

uint16_t sim_sql_param_count(const struct sim_statement *statement) {
    if (statement->verb == SIM_BARRIER)
        return 2;
    return statement->verb == SIM_STATUS || sim_sql_has_token(statement) || sim_sql_has_identity(statement);
}

static bool read_arguments(struct sim_statement *statement, const char *at, const char *arguments) {
    for (; *arguments; arguments++) {
        if (*at++ != ' ')
            return false;
        size_t length = strcspn(at, " ");
        if (*arguments == 'n') {
            statement->number = (uint32_t)strtoul(at, NULL, 10);
        } else {
            if (length != 5)
                return false;
            memcpy(statement->sqlstate, at, 5);
        }
        at += length;
    }
    if (statement->verb == SIM_BARRIER)
        return strstr(at, "$2::text") != NULL;
    return strcmp(at, verbs[statement->verb].bare ? "" : " $1") == 0;
}

/* Verbs stand behind SELECT, so that their statements may share a transaction, but for INSERT, CALL and bare ones. */
bool sim_sql_read(struct sim_statement *statement, const char *sql) {
    bool whole = strncmp(sql + 7, "id ", 3) == 0 || strncmp(sql + 7, "case ", 5) == 0 ||
                 strncmp(sql + 7, "committed ", 10) == 0 || sql[7] == '$';
    if (strncmp(sql, "select ", 7) == 0 && !whole)
        sql += 7;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        size_t length = strlen(verbs[i].word);
        if (strncmp(sql, verbs[i].word, length) != 0)
            continue;
        statement->verb = (enum sim_verb)i;
        if (read_arguments(statement, sql + length, verbs[i].arguments))
            return true;
    }
    return false;
}

/* ---- Rows ---- */

void sim_sql_describe_parameters(struct sim_conn *conn, const struct sim_statement *statement) {
    uint32_t oid = statement->verb == SIM_BARRIER ? OID_TEXT : sim_sql_has_token(statement) ? OID_UUID : OID_INT8;
    bool lie = conn->server->lies_of_params && statement->verb != SIM_BARRIER;
    reply_parameters(&conn->out, (uint16_t)(sim_sql_param_count(statement) + lie), (uint32_t[]){oid, oid});
    sim_conn_sent(conn);
}

void sim_sql_describe_columns(struct sim_conn *conn, const struct sim_statement *statement) {
    bool lie = statement->verb == SIM_TOKEN && conn->server->describes_token;
    uint8_t shape = verbs[lie ? SIM_TOLD : statement->verb].shape;
    if (shapes[shape].count)
        reply_columns(&conn->out, shapes[shape].count, shapes[shape].columns);
    else
        reply_bare(&conn->out, 'n');
    sim_conn_sent(conn);
}

static bool is_binary(const struct sim_portal *portal, uint16_t column) {
    if (portal->format_count == 0)
        return false;
    return portal->formats[portal->format_count == 1 ? 0 : column] == 1;
}

static void put_number(const struct sim_portal *portal, struct buf *row, uint16_t column, int64_t value,
                       uint32_t size) {
    char text[24];
    uint32_t length = (uint32_t)snprintf(text, sizeof text, "%" PRId64, value);
    if (!is_binary(portal, column)) {
        buf_put_u32(row, length);
        buf_put(row, text, length);
        return;
    }
    buf_put_u32(row, size);
    if (size == 8)
        buf_put_u64(row, (uint64_t)value);
    else
        buf_put_u32(row, (uint32_t)value);
}

/* A text in which the query's identity comes back once more. */
static void put_text(const struct sim_portal *portal, struct buf *row, uint32_t size) {
    char name[24];
    size_t length = (size_t)snprintf(name, sizeof name, "%" PRId64 ".", portal->identity);
    buf_put_u32(row, size);
    for (uint32_t i = 0; i < size; i++)
        buf_put_u8(row, (uint8_t)name[i % length]);
}

static void send_row(struct sim_conn *conn, const struct sim_portal *portal, uint32_t n) {
    const struct sim_statement *statement = &portal->statement;
    uint8_t shape = verbs[statement->verb].shape;
    struct buf row;
    buf_init(&row, SIZE_MAX);
    buf_put_u16(&row, shapes[shape].count);
    if (statement->verb == SIM_BARRIER) {
        char pid[16];
        snprintf(pid, sizeof pid, "%u", conn->pid + conn->server->pooled);
        for (int i = 0; i < 3; i++) {
            const char *text = i == 0 ? portal->text : i == 1 ? pid : "";
            uint32_t length = (uint32_t)strlen(text);
            buf_put_u32(&row, length);
            buf_put(&row, text, length);
        }
    } else {
        put_number(portal, &row, 0, portal->identity, 8);
    }
    if (shape == 3)
        put_number(portal, &row, 1, n, 4);
    if (statement->verb == SIM_NULL)
        buf_put_u32(&row, UINT32_MAX);
    else if (shape == 2 || shape == 3)
        put_text(portal, &row, shape == 2 ? statement->number : n % 50);
    reply_message(&conn->out, 'D', row.data, buf_size(&row));
    buf_free(&row);
    sim_conn_sent(conn);
}

static void send_tag(struct sim_conn *conn, const char *command, uint32_t rows) {
    char tag[40];
    snprintf(tag, sizeof tag, "%s%u", command, rows);
    reply_tag(&conn->out, tag);
    sim_conn_sent(conn);
}

/* ---- Breaking the protocol ---- */

static void bad_row(struct sim_conn *conn, uint32_t kind) {
    static const uint8_t two[] = {0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, past[] = {0, 1, 0, 0, 0, 9, 1},
                         below[] = {0, 1, 0xff, 0xff, 0xff, 0xfe}, more[] = {0, 1, 0xff, 0xff, 0xff, 0xff, 7};
    static const struct {
        const uint8_t *bytes;
        size_t size;
    } rows[] = {{two, sizeof two}, {past, sizeof past}, {below, sizeof below}, {more, sizeof more}};
    reply_message(&conn->out, 'D', rows[kind].bytes, rows[kind].size);
}

static void bad_bytes(struct sim_conn *conn, uint32_t kind) {
    static const char *const bytes[] = {"\0garbage that is no message", "D\0\0\0\3", "D\xff\xff\xff\xff", "x\0\0\0\4"};
    static const size_t sizes[] = {27, 5, 5, 5};
    buf_put(&conn->out, bytes[kind], sizes[kind]);
}

static void bad_message(struct sim_conn *conn, uint32_t kind) {
    static const uint8_t zeros[8] = {0};
    static const struct {
        char type;
        const void *body;
        size_t size;
    } messages[] = {
        {'R', zeros, 4},      {'V', "\xff\xff\xff\xff", 4},
        {'c', NULL, 0},       {'Z', "Q", 1},
        {'C', "SELECT 1", 9}, {'T', zeros, 2},
        {'s', NULL, 0},       {'v', zeros, 8},
        {'K', zeros, 8},      {'C', "SELECT", 6},
        {'E', "Mx", 2},       {'1', NULL, 0},
        {'N', "SNOTICE", 8},  {'Z', "I", 1},
        {'2', NULL, 0},
    };
    reply_message(&conn->out, messages[kind].type, messages[kind].body, messages[kind].size);
}

/* Kinds 0 to 24; 25 and up break it after ReadyForQuery. */
static void hostile(struct sim_conn *conn, const struct sim_portal *portal) {
    uint32_t kind = portal->statement.number;
    if (kind < 4)
        bad_row(conn, kind);
    else if (kind < 8)
        bad_bytes(conn, kind - 4);
    else if (kind < 23)
        bad_message(conn, kind - 8);
    send_row(conn, portal, 0);
    send_tag(conn, "SELECT ", 1);
    if (kind == 23)
        send_row(conn, portal, 0);
}

void sim_sql_after_ready(struct sim_conn *conn) {
    if (conn->last_verb != SIM_HOSTILE)
        return;
    if (conn->last_number == 24)
        reply_ready(&conn->out, 'I');
    else if (conn->last_number == 25)
        reply_report(&conn->out, 'E', "ERROR", "XX001", "an error out of nowhere", NULL);
}

/* ---- Execution ---- */

static void send_notices(struct sim_conn *conn, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        reply_report(&conn->out, 'N', "NOTICE", "00000", "for your information", NULL);
}

/* As PostgreSQL does, which does not look whether there are more, it suspends a portal once it has sent as many as asked. */
static void execute_rows(struct sim_conn *conn, struct sim_portal *portal, uint32_t limit) {
    const struct sim_statement *statement = &portal->statement;
    uint32_t count = statement->verb == SIM_ROWS || statement->verb == SIM_LATE ? statement->number : 1;
    uint32_t first = portal->row;
    while (portal->row < count && (!limit || portal->row - first < limit))
        send_row(conn, portal, portal->row++);
    if (limit && portal->row - first == limit) {
        reply_bare(&conn->out, 's');
        sim_conn_sent(conn);
    } else if (statement->verb == SIM_LATE) {
        sim_conn_error(conn, statement->sqlstate, "an error after rows");
    } else {
        send_tag(conn, "SELECT ", portal->row - first);
    }
}

static void send_call(struct sim_conn *conn) {
    reply_tag(&conn->out, "CALL");
    sim_conn_sent(conn);
}

/* Statements that return no rows. */
static void execute_command(struct sim_conn *conn, const struct sim_statement *statement) {
    switch (statement->verb) {
    case SIM_DEFER:
        memcpy(conn->tx.deferred, statement->sqlstate, sizeof conn->tx.deferred);
        send_tag(conn, "INSERT 0 ", 1);
        break;
    case SIM_INSERT:
        send_tag(conn, "INSERT 0 ", 1);
        break;
    case SIM_CALL: /* it rolls back what came before it in its transaction, which within a block it may not */
        if (conn->tx.state != SIM_TX_IMPLICIT) {
            sim_conn_error(conn, "2D000", "invalid transaction termination");
            break;
        }
        sim_tx_keep_last(conn);
        send_call(conn);
        break;
    case SIM_TAG:
        send_call(conn);
        break;
    case SIM_COPY:
        reply_copy(&conn->out, 'G', 1);
        sim_conn_flush(conn);
        conn->silent = true;
        break;
    case SIM_DISCARD:
        list_for_each(node, &conn->statements)
            list_entry(node, struct sim_statement, link)->forgotten = true;
        reply_tag(&conn->out, "DISCARD ALL");
        sim_conn_sent(conn);
        break;
    case SIM_SETTINGS:
        reply_tag(&conn->out, "SELECT 0");
        sim_conn_sent(conn);
        break;
    default:
        sim_tx_execute(conn, statement->verb, statement->number);
    }
}

/* What a statement does before its first row. False: no row comes, or not yet. */
static bool begin_rows(struct sim_conn *conn, struct sim_portal *portal, uint32_t limit) {
    const struct sim_statement *statement = &portal->statement;
    switch (statement->verb) {
    case SIM_ERROR:
        sim_conn_error(conn, statement->sqlstate, "an error of Execute");
        return false;
    case SIM_FATAL:
        sim_conn_fatal(conn, statement->sqlstate);
        return false;
    case SIM_SILENT:
        sim_conn_run(conn, portal, limit);
        conn->silent = true;
        return false;
    case SIM_FLOOD:
        sim_conn_run(conn, portal, limit);
        conn->flood_left = UINT32_MAX;
        return false;
    case SIM_BARRIER:
        if (!conn->server->barrier_ns)
            return true;
        sim_conn_run(conn, portal, limit);
        sim_conn_nap(conn, conn->server->barrier_ns);
        return false;
    case SIM_SLEEP:
        sim_conn_run(conn, portal, limit);
        sim_conn_nap(conn, (uint64_t)statement->number * 1000);
        return false;
    case SIM_HOSTILE:
        hostile(conn, portal);
        return false;
    case SIM_NOTICE:
        send_notices(conn, statement->number);
        return true;
    case SIM_OPEN:
        sim_tx_begin(conn);
        return true;
    case SIM_FAREWELL:
        memcpy(conn->farewell, statement->sqlstate, sizeof conn->farewell);
        return true;
    default:
        return true;
    }
}

static bool may_conflict(enum sim_verb verb) {
    return verb != SIM_BARRIER && verb != SIM_BEGIN && verb != SIM_ROLLBACK;
}

/* True: it failed at once; one at the commit is as a deferred error. */
static bool conflict(struct sim_conn *conn, const struct sim_statement *statement) {
    struct sim_server *server = conn->server;
    if (!server->conflict || !may_conflict(statement->verb) || !sim_chance(server->sim, server->conflict))
        return false;
    const char *sqlstate = sim_chance(server->sim, 500) ? "40001" : "40P01";
    if (statement->verb == SIM_COMMIT || sim_chance(server->sim, 500)) {
        memcpy(conn->tx.deferred, sqlstate, sizeof conn->tx.deferred);
        return false;
    }
    sim_conn_error(conn, sqlstate, "a conflict");
    return true;
}

static bool commit_takes_time(struct sim_conn *conn, struct sim_portal *portal, uint32_t limit) {
    const struct sim_server *server = conn->server;
    bool takes = server->commit_ns && sim_chance(server->sim, 500);
    if (!takes && !server->hangs_at_commit)
        return false;
    sim_conn_run(conn, portal, limit);
    if (server->hangs_at_commit)
        conn->silent = true;
    else
        sim_conn_nap(conn, 1 + rng_below(sim_rng(server->sim), server->commit_ns));
    return true;
}

/* True: it is answered later. */
static bool end_takes_time(struct sim_conn *conn, struct sim_portal *portal) {
    enum sim_verb verb = portal->statement.verb;
    uint64_t most_ns = conn->server->end_ns;
    if (!most_ns || (verb != SIM_COMMIT && verb != SIM_ROLLBACK && verb != SIM_DISCARD))
        return false;
    sim_conn_run(conn, portal, 0);
    sim_conn_nap(conn, rng_below(sim_rng(conn->server->sim), most_ns));
    return true;
}

void sim_sql_execute(struct sim_conn *conn, struct sim_portal *portal, uint32_t limit, bool again) {
    enum sim_verb verb = portal->statement.verb;
    if (sim_sql_has_token(&portal->statement)) {
        sim_token_execute(conn, portal, limit);
        return;
    }
    if (sim_sql_has_note(&portal->statement)) {
        sim_xid_execute(conn, portal);
        return;
    }
    if (!again && (verb == SIM_COMMIT || verb == SIM_END) && commit_takes_time(conn, portal, limit))
        return;
    if (!again && (conflict(conn, &portal->statement) || end_takes_time(conn, portal)))
        return;
    if (!sim_sql_returns_rows(&portal->statement))
        execute_command(conn, &portal->statement);
    else if (again || begin_rows(conn, portal, limit))
        execute_rows(conn, portal, limit);
}
