/* SPDX-License-Identifier: MIT */
#include "cli/bench/workload.h"

#include "cli/cli.h"
#include "cli/common/say.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WEIGHT_MAX = 1000000 };

/* Work on pgbench's tables without BEGIN: in tpcb the transaction is one statement. */
static const char SELECT[] = "\\set aid random(1, 100000 * :scale)\n"
                             "select abalance from pgbench_accounts where aid = :aid;\n";

static const char UPDATE[] = "\\set aid random(1, 100000 * :scale)\n"
                             "\\set delta random(-5000, 5000)\n"
                             "update pgbench_accounts set abalance = abalance + :delta where aid = :aid;\n";

#define TPCB_VARIABLES                                                                                                 \
    "\\set aid random(1, 100000 * :scale)\n"                                                                           \
    "\\set bid random(1, :scale)\n"                                                                                    \
    "\\set tid random(1, 10 * :scale)\n"                                                                               \
    "\\set delta random(-5000, 5000)\n"

static const char TPCB_POSTGRESQL[] = TPCB_VARIABLES
    "with a as (update pgbench_accounts set abalance = abalance + :delta where aid = :aid returning abalance),\n"
    "     t as (update pgbench_tellers set tbalance = tbalance + :delta where tid = :tid),\n"
    "     b as (update pgbench_branches set bbalance = bbalance + :delta where bid = :bid),\n"
    "     h as (insert into pgbench_history (tid, bid, aid, delta, mtime)\n"
    "           values (:tid, :bid, :aid, :delta, current_timestamp))\n"
    "select abalance from a;\n";

/* SQLite has no writable WITH: a trigger on a view, which -i makes, does the same in one statement. */
static const char TPCB_SQLITE[] =
    TPCB_VARIABLES "insert into quring_tpcb (tid, bid, aid, delta) values (:tid, :bid, :aid, :delta);\n";

/* pgbench's own scripts, word for word: https://www.postgresql.org/docs/current/pgbench.html. */
#define BEGIN_ACCOUNTS                                                                                                 \
    "begin;\n"                                                                                                         \
    "update pgbench_accounts set abalance = abalance + :delta where aid = :aid;\n"                                     \
    "select abalance from pgbench_accounts where aid = :aid;\n"
#define HISTORY_END                                                                                                    \
    "insert into pgbench_history (tid, bid, aid, delta, mtime)\n"                                                      \
    "    values (:tid, :bid, :aid, :delta, current_timestamp);\n"                                                      \
    "end;\n"

static const char SIMPLE_UPDATE[] = TPCB_VARIABLES BEGIN_ACCOUNTS HISTORY_END;

static const char TPCB_LIKE[] = TPCB_VARIABLES BEGIN_ACCOUNTS
    "update pgbench_tellers set tbalance = tbalance + :delta where tid = :tid;\n"
    "update pgbench_branches set bbalance = bbalance + :delta where bid = :bid;\n" HISTORY_END;

static const struct builtin {
    const char *name;
    const char *postgresql, *sqlite;
} builtins[] = {{"select", SELECT, SELECT},
                {"update", UPDATE, UPDATE},
                {"tpcb", TPCB_POSTGRESQL, TPCB_SQLITE},
                {"select-only", SELECT, SELECT},
                {"simple-update", SIMPLE_UPDATE, SIMPLE_UPDATE},
                {"tpcb-like", TPCB_LIKE, TPCB_LIKE}};

static const struct builtin *find_builtin(const char *name) {
    for (size_t i = 0; i < sizeof builtins / sizeof *builtins; i++)
        if (strcmp(builtins[i].name, name) == 0)
            return &builtins[i];
    return NULL;
}

/* The script is read up to the limit without asking for its size, which a pipe such as <(generate) does not have. */
static int read_file(struct cli_source *source) {
    FILE *file = fopen(source->name, "rbe");
    int status = CLI_EXIT_USAGE;
    source->text = malloc(CLI_SCRIPT_BYTES_MAX);
    if (!file || !source->text) {
        cli_wrong("bench", "-f %s: %s", source->name, strerror(file ? ENOMEM : errno));
    } else {
        source->size = fread(source->text, 1, CLI_SCRIPT_BYTES_MAX, file);
        if (ferror(file))
            cli_wrong("bench", "-f %s: %s", source->name, strerror(errno));
        else if (source->size == CLI_SCRIPT_BYTES_MAX)
            cli_wrong("bench", "-f %s: a script is smaller than %d MiB", source->name, CLI_SCRIPT_BYTES_MAX >> 20);
        else
            status = CLI_EXIT_OK;
    }
    if (file)
        fclose(file);
    return status;
}

