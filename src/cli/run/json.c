/* SPDX-License-Identifier: MIT */
#include "cli/common/text.h"
#include "cli/run/array.h"
#include "cli/run/rows.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Checking ---------------------------------------------------------------------------------------------------- */

/*
 * A value of JSON is printed as the database wrote it, so its text is only checked against RFC 8259's grammar. A parser
 * refuses what its own types cannot hold, though PostgreSQL has it and the grammar allows it: numbers past a double's
 * range (1e400), "\u0000" in a key, a surrogate without its other half. It also builds the document in memory, at twenty
 * times the size of its text, where this check takes a fixed amount.
 */

struct scan {
    const char *at, *end;
};

static bool scan_is_digit(const struct scan *s) {
    return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

static bool scan_accept(struct scan *s, char c) {
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool scan_digits(struct scan *s) {
    if (!scan_is_digit(s))
        return false;
    while (scan_is_digit(s))
        s->at++;
    return true;
}

static bool scan_number(struct scan *s) {
    scan_accept(s, '-');
    if (!scan_accept(s, '0') && !scan_digits(s))
        return false;
    if (scan_accept(s, '.') && !scan_digits(s))
        return false;
    if (scan_accept(s, 'e') || scan_accept(s, 'E')) {
        if (!scan_accept(s, '+'))
            scan_accept(s, '-');
        return scan_digits(s);
    }
    return true;
}

static bool scan_escape(struct scan *s) {
    if (s->at == s->end)
        return false;
    char c = *s->at++;
    if (c != 'u')
        return c && strchr("\"\\/bfnrt", c) != NULL;
    for (int i = 0; i < 4; i++, s->at++)
        if (s->at == s->end || !*s->at || !strchr("0123456789abcdefABCDEF", *s->at))
            return false;
    return true;
}

static bool scan_string(struct scan *s) {
    if (!scan_accept(s, '"'))
        return false;
    while (s->at < s->end && *s->at != '"') {
        uint32_t c;
        size_t length = cli_utf8_decode(s->at, (size_t)(s->end - s->at), &c);
        if (length == 0 || c < 0x20)
            return false;
        s->at += length;
        if (c == '\\' && !scan_escape(s))
            return false;
    }
    return scan_accept(s, '"');
}

static bool scan_word(struct scan *s, const char *word) {
    size_t size = strlen(word);
    if ((size_t)(s->end - s->at) < size || memcmp(s->at, word, size) != 0)
        return false;
    s->at += size;
    return true;
}

static void scan_space(struct scan *s) {
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
        s->at++;
}

static bool scan_scalar(struct scan *s) {
    if (s->at == s->end)
        return false;
    switch (*s->at) {
    case '"':
        return scan_string(s);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    default:
        return scan_number(s);
    }
}

enum { NESTING_MAX = 512 }; /* a value that is nested deeper is printed as a string: many readers refuse it, too */

/*
 * Opens containers until a scalar, or an empty container, has been read. The brackets that are to close them are kept in
 * an array rather than on the stack of a recursion, whose depth the sender of the value would choose.
 */
static bool scan_down(struct scan *s, char *closers, size_t *depth) {
    for (;;) {
        scan_space(s);
        bool object = scan_accept(s, '{');
        if (!object && !scan_accept(s, '['))
            return scan_scalar(s);
        if (*depth == NESTING_MAX)
            return false;
        scan_space(s);
        if (scan_accept(s, object ? '}' : ']'))
            return true;
        closers[(*depth)++] = object ? '}' : ']';
        if (object && (!scan_string(s) || (scan_space(s), !scan_accept(s, ':'))))
            return false;
    }
}

bool cli_json_is_value(const char *text, size_t size) {
    struct scan s = {text, text + size};
    char closers[NESTING_MAX];
    size_t depth = 0;

    do {
        if (!scan_down(&s, closers, &depth))
            return false;
        scan_space(&s);
        while (depth > 0 && scan_accept(&s, closers[depth - 1])) {
            depth--;
            scan_space(&s);
        }
        if (depth == 0)
            return s.at == s.end;
        if (!scan_accept(&s, ','))
            return false;
        scan_space(&s);
    } while (closers[depth - 1] == ']' || (scan_string(&s) && (scan_space(&s), scan_accept(&s, ':'))));
    return false;
}

bool cli_json_is_number(const char *text, size_t size) {
    struct scan s = {text, text + size};
    return scan_number(&s) && s.at == s.end;
}

/* ---- Printing ---------------------------------------------------------------------------------------------------- */

static void put_scalar(struct cli_out *out, const struct cli_cell *cell) {
    bool raw = false;
    switch (cell->kind) {
    case CLI_CELL_NULL:
        cli_out_text(out, "null");
        return;
    case CLI_CELL_BOOL:
        cli_out_text(out, cell->size > 0 && cell->text[0] == 't' ? "true" : "false");
        return;
    case CLI_CELL_NUMBER:
        raw = cli_json_is_number(cell->text, cell->size); /* NaN and Infinity are none */
        break;
    case CLI_CELL_JSON:
        raw = cli_json_is_value(cell->text, cell->size);
        break;
    case CLI_CELL_ARRAY:
    case CLI_CELL_TEXT:
        break;
    }
    if (raw)
        cli_text_json_value(out, cell->text, cell->size);
    else
        cli_text_json(out, cell->text, cell->size);
}

/* Returns whether the text is that of an array, so that none has to be taken back when half of it was printed. */
static bool array_is_well_formed(const struct cli_cell *cell) {
    struct cli_array array;
    enum cli_array_token token;
    cli_array_init(&array, cell->text, cell->size);
    do
        token = cli_array_next(&array);
    while (token != CLI_ARRAY_END && token != CLI_ARRAY_BAD);
    cli_array_free(&array);
    return token == CLI_ARRAY_END;
}

static void put_array(struct cli_out *out, const struct cli_cell *cell) {
    struct cli_array array;
    enum cli_array_token token;
    bool first = true;
    cli_array_init(&array, cell->text, cell->size);
    while ((token = cli_array_next(&array)) != CLI_ARRAY_END && token != CLI_ARRAY_BAD) {
        struct cli_cell element = {.kind = CLI_CELL_NULL, .text = array.text, .size = array.size};
        if (token != CLI_ARRAY_CLOSE && !first)
            cli_out_text(out, ", ");
        first = token == CLI_ARRAY_OPEN;
        if (token == CLI_ARRAY_OPEN || token == CLI_ARRAY_CLOSE) {
            cli_out_char(out, token == CLI_ARRAY_OPEN ? '[' : ']');
            continue;
        }
        if (token == CLI_ARRAY_ELEMENT)
            element.kind = cell->element;
        put_scalar(out, &element);
    }
    if (token == CLI_ARRAY_BAD && !out->error) /* the text is well-formed, so it was memory */
        out->error = ENOMEM;
    cli_array_free(&array);
}

static void put_value(struct cli_out *out, const struct cli_cell *cell) {
    if (cell->kind == CLI_CELL_ARRAY && array_is_well_formed(cell))
        put_array(out, cell);
    else
        put_scalar(out, cell);
}

/*
 * A column's key, as it stands between quotes. Keys are told apart in this form, because names that differ in ill-formed
 * bytes alone are printed alike.
 */
struct key {
    char *text;
    unsigned suffix; /* the last that a later column of this name was given, and tried */
};

static int compare_keys(const void *a, const void *b) {
    return strcmp(((const struct key *)a)->text, ((const struct key *)b)->text);
}

static char *escape_name(const char *name) {
    struct cli_out out;
    cli_out_init(&out, CLI_OUT_MEMORY);
    cli_text_json_inside(&out, name, strlen(name));
    cli_out_char(&out, 0);
    if (out.error)
        cli_out_free(&out);
    return out.data;
}

/*
 * Makes a key unlike those in the tree, and adds it: false when memory ran out. No suffix is tried twice for a name, and
 * an existing key can be in the way of one name only, so all columns together make at most twice as many attempts as
 * there are columns.
 */
static bool add_key(void **tree, struct key *key, const char *name) {
    *key = (struct key){.text = escape_name(name), .suffix = 1};
    struct key *const *found = key->text ? tsearch(key, tree, compare_keys) : NULL;
    if (!found || *found == key)
        return found != NULL;
    struct key *first = *found;
    char *base = key->text;
    do {
        if (asprintf(&key->text, "%s_%u", base, ++first->suffix) < 0)
            key->text = NULL;
        found = key->text ? tsearch(key, tree, compare_keys) : NULL;
        if (found && *found != key)
            free(key->text);
    } while (found && *found != key);
    free(base);
    return found != NULL;
}

static void free_keys(struct key *keys, uint32_t count) {
    for (uint32_t i = 0; keys && i < count; i++)
        free(keys[i].text);
    free(keys);
}

static void keep_key(void *key) {
    (void)key;
}

static struct key *make_keys(const struct cli_rows *rows) {
    struct key *keys = calloc(rows->column_count ? rows->column_count : 1, sizeof *keys);
    void *tree = NULL;
    bool ok = keys != NULL;
    for (uint32_t i = 0; ok && i < rows->column_count; i++)
        ok = add_key(&tree, &keys[i], rows->name(rows->source, i));
    tdestroy(tree, keep_key);
    if (ok)
        return keys;
    free_keys(keys, rows->column_count);
    return NULL;
}

/* Prints an object a row, with `lead` before the first, `between` before each other and `end` behind the last. */
static void print_objects(struct cli_out *out, const struct cli_rows *rows, const char *lead, const char *between,
                          const char *end) {
    struct key *keys = make_keys(rows);
    if (!keys) {
        out->error = ENOMEM;
        return;
    }
    for (uint64_t row = 0; row < rows->row_count && !out->error; row++) {
        cli_out_text(out, row == 0 ? lead : between);
        for (uint32_t i = 0; i < rows->column_count; i++) {
            struct cli_cell cell = {.kind = CLI_CELL_NULL};
            rows->cell(rows->source, row, i, &cell);
            cli_out_text(out, i == 0 ? "{\"" : ", \"");
            cli_out_text(out, keys[i].text);
            cli_out_text(out, "\": ");
            put_value(out, &cell);
        }
        cli_out_text(out, rows->column_count ? "}" : "{}");
    }
    if (rows->row_count)
        cli_out_text(out, end);
    free_keys(keys, rows->column_count);
}

void cli_print_json(struct cli_out *out, const struct cli_rows *rows) {
    cli_out_char(out, '[');
    print_objects(out, rows, "\n", ",\n", "\n");
    cli_out_char(out, ']');
}

void cli_print_ndjson(struct cli_out *out, const struct cli_rows *rows) {
    print_objects(out, rows, "", "\n", "\n");
}
