/* SPDX-License-Identifier: MIT
 *
 * See null_session.h.
 *
 * Speed: nearly all of a benchmark's traffic is one flight (Bind, Execute, Sync) that differs only in its
 * parameter. The last flight that was answered with the canned row is kept as a pattern; what matches it is
 * answered with 40 ready bytes, without being parsed again.
 */
#include "null_session.h"

#include "null_wire.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    NAME_MAX_BYTES = 64,
    STATEMENTS_MAX = 4096,
    MESSAGE_MAX = 1 << 20,
    PATTERN_MAX = 128,
    PARAMS_MAX = 1024,
    OID_INT4 = 23,
    OID_TEXT = 25,
    PROTOCOL_3 = 196608,
    REQUEST_SSL = 80877103,
    REQUEST_GSS = 80877104,
};

struct statement {
    char name[NAME_MAX_BYTES];
    bool echoes; /* "select $1": answers with its parameter */
    uint16_t columns;
    uint16_t params;
    uint32_t oid; /* of the first parameter, and of the column if it echoes */
};

/* A flight already answered: `head` bytes must match, then `value` bytes may differ, then the tail must match. */
struct pattern {
    uint8_t bytes[PATTERN_MAX];
    size_t length, head, value;
    uint8_t format;
};

struct null_session {
    bool started, failed; /* failed: skipping to the next Sync */
    struct statement *statements;
    size_t statement_count;
    bool bound; /* the portal: whatever its name, there is one */
    struct statement portal;
    uint8_t format;        /* of the result: 0 text, 1 binary */
    struct null_out value; /* the DataRow to echo, ready to send */
    struct pattern pattern;
};

/* ---- answers --------------------------------------------------------------------------------------------- */

/* The canned row says 1 (so that who counts branches finds one). */
#define BIND_COMPLETE "2\0\0\0\4"
#define ROW_BINARY "D\0\0\0\16\0\1\0\0\0\4\0\0\0\1"
#define ROW_TEXT "D\0\0\0\13\0\1\0\0\0\1\61"
#define COMMAND_COMPLETE "C\0\0\0\15SELECT 1\0"
#define READY "Z\0\0\0\5I"

static void put_row_description(struct null_out *out, const struct statement *statement, uint8_t format) {
    PUT(out, "T");
    put32(out, 4u + 2u + 27u * statement->columns);
    put16(out, statement->columns);
    for (unsigned i = 0; i < statement->columns; i++) {
        PUT(out, "abalance\0\0\0\0\0\0\0");
        put32(out, statement->oid);
        put16(out, statement->oid == OID_INT4 ? 4 : 0xffff);
        PUT(out, "\xff\xff\xff\xff");
        put16(out, format);
    }
}

static void put_error(struct null_session *session, struct null_out *out, const char *sqlstate, const char *text) {
    size_t n = strlen(text) + 1;
    PUT(out, "E");
    put32(out, (uint32_t)(4 + 7 + 7 + 1 + n + 1));
    PUT(out, "SERROR\0C");
    put_bytes(out, sqlstate, 6);
    PUT(out, "M");
    put_bytes(out, text, n);
    PUT(out, "\0");
    session->failed = true;
}

static void put_setting(struct null_out *out, const char *name, const char *value) {
    PUT(out, "S");
    put32(out, (uint32_t)(4 + strlen(name) + 1 + strlen(value) + 1));
    put_bytes(out, name, strlen(name) + 1);
    put_bytes(out, value, strlen(value) + 1);
}

static void put_greeting(struct null_out *out) {
    PUT(out, "R\0\0\0\10\0\0\0\0"); /* AuthenticationOk */
    put_setting(out, "server_version", "15.0");
    put_setting(out, "server_encoding", "UTF8");
    put_setting(out, "client_encoding", "UTF8");
    put_setting(out, "standard_conforming_strings", "on");
    put_setting(out, "integer_datetimes", "on");
    put_setting(out, "DateStyle", "ISO, MDY");
    put_setting(out, "TimeZone", "UTC");
    PUT(out, "K\0\0\0\14\0\0\0\1\0\0\0\1"); /* BackendKeyData: nothing can be cancelled here */
    PUT(out, READY);
}

/* ---- messages: each handler returns false when the session must end ---------------------------------------- */

static struct statement *statement_find(struct null_session *session, const char *name) {
    for (size_t i = 0; i < session->statement_count; i++)
        if (strcmp(session->statements[i].name, name) == 0)
            return &session->statements[i];
    return NULL;
}

static struct statement *statement_add(struct null_session *session, const char *name) {
    size_t n = session->statement_count;
    if (n == STATEMENTS_MAX || strlen(name) >= NAME_MAX_BYTES)
        return NULL;
    if ((n & (n - 1)) == 0) { /* full at every power of two */
        struct statement *grown = realloc(session->statements, (n ? n * 2 : 1) * sizeof *grown);
        if (!grown)
            return NULL;
        session->statements = grown;
    }
    struct statement *statement = &session->statements[session->statement_count++];
    memcpy(statement->name, name, strlen(name) + 1);
    return statement;
}

