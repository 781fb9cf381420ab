/* SPDX-License-Identifier: MIT */
#include "cli/bench/script.h"

#include "cli/common/out.h"
#include "cli/common/splitter.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

__attribute__((format(printf, 3, 4))) static bool script_fail(struct cli_script *script, uint64_t line,
                                                              const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(script->why, sizeof script->why, format, args);
    va_end(args);
    script->line = line;
    return false;
}

/* The commands may move: pointers to earlier ones are not kept. */
static struct cli_command *add_command(struct cli_script *script, uint64_t line) {
    size_t size = (script->command_count + 1) * sizeof *script->commands;
    struct cli_command *commands = realloc(script->commands, size);
    if (!commands) {
        script_fail(script, line, "memory ran out");
        return NULL;
    }
    script->commands = commands;
    struct cli_command *command = &commands[script->command_count++];
    *command = (struct cli_command){.line = line};
    return command;
}

/* ---- Backslash commands ------------------------------------------------------------------------------------------ */

static bool parse_set(struct cli_script *script, const char *text, const char *end, uint64_t line) {
    char why[200];
    text += strspn(text, " \t");
    size_t size = cli_name_size(text, (size_t)(end - text));
    if (size == 0 || (text + size < end && !strchr(" \t\r", text[size])))
        return script_fail(script, line, "\\set takes a name and an expression, as in \\set aid random(1, 100)");
    struct cli_command *command = add_command(script, line);
    if (!command)
        return false;
    if (!cli_expr_parse(&command->expr, text + size, (size_t)(end - text) - size, &script->variables, why, sizeof why))
        return script_fail(script, line, "\\set %.*s: %s", cli_name_shown(size), text, why);
    int variable = cli_variables_add(&script->variables, text, size);
    if (variable < 0)
        return script_fail(script, line, "more than %d variables, or a name of more than %d bytes", CLI_VARIABLE_MAX,
                           CLI_NAME_BYTES - 1);
    script->variables.variable[variable].constant = false; /* a script may set :scale as well */
    command->variable = (uint8_t)variable;
    return true;
}

/* The commands of pgbench that are missing here are known by name, so that the message does not call them a mistake. */
static bool parse_backslash(struct cli_script *script, const struct cli_statement *line) {
    static const char *const known[] = {"sleep",    "startpipeline", "syncpipeline", "endpipeline", "if",
                                        "elif",     "else",          "endif",        "gset",        "aset",
                                        "setshell", "shell",         "include",      NULL};
    const char *name = line->text + 1, *end = line->text + line->size;
    size_t size = strcspn(name, " \t\r");
    if (size == 3 && memcmp(name, "set", 3) == 0)
        return parse_set(script, name + 3, end, line->line);
    for (int i = 0; known[i]; i++)
        if (strlen(known[i]) == size && memcmp(known[i], name, size) == 0)
            return script_fail(script, line->line, "\\%s is not supported: quring bench takes \\set and SQL statements",
                               known[i]);
    return script_fail(script, line->line, "there is no command \\%.*s; quring bench takes \\set and SQL statements",
                       cli_name_shown(size), name);
}

/* ---- Statements -------------------------------------------------------------------------------------------------- */

/*
 * A ":name" whose name is at `at` becomes $n, another one each time, because the server infers the type of each from where
 * it stands. A constant is written out, so that the planner sees it as one.
 */
static bool put_param(struct cli_script *script, struct cli_command *command, const struct cli_statement *statement,
                      size_t at, size_t size, struct cli_out *sql) {
    const char *name = statement->text + at;
    int variable = cli_variables_find(&script->variables, name, size);
    if (variable < 0)
        return script_fail(script, cli_statement_line(statement, at), ":%.*s is not set; \\set it first",
                           cli_name_shown(size), name);
    if (script->variables.variable[variable].constant) {
        cli_out_format(sql, "%lld", (long long)script->variables.variable[variable].value.integer);
        return true;
    }
    if (command->param_count == CLI_SCRIPT_PARAM_MAX)
        return script_fail(script, cli_statement_line(statement, at), "more than %d variables in one statement",
                           CLI_SCRIPT_PARAM_MAX);
    command->params[command->param_count++] = (uint8_t)variable;
    cli_out_format(sql, "$%u", command->param_count);
    return true;
}

