/* SPDX-License-Identifier: MIT */
#include "wire/decode.h"

bool wire_column_next(struct wire_columns *columns, struct wire_column *column) {
    struct cursor *fields = &columns->fields;
    if (fields->failed || cursor_left(fields) == 0)
        return false;
    column->name = cursor_string(fields, &column->name_length);
    (void)cursor_u32(fields); /* the table, if it comes from one */
    (void)cursor_u16(fields); /* the number of its column there */
    column->type_oid = cursor_u32(fields);
    (void)cursor_u16(fields); /* the type's size */
    column->type_modifier = cursor_i32(fields);
    (void)cursor_u16(fields); /* the format, which is not known before Bind */
    return !fields->failed;
}

bool wire_decode_parameters(struct cursor body, struct wire_parameters *parameters) {
    parameters->count = cursor_u16(&body);
    parameters->oids = cursor_take(&body, (size_t)4 * parameters->count);
    return cursor_done(&body);
}

bool wire_decode_columns(struct cursor body, struct wire_columns *columns) {
    columns->count = cursor_u16(&body);
    columns->names_bytes = 0;
    columns->fields = body;
    struct wire_columns walk = *columns;
    struct wire_column column;
    for (uint16_t i = 0; i < columns->count; i++) {
        if (!wire_column_next(&walk, &column))
            return false;
        columns->names_bytes += column.name_length + 1;
    }
    return cursor_done(&walk.fields);
}

bool wire_decode_tag(struct cursor body, const char **tag, size_t *length) {
    *tag = cursor_string(&body, length);
    return cursor_done(&body);
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Returns a decimal number that consists of digits alone; 0 for any other text, and for a number above `most`. */
static uint64_t decimal(const char *text, size_t length, uint64_t most) {
    uint64_t value = 0;
    for (size_t i = 0; i < length; i++) {
        if (!is_digit(text[i]))
            return 0;
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (value > (most - digit) / 10)
            return 0;
        value = value * 10 + digit;
    }
    return value;
}

/* After FATAL the server ends this session, after PANIC all of them (PostgreSQL 15 documentation, table 20.2). */
static bool is_fatal(const char *severity) {
    return strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0;
}

/*
 * A code that is not five digits and capitals becomes XX000, PostgreSQL's internal_error: it is compared, printed and
 * copied as six bytes by code that does not look at it again.
 */
static void set_sqlstate(struct wire_error *error, const char *code, size_t length) {
    bool valid = length == 5;
    for (size_t i = 0; valid && i < 5; i++)
        valid = is_digit(code[i]) || (code[i] >= 'A' && code[i] <= 'Z');
    memcpy(error->sqlstate, valid ? code : "XX000", sizeof error->sqlstate);
}

bool wire_decode_error(struct cursor body, struct wire_error *error) {
    const char *severity = "", *localised = "";
    *error = (struct wire_error){.sqlstate = "XX000", .message = "", .detail = "", .hint = ""};
    /* As in libpq, a field's last occurrence counts and unknown fields are passed over. */
    for (uint8_t field; (field = cursor_u8(&body)) != 0;) {
        size_t length;
        const char *text = cursor_string(&body, &length);
        switch (field) {
        case 'S':
            localised = text;
            break;
        case 'V':
            severity = text;
            break;
        case 'C':
            set_sqlstate(error, text, length);
            break;
        case 'M':
            error->message = text;
            break;
        case 'D':
            error->detail = text;
            break;
        case 'H':
            error->hint = text;
            break;
        case 'P':
            error->position = (uint32_t)decimal(text, length, UINT32_MAX);
            break;
        default:
            break;
        }
    }
    error->severity = *severity ? severity : localised;
    error->fatal = is_fatal(error->severity);
    return cursor_done(&body);
}

uint64_t wire_tag_rows(const char *tag, size_t length, size_t *words) {
    size_t end = 0; /* of the words: before the first number, which may be the OID of an INSERT */
    while (end < length && !(tag[end] == ' ' && end + 1 < length && is_digit(tag[end + 1])))
        end++;
    *words = end;
    size_t number = length;
    while (number > end && tag[number - 1] != ' ')
        number--;
    return decimal(tag + number, length - number, UINT64_MAX);
}
