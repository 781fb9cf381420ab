/* SPDX-License-Identifier: MIT */
/*
 * One message out of bytes: a letter, a big-endian length that counts itself but not the letter, a body. A header is
 * believed only when its type is one of messages.def and its length is within that type's bounds.
 */
#ifndef QURING_WIRE_FRAME_H
#define QURING_WIRE_FRAME_H

#include "base/assert.h"
#include "base/cursor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WIRE_HEADER_BYTES = 5,
    WIRE_SHORT = 30000 - 4,    /* the longest body of a type that carries no user's data: see messages.def */
    WIRE_LONG = 0x7fffffff - 4 /* the length word is an Int32, and counts itself */
};

enum wire_message {
#define X(letter, name, text, least, most) WIRE_MSG_##name = letter,
#include "wire/messages.def"
#undef X
};

/* By letter: the lengths that may stand in the header, from `least` up to but not `end`; unknown letters have none. */
struct wire_law {
    uint32_t least;
    uint32_t end;
};
extern const struct wire_law wire_laws[256];

enum wire_frame_state {
    WIRE_FRAME_NONE,  /* the header is not whole yet */
    WIRE_FRAME_BEGUN, /* the header is lawful, the body is not whole yet: `type` and `size` are set */
    WIRE_FRAME_WHOLE,
    WIRE_FRAME_BAD /* the header is not to be believed: wire_frame_complaint() */
};

struct wire_frame {
    uint8_t type;
    size_t size; /* of the message in all */
    struct cursor body;
};

/*
 * Looks at the message that the input begins with, and consumes nothing. A message of more than `limit_bytes` in all is
 * BAD: whoever reads the socket need not hold more than that.
 */
static inline enum wire_frame_state wire_frame_look(struct cursor in, size_t limit_bytes, struct wire_frame *frame) {
    const uint8_t *header = cursor_take(&in, WIRE_HEADER_BYTES);
    if (!header)
        return WIRE_FRAME_NONE;
    uint32_t length = bytes_load_u32(header + 1);
    const struct wire_law *law = &wire_laws[*header];
    frame->type = *header;
    frame->size = (size_t)1 + length;
    if (base_unlikely(length < law->least || length >= law->end || frame->size > limit_bytes))
        return WIRE_FRAME_BAD;
    const uint8_t *body = cursor_take(&in, length - 4);
    if (!body)
        return WIRE_FRAME_BEGUN;
    frame->body = cursor_over(body, length - 4);
    return WIRE_FRAME_WHOLE;
}

/* The type's name, or NULL for a letter that is none. */
const char *wire_message_name(uint8_t type);

/* Writes why a header is WIRE_FRAME_BAD. */
void wire_frame_complaint(const struct wire_frame *frame, size_t limit_bytes, char *text, size_t text_bytes);

#endif
