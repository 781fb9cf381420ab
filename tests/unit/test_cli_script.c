/* SPDX-License-Identifier: MIT */
/* pgbench scripts: expressions, variables in statements, and what is refused. */
#include "cli/bench/script.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* ---- Expressions ------------------------------------------------------------------------------------------------- */

static struct cli_variables variables(void) {
    struct cli_variables v = {0};
    cli_variables_add(&v, "i", 1);
    cli_variables_add(&v, "d", 1);
    int constant = cli_variables_add(&v, "scale", 5);
    v.variable[constant].constant = true;
    v.variable[constant].value.integer = 3;
    return v;
}

/* With :i = 7 and :d = 2.5. Returns why it has no value. */
static const char *eval(const char *text, struct cli_value *value) {
    static char why[200];
    struct cli_value values[] = {{.integer = 7}, {.is_real = true, .real = 2.5}, {0}};
    struct cli_variables v = variables();
    struct cli_random random = {1};
    struct cli_expr expr;

    if (!cli_expr_parse(&expr, text, strlen(text), &v, why, sizeof why))
        return why;
    const char *error = cli_expr_eval(&expr, values, &random, value);
    cli_expr_free(&expr);
    return error;
}

static void expect_integer(const char *text, int64_t wanted) {
    struct cli_value value = {0};
    const char *why = eval(text, &value);
    cr_assert_null(why, "%s: %s", text, why);
    cr_assert_not(value.is_real, "%s", text);
    cr_assert_eq(value.integer, wanted, "%s = %lld", text, (long long)value.integer);
}

static void expect_real(const char *text, double wanted) {
    struct cli_value value = {0};
    const char *why = eval(text, &value);
    cr_assert_null(why, "%s: %s", text, why);
    cr_assert(value.is_real, "%s", text);
    cr_assert_float_eq(value.real, wanted, 1e-12, "%s = %g", text, value.real);
}

static void expect_error(const char *text, const char *wanted) {
    struct cli_value value;
    const char *why = eval(text, &value);
    cr_assert_not_null(why, "%s", text);
    cr_assert_not_null(strstr(why, wanted), "%s: %s", text, why);
}

Test(expr, cli_expr_eval_follows_pgbench) {
    expect_integer("1 + 2 * 3 - 4", 3);
    expect_integer("(1 + 2) * 3", 9);
    expect_integer("-:i + --1 - +2", -8);
    expect_integer("7 / 2", 3);
    expect_integer("-7 / 2", -3);
    expect_integer("-7 % 3", -1);
    expect_integer("10 - 3 - 2", 5);
    expect_integer("100000 * :scale", 300000);
    expect_real(":i / 2.0", 3.5);
    expect_real("1e3 + .5", 1000.5);
    expect_real(":d * :i", 17.5);
    expect_integer("9223372036854775807", INT64_MAX);
    expect_integer("-9223372036854775807 - 1", INT64_MIN);
    expect_integer("(-9223372036854775807 - 1) % -1", 0);
}

Test(expr, cli_expr_eval_knows_functions) {
    expect_integer("abs(-:i)", 7);
    expect_real("abs(-2.5)", 2.5);
    expect_integer("min(3, :i, 5)", 3);
    expect_integer("GREATEST(3, :i, 5)", 7);
    expect_integer("max(2)", 2);
    expect_real("least(:d, 3)", 2.5);
    expect_integer("mod(:i, 4)", 3);
    expect_integer("int(5.4 + 3.8)", 9);
    expect_real("double(5)", 5);
    expect_real("sqrt(:d * 10)", 5);
    expect_real("ln(exp(2))", 2);
    expect_real("pow(2, 10) + power(2.0, -1)", 1024.5);
    expect_real("pi()", 3.14159265358979);
}

