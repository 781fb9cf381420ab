/* SPDX-License-Identifier: MIT */
/*
 * What the command line tool reads: SQL text in pieces, pgbench scripts, and text to show.
 *   byte 0   the dialect, and what is tried
 *   byte 1   the size of the pieces
 *   rest     the text
 */
#include "cli/bench/script.h"
#include "cli/common/splitter.h"
#include "cli/common/text.h"
#include "cli/run/rows.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t mix(uint64_t hash, const void *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3u;
    return hash;
}

/* A hash of all that the splitter says, however the text is cut. */
static uint64_t split(const char *text, size_t size, bool sqlite, size_t piece) {
    struct cli_splitter splitter;
    struct cli_statement s;
    uint64_t hash = 1, last_line = 0;
    size_t at = 0, total = 0;

    cli_splitter_init(&splitter, sqlite, 0);
    for (;;) {
        enum cli_split found = cli_splitter_next(&splitter, &s);
        if (found == CLI_SPLIT_MORE && at == size) {
            cli_splitter_end(&splitter);
            continue;
        }
        if (found == CLI_SPLIT_MORE) {
            size_t n = piece < size - at ? piece : size - at;
            assert(cli_splitter_feed(&splitter, text + at, n));
            at += n;
            continue;
        }
        if (found == CLI_SPLIT_END)
            break;
        hash = mix(hash, &found, sizeof found);
        if (found == CLI_SPLIT_ERROR) {
            hash = mix(hash, &splitter.line, sizeof splitter.line);
            hash = mix(hash, splitter.error, strlen(splitter.error));
            break;
        }
        total += s.size;
        assert(s.size > 0 && strlen(s.text) == s.size && total <= size);
        assert(s.line >= s.text_line && s.text_line >= last_line);
        last_line = s.text_line;
        hash = mix(hash, s.text, s.size);
        hash = mix(hash, &s.line, sizeof s.line);
        hash = mix(hash, &s.text_line, sizeof s.text_line);
        hash = mix(hash, &s.param_max, sizeof s.param_max);
    }
    cli_splitter_free(&splitter);
    return hash;
}

static void run_script(const char *text, size_t size, bool sqlite) {
    struct cli_script script;
    struct cli_value values[CLI_VARIABLE_MAX] = {{0}};
    struct cli_random random = {size};

    if (cli_script_parse(&script, text, size, sqlite, 1)) {
        assert(script.statement_count > 0 && script.statement_count <= script.command_count);
        for (uint32_t i = 0; i < script.command_count; i++) {
            const struct cli_command *command = &script.commands[i];
            for (uint32_t j = 0; j < command->param_count; j++)
                assert(command->params[j] < script.variables.count);
            if (!command->sql && cli_expr_eval(&command->expr, values, &random, &values[command->variable]))
                break;
        }
    } else {
        assert(script.why[0] && script.line > 0);
    }
    cli_script_free(&script);
}

static void show(const char *text, size_t size) {
    struct cli_out out;
    cli_out_init(&out, CLI_OUT_MEMORY);
    size_t columns = cli_text_safe(&out, text, size, 0);
    assert(columns == cli_text_safe(NULL, text, size, 0));
    for (size_t i = 0; i < out.size; i++)
        assert((unsigned char)out.data[i] >= 0x20 && out.data[i] != 0x7f);
    out.size = 0;
    cli_text_json(&out, text, size);
    assert(cli_json_is_value(out.data, out.size));
    cli_out_free(&out);
    if (cli_json_is_number(text, size))
        assert(cli_json_is_value(text, size));
    (void)cli_json_is_value(text, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    bool sqlite = data[0] & 1;
    char *text = malloc(size > 2 ? size - 2 : 1); /* of just that size, for the sanitizer to see its end */
    memcpy(text, data + 2, size - 2);
    size -= 2;
    switch (data[0] >> 1 & 3) {
    case 0:
        assert(split(text, size, sqlite, size) == split(text, size, sqlite, data[1] + 1u));
        assert(split(text, size, sqlite, size) == split(text, size, sqlite, 1));
        break;
    case 1:
        run_script(text, size, sqlite);
        break;
    default:
        show(text, size);
    }
    free(text);
    return 0;
}
