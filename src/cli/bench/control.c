/* SPDX-License-Identifier: MIT */
#include "cli/bench/control.h"

#include "cli/common/lexer.h"

#include <string.h>

enum { WORDS_MAX = 16 };

/* The first words of a statement, in lower case. Those that are longer than any keyword are empty. */
struct words {
    char word[WORDS_MAX][CLI_LEX_WORD_BYTES + 1];
    uint32_t count, at; /* `at`: the next to be taken */
    bool whole;         /* the statement has nothing else, but for commas */
};

static void words_read(struct words *words, const char *text, size_t size, bool sqlite) {
    struct cli_lexer lexer;
    cli_lexer_init(&lexer, sqlite);
    *words = (struct words){.whole = true};
    for (size_t i = 0; i <= size && words->count < WORDS_MAX; i++) {
        unsigned char c = i < size ? (unsigned char)text[i] : ' ';
        unsigned found = cli_lexer_step(&lexer, c);
        if (found & CLI_LEX_FOUND_WORD) {
            size_t word_size = lexer.word_size <= CLI_LEX_WORD_BYTES ? lexer.word_size : 0;
            memcpy(words->word[words->count++], lexer.word, word_size);
        }
        words->whole &= !(found & CLI_LEX_FOUND_TOKEN) || c == ',';
    }
    words->whole &= words->count < WORDS_MAX;
}

/* Steps over the next word if it is this one. */
static bool words_take(struct words *words, const char *word) {
    bool is = words->at < words->count && strcmp(words->word[words->at], word) == 0;
    words->at += is;
    return is;
}

static bool words_take_any(struct words *words, const char *const *any) {
    while (*any && !words_take(words, *any))
        any++;
    return *any != NULL;
}

static bool words_are_over(const struct words *words) {
    return words->whole && words->at == words->count;
}

static bool words_have(const struct words *words, const char *word) {
    for (uint32_t i = 0; i < words->count; i++)
        if (strcmp(words->word[i], word) == 0)
            return true;
    return false;
}

/* ---- BEGIN ------------------------------------------------------------------------------------------------------- */

static bool control_take_level(struct words *words, quring_isolation *isolation) {
    if (words_take(words, "serializable"))
        *isolation = QURING_ISOLATION_SERIALIZABLE;
    else if (words_take(words, "repeatable") && words_take(words, "read"))
        *isolation = QURING_ISOLATION_REPEATABLE_READ;
    else if (words_take(words, "read") && (words_take(words, "committed") || words_take(words, "uncommitted")))
        *isolation = QURING_ISOLATION_READ_COMMITTED; /* which PostgreSQL makes of READ UNCOMMITTED */
    else
        return false;
    return true;
}

/* READ WRITE and NOT DEFERRABLE, which overrule the server's settings, are not among what the options can say. */
static bool control_take_mode(struct words *words, quring_tx_options *options) {
    if (words_take(words, "isolation"))
        return words_take(words, "level") && control_take_level(words, &options->isolation);
    if (words_take(words, "read"))
        return options->read_only = words_take(words, "only");
    return options->deferrable = words_take(words, "deferrable");
}

/* Behind BEGIN or START. What SQLite says of locks holds for each transaction of the library that writes. */
static enum cli_control control_of_begin(struct words *words, bool sqlite, quring_tx_options *options) {
    static const char *const locks[] = {"deferred", "immediate", "exclusive", NULL};
    static const char *const noise[] = {"work", "transaction", NULL};
    *options = (quring_tx_options){0};
    if (sqlite)
        words_take_any(words, locks);
    words_take_any(words, noise);
    while (!words_are_over(words))
        if (!control_take_mode(words, options))
            return CLI_CONTROL_EXCLUSIVE;
    return CLI_CONTROL_BEGIN;
}

/* ---- All else ---------------------------------------------------------------------------------------------------- */

/* Behind COMMIT, END, ROLLBACK or ABORT. */
static enum cli_control control_of_end(struct words *words, enum cli_control control) {
    static const char *const noise[] = {"work", "transaction", NULL};
    words_take_any(words, noise);
    if (words_take(words, "and") && !(words_take(words, "no") && words_take(words, "chain")))
        return CLI_CONTROL_EXCLUSIVE;
    return words_are_over(words) ? control : CLI_CONTROL_EXCLUSIVE;
}

enum cli_control cli_control_of(const char *text, size_t size, bool sqlite, quring_tx_options *options) {
    static const char *const refused[] = {"copy", "listen", "unlisten", NULL};
    static const char *const begins[] = {"begin", "start", NULL}, *const commits[] = {"commit", "end", NULL};
    static const char *const rolls_back[] = {"rollback", "abort", NULL};
    static const char *const inside[] = {"savepoint", "release", "lock", NULL};
    static const char *const local[] = {"local", "transaction", "constraints", NULL};
    struct words words;

    words_read(&words, text, size, sqlite);
    if (words_take_any(&words, refused))
        return CLI_CONTROL_REFUSED;
    if (words_take_any(&words, begins))
        return control_of_begin(&words, sqlite, options);
    if (words_take_any(&words, commits))
        return control_of_end(&words, CLI_CONTROL_COMMIT);
    if (words_take_any(&words, rolls_back))
        return words_have(&words, "to") ? CLI_CONTROL_INSIDE : control_of_end(&words, CLI_CONTROL_ROLLBACK);
    if (words_take_any(&words, inside))
        return CLI_CONTROL_INSIDE;
    if (words_take(&words, "set"))
        return words_take_any(&words, local) ? CLI_CONTROL_INSIDE : CLI_CONTROL_EXCLUSIVE;
    if (words_take(&words, "reset") || (words_take(&words, "prepare") && words_take(&words, "transaction")))
        return CLI_CONTROL_EXCLUSIVE;
    return CLI_CONTROL_NONE;
}