/* The highest $n in the text: good enough for a server that runs nothing. */
static uint16_t count_params(const char *sql) {
    unsigned long most = 0;
    while ((sql = strchr(sql, '$')) != NULL) {
        unsigned long n = strtoul(++sql, NULL, 10);
        if (n <= PARAMS_MAX && n > most)
            most = n;
    }
    return (uint16_t)most;
}

static bool on_parse(struct null_session *session, struct cursor *in, struct null_out *out) {
    const char *name = take_text(in);
    const char *sql = take_text(in);
    uint16_t types = take16(in);
    uint32_t oid = types ? take32(in) : 0;
    if (in->bad)
        return false;

    struct statement *statement = statement_find(session, name);
    if (!statement)
        statement = statement_add(session, name);
    if (!statement)
        return false;
    statement->params = count_params(sql);
    statement->echoes = strncasecmp(sql, "select $1", 9) == 0;
    /* A client that asks which process it is connected to tells the one that it knows as $2; $3 is a setting. */
    statement->columns = statement->echoes && strstr(sql, "pg_backend_pid") ? 3 : 1;
    statement->oid = oid ? oid : statement->echoes ? OID_TEXT : OID_INT4;
    session->pattern.length = 0;
    PUT(out, "1\0\0\0\4");
    return true;
}

/* Keeps this Bind, with the Execute and Sync right behind it, as the pattern to recognise. */
static void learn(struct null_session *session, const uint8_t *bind, const uint8_t *value, size_t value_length,
                  const uint8_t *after, const uint8_t *end) {
    struct pattern *pattern = &session->pattern;
    if (end - after < 15 || memcmp(after, "E\0\0\0\11\0", 6) != 0 || memcmp(after + 10, "S\0\0\0\4", 5) != 0)
        return;
    size_t length = (size_t)(after + 15 - bind);
    if (length > PATTERN_MAX)
        return;
    memcpy(pattern->bytes, bind, length);
    pattern->length = length;
    pattern->head = (size_t)(value - bind);
    pattern->value = value_length;
    pattern->format = session->format;
}

struct echo {
    const uint8_t *bytes;
    uint32_t length; /* UINT32_MAX: NULL */
};

/* As many of the parameters as there are columns, and empty texts for the rest. */
static void keep_echo(struct null_session *session, const struct echo *echoes, unsigned columns) {
    size_t mark = 1;
    struct null_out *row = &session->value;
    row->length = 0;
    PUT(row, "D\0\0\0\0");
    put16(row, (uint16_t)columns);
    for (unsigned i = 0; i < columns; i++) {
        put32(row, echoes[i].length);
        if (echoes[i].length != UINT32_MAX && echoes[i].length)
            put_bytes(row, echoes[i].bytes, echoes[i].length);
    }
    uint32_t length = (uint32_t)(row->length - 1);
    for (int shift = 24; shift >= 0; shift -= 8)
        row->bytes[mark++] = (uint8_t)(length >> shift);
}

/* `bind` is the message's first byte; `end` the end of what was received, maybe messages later. */
static bool on_bind(struct null_session *session, const uint8_t *bind, struct cursor *in, const uint8_t *end,
                    struct null_out *out) {
    take_text(in); /* the portal: there is one, whatever its name */
    const struct statement *statement = statement_find(session, take_text(in));
    take(in, (size_t)take16(in) * 2);
    struct echo echoes[3] = {{in->at, UINT32_MAX}, {in->at, 0}, {in->at, 0}};
    unsigned params = take16(in);
    for (unsigned i = 0; i < params; i++) {
        uint32_t n = take32(in);
        const uint8_t *bytes = take(in, n == UINT32_MAX ? 0 : n);
        if (i < 3)
            echoes[i] = (struct echo){bytes, n};
    }
    uint16_t formats = take16(in);
    uint16_t format = formats ? take16(in) : 0;
    if (in->bad || format > 1)
        return false;
    if (!statement) {
        put_error(session, out, "26000", "prepared statement does not exist");
        return true;
    }
    session->bound = true;
    session->portal = *statement;
    session->format = (uint8_t)format;
    PUT(out, BIND_COMPLETE);
    if (statement->echoes)
        keep_echo(session, echoes, statement->columns);
    else if (echoes[0].length != UINT32_MAX)
        learn(session, bind, echoes[0].bytes, echoes[0].length, in->end, end);
    return true;
}

static void on_execute(struct null_session *session, struct null_out *out) {
    if (!session->bound) {
        put_error(session, out, "34000", "portal does not exist");
        return;
    }
    if (session->portal.echoes)
        put_bytes(out, session->value.bytes, session->value.length);
    else if (session->format)
        PUT(out, ROW_BINARY);
    else
        PUT(out, ROW_TEXT);
    PUT(out, COMMAND_COMPLETE);
}

