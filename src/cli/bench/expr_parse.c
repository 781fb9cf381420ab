/* SPDX-License-Identifier: MIT */
#include "cli/bench/expr.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Recursive descent over the operators that pgbench has for numbers ("pgbench Operators" in its documentation):
 *
 *      sum     = product { ("+" | "-") product }
 *      product = unary { ("*" | "/" | "%") unary }
 *      unary   = { "-" | "+" } primary
 *      primary = number | ":" name | function "(" [ sum { "," sum } ] ")" | "(" sum ")"
 */
struct parser {
    const char *at, *end;
    const struct cli_variables *variables;
    struct cli_expr *expr;
    uint32_t depth;   /* of the stack */
    uint32_t nesting; /* of this parser's own recursion */
    char *why;
    size_t why_size;
};

enum { NESTING_MAX = 100 }; /* of parentheses: no script can overflow the stack of this parser */

static bool parse_sum(struct parser *p);

__attribute__((format(printf, 2, 3))) static bool parse_fail(struct parser *p, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(p->why, p->why_size, format, args);
    va_end(args);
    return false;
}

static bool parse_peek(struct parser *p, char c) {
    while (p->at < p->end && (*p->at == ' ' || (*p->at >= '\t' && *p->at <= '\r')))
        p->at++;
    return p->at < p->end && *p->at == c;
}

static bool parse_accept(struct parser *p, char c) {
    if (!parse_peek(p, c))
        return false;
    p->at++;
    return true;
}

/* ---- Code -------------------------------------------------------------------------------------------------------- */

/* The code has no jumps, so the depth of the stack is known here, and cli_expr_eval() need not check it. */
static bool parse_emit(struct parser *p, struct cli_op op) {
    struct cli_expr *expr = p->expr;
    p->depth += 1 - cli_op_arity(op.code);
    if (p->depth > CLI_EXPR_DEPTH || expr->count == CLI_EXPR_OPS)
        return parse_fail(p, "this expression is too long");
    expr->ops[expr->count++] = op;
    return true;
}

static bool is_random(enum cli_op_code code) {
    return code >= CLI_OP_RANDOM;
}

/*
 * An operator on constants becomes its result, which also reports a division by zero before anything runs. A random number
 * between constants becomes one step, since nearly every script begins with one.
 */
static bool emit_operator(struct parser *p, enum cli_op_code code) {
    struct cli_expr *expr = p->expr;
    unsigned arity = cli_op_arity(code);
    struct cli_random unused = {0};
    struct cli_value v[3] = {{0}};

    for (unsigned i = 0; i < arity; i++) {
        const struct cli_op *op = &expr->ops[expr->count - arity + i];
        if (op->code != CLI_OP_PUSH)
            return parse_emit(p, (struct cli_op){.code = code});
        v[i] = op->value;
    }
    const char *error = cli_op_apply(code, v, &unused);
    if (error)
        return parse_fail(p, "%s", error);
    if (is_random(code) && code != CLI_OP_RANDOM)
        return parse_emit(p, (struct cli_op){.code = code});
    struct cli_op op = {.code = CLI_OP_PUSH, .value = v[0]};
    if (code == CLI_OP_RANDOM) { /* applying it rounded the bounds, if they were not whole */
        const struct cli_op *bounds = &expr->ops[expr->count - 2];
        struct cli_value low = bounds[0].value, high = bounds[1].value;
        cli_op_apply(CLI_OP_INT, &low, &unused);
        cli_op_apply(CLI_OP_INT, &high, &unused);
        op = (struct cli_op){.code = CLI_OP_RANDOM_RANGE, .value = low};
        op.span = (uint64_t)high.integer - (uint64_t)low.integer;
    }
    expr->count -= arity;
    p->depth -= arity;
    return parse_emit(p, op);
}

/* ---- Grammar ----------------------------------------------------------------------------------------------------- */

static bool parse_number(struct parser *p) {
    char digits[64], *end;
    size_t size = strspn(p->at, "0123456789.");
    if (size > 0 && (p->at[size] == 'e' || p->at[size] == 'E')) {
        size_t sign = p->at[size + 1] == '-' || p->at[size + 1] == '+';
        size += 1 + sign + strspn(p->at + size + 1 + sign, "0123456789");
    }
    if (size == 0 || size >= sizeof digits || cli_name_size(p->at + size, 1))
        return parse_fail(p, "\"%.20s\" is no number", p->at);
    memcpy(digits, p->at, size);
    digits[size] = 0;
    struct cli_op op = {.code = CLI_OP_PUSH};
    errno = 0;
    if (strspn(digits, "0123456789") == size) {
        op.value.integer = strtoll(digits, &end, 10);
    } else {
        op.value.is_real = true;
        op.value.real = strtod(digits, &end);
    }
    if (*end || errno)
        return parse_fail(p, "%s is no number, or out of range", digits);
    p->at += size;
    return parse_emit(p, op);
}

static bool parse_variable(struct parser *p) {
    size_t size = cli_name_size(p->at, (size_t)(p->end - p->at));
    int found = size ? cli_variables_find(p->variables, p->at, size) : -1;
    if (found < 0)
        return parse_fail(p, ":%.*s is not set; \\set it first", cli_name_shown(size), p->at);
    p->at += size;
    if (p->variables->variable[found].constant)
        return parse_emit(p, (struct cli_op){.code = CLI_OP_PUSH, .value = p->variables->variable[found].value});
    return parse_emit(p, (struct cli_op){.code = CLI_OP_VARIABLE, .variable = (uint32_t)found});
}

