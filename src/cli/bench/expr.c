/* SPDX-License-Identifier: MIT */
#include "cli/bench/expr.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Names ------------------------------------------------------------------------------------------------------- */

bool cli_name_starts(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80);
}

size_t cli_name_size(const char *text, size_t size) {
    size_t n = 0;
    if (size == 0 || !cli_name_starts(text[0]))
        return 0;
    while (n < size && (cli_name_starts(text[n]) || (text[n] >= '0' && text[n] <= '9')))
        n++;
    return n;
}

int cli_variables_find(const struct cli_variables *variables, const char *name, size_t size) {
    for (uint32_t i = 0; i < variables->count; i++)
        if (strlen(variables->variable[i].name) == size && memcmp(variables->variable[i].name, name, size) == 0)
            return (int)i;
    return -1;
}

int cli_variables_add(struct cli_variables *variables, const char *name, size_t size) {
    int found = cli_variables_find(variables, name, size);
    if (found >= 0)
        return found;
    if (variables->count == CLI_VARIABLE_MAX || size >= CLI_NAME_BYTES)
        return -1;
    memcpy(variables->variable[variables->count].name, name, size);
    return (int)variables->count++;
}

/* ---- Values ------------------------------------------------------------------------------------------------------ */

static const char OUT_OF_RANGE[] = "the number is out of range";

static double to_real(struct cli_value v) {
    return v.is_real ? v.real : (double)v.integer;
}

/* Rounds as pgbench's coerceToInt() does. Both bounds are exact doubles, and the upper one is the first out of range. */
static bool to_integer(struct cli_value *v) {
    if (!v->is_real)
        return true;
    double rounded = rint(v->real);
    if (!(rounded >= -0x1p63 && rounded < 0x1p63))
        return false;
    *v = (struct cli_value){.integer = (int64_t)rounded};
    return true;
}

static const char *give_real(struct cli_value *v, double real) {
    *v = (struct cli_value){.is_real = true, .real = real};
    return isfinite(real) ? NULL : OUT_OF_RANGE;
}

static const char *give_integer(struct cli_value *v, int64_t integer) {
    *v = (struct cli_value){.integer = integer};
    return NULL;
}

/* ---- Operators --------------------------------------------------------------------------------------------------- */

unsigned cli_op_arity(enum cli_op_code code) {
    switch (code) {
    case CLI_OP_PUSH:
    case CLI_OP_VARIABLE:
    case CLI_OP_RANDOM_RANGE:
        return 0;
    case CLI_OP_NEGATE:
    case CLI_OP_ABS:
    case CLI_OP_INT:
    case CLI_OP_DOUBLE:
    case CLI_OP_SQRT:
    case CLI_OP_LN:
    case CLI_OP_EXP:
        return 1;
    case CLI_OP_GAUSSIAN:
    case CLI_OP_EXPONENTIAL:
    case CLI_OP_ZIPFIAN:
        return 3;
    default:
        return 2;
    }
}

static const char *apply_real(enum cli_op_code code, struct cli_value *v) {
    double a = to_real(v[0]), b = to_real(v[1]);
    switch (code) {
    case CLI_OP_ADD:
        return give_real(v, a + b);
    case CLI_OP_SUBTRACT:
        return give_real(v, a - b);
    case CLI_OP_MULTIPLY:
        return give_real(v, a * b);
    default:
        return b == 0 ? "division by zero" : give_real(v, a / b);
    }
}

static const char *apply_integer(enum cli_op_code code, struct cli_value *v) {
    int64_t a = v[0].integer, b = v[1].integer, result = 0;
    bool overflow = false;
    switch (code) {
    case CLI_OP_ADD:
        overflow = __builtin_add_overflow(a, b, &result);
        break;
    case CLI_OP_SUBTRACT:
        overflow = __builtin_sub_overflow(a, b, &result);
        break;
    case CLI_OP_MULTIPLY:
        overflow = __builtin_mul_overflow(a, b, &result);
        break;
    default:
        if (b == 0)
            return "division by zero";
        if (b == -1) /* x86 traps on INT64_MIN / -1, and on the remainder as well */
            overflow = code == CLI_OP_DIVIDE && __builtin_sub_overflow((int64_t)0, a, &result);
        else
            result = code == CLI_OP_DIVIDE ? a / b : a % b;
    }
    return overflow ? OUT_OF_RANGE : give_integer(v, result);
}

