/* SPDX-License-Identifier: MIT */
#include "core/query.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATES = QUERY_RETURNED + 1 };

/* The diagram in query.h, as a table. */
static const bool allowed[STATES][STATES] = {
    [QUERY_FREE] = {[QUERY_WAITING] = true},
    [QUERY_WAITING] = {[QUERY_RUNNING] = true, [QUERY_DONE] = true},
    [QUERY_RUNNING] = {[QUERY_WAITING] = true, [QUERY_DONE] = true, [QUERY_DETACHED] = true},
    [QUERY_DONE] = {[QUERY_REAPED] = true},
    [QUERY_REAPED] = {[QUERY_FREE] = true},
    [QUERY_DETACHED] = {[QUERY_RETURNED] = true},
    [QUERY_RETURNED] = {[QUERY_FREE] = true},
};

/* Whether the move ends the process. */
static bool aborts(int from, int to) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct query query = {.state = (uint8_t)from};
        signal(SIGABRT, SIG_DFL);
        fclose(stderr);
        query_move(&query, (enum query_state)to);
        _exit(0);
    }
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

Test(query, moves_along_the_diagram_and_no_other_way) {
    for (int from = 0; from < STATES; from++)
        for (int to = 0; to < STATES; to++) {
            if (allowed[from][to]) {
                struct query query = {.state = (uint8_t)from};
                query_move(&query, (enum query_state)to);
                cr_assert_eq(query.state, to);
            } else {
                cr_assert(aborts(from, to), "from %d to %d", from, to);
            }
        }
}

Test(query, unknown_states_are_a_broken_contract) {
    cr_assert(aborts(STATES, QUERY_FREE));
    cr_assert(aborts(255, QUERY_FREE));
    cr_assert(aborts(QUERY_FREE, STATES));
}