static bool on_describe(struct null_session *session, struct cursor *in, struct null_out *out) {
    const uint8_t *kind = take(in, 1);
    const char *name = take_text(in);
    if (in->bad)
        return false;
    if (*kind == 'P') {
        if (session->bound)
            put_row_description(out, &session->portal, session->format);
        else
            put_error(session, out, "34000", "portal does not exist");
        return true;
    }
    const struct statement *statement = statement_find(session, name);
    if (!statement) {
        put_error(session, out, "26000", "prepared statement does not exist");
        return true;
    }
    PUT(out, "t");
    put32(out, 4u + 2u + 4u * statement->params);
    put16(out, statement->params);
    for (unsigned i = 0; i < statement->params; i++)
        put32(out, i == 0 || statement->echoes ? statement->oid : OID_INT4);
    put_row_description(out, statement, 0);
    return true;
}

static bool on_close(struct null_session *session, struct cursor *in, struct null_out *out) {
    const uint8_t *kind = take(in, 1);
    struct statement *statement = statement_find(session, take_text(in));
    if (in->bad)
        return false;
    if (*kind == 'S' && statement) {
        *statement = session->statements[--session->statement_count];
        session->pattern.length = 0;
    }
    PUT(out, "3\0\0\0\4");
    return true;
}

static void on_sync(struct null_session *session, struct null_out *out) {
    session->failed = session->bound = false;
    PUT(out, READY);
}

static void on_query(struct null_out *out) {
    static const struct statement one = {.columns = 1, .oid = OID_INT4};
    put_row_description(out, &one, 0);
    PUT(out, ROW_TEXT);
    PUT(out, COMMAND_COMPLETE);
    PUT(out, READY);
}

/* ---- the session ------------------------------------------------------------------------------------------ */

/* One typed message, its body in `in`. */
static bool on_message(struct null_session *session, const uint8_t *message, struct cursor *in, const uint8_t *end,
                       struct null_out *out) {
    uint8_t type = message[0];
    if (session->failed && memchr("PBDECH", type, 6))
        return true;
    switch (type) {
    case 'P':
        return on_parse(session, in, out);
    case 'B':
        return on_bind(session, message, in, end, out);
    case 'D':
        return on_describe(session, in, out);
    case 'E':
        return on_execute(session, out), true;
    case 'C':
        return on_close(session, in, out);
    case 'S':
        return on_sync(session, out), true;
    case 'Q':
        return on_query(out), true;
    case 'H':
        return true; /* every answer leaves at once anyway */
    default:
        return false; /* Terminate too */
    }
}

/* Before the session has started: SSLRequest, GSSENCRequest, StartupMessage. */
static bool on_startup(struct null_session *session, uint32_t code, struct null_out *out) {
    if (code == REQUEST_SSL || code == REQUEST_GSS) {
        PUT(out, "N");
        return true;
    }
    if (code != PROTOCOL_3)
        return false;
    session->started = true;
    put_greeting(out);
    return true;
}

static bool pattern_matches(const struct pattern *pattern, const uint8_t *at, size_t length) {
    size_t tail = pattern->head + pattern->value;
    return pattern->length != 0 && length >= pattern->length && memcmp(at, pattern->bytes, pattern->head) == 0 &&
           memcmp(at + tail, pattern->bytes + tail, pattern->length - tail) == 0;
}

ptrdiff_t null_session_feed(struct null_session *session, const uint8_t *bytes, size_t length, struct null_out *out) {
    const uint8_t *at = bytes, *end = bytes + length;

    for (;;) {
        if (!session->failed && pattern_matches(&session->pattern, at, (size_t)(end - at))) {
            if (session->pattern.format)
                PUT(out, BIND_COMPLETE ROW_BINARY COMMAND_COMPLETE READY);
            else
                PUT(out, BIND_COMPLETE ROW_TEXT COMMAND_COMPLETE READY);
            at += session->pattern.length;
            continue;
        }
        size_t typed = session->started ? 1 : 0; /* the startup messages have no type byte */
        if ((size_t)(end - at) < typed + 4)
            return at - bytes;
        uint32_t n = load32(at + typed);
        if (n < (typed ? 4 : 8) || n > MESSAGE_MAX)
            return -1;
        if ((size_t)(end - at) < typed + n)
            return at - bytes;
        struct cursor in = {at + typed + 4, at + typed + n, false};
        if (!(typed ? on_message(session, at, &in, end, out) : on_startup(session, take32(&in), out)))
            return -1;
        at += typed + n;
    }
}

struct null_session *null_session_new(void) {
    return calloc(1, sizeof(struct null_session));
}

void null_session_free(struct null_session *session) {
    if (!session)
        return;
    free(session->statements);
    free(session->value.bytes);
    free(session);
}