static const char *apply_unary(enum cli_op_code code, struct cli_value *v) {
    bool negate = code == CLI_OP_NEGATE || (code == CLI_OP_ABS && to_real(*v) < 0);
    switch (code) {
    case CLI_OP_NEGATE:
    case CLI_OP_ABS:
        if (!negate)
            return NULL;
        if (v->is_real)
            return give_real(v, -v->real);
        return v->integer == INT64_MIN ? OUT_OF_RANGE : give_integer(v, -v->integer);
    case CLI_OP_INT:
        return to_integer(v) ? NULL : OUT_OF_RANGE;
    case CLI_OP_DOUBLE:
        return give_real(v, to_real(*v));
    case CLI_OP_SQRT:
        return give_real(v, sqrt(to_real(*v)));
    case CLI_OP_LN:
        return give_real(v, log(to_real(*v)));
    default:
        return give_real(v, exp(to_real(*v)));
    }
}

/* The bounds of parameters are pgbench's, so that a script that runs here runs there. */
static const char *apply_random(enum cli_op_code code, struct cli_value *v, struct cli_random *random) {
    if (!to_integer(&v[0]) || !to_integer(&v[1]))
        return OUT_OF_RANGE;
    int64_t low = v[0].integer, high = v[1].integer;
    if (low > high)
        return "the upper bound of a random number is below its lower bound";
    if (code == CLI_OP_RANDOM)
        return give_integer(v, cli_random_range(random, low, (uint64_t)high - (uint64_t)low));
    double parameter = to_real(v[2]);
    if (code == CLI_OP_GAUSSIAN) {
        if (!(parameter >= 2))
            return "the parameter of random_gaussian must be 2 or more";
        return give_integer(v, cli_random_gaussian(random, low, high, parameter));
    }
    if (code == CLI_OP_EXPONENTIAL) {
        if (!(parameter > 0))
            return "the parameter of random_exponential must be more than 0";
        return give_integer(v, cli_random_exponential(random, low, high, parameter));
    }
    if (!(parameter >= 1.001 && parameter <= 1000))
        return "the parameter of random_zipfian must be from 1.001 to 1000";
    return give_integer(v, cli_random_zipfian(random, low, high, parameter));
}

const char *cli_op_apply(enum cli_op_code code, struct cli_value *v, struct cli_random *random) {
    switch (code) {
    case CLI_OP_ADD:
    case CLI_OP_SUBTRACT:
    case CLI_OP_MULTIPLY:
    case CLI_OP_DIVIDE:
        return v[0].is_real || v[1].is_real ? apply_real(code, v) : apply_integer(code, v);
    case CLI_OP_MODULO:
        return to_integer(&v[0]) && to_integer(&v[1]) ? apply_integer(code, v) : OUT_OF_RANGE;
    case CLI_OP_LEAST:
    case CLI_OP_GREATEST:
        if ((to_real(v[1]) < to_real(v[0])) == (code == CLI_OP_LEAST))
            v[0] = v[1];
        return NULL;
    case CLI_OP_POWER:
        return give_real(v, pow(to_real(v[0]), to_real(v[1])));
    case CLI_OP_RANDOM:
    case CLI_OP_GAUSSIAN:
    case CLI_OP_EXPONENTIAL:
    case CLI_OP_ZIPFIAN:
        return apply_random(code, v, random);
    default:
        return apply_unary(code, v);
    }
}

const char *cli_expr_eval(const struct cli_expr *expr, const struct cli_value *variables, struct cli_random *random,
                          struct cli_value *value) {
    if (expr->count == 1 && expr->ops[0].code == CLI_OP_RANDOM_RANGE) { /* most are, and it needs no stack */
        value->is_real = false;
        value->integer = cli_random_range(random, expr->ops[0].value.integer, expr->ops[0].span);
        return NULL;
    }
    struct cli_value stack[CLI_EXPR_DEPTH + 1], *top = stack; /* the parser refuses what needs more */
    const char *error = NULL;

    stack[0] = stack[1] = stack[2] = (struct cli_value){0}; /* clang's analyzer cannot see that operands come first */

    for (const struct cli_op *op = expr->ops; op < expr->ops + expr->count && !error; op++) {
        switch (op->code) {
        case CLI_OP_RANDOM_RANGE:
            top->is_real = false;
            (top++)->integer = cli_random_range(random, op->value.integer, op->span);
            break;
        case CLI_OP_PUSH:
            *top++ = op->value;
            break;
        case CLI_OP_VARIABLE:
            *top++ = variables[op->variable];
            break;
        default:
            top -= cli_op_arity(op->code);
            error = cli_op_apply(op->code, top, random);
            top++;
        }
    }
    /*
     * Copied by members, as it was stored: a wider load than the stores before it cannot be forwarded from the CPU's store
     * buffer, and would wait for them to reach the cache.
     */
    value->is_real = stack[0].is_real;
    value->integer = stack[0].integer;
    return error;
}

void cli_expr_free(struct cli_expr *expr) {
    free(expr->ops);
    *expr = (struct cli_expr){0};
}
