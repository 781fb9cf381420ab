/* SPDX-License-Identifier: MIT */
/*
 * Passwords among the command's own arguments and in DATABASE_URL. Messages of the library, libpq and the server quote URLs and conninfo
 * strings, and end up in logs: no message of the tool repeats a password.
 */
#ifndef QURING_CLI_COMMON_SECRET_H
#define QURING_CLI_COMMON_SECRET_H

#include "cli/common/out.h"

/* Keeps the arguments to look for passwords in; argv must stay. */
void cli_secret_learn(int argc, char **argv);

/*
 * Puts *** for the password wherever `message`, which is in memory, holds a piece of an argument that has one:
 *   user:PASSWORD@       up to the last @, so that / and @ that should have been written %2F and %40 belong to it
 *   password=PASSWORD    of a URL or a conninfo string
 */
void cli_secret_hide(struct cli_out *message);

#endif
