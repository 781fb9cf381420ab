/* SPDX-License-Identifier: MIT */
#include "cli/common/failure.h"

#include "cli/common/out.h"
#include "cli/common/say.h"
#include "cli/common/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LINES_BEFORE = 3, /* around the line with the caret */
    LINES_AFTER = 2,
    LINES_WITHOUT_CARET = 8,
    LINE_BYTES = 120 /* of a longer line only a window is shown */
};

static void say_line(const char *label, const char *text) {
    if (*text)
        cli_say(label, "%s", text);
}

/*
 * The SQLSTATE of a server says all about its error. Any other failure is named by its status, which alone tells whether
 * the query may have taken effect.
 */
static void say_head(const char *where, const quring_done *done) {
    const quring_error *error = done->error;
    const char *message = *error->message ? error->message : quring_status_name(done->status);
    const char *colon = where ? ": " : "";
    bool server = done->status == QURING_SERVER_ERROR;

    if (!where)
        where = "";
    if (server && *error->sqlstate)
        cli_error("%s%s%s (SQLSTATE %s)", where, colon, message, error->sqlstate);
    else if (*error->sqlstate)
        cli_error("%s%s%s (%s, SQLSTATE %s)", where, colon, message, quring_status_name(done->status), error->sqlstate);
    else
        cli_error("%s%s%s (%s)", where, colon, message, quring_status_name(done->status));
}

/* ---- The statement's text ---------------------------------------------------------------------------------------- */

struct line {
    const char *text;
    size_t size;
    uint64_t number;
};

static bool next_line(const struct cli_statement *statement, struct line *line) {
    const char *end = statement->text + statement->size;
    const char *from = line->text ? line->text + line->size + 1 : statement->text;
    if (from >= end)
        return false;
    const char *stop = memchr(from, '\n', (size_t)(end - from));
    line->text = from;
    line->size = (size_t)((stop ? stop : end) - from);
    line->number++;
    return true;
}

/* Returns the place of the n-th character, counted from 1 as PostgreSQL counts; past the end of the text, its end. */
static const char *find_character(const struct cli_statement *statement, uint32_t position) {
    size_t at = 0;
    for (uint32_t n = 1; n < position && at < statement->size; n++) {
        uint32_t c;
        size_t length = cli_utf8_decode(statement->text + at, statement->size - at, &c);
        at += length ? length : 1;
    }
    return statement->text + at;
}

/* Writes SQL of one line, each tab as one space, so that a caret can stand under any place. Returns the columns. */
static size_t put_code(struct cli_out *out, const char *text, size_t size) {
    size_t columns = 0;
    for (size_t at = 0; at < size;) {
        size_t run = strcspn(text + at, "\t\r");
        run = run < size - at ? run : size - at;
        columns += cli_text_safe(out, text + at, run, 0);
        at += run;
        if (at < size) {
            cli_out_char(out, ' ');
            columns++;
            at++;
        }
    }
    return columns;
}

static void put_line(struct cli_out *out, const struct line *line, const char *caret) {
    const char *from = line->text, *end = line->text + line->size;
    if (line->size > LINE_BYTES && caret && caret - from > LINE_BYTES / 2)
        from = caret - LINE_BYTES / 2;
    if (end - from > LINE_BYTES)
        end = from + LINE_BYTES;
    while (from > line->text && (*from & 0xc0) == 0x80) /* no character is cut: these bytes continue one */
        from--;
    while (end < line->text + line->size && (*end & 0xc0) == 0x80)
        end++;

    cli_out_format(out, "%5" PRIu64 " | %s", line->number, from > line->text ? "… " : "");
    size_t column = (from > line->text ? 2 : 0) + put_code(out, from, (size_t)((caret ? caret : end) - from));
    if (caret)
        put_code(out, caret, (size_t)(end - caret));
    cli_out_text(out, end < line->text + line->size ? " …\n" : "\n");
    if (caret) {
        cli_out_text(out, "      | ");
        cli_out_repeat(out, " ", column);
        cli_out_text(out, "^\n");
    }
}

static void show_text(const struct cli_statement *statement, uint32_t position) {
    const char *caret = position ? find_character(statement, position) : NULL;
    struct line line = {.number = statement->text_line - 1};
    uint64_t first = statement->line, last = statement->line + LINES_WITHOUT_CARET - 1;
    struct cli_out out;

    if (caret) {
        uint64_t number = cli_statement_line(statement, (size_t)(caret - statement->text));
        first = number > LINES_BEFORE ? number - LINES_BEFORE : 1;
        last = number + LINES_AFTER;
    }
    cli_out_init(&out, STDERR_FILENO);
    bool more = next_line(statement, &line);
    for (; more && line.number <= last; more = next_line(statement, &line)) {
        if (line.number >= first)
            put_line(&out, &line, caret >= line.text && caret <= line.text + line.size ? caret : NULL);
    }
    if (more)
        cli_out_text(&out, "      | …\n");
    cli_out_flush(&out);
    cli_out_free(&out);
}

/* ---- Public ------------------------------------------------------------------------------------------------------ */

void cli_notices_show(const quring_result *result) {
    for (uint32_t i = 0; i < quring_notice_count(result); i++) {
        const quring_error *notice = quring_notice(result, i);
        cli_say("", "%s:  %s", notice->severity, notice->message);
        say_line("DETAIL:  ", notice->detail);
        say_line("HINT:  ", notice->hint);
    }
    if (quring_notice_dropped_count(result) > 0)
        cli_say("", "… and %" PRIu64 " more notices", quring_notice_dropped_count(result));
}

void cli_failure_say(const char *where, const quring_done *done) {
    say_head(where, done);
    say_line("detail: ", done->error->detail);
    say_line("hint: ", done->error->hint);
}

uint64_t cli_failure_line(const quring_done *done, const struct cli_statement *statement) {
    const char *caret = done->error->position ? find_character(statement, done->error->position) : NULL;
    return caret ? cli_statement_line(statement, (size_t)(caret - statement->text)) : statement->line;
}

void cli_failure_show(const char *where, const quring_done *done, const struct cli_statement *statement) {
    say_head(where, done);
    if (done->status != QURING_NOT_SENT) /* a connection that could not be had is not the statement's fault */
        show_text(statement, done->error->position);
    say_line("detail: ", done->error->detail);
    say_line("hint: ", done->error->hint);
}

const char *cli_refusal_text(const quring_engine *engine, int error) {
    const char *said = quring_errmsg(engine);
    return *said ? said : quring_strerror(error);
}

void cli_refusal_show(const char *where, const quring_engine *engine, int error,
                      const struct cli_statement *statement) {
    cli_error("%s%s%s", where ? where : "", where ? ": " : "", cli_refusal_text(engine, error));
    if (statement)
        show_text(statement, 0);
}
