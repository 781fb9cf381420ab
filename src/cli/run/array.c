/* SPDX-License-Identifier: MIT */
#include "cli/run/array.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

/*
 *   START ──{──► FIRST ──a value──► NEXT ──, and a value──► NEXT
 *                  └───────}─────────┴──}──► NEXT of the array around it, or FINISH
 *
 * A value is an element, or a { that leads to FIRST.
 */
enum { EXPECT_START, EXPECT_FIRST, EXPECT_NEXT, EXPECT_FINISH };

void cli_array_init(struct cli_array *array, const char *text, size_t size) {
    *array = (struct cli_array){.at = text, .end = text + size};
    cli_out_init(&array->unquoted, CLI_OUT_MEMORY);
    const char *equals = size > 0 && *text == '[' ? memchr(text, '=', size) : NULL;
    if (equals)
        array->at = equals + 1;
}

void cli_array_free(struct cli_array *array) {
    cli_out_free(&array->unquoted);
}

static bool array_accept(struct cli_array *array, char c) {
    if (array->at == array->end || *array->at != c)
        return false;
    array->at++;
    return true;
}

static enum cli_array_token array_open(struct cli_array *array) {
    if (array->depth == CLI_ARRAY_DEPTH_MAX)
        return CLI_ARRAY_BAD;
    array->depth++;
    array->expected = EXPECT_FIRST;
    return CLI_ARRAY_OPEN;
}

static enum cli_array_token array_close(struct cli_array *array) {
    array->expected = --array->depth > 0 ? EXPECT_NEXT : EXPECT_FINISH;
    return CLI_ARRAY_CLOSE;
}

/* In quotation marks a backslash stands before each one and before each backslash of the element itself. */
static enum cli_array_token array_quoted(struct cli_array *array) {
    struct cli_out *out = &array->unquoted;
    out->size = 0;
    while (array->at < array->end && *array->at != '"') {
        if (array_accept(array, '\\') && array->at == array->end)
            return CLI_ARRAY_BAD;
        cli_out_char(out, *array->at++);
    }
    if (!array_accept(array, '"') || out->error)
        return CLI_ARRAY_BAD;
    array->text = out->data ? out->data : "";
    array->size = out->size;
    return CLI_ARRAY_ELEMENT;
}

/* What array_out leaves without quotation marks is not empty, holds none of these, and is no NULL. */
static enum cli_array_token array_plain(struct cli_array *array) {
    const char *from = array->at;
    while (array->at < array->end && *array->at != ',' && *array->at != '}') {
        if (*array->at == '{' || *array->at == '"' || *array->at == '\\')
            return CLI_ARRAY_BAD;
        array->at++;
    }
    array->text = from;
    array->size = (size_t)(array->at - from);
    if (array->size == 0)
        return CLI_ARRAY_BAD;
    return array->size == 4 && strncasecmp(from, "NULL", 4) == 0 ? CLI_ARRAY_NULL : CLI_ARRAY_ELEMENT;
}

static enum cli_array_token array_value(struct cli_array *array) {
    if (array_accept(array, '{'))
        return array_open(array);
    array->expected = EXPECT_NEXT;
    return array_accept(array, '"') ? array_quoted(array) : array_plain(array);
}

enum cli_array_token cli_array_next(struct cli_array *array) {
    switch (array->expected) {
    case EXPECT_START:
        return array_accept(array, '{') ? array_open(array) : CLI_ARRAY_BAD;
    case EXPECT_FIRST:
        return array_accept(array, '}') ? array_close(array) : array_value(array);
    case EXPECT_NEXT:
        if (array_accept(array, '}'))
            return array_close(array);
        if (!array_accept(array, ','))
            return CLI_ARRAY_BAD;
        return array_value(array);
    default: /* EXPECT_FINISH */
        return array->at == array->end ? CLI_ARRAY_END : CLI_ARRAY_BAD;
    }
}
