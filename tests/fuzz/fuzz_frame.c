/* SPDX-License-Identifier: MIT */
/*
 * One message: its frame, then its body through the decoder of every type, each input at a guard page.
 *
 *      limit: one byte, the largest message in 64ths of 4096     message: the rest
 */
#include "base/assert.h"
#include "lib/guard.h"
#include "lib/wire_reference.h"
#include "wire/decode.h"
#include "wire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct guard guard;

/* A prefix says nothing, or what the whole says, or that it needs more: never anything that more bytes would unsay. */
static void check_frame(const uint8_t *at, size_t size, size_t limit) {
    struct wire_frame whole = {0}, part;
    enum wire_frame_state state = wire_frame_look(cursor_over(at, size), limit, &whole);
    PRE((state == WIRE_FRAME_NONE) == (size < 5));
    if (state == WIRE_FRAME_NONE)
        return;
    uint32_t length = bytes_load_u32(at + 1);
    bool lawful = reference_lawful(at[0], length) && (size_t)length + 1 <= limit;
    PRE((state == WIRE_FRAME_BAD) == !lawful);
    PRE(whole.type == at[0] && whole.size == (size_t)length + 1);
    if (state == WIRE_FRAME_BAD) {
        char text[96] = {0};
        wire_frame_complaint(&whole, limit, text, sizeof text);
        PRE(*text && memchr(text, 0, sizeof text));
        return;
    }
    PRE((state == WIRE_FRAME_WHOLE) == (size >= whole.size));
    if (state == WIRE_FRAME_WHOLE)
        PRE(whole.body.at == at + 5 && whole.body.end == at + whole.size);
    size_t cut = size / 2 < 5 ? 5 : size / 2;
    state = wire_frame_look(cursor_over(at, cut), limit, &part);
    PRE(part.size == whole.size && state == (cut >= whole.size ? WIRE_FRAME_WHOLE : WIRE_FRAME_BEGUN));
}

static size_t check_text(const uint8_t *at, const uint8_t *end, const char *text) {
    size_t length = strlen(text);
    PRE(length == 0 || ((const uint8_t *)text >= at && (const uint8_t *)text + length < end));
    return length;
}

static void check_descriptions(struct cursor body) {
    struct wire_parameters parameters;
    if (wire_decode_parameters(body, &parameters)) {
        PRE(cursor_left(&body) == 2 + (size_t)4 * parameters.count);
        for (uint16_t i = 0; i < parameters.count; i++)
            PRE(wire_parameter_oid(&parameters, i) == bytes_load_u32(body.at + 2 + (size_t)4 * i));
    }
    struct wire_columns columns;
    struct wire_column column;
    if (wire_decode_columns(body, &columns)) {
        size_t names_bytes = 0, count = 0;
        for (; wire_column_next(&columns, &column); count++)
            names_bytes += check_text(body.at, body.end, column.name) + 1;
        PRE(count == columns.count && names_bytes == columns.names_bytes);
        PRE(cursor_left(&body) == 2 + names_bytes + 18 * count);
    }
}

static void check_row(struct cursor body) {
    if (cursor_left(&body) < 2)
        return;
    int32_t count = bytes_load_u16(body.at);
    PRE(!wire_decode_row(body, count + 1) && !wire_decode_row(body, count - 1));
    if (!wire_decode_row(body, count))
        return;
    size_t at = 2;
    for (int32_t i = 0; i < count; i++) {
        uint32_t length = bytes_load_u32(body.at + at);
        at += 4 + (length == UINT32_MAX ? 0 : length);
    }
    PRE(at == cursor_left(&body));
}

static void check_texts(struct cursor body) {
    struct wire_error error;
    bool whole = wire_decode_error(body, &error);
    size_t texts = check_text(body.at, body.end, error.severity) + check_text(body.at, body.end, error.message) +
                   check_text(body.at, body.end, error.detail) + check_text(body.at, body.end, error.hint);
    PRE(texts <= cursor_left(&body) && strlen(error.sqlstate) == 5);
    PRE(!whole || body.end[-1] == 0);
    const char *tag;
    size_t length, words;
    if (wire_decode_tag(body, &tag, &length)) {
        PRE(check_text(body.at, body.end, tag) == length && length + 1 == cursor_left(&body));
        uint64_t rows = wire_tag_rows(tag, length, &words);
        PRE(words <= length && (rows == 0 || words < length));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { ROOM = 1 << 16 };
    if (size == 0 || size > ROOM)
        return 0;
    if (!guard.map)
        guard_open(&guard, ROOM);
    const uint8_t *at = guard_place(&guard, data + 1, size - 1);
    check_frame(at, size - 1, data[0] == 0xff ? SIZE_MAX : (size_t)data[0] * 64);
    if (size - 1 >= 5) {
        struct cursor body = cursor_over(at + 5, size - 1 - 5);
        check_descriptions(body);
        check_row(body);
        check_texts(body);
    }
    return 0;
}
