/* SPDX-License-Identifier: MIT */
/* PostgreSQL's text of an array, as array_out writes it, read token by token: [0:1]={{1,NULL},{"a b","\"c\""}} */
#ifndef QURING_CLI_RUN_ARRAY_H
#define QURING_CLI_RUN_ARRAY_H

#include "cli/common/out.h"

#include <stddef.h>
#include <stdint.h>

enum { CLI_ARRAY_DEPTH_MAX = 6 }; /* MAXDIM */

enum cli_array_token {
    CLI_ARRAY_OPEN,
    CLI_ARRAY_CLOSE,
    CLI_ARRAY_NULL,
    CLI_ARRAY_ELEMENT, /* its text is in `text` and `size` */
    CLI_ARRAY_END,
    CLI_ARRAY_BAD /* this is no such text, or memory ran out */
};

struct cli_array {
    const char *at, *end;
    uint8_t depth, expected;
    const char *text; /* of the last ELEMENT; valid until the next call */
    size_t size;
    struct cli_out unquoted;
};

/* Skips the bounds, which most arrays are written without. */
void cli_array_init(struct cli_array *array, const char *text, size_t size);
void cli_array_free(struct cli_array *array);

/* Returns the next token. After END or BAD it is not called again. */
enum cli_array_token cli_array_next(struct cli_array *array);

#endif