Test(expr, cli_expr_parse_says_what_is_wrong) {
    expect_error("", "ends too soon");
    expect_error("1 +", "ends too soon");
    expect_error("1 2", "operator was expected");
    expect_error("(1", ") is missing");
    expect_error("abs(1", "lacks its )");
    expect_error("abs()", "takes 1 argument, not 0");
    expect_error("mod(1)", "takes 2 arguments, not 1");
    expect_error("min()", "takes at least 1 argument, not 0");
    expect_error("nosuch(1)", "no function nosuch()");
    expect_error("i", "variables are written :name");
    expect_error(":x", ":x is not set");
    expect_error(":", "is not set");
    expect_error("1 / 0", "division by zero");
    expect_error("1.0 / 0", "division by zero");
    expect_error(":i % (:i - 7)", "division by zero");
    expect_error("9223372036854775807 + 1", "out of range");
    expect_error("9223372036854775808", "out of range");
    expect_error("(-9223372036854775807 - 1) / -1", "out of range");
    expect_error("int(1e30)", "out of range");
    expect_error("sqrt(-1)", "out of range");
    expect_error("ln(0)", "out of range");
    expect_error("1.2.3", "no number");
    expect_error("12x", "no number");
    expect_error("random(2, 1)", "below its lower bound");
    expect_error("random(:i, 1)", "below its lower bound");
    expect_error("random_gaussian(1, 2, 1)", "2 or more");
    expect_error("random_exponential(1, 2, 0)", "more than 0");
    expect_error("random_zipfian(1, 2, 1)", "from 1.001 to 1000");
    expect_error("1 = 1", "operator was expected");
}

Test(expr, cli_expr_parse_refuses_hostile_size) {
    char text[5000];
    memset(text, '(', sizeof text - 1);
    text[sizeof text - 1] = 0;
    expect_error(text, "nested too deeply");
    memset(text, '-', sizeof text - 2);
    text[sizeof text - 2] = '1';
    expect_integer(text, -1 + 2 * ((sizeof text - 2) % 2 == 0));
    for (size_t i = 0; i + 4 < sizeof text; i += 4)
        memcpy(text + i, "+:i ", 5);
    expect_error(text, "too long");
}

static void draw(const char *text, int64_t low, int64_t high, double *mean) {
    char why[200];
    struct cli_value values[3] = {{.integer = 7}};
    struct cli_variables v = variables();
    struct cli_random random = {99};
    struct cli_expr expr;
    int64_t least = INT64_MAX, greatest = INT64_MIN;

    cr_assert(cli_expr_parse(&expr, text, strlen(text), &v, why, sizeof why), "%s", why);
    *mean = 0;
    for (int i = 0; i < 20000; i++) {
        struct cli_value value;
        cr_assert_null(cli_expr_eval(&expr, values, &random, &value));
        cr_assert_not(value.is_real);
        least = value.integer < least ? value.integer : least;
        greatest = value.integer > greatest ? value.integer : greatest;
        *mean += (double)value.integer / 20000;
    }
    cr_assert_eq(least, low, "%s: %lld", text, (long long)least);
    cr_assert_geq(high, greatest, "%s: %lld", text, (long long)greatest);
    cli_expr_free(&expr);
}

Test(expr, cli_random_keeps_to_its_bounds) {
    double mean;
    draw("random(1, 10)", 1, 10, &mean);
    cr_assert_float_eq(mean, 5.5, 0.1);
    draw("random(-:i, 7)", -7, 7, &mean);
    cr_assert_float_eq(mean, 0, 0.2);
    draw("random(5, 5)", 5, 5, &mean);
    draw("random_gaussian(1, 101, 2.5)", 1, 101, &mean);
    cr_assert_float_eq(mean, 51, 1);
    draw("random_exponential(1, 100, 5)", 1, 100, &mean);
    cr_assert(mean > 15 && mean < 25);
    draw("random_zipfian(1, 100, 1.5)", 1, 100, &mean);
    cr_assert(mean > 3 && mean < 12);
    draw("random_zipfian(5, 5, 2)", 5, 5, &mean);
}

