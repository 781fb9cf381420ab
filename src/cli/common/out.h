/* SPDX-License-Identifier: MIT */
/*
 * Buffered output to a descriptor, or to memory. The first failed write is remembered and ends all output, so that
 * printers are straight lines and whoever loops over rows looks at `error` now and then.
 */
#ifndef QURING_CLI_COMMON_OUT_H
#define QURING_CLI_COMMON_OUT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

enum { CLI_OUT_MEMORY = -1, CLI_OUT_BUFFER_BYTES = 1 << 16 };

struct cli_out {
    int fd; /* CLI_OUT_MEMORY: everything stays in data */
    char *data;
    size_t size;
    size_t capacity;
    int error;             /* errno of the first failure, 0 so far */
    bool (*stopped)(void); /* may be NULL; true ends output that does not fit the buffer or has to wait, with EINTR */
};

void cli_out_init(struct cli_out *out, int fd);
void cli_out_free(struct cli_out *out); /* does not flush */

/* Writes what is buffered. Returns 0, or -1 once anything has failed. */
int cli_out_flush(struct cli_out *out);

void cli_out_bytes(struct cli_out *out, const char *bytes, size_t size);
void cli_out_text(struct cli_out *out, const char *text);
void cli_out_char(struct cli_out *out, char c);
void cli_out_repeat(struct cli_out *out, const char *text, size_t count);
void cli_out_format(struct cli_out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cli_out_vformat(struct cli_out *out, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

#endif