/* The lexer tells a ':' in code from one in a string or comment, which is the text's own and stays. */
static bool put_sql(struct cli_script *script, struct cli_command *command, const struct cli_statement *statement,
                    bool sqlite, struct cli_out *sql) {
    struct cli_lexer lexer;
    cli_lexer_init(&lexer, sqlite);
    for (size_t i = 0; i < statement->size; i++) {
        unsigned found = cli_lexer_step(&lexer, (unsigned char)statement->text[i]);
        if (found & CLI_LEX_FOUND_BACKSLASH)
            return script_fail(script, cli_statement_line(statement, i),
                               "a backslash inside a statement; does the one before it end with ;?");
        size_t size = cli_name_size(statement->text + i + 1, statement->size - i - 1);
        bool cast = i > 0 && statement->text[i - 1] == ':';
        if (!(found & CLI_LEX_FOUND_COLON) || cast || size == 0) { /* x::int is PostgreSQL's cast */
            cli_out_char(sql, statement->text[i]);
            continue;
        }
        if (!put_param(script, command, statement, i + 1, size, sql))
            return false;
        i += size;
    }
    cli_out_char(sql, 0);
    return !sql->error || script_fail(script, statement->line, "memory ran out");
}

/* Follows the transactions. A script of which a part needs a connection of its own has all of its transactions there. */
static void script_step(struct cli_script *script, enum cli_control control) {
    bool begins = control == CLI_CONTROL_BEGIN, ends = control == CLI_CONTROL_COMMIT || control == CLI_CONTROL_ROLLBACK;
    bool misplaced = script->in_tx ? begins : ends || control == CLI_CONTROL_INSIDE;
    script->exclusive |= misplaced || control == CLI_CONTROL_EXCLUSIVE;
    script->outside_count += !script->in_tx && !begins;
    script->member_count = script->in_tx ? script->member_count + 1 : !begins;
    if (script->member_count > script->unit_count)
        script->unit_count = script->member_count;
    script->in_tx = begins || (script->in_tx && !ends);
}

static bool parse_statement(struct cli_script *script, const struct cli_statement *statement, bool sqlite) {
    struct cli_out sql;
    if (statement->param_max > 0)
        return script_fail(script, statement->line, "$%u has no value in a script; write :name, and \\set name before",
                           statement->param_max);
    quring_tx_options tx = {0};
    enum cli_control control = cli_control_of(statement->text, statement->size, sqlite, &tx);
    if (control == CLI_CONTROL_REFUSED)
        return script_fail(script, statement->line, "COPY, LISTEN and UNLISTEN do not work in quring bench");
    struct cli_command *command = add_command(script, statement->line);
    if (!command)
        return false;
    command->control = (uint8_t)control;
    command->tx = tx;
    script_step(script, control);
    cli_out_init(&sql, CLI_OUT_MEMORY);
    bool ok = put_sql(script, command, statement, sqlite, &sql);
    command->sql = sql.data;
    script->statement_count += ok;
    script->last_statement = script->command_count - 1;
    return ok;
}

/* ---- Scripts ----------------------------------------------------------------------------------------------------- */

static bool parse_all(struct cli_script *script, struct cli_splitter *splitter, bool sqlite) {
    struct cli_statement statement;
    for (;;) {
        switch (cli_splitter_next(splitter, &statement)) {
        case CLI_SPLIT_STATEMENT:
            if (!parse_statement(script, &statement, sqlite))
                return false;
            break;
        case CLI_SPLIT_COMMAND:
            if (!parse_backslash(script, &statement))
                return false;
            break;
        case CLI_SPLIT_END:
            script->exclusive |= script->in_tx;
            return script->statement_count > 0 || script_fail(script, 1, "there is no SQL statement in this script");
        case CLI_SPLIT_MORE:
        case CLI_SPLIT_ERROR:
            return script_fail(script, splitter->line, "%s", splitter->error ? splitter->error : "it ends too soon");
        }
    }
}

bool cli_script_parse(struct cli_script *script, const char *text, size_t size, bool sqlite, int64_t scale) {
    struct cli_splitter splitter;

    *script = (struct cli_script){0};
    cli_variables_add(&script->variables, "client_id", strlen("client_id"));
    int constant = cli_variables_add(&script->variables, "scale", strlen("scale"));
    script->variables.variable[constant].constant = true;
    script->variables.variable[constant].value.integer = scale;

    cli_splitter_init(&splitter, sqlite, CLI_SCRIPT_BYTES_MAX);
    cli_splitter_feed(&splitter, text, size);
    cli_splitter_end(&splitter);
    bool ok = parse_all(script, &splitter, sqlite);
    cli_splitter_free(&splitter);
    return ok;
}

void cli_script_free(struct cli_script *script) {
    for (uint32_t i = 0; i < script->command_count; i++) {
        free(script->commands[i].sql);
        quring_statement_release(script->commands[i].statement);
        cli_expr_free(&script->commands[i].expr);
    }
    free(script->commands);
    *script = (struct cli_script){0};
}