static const struct function {
    const char *name;
    enum cli_op_code code;
    bool any_number; /* of arguments, from one: the operator joins each to the result of those before it */
} functions[] = {
    {"abs", CLI_OP_ABS, false},
    {"double", CLI_OP_DOUBLE, false},
    {"exp", CLI_OP_EXP, false},
    {"greatest", CLI_OP_GREATEST, true},
    {"int", CLI_OP_INT, false},
    {"least", CLI_OP_LEAST, true},
    {"ln", CLI_OP_LN, false},
    {"max", CLI_OP_GREATEST, true},
    {"min", CLI_OP_LEAST, true},
    {"mod", CLI_OP_MODULO, false},
    {"pow", CLI_OP_POWER, false},
    {"power", CLI_OP_POWER, false},
    {"random", CLI_OP_RANDOM, false},
    {"random_exponential", CLI_OP_EXPONENTIAL, false},
    {"random_gaussian", CLI_OP_GAUSSIAN, false},
    {"random_zipfian", CLI_OP_ZIPFIAN, false},
    {"sqrt", CLI_OP_SQRT, false},
};

static const struct function *find_function(const char *name, size_t size) {
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strlen(functions[i].name) == size && strncasecmp(functions[i].name, name, size) == 0)
            return &functions[i];
    return NULL;
}

static bool parse_function(struct parser *p) {
    size_t size = cli_name_size(p->at, (size_t)(p->end - p->at));
    const char *name = p->at;
    p->at += size;
    if (!parse_accept(p, '('))
        return parse_fail(p, "%.*s: variables are written :name", cli_name_shown(size), name);
    if (size == 2 && strncasecmp(name, "pi", 2) == 0 && parse_accept(p, ')'))
        return parse_emit(
            p, (struct cli_op){.code = CLI_OP_PUSH, .value = {.is_real = true, .real = 3.14159265358979323846}});
    const struct function *function = find_function(name, size);
    if (!function)
        return parse_fail(p, "there is no function %.*s()", cli_name_shown(size), name);
    unsigned arity = cli_op_arity(function->code), count = 0;
    if (!parse_peek(p, ')')) {
        do {
            if (!parse_sum(p))
                return false;
            count++;
            if (function->any_number && count > 1 && !emit_operator(p, function->code))
                return false;
        } while (parse_accept(p, ','));
    }
    if (!parse_accept(p, ')'))
        return parse_fail(p, "%s() lacks its )", function->name);
    if (function->any_number ? count == 0 : count != arity)
        return parse_fail(p, "%s() takes %s%u argument%s, not %u", function->name,
                          function->any_number ? "at least " : "", function->any_number ? 1 : arity,
                          arity == 1 || function->any_number ? "" : "s", count);
    return function->any_number || emit_operator(p, function->code);
}

static bool parse_primary(struct parser *p) {
    if (parse_accept(p, '('))
        return parse_sum(p) && (parse_accept(p, ')') || parse_fail(p, "a ) is missing"));
    if (parse_accept(p, ':'))
        return parse_variable(p);
    if (p->at == p->end)
        return parse_fail(p, "the expression ends too soon");
    if (cli_name_starts(*p->at))
        return parse_function(p);
    return parse_number(p);
}

static bool parse_unary(struct parser *p) {
    bool negate = false;
    if (++p->nesting > NESTING_MAX)
        return parse_fail(p, "this expression is nested too deeply");
    for (;;) {
        if (parse_accept(p, '-'))
            negate = !negate;
        else if (!parse_accept(p, '+'))
            break;
    }
    bool ok = parse_primary(p) && (!negate || emit_operator(p, CLI_OP_NEGATE));
    p->nesting--;
    return ok;
}

static bool parse_product(struct parser *p) {
    if (!parse_unary(p))
        return false;
    for (;;) {
        enum cli_op_code code;
        if (parse_accept(p, '*'))
            code = CLI_OP_MULTIPLY;
        else if (parse_accept(p, '/'))
            code = CLI_OP_DIVIDE;
        else if (parse_accept(p, '%'))
            code = CLI_OP_MODULO;
        else
            return true;
        if (!parse_unary(p) || !emit_operator(p, code))
            return false;
    }
}

static bool parse_sum(struct parser *p) {
    if (!parse_product(p))
        return false;
    for (;;) {
        enum cli_op_code code;
        if (parse_accept(p, '+'))
            code = CLI_OP_ADD;
        else if (parse_accept(p, '-'))
            code = CLI_OP_SUBTRACT;
        else
            return true;
        if (!parse_product(p) || !emit_operator(p, code))
            return false;
    }
}

bool cli_expr_parse(struct cli_expr *expr, const char *text, size_t size, const struct cli_variables *variables,
                    char *why, size_t why_size) {
    char *copy = strndup(text, size); /* its NUL, which no rule accepts, keeps strspn() inside the text */
    *expr = (struct cli_expr){.ops = calloc(CLI_EXPR_OPS, sizeof *expr->ops)};
    struct parser p = {.variables = variables, .expr = expr, .why = why, .why_size = why_size};
    bool ok = copy && expr->ops;
    if (ok) {
        p.at = copy;
        p.end = copy + strlen(copy);
        ok = parse_sum(&p);
        if (ok && (parse_peek(&p, 0), p.at < p.end))
            ok = parse_fail(&p, "\"%.20s\": an operator was expected here (+ - * / %%)", p.at);
    } else {
        parse_fail(&p, "memory ran out");
    }
    free(copy);
    if (!ok)
        cli_expr_free(expr);
    return ok;
}
