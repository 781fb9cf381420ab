/* SPDX-License-Identifier: MIT */
/* Inboxes over a file of SQLite: eight threads whose transactions and batches take turns with its one writer. */
#include "lib/lite_files.h"
#include "lib/remote_tx.h"

#include <unistd.h>

enum { THREADS = REMOTE_CLIENTS };

static struct remote_host host;

static void start(uint64_t grace_ns) {
    host = (struct remote_host){.url = files_url("bank"), .grace_ns = grace_ns};
    remote_host_start(&host);
}

TestSuite(lite_remote, .init = files_begin, .fini = files_end);

Test(lite_remote, eight_threads_move_money) {
    struct remote_mover movers[THREADS];
    uint32_t committed = 0;
    start(0);
    remote_make_accounts(&host);
    remote_movers_start(&host, movers, &(struct remote_mover){.move_count = 60, .window = 4});
    remote_movers_join(movers);
    for (int i = 0; i < THREADS; i++)
        committed += movers[i].committed_count;
    cr_assert_geq(committed, THREADS * 60 / 2, "transactions, whole ones, and ATOMIC batches");
    remote_check_moves(&host, movers);
    remote_host_stop(&host);
}

Test(lite_remote, eight_threads_move_money_until_the_engine_is_closed) {
    for (int round = 0; round < 4; round++) {
        struct remote_mover movers[THREADS];
        sem_t opened;
        start(round % 2 ? LIVE_SECOND : 0);
        remote_make_accounts(&host);
        sem_init(&opened, 0, 0);
        remote_movers_start(
            &host, movers,
            &(struct remote_mover){.move_count = 100000, .window = 4, .until_shut = true, .opened = &opened});
        for (int i = 0; i < THREADS; i++)
            sem_wait(&opened);
        usleep((unsigned)round * 20000);
        remote_host_stop(&host);
        remote_movers_join(movers);
        sem_destroy(&opened);
        start(0);
        remote_check_moves(&host, movers);
        remote_host_stop(&host);
    }
}