int cli_workload_add(struct cli_workload *workload, const char *spec, bool builtin) {
    const char *option = builtin ? "-b" : "-f", *at = strrchr(spec, '@');
    if (workload->count == CLI_WORKLOAD_MAX)
        return cli_wrong("bench", "%s %s: more than %d scripts", option, spec, CLI_WORKLOAD_MAX);
    struct cli_source *source = &workload->sources[workload->count++];
    *source = (struct cli_source){.spec = spec, .builtin = builtin, .weight = 1};
    /* A file name may have an @ in it: only digits behind the last one are a weight. */
    bool weighted = at && at[1] && at[1 + strspn(at + 1, "0123456789")] == 0;
    if (weighted) {
        errno = 0;
        source->weight = strtoull(at + 1, NULL, 10);
        if (errno || source->weight < 1 || source->weight > WEIGHT_MAX)
            return cli_wrong("bench", "%s %s: a weight is a whole number from 1 to %d", option, spec, WEIGHT_MAX);
    }
    source->name = strndup(spec, weighted ? (size_t)(at - spec) : strlen(spec));
    workload->weight_total += source->weight;
    if (!source->name)
        return cli_no_memory();
    if (!builtin)
        return read_file(source);
    if (!find_builtin(source->name))
        return cli_wrong(
            "bench", "-b %s: give select, update or tpcb, or pgbench's select-only, simple-update or tpcb-like", spec);
    return CLI_EXIT_OK;
}

int cli_workload_copy(struct cli_workload *to, const struct cli_workload *from) {
    to->count = from->count;
    to->weight_total = from->weight_total;
    for (uint32_t i = 0; i < from->count; i++) {
        const struct cli_source *source = &from->sources[i];
        struct cli_source *copy = &to->sources[i];
        *copy = (struct cli_source){
            .spec = source->spec, .builtin = source->builtin, .weight = source->weight, .size = source->size};
        copy->name = strdup(source->name);
        copy->text = source->text ? malloc(source->size + 1) : NULL;
        if (!copy->name || (source->text && !copy->text))
            return cli_no_memory();
        if (source->text)
            memcpy(copy->text, source->text, source->size);
    }
    return CLI_EXIT_OK;
}

int cli_workload_parse(struct cli_workload *workload, bool sqlite, int64_t scale) {
    for (uint32_t i = 0; i < workload->count; i++) {
        struct cli_source *source = &workload->sources[i];
        const char *text = source->text;
        size_t size = source->size;
        if (source->builtin) {
            const struct builtin *builtin = find_builtin(source->name);
            text = sqlite ? builtin->sqlite : builtin->postgresql;
            size = strlen(text);
        }
        cli_script_free(&source->script);
        if (!cli_script_parse(&source->script, text, size, sqlite, scale))
            return cli_wrong("bench", "%s:%" PRIu64 ": %s", source->name, source->script.line, source->script.why);
    }
    return CLI_EXIT_OK;
}

bool cli_workload_is_exclusive(const struct cli_workload *workload) {
    for (uint32_t i = 0; i < workload->count; i++)
        if (workload->sources[i].script.exclusive)
            return true;
    return false;
}

bool cli_workload_is_all_tx(const struct cli_workload *workload) {
    for (uint32_t i = 0; i < workload->count; i++)
        if (workload->sources[i].script.outside_count > 0)
            return false;
    return true;
}

uint32_t cli_workload_unit_count(const struct cli_workload *workload) {
    uint32_t count = 1;
    for (uint32_t i = 0; i < workload->count; i++)
        if (workload->sources[i].script.unit_count > count)
            count = workload->sources[i].script.unit_count;
    return count;
}

int cli_workload_prepare(struct cli_workload *workload, quring_db *db) {
    if (cli_workload_is_exclusive(workload))
        return CLI_EXIT_OK;
    for (uint32_t i = 0; i < workload->count; i++) {
        struct cli_script *script = &workload->sources[i].script;
        for (uint32_t j = 0; j < script->command_count; j++) {
            struct cli_command *command = &script->commands[j];
            bool runs = command->sql && command->control != CLI_CONTROL_BEGIN;
            int error = runs ? quring_prepare(db, command->sql, &command->statement) : 0;
            if (error < 0) {
                cli_error("%s:%" PRIu64 ": %s", workload->sources[i].name, command->line, quring_strerror(error));
                return CLI_EXIT_FAILED;
            }
        }
    }
    return CLI_EXIT_OK;
}

bool cli_workload_has_builtin(const struct cli_workload *workload, const char *name) {
    for (uint32_t i = 0; i < workload->count; i++)
        if (workload->sources[i].builtin && (!name || strcmp(workload->sources[i].name, name) == 0))
            return true;
    return false;
}

void cli_workload_put_name(const struct cli_workload *workload, struct cli_out *out) {
    for (uint32_t i = 0; i < workload->count; i++)
        cli_out_format(out, "%s%s", i ? "," : "", workload->sources[i].spec);
}

void cli_workload_free(struct cli_workload *workload) {
    for (uint32_t i = 0; i < workload->count; i++) {
        cli_script_free(&workload->sources[i].script);
        free(workload->sources[i].name);
        free(workload->sources[i].text);
    }
    *workload = (struct cli_workload){0};
}
