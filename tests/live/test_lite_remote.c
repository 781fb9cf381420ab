/* SPDX-License-Identifier: MIT */
/* Inboxes over a file of SQLite: eight threads whose transactions and batches take turns with its one writer. */
#include "lib/lite_files.h"
#include "lib/remote_tx.h"

enum { THREADS = REMOTE_CLIENTS };

static struct remote_host host;

static void setup(void) {
    files_begin();
    host = (struct remote_host){.url = files_url("bank")};
}

TestSuite(lite_remote, .init = setup, .fini = files_end);

enum { MOVES = 60 };

static void expect_moves(const quring_tx_options *options) {
    const struct remote_mover like = {.move_count = MOVES, .window = 4, .options = options};
    remote_host_start(&host);
    cr_assert_geq(remote_move_money(&host, &like), THREADS * MOVES / 2, "transactions, whole ones, and ATOMIC batches");
    remote_host_stop(&host);
}

Test(lite_remote, eight_threads_move_money) {
    expect_moves(NULL);
}

Test(lite_remote, eight_threads_move_money_and_leave_tokens) {
    expect_moves(&(quring_tx_options){.resolve = QURING_RESOLVE_TOKEN, .token_table = REMOTE_TOKENS});
}

Test(lite_remote, eight_threads_move_money_until_the_engine_is_closed) {
    remote_move_until_closed(&host, 4, 20000, true);
}
