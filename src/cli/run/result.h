/* SPDX-License-Identifier: MIT */
/* What a statement gave, in the format that was asked for. */
#ifndef QURING_CLI_RUN_RESULT_H
#define QURING_CLI_RUN_RESULT_H

#include "cli/run/rows.h"
#include "quring/quring.h"

struct cli_printer {
    struct cli_out *out;
    enum cli_format format;
    struct cli_table_style style;
    bool terminal; /* `out` is one */
    bool printed;  /* a result: the next one is set apart from it */
};

void cli_result_print(struct cli_printer *printer, const quring_result *result);
/* Ends the output, which in some formats is a whole: once, after all results, also when a statement failed. */
void cli_result_end(struct cli_printer *printer);

#endif
