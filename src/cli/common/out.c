/* SPDX-License-Identifier: MIT */
#include "cli/common/out.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void cli_out_init(struct cli_out *out, int fd) {
    *out = (struct cli_out){.fd = fd};
}

void cli_out_free(struct cli_out *out) {
    free(out->data);
    *out = (struct cli_out){.fd = CLI_OUT_MEMORY};
}

static bool out_is_stopped(const struct cli_out *out) {
    return out->stopped && out->stopped();
}

/*
 * A stop ends output where it overflows the buffer, and there alone: cli_out_flush() does not ask, so that the last lines
 * before a stop are still shown.
 */
static void out_check_stopped(struct cli_out *out) {
    if (out_is_stopped(out) && !out->error)
        out->error = EINTR;
}

static void out_write(struct cli_out *out, const char *bytes, size_t size) {
    while (size > 0 && !out->error) {
        ssize_t written = write(out->fd, bytes, size);
        if (written < 0 && (errno != EINTR || out_is_stopped(out)))
            out->error = errno; /* EINTR: a pipe whose reader has stalled would keep the command from stopping */
        if (written > 0) {
            bytes += written;
            size -= (size_t)written;
        }
    }
}

int cli_out_flush(struct cli_out *out) {
    if (out->fd != CLI_OUT_MEMORY) {
        out_write(out, out->data, out->size);
        out->size = 0;
    }
    return out->error ? -1 : 0;
}

/* Room for `size` more bytes; false when there is none, now or ever again. */
static bool out_reserve(struct cli_out *out, size_t size) {
    if (out->error)
        return false;
    if (size <= out->capacity - out->size)
        return true;
    if (out->fd != CLI_OUT_MEMORY && out->size > 0) {
        out_check_stopped(out);
        cli_out_flush(out);
        return out_reserve(out, size);
    }
    size_t capacity = out->capacity ? 2 * out->capacity : CLI_OUT_BUFFER_BYTES;
    if (capacity - out->size < size)
        capacity = out->size + size;
    char *data = realloc(out->data, capacity);
    if (!data) {
        out->error = ENOMEM;
        return false;
    }
    out->data = data;
    out->capacity = capacity;
    return true;
}

void cli_out_bytes(struct cli_out *out, const char *bytes, size_t size) {
    if (size > CLI_OUT_BUFFER_BYTES && out->fd != CLI_OUT_MEMORY) { /* a copy would gain nothing */
        out_check_stopped(out);
        cli_out_flush(out);
        out_write(out, bytes, size);
    } else if (size > 0 && out_reserve(out, size)) {
        memcpy(out->data + out->size, bytes, size);
        out->size += size;
    }
}

void cli_out_text(struct cli_out *out, const char *text) {
    cli_out_bytes(out, text, strlen(text));
}

void cli_out_char(struct cli_out *out, char c) {
    if (out->size < out->capacity && !out->error)
        out->data[out->size++] = c;
    else
        cli_out_bytes(out, &c, 1);
}

void cli_out_repeat(struct cli_out *out, const char *text, size_t count) {
    size_t size = strlen(text);
    for (; count > 0 && !out->error; count--)
        cli_out_bytes(out, text, size);
}

void cli_out_vformat(struct cli_out *out, const char *format, va_list args) {
    char *text;
    int size = vasprintf(&text, format, args);
    if (size < 0) {
        out->error = ENOMEM;
        return;
    }
    cli_out_bytes(out, text, (size_t)size);
    free(text);
}

void cli_out_format(struct cli_out *out, const char *format, ...) {
    va_list args;
    va_start(args, format);
    cli_out_vformat(out, format, args);
    va_end(args);
}
