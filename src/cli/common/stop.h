/* SPDX-License-Identifier: MIT */
/*
 * Being asked to stop, by Ctrl-C, SIGTERM or SIGHUP: the first time the command ends cleanly with what it has, the
 * second time it ends at once. Also the files that must go in either case.
 */
#ifndef QURING_CLI_COMMON_STOP_H
#define QURING_CLI_COMMON_STOP_H

#include "quring/quring.h"

/* From now on signals are only noted. Closed pipes show as EPIPE. */
void cli_stop_catch(void);

bool cli_stop_wanted(void);

/* The exit status of a command that has nothing to show for it: 130 after Ctrl-C. */
int cli_stop_status(void);

/* The engine that a signal wakes. NULL before it is closed. */
void cli_stop_wakes(quring_engine *engine);

/*
 * A fresh directory under $TMPDIR or /tmp, and the URL of a database in it. Returns 0, or -1 after a message.
 * cli_temporary_remove() takes both away; a second Ctrl-C does so too.
 */
int cli_temporary_make(char *url, size_t size);
void cli_temporary_remove(void);

#endif
