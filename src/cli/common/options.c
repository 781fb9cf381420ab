/* SPDX-License-Identifier: MIT */
#include "cli/common/options.h"

#include "cli/common/out.h"
#include "cli/common/say.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* getopt_long() keeps its own messages to itself: they say what is wrong, and not what to do. */
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
    else if (strcmp(given, "-=") == 0)
        cli_wrong(argv[0], "%s: an option of one letter takes no =; see quring %s --help",
                  argv[optind > at ? optind - 1 : at], argv[0]);
    else
        cli_wrong(argv[0], "there is no option %s; see quring %s --help", given, argv[0]);
    return '?';
}

bool cli_option_count(const char *command, const char *option, const char *text, uint64_t min, uint64_t max,
                      uint64_t *value) {
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    /* A digit comes first, because strtoull() takes blanks and a sign as well, and makes a great number of -1. */
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
    /* strtod() takes more than is meant: "inf", "nan", and hexadecimal numbers. */
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
