/* SPDX-License-Identifier: MIT */
/*
 * Being asked to stop, by Ctrl-C, SIGTERM or SIGHUP: the first time the command ends cleanly with what it has, the
 * second time it ends at once. Also the files that must go in either case.
 */
#ifndef QURING_CLI_COMMON_STOP_H
#define QURING_CLI_COMMON_STOP_H

#include "quring/quring.h"

/* Catches the signals: the first is noted, for cli_stop_wanted(), and wakes the engine. Closed pipes show as EPIPE. */
void cli_stop_catch(void);

/* Returns whether a signal came. Loops ask it before they wait. */
bool cli_stop_wanted(void);

/* Returns the exit status of a command that has nothing to show for it: 130 after Ctrl-C. */
int cli_stop_status(void);

/* Names the engine that a signal wakes. It must be NULL again before that engine is closed. */
void cli_stop_wakes(quring_engine *engine);

/*
 * Makes a directory under $TMPDIR or /tmp, and writes the URL of a database in it. Returns 0, or -1 after a message.
 * cli_temporary_remove() removes directory and database, and may be called without one; a second Ctrl-C does so too.
 */
int cli_temporary_make(char *url, size_t size);
void cli_temporary_remove(void);

#endif
