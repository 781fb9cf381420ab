/* SPDX-License-Identifier: MIT */
#include "cli/common/options.h"

#include "cli/cli.h"
#include "cli/common/secret.h"
#include "cli/common/text.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool wipes_line;

void cli_error_wipes_line(bool wipes) {
    wipes_line = wipes;
}

/* Formats first and escapes afterwards: what is put in may come from a server. */
__attribute__((format(printf, 2, 0))) static void options_say(const char *prefix, const char *format, va_list args) {
    struct cli_out message, line;

    cli_out_init(&message, CLI_OUT_MEMORY);
    cli_out_init(&line, STDERR_FILENO);
    cli_out_vformat(&message, format, args);
    cli_secret_hide(&message);
    while (message.size > 0 && message.data[message.size - 1] == '\n') /* libpq's messages end with one */
        message.size--;
    if (wipes_line)
        cli_out_text(&line, "\r\033[K");
    cli_out_text(&line, prefix);
    cli_text_safe(&line, message.data, message.size, CLI_TEXT_KEEP_LINES);
    cli_out_char(&line, '\n');
    cli_out_flush(&line);
    cli_out_free(&message);
    cli_out_free(&line);
}

void cli_say(const char *prefix, const char *format, ...) {
    va_list args;
    va_start(args, format);
    options_say(prefix, format, args);
    va_end(args);
}

void cli_error(const char *format, ...) {
    va_list args;
    va_start(args, format);
    options_say("quring: ", format, args);
    va_end(args);
}

int cli_wrong(const char *command, const char *format, ...) {
    struct cli_out prefix;
    va_list args;

    cli_out_init(&prefix, CLI_OUT_MEMORY);
    cli_out_format(&prefix, "quring %s: ", command);
    cli_out_char(&prefix, '\0');
    va_start(args, format);
    options_say(prefix.data ? prefix.data : "quring: ", format, args);
    va_end(args);
    cli_out_free(&prefix);
    return CLI_EXIT_USAGE;
}

int cli_option_next(int argc, char **argv, const char *letters, const struct option *table) {
    int at = optind;
    opterr = 0;
    int option = getopt_long(argc, argv, letters, table, NULL);
    if (option != '?' && option != ':')
        return option;
    /* For a letter inside "-xyz" optopt names it; for a long option only the argument itself does. */
    const char *given = argv[optind > at ? optind - 1 : at];
    char letter[] = {'-', (char)optopt, 0};
    if (given[0] != '-' || (given[1] != '-' && optopt > 0 && optopt < 256))
        given = letter;
    if (option == ':')
        cli_wrong(argv[0], "%s needs a value; see quring %s --help", given, argv[0]);
    else if (strncmp(given, "--", 2) == 0 && strchr(given, '=') && optopt != 0)
        cli_wrong(argv[0], "%s: this option takes no value", given);
    else
        cli_wrong(argv[0], "there is no option %s; see quring %s --help", given, argv[0]);
    return '?';
}

bool cli_option_count(const char *command, const char *option, const char *text, uint64_t min, uint64_t max,
                      uint64_t *value) {
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end || errno || number < min || number > max) {
        cli_wrong(command, "%s %s: give a whole number from %llu to %llu", option, text, (unsigned long long)min,
                  (unsigned long long)max);
        return false;
    }
    *value = number;
    return true;
}

bool cli_option_real(const char *command, const char *option, const char *text, double min, double max, double *value) {
    char *end;
    double number = strtod(text, &end);
    bool decimal = (isdigit((unsigned char)text[0]) || text[0] == '.') && text[strspn(text, "0123456789.eE+-")] == 0;
    if (!decimal || end == text || *end || !isfinite(number) || number < min || number > max) {
        cli_wrong(command, "%s %s: give a number from %.10g to %.10g", option, text, min, max);
        return false;
    }
    *value = number;
    return true;
}

bool cli_option_word(const char *command, const char *option, const char *text, const char *const *words, int *index) {
    struct cli_out all;

    for (int i = 0; words[i]; i++) {
        if (strcmp(text, words[i]) == 0) {
            *index = i;
            return true;
        }
    }
    cli_out_init(&all, CLI_OUT_MEMORY);
    for (int i = 0; words[i]; i++)
        cli_out_format(&all, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
    cli_out_char(&all, '\0');
    cli_wrong(command, "%s %s: give %s", option, text, all.data ? all.data : "another word");
    cli_out_free(&all);
    return false;
}
