/* SPDX-License-Identifier: MIT */
/* getopt_long with messages that say what to do, and the values of options. */
#ifndef QURING_CLI_COMMON_OPTIONS_H
#define QURING_CLI_COMMON_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

/* getopt_long() itself; '?' means that the message has been given. `letters` starts with ':'. */
int cli_option_next(int argc, char **argv, const char *letters, const struct option *table);

/*
 * The value of an option, all of it: false after a message that names the option, what was given and what is allowed.
 * Numbers are within [min, max].
 */
bool cli_option_count(const char *command, const char *option, const char *text, uint64_t min, uint64_t max,
                      uint64_t *value);
bool cli_option_real(const char *command, const char *option, const char *text, double min, double max, double *value);
/* `words` ends with NULL; *index says which. */
bool cli_option_word(const char *command, const char *option, const char *text, const char *const *words, int *index);

#endif
