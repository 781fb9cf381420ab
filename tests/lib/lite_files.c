/* SPDX-License-Identifier: MIT */
#include "lib/lite_files.h"

#include <dirent.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[64];

/* lib/live.c skips programs that find no PostgreSQL; these need none. Earlier than its constructor. */
__attribute__((constructor(101))) static void need_no_server(void) {
    setenv("QURING_TEST_PG_URL", "", 0);
}

void files_begin(void) {
    snprintf(directory, sizeof directory, "/tmp/quring-lite-XXXXXX");
    cr_assert(mkdtemp(directory));
}

void files_end(void) {
    DIR *open = opendir(directory);
    struct dirent *entry;
    while (open && (entry = readdir(open)))
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(open), entry->d_name, 0);
    closedir(open);
    rmdir(directory);
}

void files_close(struct live *live) {
    if (live->engine)
        live_close(live);
    files_end();
}

const char *files_path(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

const char *files_url_with(const char *name, const char *parameters) {
    static char url[256];
    snprintf(url, sizeof url, "sqlite:///%s/%s%s", directory, name, parameters);
    return url;
}

const char *files_url(const char *name) {
    return files_url_with(name, "?mode=rwc");
}

void files_open(struct live *live, const char *name, const quring_db_options *options) {
    live_open_url(live, files_url(name), NULL, options);
}

static pid_t holder;
static int holder_told; /* closed: let go */

static void hold_lock(const char *path, int ready, int told) {
    sqlite3 *db;
    char byte = 0;
    if (sqlite3_open(path, &db) || sqlite3_exec(db, "begin immediate", NULL, NULL, NULL))
        _exit(1);
    if (write(ready, &byte, 1) != 1 || read(told, &byte, 1) != 0)
        _exit(1);
    sqlite3_close(db);
    _exit(0);
}

void files_lock(const char *name) {
    int ready[2], told[2];
    char byte;
    cr_assert(pipe(ready) == 0 && pipe(told) == 0);
    holder = fork();
    if (holder == 0) {
        close(told[1]);
        hold_lock(files_path(name), ready[1], told[0]);
    }
    close(ready[1]);
    close(told[0]);
    holder_told = told[1];
    cr_assert(holder > 0 && read(ready[0], &byte, 1) == 1, "the other process did not get the lock");
    close(ready[0]);
}

void files_unlock(void) {
    int status;
    close(holder_told);
    cr_assert_eq(waitpid(holder, &status, 0), holder);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
