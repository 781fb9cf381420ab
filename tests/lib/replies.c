/* SPDX-License-Identifier: MIT */
#include "lib/replies.h"

#include "base/assert.h"

static size_t begin(struct buf *out, char type) {
    size_t mark = buf_mark(out);
    buf_put_u8(out, (uint8_t)type);
    buf_put_u32(out, 0);
    return mark;
}

static void end(struct buf *out, size_t mark) {
    PRE(!buf_failed(out));
    bytes_store_u32(buf_head(out) + mark + 1, (uint32_t)(buf_mark(out) - mark - 1));
}

static void put_text(struct buf *out, const char *text) {
    buf_put(out, text, strlen(text) + 1);
}

void reply_message(struct buf *out, char type, const void *body, size_t size) {
    size_t mark = begin(out, type);
    buf_put(out, body, size);
    end(out, mark);
}

void reply_bare(struct buf *out, char type) {
    end(out, begin(out, type));
}

void reply_parameters(struct buf *out, uint16_t count, const uint32_t *oids) {
    size_t mark = begin(out, 't');
    buf_put_u16(out, count);
    for (uint16_t i = 0; i < count; i++)
        buf_put_u32(out, oids[i]);
    end(out, mark);
}

void reply_columns(struct buf *out, uint16_t count, const struct reply_column *columns) {
    size_t mark = begin(out, 'T');
    buf_put_u16(out, count);
    for (uint16_t i = 0; i < count; i++) {
        put_text(out, columns[i].name);
        buf_put_u32(out, 16384); /* table */
        buf_put_u16(out, (uint16_t)(i + 1));
        buf_put_u32(out, columns[i].oid);
        buf_put_u16(out, (uint16_t)-1); /* size of the type: varies */
        buf_put_u32(out, (uint32_t)columns[i].modifier);
        buf_put_u16(out, 0);
    }
    end(out, mark);
}

void reply_row(struct buf *out, uint16_t count, const char *const *values) {
    size_t mark = begin(out, 'D');
    buf_put_u16(out, count);
    for (uint16_t i = 0; i < count; i++) {
        size_t length = values[i] ? strlen(values[i]) : 0;
        buf_put_u32(out, values[i] ? (uint32_t)length : UINT32_MAX);
        buf_put(out, values[i], length);
    }
    end(out, mark);
}

void reply_tag(struct buf *out, const char *tag) {
    reply_message(out, 'C', tag, strlen(tag) + 1);
}

void reply_ready(struct buf *out, char transaction) {
    reply_message(out, 'Z', &transaction, 1);
}

static void put_field(struct buf *out, char field, const char *text) {
    buf_put_u8(out, (uint8_t)field);
    put_text(out, text);
}

void reply_report(struct buf *out, char type, const char *severity, const char *sqlstate, const char *message,
                  const char *const *more) {
    size_t mark = begin(out, type);
    put_field(out, 'S', severity);
    put_field(out, 'V', severity);
    put_field(out, 'C', sqlstate);
    put_field(out, 'M', message);
    for (; more && *more; more++)
        put_text(out, *more);
    put_field(out, 'F', "postgres.c");
    put_field(out, 'L', "1234");
    put_field(out, 'R', "exec_bind_message");
    buf_put_u8(out, 0);
    end(out, mark);
}

void reply_status(struct buf *out, const char *name, const char *value) {
    size_t mark = begin(out, 'S');
    put_text(out, name);
    put_text(out, value);
    end(out, mark);
}

void reply_notification(struct buf *out, uint32_t pid, const char *channel, const char *payload) {
    size_t mark = begin(out, 'A');
    buf_put_u32(out, pid);
    put_text(out, channel);
    put_text(out, payload);
    end(out, mark);
}

void reply_copy(struct buf *out, char type, uint16_t column_count) {
    size_t mark = begin(out, type);
    buf_put_u8(out, 0);
    buf_put_u16(out, column_count);
    for (uint16_t i = 0; i < column_count; i++)
        buf_put_u16(out, 0);
    end(out, mark);
}

static void reply_letter(struct buf *out, char type) {
    static const struct reply_column columns[] = {{"id", 23, -1}, {"name", 25, -1}};
    switch (type) {
    case 'T':
        reply_columns(out, 2, columns);
        break;
    case 'D':
        reply_row(out, 2, (const char *const[]){"1", NULL});
        break;
    case 't':
        reply_parameters(out, 1, (const uint32_t[]){23});
        break;
    case 'C':
        reply_tag(out, "SELECT 1");
        break;
    case 'Z':
        reply_ready(out, 'I');
        break;
    case 'E':
        reply_report(out, 'E', "ERROR", "22012", "division by zero", NULL);
        break;
    case 'F':
        reply_report(out, 'E', "FATAL", "57P01", "shutting down", NULL);
        break;
    case 'N':
        reply_report(out, 'N', "NOTICE", "00000", "well", NULL);
        break;
    case 'S':
        reply_status(out, "TimeZone", "UTC");
        break;
    case 'A':
        reply_notification(out, 1, "channel", "payload");
        break;
    case 'G':
    case 'H':
    case 'W':
        reply_copy(out, type, 1);
        break;
    case 'R':
    case 'V':
        reply_message(out, type, "\0\0\0", 4);
        break;
    case 'K':
    case 'v':
        reply_message(out, type, "\0\0\0\0\0\0\0", 8);
        break;
    default:
        reply_bare(out, type);
        break;
    }
}

void reply_script(struct buf *out, const char *script) {
    for (; *script; script++)
        reply_letter(out, *script);
}
