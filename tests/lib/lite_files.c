/* SPDX-License-Identifier: MIT */
#include "lib/lite_files.h"

#include <dirent.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
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

static void hold_lock(const char *path, uint64_t hold_ns, int ready) {
    sqlite3 *db;
    if (sqlite3_open(path, &db) || sqlite3_exec(db, "begin immediate", NULL, NULL, NULL))
        _exit(1);
    if (write(ready, "x", 1) != 1)
        _exit(1);
    nanosleep(&(struct timespec){(time_t)(hold_ns / LIVE_SECOND), (long)(hold_ns % LIVE_SECOND)}, NULL);
    sqlite3_close(db);
    _exit(0);
}

pid_t files_lock(const char *name, uint64_t hold_ns) {
    int ready[2];
    char byte;
    cr_assert_eq(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0)
        hold_lock(files_path(name), hold_ns, ready[1]);
    close(ready[1]);
    cr_assert(pid > 0 && read(ready[0], &byte, 1) == 1, "the other process did not get the lock");
    close(ready[0]);
    return pid;
}

void files_wait_for(pid_t pid) {
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