Test(expr, cli_random_range_covers_all_of_int64) {
    struct cli_value value;
    cr_assert_null(eval("random(-9223372036854775807 - 1, 9223372036854775807)", &value));
    cr_assert_null(eval("random_gaussian(-9223372036854775807 - 1, 9223372036854775807, 2)", &value));
    cr_assert_null(eval("random_zipfian(-9223372036854775807 - 1, 9223372036854775807, 1.1)", &value));
}

/* ---- Scripts ----------------------------------------------------------------------------------------------------- */

static void parse(struct cli_script *script, const char *text) {
    cr_assert(cli_script_parse(script, text, strlen(text), false, 3), "%d: %s", (int)script->line, script->why);
}

Test(script, cli_script_parse_makes_parameters_of_variables) {
    struct cli_script s;
    parse(&s, "-- a comment\n\\set aid random(1, 100000 * :scale)\n\\set d 1.5\n"
              "select ':aid', \":d\" /* :x */, a::int8, :aid + :d -- :y\n from t where a = :aid and b = :scale\n;");
    cr_assert_eq(s.command_count, 3);
    cr_assert_eq(s.statement_count, 1);
    const struct cli_command *c = &s.commands[2];
    cr_assert_str_eq(c->sql, "select ':aid', \":d\" /* :x */, a::int8, $1 + $2 -- :y\n from t where a = $3 and b = 3");
    cr_assert_eq(c->param_count, 3);
    cr_assert_eq(c->params[0], s.commands[0].variable);
    cr_assert_eq(c->params[1], s.commands[1].variable);
    cr_assert_eq(c->params[2], s.commands[0].variable);
    cr_assert_eq(c->line, 4);
    cli_script_free(&s);
}

Test(script, cli_expr_parse_makes_one_step_of_constant_bounds) {
    struct cli_script s;
    parse(&s, "\\set aid random(1, 100000 * :scale)\nselect :aid;");
    cr_assert_eq(s.commands[0].expr.count, 1);
    cr_assert_eq(s.commands[0].expr.ops[0].code, CLI_OP_RANDOM_RANGE);
    cr_assert_eq(s.commands[0].expr.ops[0].span, 299999);
    cli_script_free(&s);
}

Test(script, cli_script_parse_keeps_the_order_of_statements) {
    struct cli_script s;
    parse(&s, "select :client_id; \\set x 1\nselect :x;\n\\set x \\\n :x + 1\nselect :x, :x");
    cr_assert_eq(s.command_count, 5);
    cr_assert_eq(s.commands[0].params[0], CLI_VARIABLE_CLIENT_ID);
    cr_assert_null(s.commands[1].sql);
    cr_assert_str_eq(s.commands[4].sql, "select $1, $2");
    cli_script_free(&s);
}

Test(script, cli_script_parse_leaves_casts_slices_and_assignments_alone) {
    struct cli_script s;
    parse(&s, "select a::int, b[1:2], :client_id::int, f(x := 1), $$:client_id$$;");
    cr_assert_str_eq(s.commands[0].sql, "select a::int, b[1:2], $1::int, f(x := 1), $$:client_id$$");
    cli_script_free(&s);
}

static void expect_refused(const char *text, unsigned line, const char *why) {
    struct cli_script s;
    cr_assert_not(cli_script_parse(&s, text, strlen(text), false, 1), "%s", text);
    cr_assert_eq(s.line, line, "%s: line %d, %s", text, (int)s.line, s.why);
    cr_assert_not_null(strstr(s.why, why), "%s: %s", text, s.why);
    cli_script_free(&s);
}

