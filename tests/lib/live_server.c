/* SPDX-License-Identifier: MIT */
/* Linked into tests that need the private cluster: skips them without it, and runs its pg_ctl while a test goes on. */
#include "lib/live.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Before main(), whosever it is: Criterion's, or the plain runner's. */
__attribute__((constructor)) static void skip_without_server(void) {
    if (!getenv("QURING_TEST_PG_URL"))
        _exit(77);
}

/*
 * The server that pg_ctl starts outlives the test, so it gets none of its descriptors: Criterion waits for the other end
 * of its pipes.
 */
pid_t live_ctl_start(const char *arguments) {
    char command[512];
    snprintf(command, sizeof command, "exec %s %s", live_env("QURING_TEST_PG_CTL"), arguments);
    char *const argv[] = {"sh", "-c", command, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (int fd = 0; fd < 3; fd++)
        posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    pid_t pid;
    int error = posix_spawn(&pid, "/bin/sh", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    cr_assert_eq(error, 0, "pg_ctl was not started");
    return pid;
}

static void check_status(int status) {
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "pg_ctl failed");
}

bool live_ctl_done(pid_t pid) {
    int status;
    pid_t ended = waitpid(pid, &status, WNOHANG);
    cr_assert(ended == 0 || ended == pid);
    if (ended)
        check_status(status);
    return ended != 0;
}

void live_ctl(const char *arguments) {
    pid_t pid = live_ctl_start(arguments);
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    check_status(status);
}
