/* SPDX-License-Identifier: MIT */
#include "wire/encode.h"

#include <string.h>

/*
 * Names are this library's own, so a longer one is a broken contract; the server bounds Describe and Close at 10000 bytes
 * (PQ_SMALL_MESSAGE_LIMIT). The bound is above 8192, because GCC copies what it knows to be at most that long by "rep
 * movs", which takes longer to begin than a name takes to copy.
 */
enum { NAME_BYTES_MAX = 9000, EXECUTE_BYTES = 10, SYNC_BYTES = 5 };

/* Adds a step to the request that is being encoded; returns where its message goes. */
static struct buf *draft_add(struct wire_draft *draft, enum wire_steps step) {
    PRE(step > draft->steps); /* a request was begun, and each step is after those it has: see wire_draft */
    draft->steps |= (uint8_t)step;
    return draft->out;
}

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

void wire_session_put_parse(struct wire_session *session, const char *name, const char *sql, size_t sql_length) {
    struct buf *out = draft_add(&session->draft, WIRE_PARSE);
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

void wire_session_put_describe(struct wire_session *session, const char *name) {
    put_statement_message(draft_add(&session->draft, WIRE_DESCRIBE), 'D', name);
}

void wire_session_put_close(struct wire_session *session, const char *name) {
    put_statement_message(draft_add(&session->draft, WIRE_CLOSE), 'C', name);
}

void wire_session_put_bind(struct wire_session *session, const char *statement_name, uint16_t param_count) {
    struct wire_draft *draft = &session->draft;
    struct buf *out = draft_add(draft, WIRE_BIND);
    size_t name_length = name_size(statement_name);
    size_t formats = 5 + 1 + name_length + 1 + 2;
    size_t codes = (size_t)2 * param_count;
    draft->bind = buf_mark(out);
    draft->bind_formats = draft->bind + formats;
    uint8_t *at = buf_extend(out, formats + codes + 2);
    if (!at)
        return;
    at = put_header(at, 'B', 0); /* put_bind_length() writes the length, once the values are there */
    *at++ = 0;
    at = put_name(at, statement_name, name_length);
    bytes_store_u16(at, param_count);
    memset(at + 2, 0, codes);
    bytes_store_u16(at + 2 + codes, param_count);
}

/* The Bind ends at `end`, a mark of the buffer: its length is known. */
static void put_bind_length(const struct wire_draft *draft, size_t end) {
    size_t length = end - draft->bind - 1;
    if (length > WIRE_SEND_BYTES_MAX)
        buf_fail(draft->out);
    else
        bytes_store_u32(buf_head(draft->out) + draft->bind + 1, (uint32_t)length);
}

void wire_session_put_results(struct wire_session *session, const uint16_t *formats, uint16_t format_count) {
    const struct wire_draft *draft = &session->draft;
    PRE(draft->steps & WIRE_BIND);
    uint8_t *at = buf_extend(draft->out, 2 + (size_t)2 * format_count);
    if (!at)
        return;
    bytes_store_u16(at, format_count);
    for (uint16_t i = 0; i < format_count; i++)
        bytes_store_u16(at + 2 + (size_t)2 * i, formats[i]);
    put_bind_length(draft, buf_mark(draft->out));
}

void wire_session_put_execute(struct wire_session *session) {
    static const uint8_t message[EXECUTE_BYTES] = {'E', 0, 0, 0, 9, 0, 0, 0, 0, 0};
    uint8_t *at = buf_extend(draft_add(&session->draft, WIRE_FETCH), sizeof message);
    if (at)
        memcpy(at, message, sizeof message);
}

/* The template is made by the functions that it replaces, so that its bytes cannot differ from theirs. */
bool wire_template_make(struct wire_template *template, const char *statement_name, uint16_t param_count,
                        const uint16_t *formats, uint16_t format_count) {
    struct wire_session session = {.request_count_max = 1, .room = 1, .draft = {.steps = WIRE_STEPS_END}};
    struct buf out;
    buf_init(&out, sizeof template->bind + sizeof template->execute);
    wire_session_begin(&session, &out);
    wire_session_put_bind(&session, statement_name, param_count);
    size_t bind_bytes = buf_size(&out);
    wire_session_put_results(&session, formats, format_count);
    wire_session_put_execute(&session);
    size_t execute_bytes = buf_size(&out) - bind_bytes;
    wire_session_put_sync(&session);
    bool fits = !buf_failed(&out) && bind_bytes <= sizeof template->bind &&
                execute_bytes + SYNC_BYTES <= sizeof template->execute;
    if (fits) {
        *template = (struct wire_template){
            .param_count = param_count, .bind_bytes = (uint8_t)bind_bytes, .execute_bytes = (uint8_t)execute_bytes};
        memcpy(template->bind, buf_head(&out), bind_bytes);
        memcpy(template->execute, buf_head(&out) + bind_bytes, execute_bytes + SYNC_BYTES);
    }
    buf_free(&out);
    return fits;
}

/*
 * All of the array is copied, and only the part in use is committed: a copy of constant size is a few moves, where one of
 * any other size is a call of memcpy().
 */
void wire_session_put_bind_copy(struct wire_session *session, const struct wire_template *template) {
    struct wire_draft *draft = &session->draft;
    struct buf *out = draft_add(draft, WIRE_BIND);
    draft->bind = buf_mark(out);
    draft->bind_formats = draft->bind + template->bind_bytes - 2 - (size_t)2 * template->param_count;
    uint8_t *at = buf_reserve(out, sizeof template->bind);
    if (!at)
        return;
    memcpy(at, template->bind, sizeof template->bind);
    buf_commit(out, template->bind_bytes);
}

void wire_session_put_execute_copy(struct wire_session *session, const struct wire_template *template, bool sync) {
    struct wire_draft *draft = &session->draft;
    PRE(draft->steps & WIRE_BIND);
    struct buf *out = draft_add(draft, WIRE_FETCH);
    uint8_t *at = buf_reserve(out, sizeof template->execute);
    if (!at)
        return;
    memcpy(at, template->execute, sizeof template->execute);
    size_t execute_end = buf_mark(out) + template->execute_bytes;
    if (sync)
        draft->steps |= WIRE_SYNC;
    buf_commit(out, template->execute_bytes + (sync ? SYNC_BYTES : 0u));
    put_bind_length(draft, execute_end - EXECUTE_BYTES);
}

static void put_bare_message(struct buf *out, char letter) {
    uint8_t *at = buf_extend(out, 5);
    if (at)
        put_header(at, letter, 4);
}

void wire_session_put_sync(struct wire_session *session) {
    put_bare_message(draft_add(&session->draft, WIRE_SYNC), 'S');
}

bool wire_session_end_group(struct wire_session *session, struct buf *out) {
    PRE(session->draft.steps == WIRE_STEPS_END && wire_session_outstanding(session) > 0);
    struct wire_request *newest = wire_session_request(session, session->next - 1);
    PRE(newest->steps < WIRE_SYNC);
    size_t mark = buf_mark(out);
    put_bare_message(out, 'S');
    if (base_unlikely(buf_failed(out))) {
        buf_truncate(out, mark);
        return false;
    }
    newest->steps |= WIRE_SYNC;
    return true;
}

void wire_put_flush(struct buf *out) {
    put_bare_message(out, 'H');
}

void wire_put_terminate(struct buf *out) {
    put_bare_message(out, 'X');
}