Test(script, cli_script_parse_says_what_is_not_supported_with_its_line) {
    expect_refused("", 1, "no SQL statement");
    expect_refused("\\set x 1\n", 1, "no SQL statement");
    expect_refused("select 1;\n\\sleep 1 ms\n", 2, "\\sleep is not supported");
    expect_refused("\n\\startpipeline\nselect 1;", 2, "\\startpipeline is not supported");
    expect_refused("\\nonsense", 1, "no command \\nonsense");
    expect_refused("\\setx 1", 1, "no command \\setx");
    expect_refused("\\set", 1, "takes a name and an expression");
    expect_refused("\\set x", 1, "ends too soon");
    expect_refused("\\set x\\\n1 +", 1, "ends too soon");
    expect_refused("\\set 1 2", 1, "takes a name");
    expect_refused("\\set x :y\nselect 1;", 1, ":y is not set");
    expect_refused("select 1,\n:y;", 2, ":y is not set");
    expect_refused("select $1;", 1, "$1 has no value");
    expect_refused("select 1\n\\set x 1\n;", 2, "backslash inside a statement");
    expect_refused("select 1;\nCopy t from stdin;\n", 2, "COPY, LISTEN and UNLISTEN do not work");
    expect_refused("/* x */ listen a", 1, "COPY, LISTEN and UNLISTEN do not work");
    expect_refused("select 1;\nselect 'x", 2, "never ends");
}

Test(script, cli_script_parse_refuses_more_than_can_be) {
    char text[64 * 80] = "select 1";
    for (int i = 0; i < CLI_SCRIPT_PARAM_MAX + 1; i++)
        strcat(text, ",:client_id");
    expect_refused(text, 1, "more than 64 variables in one statement");
    text[0] = 0;
    for (int i = 0; i < CLI_VARIABLE_MAX; i++)
        snprintf(text + strlen(text), 32, "\\set v%d 1\n", i);
    expect_refused(text, CLI_VARIABLE_MAX - 1, "more than 64 variables");
}

/* ---- Transactions ------------------------------------------------------------------------------------------------ */

static void expect_exclusive(const char *text, bool sqlite, bool wanted) {
    struct cli_script script;
    cr_assert(cli_script_parse(&script, text, strlen(text), sqlite, 1), "%s: %s", text, script.why);
    cr_assert_eq(script.exclusive, wanted, "%s", text);
    cli_script_free(&script);
}

Test(script, cli_script_parse_tells_which_scripts_need_a_connection_of_their_own) {
    static const char *const exclusive[] = {
        "begin; select 1",
        "begin; begin; end",
        "begin; end; end",
        "select 1;\n/* x */ Commit",
        "rollback",
        "set work_mem = 1; select 1",
        "begin; set work_mem = 1; end",
        "begin; reset work_mem; end",
        "savepoint a",
        "rollback to a",
        "lock t",
        "begin; commit and chain; end",
        "begin; rollback and chain; end",
        "begin; prepare transaction 'x'",
        "commit prepared 'x'",
        "begin read write; end",
        "begin not deferrable; end",
        "begin isolation level snapshot; end",
        "begin x; end",
        "begin isolation",
        "start transaction 1; end",
    };
    static const char *const shared[] = {
        "select 1",
        "select 'begin'; select \"end\" from t",
        "\\set begin 1\nselect :begin",
        "update t set a = 1",
        "begin; select 1; end",
        "BEGIN WORK; COMMIT WORK",
        "begin; savepoint a; rollback work to savepoint \"a\"; release a; end transaction",
        "begin; set local work_mem = 1; set transaction read only; set constraints all deferred; lock t; commit",
        "select 1; start transaction; select 2; rollback and no chain; select 3; begin; abort",
        "begin /* x */ transaction -- y\n; end",
        "prepare a as select 1",
    };
    for (size_t i = 0; i < sizeof exclusive / sizeof *exclusive; i++)
        expect_exclusive(exclusive[i], false, true);
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        expect_exclusive(shared[i], false, false);
    expect_exclusive("begin immediate transaction; end transaction", true, false);
    expect_exclusive("begin deferred; end", true, false);
    expect_exclusive("begin exclusive; end", true, false);
    expect_exclusive("begin immediate; end", false, true);
}

