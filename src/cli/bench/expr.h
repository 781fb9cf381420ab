/* SPDX-License-Identifier: MIT */
/*
 * pgbench's arithmetic: integers and doubles, variables, + - * / %, and functions. Parsed once to postfix code in which
 * all that is constant has been worked out, so that "random(1, 100000 * :scale)" is one step.
 *
 *   expr.c         values, operators and functions
 *   expr_parse.c   text to code
 */
#ifndef QURING_CLI_BENCH_EXPR_H
#define QURING_CLI_BENCH_EXPR_H

#include "cli/bench/random.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cli_value {
    bool is_real;
    union {
        int64_t integer;
        double real;
    };
};

/* The names that a script may use. Each is set by \set, or is a constant from the start. */
enum { CLI_VARIABLE_MAX = 64, CLI_NAME_BYTES = 64 };

struct cli_variables {
    uint32_t count;
    struct {
        char name[CLI_NAME_BYTES];
        bool constant;
        struct cli_value value; /* of a constant */
    } variable[CLI_VARIABLE_MAX];
};

/* Return the index of a name, or -1. */
int cli_variables_find(const struct cli_variables *variables, const char *name, size_t size);
/* Returns the index of a name that is added if need be; -1 when there is no room or the name is too long. */
int cli_variables_add(struct cli_variables *variables, const char *name, size_t size);
bool cli_name_starts(char c);
/* Returns how many bytes the name at `text` has; 0 when none begins there. */
size_t cli_name_size(const char *text, size_t size);
/* Returns how many bytes of a name a message shows, for %.*s: a name may be as long as its script. */
static inline int cli_name_shown(size_t size) {
    return (int)(size < 40 ? size : 40);
}

enum cli_op_code {
    CLI_OP_PUSH,
    CLI_OP_VARIABLE,
    CLI_OP_RANDOM_RANGE, /* random(a, b) of constants */
    CLI_OP_NEGATE,
    CLI_OP_ADD,
    CLI_OP_SUBTRACT,
    CLI_OP_MULTIPLY,
    CLI_OP_DIVIDE,
    CLI_OP_MODULO,
    CLI_OP_ABS,
    CLI_OP_LEAST,
    CLI_OP_GREATEST,
    CLI_OP_INT,
    CLI_OP_DOUBLE,
    CLI_OP_SQRT,
    CLI_OP_LN,
    CLI_OP_EXP,
    CLI_OP_POWER,
    CLI_OP_RANDOM,
    CLI_OP_GAUSSIAN,
    CLI_OP_EXPONENTIAL,
    CLI_OP_ZIPFIAN
};

enum { CLI_EXPR_DEPTH = 32, CLI_EXPR_OPS = 256 };

struct cli_op {
    enum cli_op_code code;
    uint32_t variable;
    struct cli_value value; /* of PUSH; of RANDOM_RANGE the lower bound */
    uint64_t span;          /* of RANDOM_RANGE: the upper bound less the lower, which no int64_t may hold */
};

struct cli_expr {
    struct cli_op *ops;
    uint32_t count;
};

/* Parses all of the text. On failure returns false and writes why; nothing is to be freed then. */
bool cli_expr_parse(struct cli_expr *expr, const char *text, size_t size, const struct cli_variables *variables,
                    char *why, size_t why_size);
void cli_expr_free(struct cli_expr *expr);

/* Writes the value and returns NULL; or returns why there is none: "division by zero". */
const char *cli_expr_eval(const struct cli_expr *expr, const struct cli_value *variables, struct cli_random *random,
                          struct cli_value *value);

/*
 * Applies an operator to its operands, and puts the result in the place of the first. Returns NULL, or why there is none.
 * cli_op_arity() says how many operands it takes.
 */
const char *cli_op_apply(enum cli_op_code code, struct cli_value *operands, struct cli_random *random);
unsigned cli_op_arity(enum cli_op_code code);

#endif
