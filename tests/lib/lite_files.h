/* SPDX-License-Identifier: MIT */
/* SQLite files for live tests: each in a directory of its own, and other processes that hold or write them. */
#ifndef QURING_TESTS_LITE_FILES_H
#define QURING_TESTS_LITE_FILES_H

#include "lib/live.h"

/* A new directory for this test; files_end() removes it with all that is in it. */
void files_begin(void);
void files_end(void);

/* files_end(), behind live_close() where the test has not closed it. */
void files_close(struct live *live);

/* "<directory>/<name>", and "sqlite:///<directory>/<name>" with ?mode=rwc or others. Static, overwritten by the next call. */
const char *files_path(const char *name);
const char *files_url(const char *name);
const char *files_url_with(const char *name, const char *parameters);

/* live_open_url() on a file of the directory. */
void files_open(struct live *live, const char *name, const quring_db_options *options);

/* Another process holds the file's write lock, from before the first returns until the second is called. */
void files_lock(const char *name);
void files_unlock(void);

#endif