static void expect_options(const char *text, quring_isolation isolation, bool read_only, bool deferrable) {
    quring_tx_options options = {.timeout_ns = 1};
    cr_assert_eq(cli_control_of(text, strlen(text), false, &options), CLI_CONTROL_BEGIN, "%s", text);
    cr_assert_eq(options.isolation, isolation, "%s", text);
    cr_assert_eq(options.read_only, read_only, "%s", text);
    cr_assert_eq(options.deferrable, deferrable, "%s", text);
    cr_assert_eq(options.timeout_ns, 0, "%s", text);
}

Test(control, cli_control_of_reads_what_begin_asks_for) {
    expect_options("begin", QURING_ISOLATION_DEFAULT, false, false);
    expect_options("Start Transaction Read Only", QURING_ISOLATION_DEFAULT, true, false);
    expect_options("begin isolation level serializable", QURING_ISOLATION_SERIALIZABLE, false, false);
    expect_options("begin work isolation level repeatable read, read only", QURING_ISOLATION_REPEATABLE_READ, true,
                   false);
    expect_options("begin isolation level read committed", QURING_ISOLATION_READ_COMMITTED, false, false);
    expect_options("begin isolation level read uncommitted", QURING_ISOLATION_READ_COMMITTED, false, false);
    expect_options("begin isolation level serializable read only deferrable", QURING_ISOLATION_SERIALIZABLE, true,
                   true);
}

Test(control, cli_control_of_is_not_misled_by_long_texts) {
    char text[4000] = "begin";
    quring_tx_options options;
    for (int i = 0; i < 300; i++)
        strcat(text, " read only");
    cr_assert_eq(cli_control_of(text, strlen(text), false, &options), CLI_CONTROL_EXCLUSIVE);
    memset(text, 'x', sizeof text - 1);
    cr_assert_eq(cli_control_of(text, sizeof text - 1, false, &options), CLI_CONTROL_NONE);
    cr_assert_eq(cli_control_of("", 0, false, &options), CLI_CONTROL_NONE);
}

Test(script, cli_script_parse_knows_the_units_of_a_script) {
    struct cli_script script;
    parse(&script, "select 0;\n\\set a 1\nbegin;\nselect :a;\n\\set a 2\nselect :a;\nend;\nbegin read only; abort;");
    static const enum cli_control wanted[] = {CLI_CONTROL_NONE,   CLI_CONTROL_NONE,  CLI_CONTROL_BEGIN,
                                              CLI_CONTROL_NONE,   CLI_CONTROL_NONE,  CLI_CONTROL_NONE,
                                              CLI_CONTROL_COMMIT, CLI_CONTROL_BEGIN, CLI_CONTROL_ROLLBACK};
    cr_assert_eq(script.command_count, sizeof wanted / sizeof *wanted);
    for (uint32_t i = 0; i < script.command_count; i++)
        cr_assert_eq(script.commands[i].control, wanted[i], "%u", i);
    cr_assert_eq(script.outside_count, 1);
    cr_assert_eq(script.unit_count, 3);
    cr_assert(script.commands[7].tx.read_only);
    cli_script_free(&script);
    parse(&script, "begin; end");
    cr_assert_eq(script.outside_count, 0);
    cr_assert_eq(script.unit_count, 1);
    cli_script_free(&script);
}

Test(script, cli_script_parse_knows_the_last_statement) {
    static const char text[] = "\\set a 1\nselect 1;\nselect 2;\n\\set b 2\n";
    struct cli_script script;
    cr_assert(cli_script_parse(&script, text, strlen(text), false, 1));
    cr_assert_eq(script.command_count, 4);
    cr_assert_eq(script.last_statement, 2);
    cli_script_free(&script);
}
