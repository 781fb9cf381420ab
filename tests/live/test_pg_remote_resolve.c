/* SPDX-License-Identifier: MIT */
/*
 * COMMITs of other threads' transactions whose connection to the real server is lost. What the tables have in the end says whether
 * each thread was told the truth.
 */
#include "lib/live.h"
#include "lib/relay.h"
#include "lib/remote_tx.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = REMOTE_CLIENTS };

static const quring_tx_options with_token = {
    .resolve = QURING_RESOLVE_TOKEN, .token_table = "public." REMOTE_TOKENS, .resolve_timeout_ns = LIVE_STALL_NS};
static const quring_tx_options with_xid = {.resolve = QURING_RESOLVE_XID, .resolve_timeout_ns = LIVE_STALL_NS};
static const struct relay_plan never = {.cut_after_sent = RELAY_NEVER, .cut_after_received = RELAY_NEVER};

static struct remote_host host;
static struct relay *relay;

static void start(uint32_t connections) {
    host = (struct remote_host){
        .url = live_url_by_port(relay_port(relay)),
        .options = {.connection_count = connections, .lease_count = connections, .reconnect_wait_ns = LIVE_STALL_NS}};
    remote_host_start(&host);
}

static void begin(void) {
    relay = relay_open(live_port());
    start(1);
    remote_make_accounts(&host);
    remote_host_stop(&host);
}

static void end(void) {
    start(1);
    remote_tell(&host, "drop table accounts, moves, " REMOTE_TOKENS);
    remote_host_stop(&host);
    relay_close(relay);
}

TestSuite(pg_remote_resolve, .init = begin, .fini = end);

/* ---- A link that is cut ---- */

enum { FLIGHT_BYTES_MAX = 6000, STEP = 31 };

static const char insert[] = "insert into moves values (0, $1, $2)";

/* Submits an INSERT of that number, with the transaction's token, and COMMIT. */
static void submit(quring_inbox *inbox, const quring_tx_options *options, int32_t number) {
    quring_tx *tx;
    cr_assert_eq(quring_inbox_tx_open(inbox, host.db, options, &tx), 0, "%s", quring_inbox_errmsg(inbox));
    const quring_query query = {
        .tx = tx, .sql = insert, .params = QURING_PARAMS(quring_int32(number), quring_text(quring_tx_token(tx)))};
    cr_assert_eq(quring_inbox_submit(inbox, &query, NULL), 0);
    cr_assert_eq(quring_commit(tx, 1, NULL), 0);
    quring_tx_release(tx);
}

/* Returns what COMMIT said; true in `*whole`: the connection outlived it. */
static quring_status cut_at(const quring_tx_options *options, int32_t number, uint64_t bytes, bool received,
                            bool *whole) {
    quring_inbox *inbox;
    quring_done done[2];
    struct relay_plan cut = never;
    *(received ? &cut.cut_after_received : &cut.cut_after_sent) = bytes;
    cut.reset = bytes % 2;
    uint32_t accepted = relay_accepted_count(relay);
    relay_set(relay, &cut);
    start(1);
    cr_assert_eq(quring_inbox_open(host.engine, NULL, &inbox), 0);
    submit(inbox, options, number);
    while (relay_accepted_count(relay) == accepted)
        usleep(1000);
    relay_set(relay, &never);
    cr_assert_eq(quring_inbox_wait(inbox, 2, QURING_FOREVER), 2);
    cr_assert_eq(quring_inbox_reap(inbox, done, 2), 2);
    cr_assert(done[0].user_data == 0 && done[1].user_data == 1);
    quring_status status = done[1].status;
    *whole = relay_accepted_count(relay) == accepted + 1 && status == QURING_OK;
    quring_inbox_close(inbox);
    remote_host_stop(&host);
    return status;
}

static bool is_there(int32_t number, bool has_token) {
    char sql[200];
    start(1);
    snprintf(sql, sizeof sql, "select count(*) from moves m where number = %d%s", number,
             has_token ? " and exists (select 1 from " REMOTE_TOKENS " t where t.token = m.token and committed)" : "");
    bool there = remote_int(&host, sql) == 1;
    remote_host_stop(&host);
    return there;
}

static void cut_anywhere(const quring_tx_options *options) {
    uint32_t ok_count = 0, undone_count = 0;
    int32_t number = 0;
    for (int received = 0; received < 2; received++) {
        bool whole = false;
        for (uint64_t bytes = 1; !whole && bytes < FLIGHT_BYTES_MAX; bytes += STEP) {
            quring_status status = cut_at(options, ++number, bytes, received, &whole);
            cr_assert_eq(is_there(number, options == &with_token), status == QURING_OK, "byte %d: %s", (int)bytes,
                         quring_status_name(status));
            cr_assert_neq(status, QURING_IN_DOUBT, "byte %d", (int)bytes);
            ok_count += status == QURING_OK && !whole;
            undone_count += status == QURING_SERVER_ERROR;
        }
        cr_assert(whole);
    }
    cr_assert(ok_count > 0 && undone_count > 0, "%u took effect whose answer was lost, %u did not", ok_count,
              undone_count);
}

Test(pg_remote_resolve, a_link_that_is_cut_anywhere) {
    cut_anywhere(&with_token);
}

Test(pg_remote_resolve, a_link_that_is_cut_anywhere_is_no_doubt_with_ids) {
    cut_anywhere(&with_xid);
}

/* ---- A storm ---- */

enum { MOVES = 100, CONNECTIONS = 4, KILL_EACH = 20 };

/* Each connection is cut somewhere: mostly behind a COMMIT that has taken effect. */
static void cut_next(uint64_t number) {
    struct relay_plan cut = never;
    cut.cut_after_received = 1000 + live_identity(number) % 30000;
    relay_set(relay, &cut);
}

static void storm(const quring_tx_options *options) {
    struct remote_mover movers[THREADS];
    struct live killer;
    uint32_t committed = 0;
    live_open_url(&killer, live_url_with("application_name=killer"), NULL, &(quring_db_options){.connection_count = 1});
    cut_next(0);
    start(CONNECTIONS);
    remote_movers_start(&host, movers, &(struct remote_mover){.move_count = MOVES, .window = 4, .options = options});
    for (uint32_t accepted = 0, killed_at = 0; atomic_load(&host.ended_count) < THREADS; usleep(2000)) {
        if (relay_accepted_count(relay) == accepted)
            continue;
        accepted = relay_accepted_count(relay);
        cut_next(accepted);
        if (accepted < killed_at + KILL_EACH)
            continue;
        killed_at = accepted;
        live_int(&killer, "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity where "
                          "application_name <> 'killer' and datname = current_database() "
                          "and backend_type = 'client backend' order by random() limit 2) s");
    }
    remote_movers_join(movers);
    relay_set(relay, &never);
    remote_host_stop(&host);
    live_close(&killer);
    for (int i = 0; i < THREADS; i++) {
        committed += movers[i].committed_count;
        cr_assert_eq(movers[i].doubt_count, 0, "thread %d", i);
    }
    cr_assert_gt(committed, THREADS * MOVES / 4);
    start(1);
    remote_check_moves(&host, movers);
    remote_host_stop(&host);
}

Test(pg_remote_resolve, eight_threads_are_never_in_doubt) {
    storm(&with_token);
}

Test(pg_remote_resolve, eight_threads_are_never_in_doubt_with_ids) {
    storm(&with_xid);
}
