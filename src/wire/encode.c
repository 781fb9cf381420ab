/* SPDX-License-Identifier: MIT */
#include "wire/encode.h"

#include <string.h>

/*
 * Statement names are our own; a server refuses these messages above 10000 bytes. The bound is over 8192, since GCC copies
 * what is known to be at most that long by "rep movs", which takes longer to begin than to copy a name.
 */
enum { NAME_BYTES_MAX = 9000 };

static uint8_t *put_header(uint8_t *at, char letter, size_t length) {
    *at = (uint8_t)letter;
    bytes_store_u32(at + 1, (uint32_t)length);
    return at + 5;
}

static uint8_t *put_name(uint8_t *at, const char *name, size_t name_length) {
    memcpy(at, name, name_length + 1);
    return at + name_length + 1;
}

static size_t name_size(const char *name) {
    size_t length = strlen(name);
    PRE(length <= NAME_BYTES_MAX);
    return length;
}

void wire_put_parse(struct buf *out, const char *name, const char *sql, size_t sql_length) {
    size_t name_length = name_size(name);
    size_t others = 4 + name_length + 1 + 1 + 2;
    if (sql_length > WIRE_SEND_BYTES_MAX - others) {
        buf_fail(out);
        return;
    }
    size_t length = others + sql_length;
    uint8_t *at = buf_extend(out, 1 + length);
    if (!at)
        return;
    at = put_name(put_header(at, 'P', length), name, name_length);
    if (sql_length)
        memcpy(at, sql, sql_length);
    at += sql_length;
    *at++ = 0;
    bytes_store_u16(at, 0); /* all parameter types are left to inference */
}

static void put_statement_message(struct buf *out, char letter, const char *name) {
    size_t name_length = name_size(name);
    size_t length = 4 + 1 + name_length + 1;
    uint8_t *at = buf_extend(out, 1 + length);
    if (!at)
        return;
    at = put_header(at, letter, length);
    *at++ = 'S';
    put_name(at, name, name_length);
}

void wire_put_describe_statement(struct buf *out, const char *name) {
    put_statement_message(out, 'D', name);
}

void wire_put_close_statement(struct buf *out, const char *name) {
    put_statement_message(out, 'C', name);
}

void wire_put_execute(struct buf *out) {
    static const uint8_t message[10] = {'E', 0, 0, 0, 9, 0, 0, 0, 0, 0};
    uint8_t *at = buf_extend(out, sizeof message);
    if (at)
        memcpy(at, message, sizeof message);
}

void wire_put_sync(struct buf *out) {
    uint8_t *at = buf_extend(out, 5);
    if (at)
        put_header(at, 'S', 4);
}

void wire_put_terminate(struct buf *out) {
    uint8_t *at = buf_extend(out, 5);
    if (at)
        put_header(at, 'X', 4);
}

void wire_bind_begin(struct buf *out, struct wire_bind *bind, const char *statement_name, uint16_t param_count) {
    size_t name_length = name_size(statement_name);
    size_t formats = 5 + 1 + name_length + 1 + 2;
    size_t codes = (size_t)2 * param_count;
    *bind = (struct wire_bind){.mark = buf_mark(out), .formats = formats};
    uint8_t *at = buf_extend(out, formats + codes + 2);
    if (!at)
        return;
    at = put_header(at, 'B', 0); /* wire_bind_end() knows the length */
    *at++ = 0;
    at = put_name(at, statement_name, name_length);
    bytes_store_u16(at, param_count);
    memset(at + 2, 0, codes);
    bytes_store_u16(at + 2 + codes, param_count);
}

void wire_bind_format(struct buf *out, const struct wire_bind *bind, uint16_t param, uint16_t format) {
    if (!buf_failed(out))
        bytes_store_u16(buf_head(out) + bind->mark + bind->formats + (size_t)2 * param, format);
}

void wire_bind_end(struct buf *out, const struct wire_bind *bind, const uint16_t *result_formats,
                   uint16_t result_format_count) {
    uint8_t *at = buf_extend(out, 2 + (size_t)2 * result_format_count);
    if (!at)
        return;
    bytes_store_u16(at, result_format_count);
    for (uint16_t i = 0; i < result_format_count; i++)
        bytes_store_u16(at + 2 + (size_t)2 * i, result_formats[i]);
    size_t length = buf_mark(out) - bind->mark - 1;
    if (length > WIRE_SEND_BYTES_MAX) {
        buf_fail(out);
        return;
    }
    bytes_store_u32(buf_head(out) + bind->mark + 1, (uint32_t)length);
}
