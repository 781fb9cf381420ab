/* SPDX-License-Identifier: MIT */
#include "wire/frame.h"

#include <stdio.h>

const struct wire_law wire_laws[256] = {
#define X(letter, name, text, body_least, body_most)                                                                   \
    [letter] = {.least = 4 + (body_least), .end = 4 + (body_most) + 1u},
#include "wire/messages.def"
#undef X
};

static const char *const names[256] = {
#define X(letter, name, text, least, most) [letter] = text,
#include "wire/messages.def"
#undef X
};

const char *wire_message_name(uint8_t type) {
    return names[type];
}

void wire_frame_complaint(const struct wire_frame *frame, size_t limit_bytes, char *text, size_t text_bytes) {
    const char *name = names[frame->type];
    const struct wire_law *law = &wire_laws[frame->type];
    size_t length = frame->size - 1;
    if (!name)
        snprintf(text, text_bytes, "message of unknown type 0x%02x", frame->type);
    else if (length < law->least)
        snprintf(text, text_bytes, "%s of length %zu, below its least, %u", name, length, law->least);
    else if (length >= law->end)
        snprintf(text, text_bytes, "%s of length %zu, above its most, %u", name, length, law->end - 1);
    else
        snprintf(text, text_bytes, "%s of length %zu, above the limit of %zu bytes a message", name, length,
                 limit_bytes);
}
