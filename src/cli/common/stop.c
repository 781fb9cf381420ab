/* SPDX-License-Identifier: MIT */
#include "cli/common/stop.h"

#include "cli/cli.h"
#include "cli/common/say.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stop_signal;
static _Atomic(quring_engine *) stop_engine;

/* The signal handler reads these in cli_temporary_remove(): they are complete before folder_exists is set. */
enum { FILE_COUNT = 4 };
static char files[FILE_COUNT][PATH_MAX];
static char folder[PATH_MAX];
static volatile sig_atomic_t folder_exists;

/* All calls in here are safe in a signal handler: unlink(2), rmdir(2), _exit(2) and quring_wake(). */
static void on_signal(int number) {
    int error = errno;
    if (stop_signal) {
        cli_temporary_remove();
        _exit(128 + number);
    }
    stop_signal = number;
    quring_engine *engine = atomic_load(&stop_engine);
    if (engine)
        quring_wake(engine);
    errno = error;
}

void cli_stop_catch(void) {
    /* Without SA_RESTART, so that a read from a terminal or a pipe ends as well. */
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (signal(SIGHUP, SIG_IGN) != SIG_IGN) /* nohup(1) has it ignored, and that must last */
        sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool cli_stop_wanted(void) {
    return stop_signal != 0;
}

int cli_stop_status(void) {
    return 128 + stop_signal; /* as a shell gives for a command that the signal ended */
}

void cli_stop_wakes(quring_engine *engine) {
    atomic_store(&stop_engine, engine);
}

int cli_temporary_make(char *url, size_t size) {
    static const char *const suffixes[FILE_COUNT] = {"", "-wal", "-shm", "-journal"};
    static const char name[] = "/quring-bench-XXXXXX", prefix[] = "sqlite:///";
    const char *parent = getenv("TMPDIR");

    if (!parent || !*parent)
        parent = "/tmp";
    bool found = realpath(parent, folder) != NULL; /* absolute: the URL is sqlite:/// and this path */
    if (found && (strlen(folder) + sizeof name + 20 > sizeof folder || strlen(folder) + 60 > size)) {
        found = false;
        errno = ENAMETOOLONG;
    }
    if (found)
        memcpy(folder + strlen(folder), name, sizeof name);
    if (!found || !mkdtemp(folder)) {
        cli_error("no temporary directory in %s: %s; set TMPDIR to one", parent, strerror(errno));
        return -1;
    }
    for (int i = 0; i < FILE_COUNT; i++)
        stpcpy(stpcpy(stpcpy(files[i], folder), "/bench.db"), suffixes[i]);
    folder_exists = 1;
    stpcpy(stpcpy(stpcpy(url, prefix), files[0]), "?mode=rwc");
    return 0;
}

void cli_temporary_remove(void) {
    if (!folder_exists)
        return;
    folder_exists = 0;
    for (int i = 0; i < FILE_COUNT; i++)
        unlink(files[i]);
    rmdir(folder);
}
