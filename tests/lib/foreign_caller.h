/* SPDX-License-Identifier: MIT */
/* Calls of an engine from where it does not belong: another thread, or a child process. */
#ifndef QURING_TESTS_LIB_FOREIGN_CALLER_H
#define QURING_TESTS_LIB_FOREIGN_CALLER_H

#include "quring/quring.h"

struct foreign_caller {
    quring_engine *engine;
    quring_db *db;
    quring_statement *statement;
    quring_id id;
    bool child; /* also what another thread may do, and a child process may not */
};

/* Calls everything; the name of the first call that was not refused, or NULL. Safe after fork() in a threaded process. */
const char *foreign_calls(const struct foreign_caller *who);

#endif
