/* SPDX-License-Identifier: MIT */
/* Ways to a server, and what a caller hears when there is none, or it wants somebody else. */
#include "lib/live.h"
#include "lib/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct live live;

static void check_works(const char *url) {
    live_open_url(&live, url, NULL, &(quring_db_options){.connection_count = 3});
    cr_assert_str_eq(quring_db_backend(live.db), "postgresql");
    for (int i = 0; i < 10; i++)
        cr_assert_eq(live_int(&live, "select 40 + 2"), 42, "%s", url);
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    cr_assert_geq(stats.connect_count, 1);
    cr_assert_eq(stats.connect_failure_count, 0);
    live_close(&live);
}

/* All that is queued ends with what the server, or libpq, said, and not with a limit of our own. */
static void check_refused(const char *url, const char *sqlstate, const char *words) {
    live_open_url(&live, url, NULL,
                  &(quring_db_options){.connection_count = 3, .connect_timeout_ns = 10 * LIVE_STALL_NS});
    for (int i = 0; i < 20; i++)
        live_submit(&live, &(quring_query){.sql = "select 1"});
    for (int i = 0; i < 20; i++) {
        quring_done done = live_wait(&live);
        live_check_error(&done, QURING_NOT_SENT, sqlstate, words);
        live_release(&live, &done);
    }
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    cr_assert_geq(stats.connect_failure_count, 1);
    cr_assert_eq(stats.sent_bytes, 0);
    live_close(&live);
}

static const char *url_as(const char *user_and_password, const char *database) {
    static char url[512];
    snprintf(url, sizeof url, "postgresql://%s@127.0.0.1:%u/%s", user_and_password, live_port(), database);
    return url;
}

/* ---- Ways that lead there ---- */

Test(pg_connect, by_tcp_and_unix_socket) {
    check_works(live_url());
    check_works(live_socket_url());
    char info[256];
    snprintf(info, sizeof info, "host=127.0.0.1 port=%u dbname=quring user=quring", live_port());
    check_works(info);
    snprintf(info, sizeof info, "postgres%s", live_url() + strlen("postgresql"));
    check_works(info);
}

Test(pg_connect, tries_the_hosts_of_a_list) {
    char url[256];
    snprintf(url, sizeof url, "postgresql://quring@127.0.0.1:%u,127.0.0.1:%u/quring", relay_dead_port(), live_port());
    check_works(url);
}

Test(pg_connect, password_from_url_environment_and_file) {
    char user[128];
    snprintf(user, sizeof user, "quring:%s", live_env("QURING_TEST_PG_PASSWORD"));
    setenv("PGPASSFILE", "/nowhere", 1);
    check_works(url_as(user, "quring"));
    check_refused(live_url(), "08001", "no password");
    setenv("PGPASSWORD", live_env("QURING_TEST_PG_PASSWORD"), 1);
    check_works(live_url());
    unsetenv("PGPASSWORD");
    char path[] = "/tmp/quring-pass-XXXXXX";
    int fd = mkstemp(path);
    dprintf(fd, "127.0.0.1:%u:*:quring:%s\n", live_port(), live_env("QURING_TEST_PG_PASSWORD"));
    close(fd);
    setenv("PGPASSFILE", path, 1);
    check_works(live_url());
    unlink(path);
}

/* libpq takes settings from the environment; what the codecs rest on holds whatever these say. */
Test(pg_connect, settings_from_the_environment) {
    setenv("PGDATESTYLE", "German", 1);
    setenv("PGTZ", "Asia/Tokyo", 1);
    setenv("PGCLIENTENCODING", "LATIN1", 1);
    setenv("PGOPTIONS", "-c application_name=from_env", 1);
    live_open(&live, &(quring_db_options){.connection_count = 1});
    for (int run = 0; run < 3; run++) {
        quring_done done = live_query(&live, "select $1::text, date '2024-02-29'", quring_text("é☃"));
        live_check_ok(&done, "under PG*");
        const char *text = "";
        int32_t days = 0;
        cr_expect_eq(quring_get_text(done.result, 0, 0, &text, NULL), 0);
        cr_expect_str_eq(text, "é☃");
        cr_expect_eq(quring_get_date(done.result, 0, 1, &days), 0);
        cr_expect_eq(days, 19782);
        live_release(&live, &done);
    }
    live_close(&live);
}

/* Encrypted and verified; large and small replies, pipelined, each with its own identity. */
Test(pg_connect, by_tls) {
    if (!getenv("QURING_TEST_PG_TLS_URL"))
        cr_skip_test("no TLS on this server");
    struct ledger ledger;
    check_works(live_env("QURING_TEST_PG_TLS_URL"));
    live_open_url(&live, live_env("QURING_TEST_PG_TLS_URL"), NULL, &(quring_db_options){.connection_count = 3});
    cr_assert_eq(live_int(&live, "select count(*) from pg_stat_ssl where pid = pg_backend_pid() and ssl"), 1);
    ledger_init(&ledger, 4000);
    for (uint32_t i = 0; i < 4000; i++)
        live_submit(&live, &(quring_query){.sql = "select $1::int8, repeat('x', $2::int4)",
                                           .params = QURING_PARAMS(quring_int64((int64_t)live_identity(i)),
                                                                   quring_int32(i % 100 == 0 ? 200000 : (int32_t)i)),
                                           .user_data = i});
    live_drain(&live, ledger_note, &ledger);
    ledger_check(&ledger);
    cr_assert_eq(ledger.by_status[QURING_OK], 4000);
    ledger_free(&ledger);
    live_close(&live);
}

/* ---- Ways that do not ---- */

Test(pg_connect, wrong_password_is_the_servers_word) {
    check_refused(url_as("quring:Geheim123", "quring"), "28P01", "password authentication failed for user \"quring\"");
    check_refused(url_as("nobody_there:x", "quring"), "28P01", "nobody_there");
}

Test(pg_connect, errors_do_not_tell_the_password) {
    live_open_url(&live, url_as("quring:Geheim123", "quring"), NULL, NULL);
    quring_done done = live_run(&live, &(quring_query){.sql = "select 1"});
    cr_assert_not(strstr(done.error->message, "Geheim123"), "%s", done.error->message);
    live_release(&live, &done);
    live_close(&live);
}

Test(pg_connect, no_such_database) {
    check_refused(url_as("quring", "nowhere"), "3D000", "\"nowhere\" does not exist");
    /* What looks like an SQLSTATE in the server's own words is none. */
    check_refused(url_as("quring", "x%3A%20%20ABCDE%3A%20y"), "3D000", "\"x:  ABCDE: y\" does not exist");
}

Test(pg_connect, nobody_listens) {
    check_refused(live_url_by_port(relay_dead_port()), "08001", "Connection refused");
    check_refused("postgresql://x@no-such-host.invalid/x", "08001", "no-such-host.invalid");
    check_refused("postgresql://x@/x?host=/nowhere/at/all", "08001", "/nowhere/at/all");
}

static uint64_t time_to_refusal(const char *url, uint64_t timeout_ns, const char *sqlstate) {
    uint64_t start = live_now_ns();
    live_open_url(&live, url, NULL, &(quring_db_options){.connection_count = 2, .connect_timeout_ns = timeout_ns});
    quring_done done = live_run(&live, &(quring_query){.sql = "select 1"});
    live_check_error(&done, QURING_NOT_SENT, sqlstate, "");
    uint64_t took = live_now_ns() - start;
    live_release(&live, &done);
    live_close(&live);
    return took;
}

/* It takes the connection and never says a word: before start-up's answer, or after authentication. */
Test(pg_connect, a_silent_server_is_given_up_in_time) {
    struct relay *relay = relay_open(live_port());
    relay_set(relay, &(struct relay_plan){.mute = true});
    uint64_t took = time_to_refusal(live_url_by_port(relay_port(relay)), 400 * LIVE_MS, "08001");
    cr_assert_geq(took, 400 * LIVE_MS, "%llu ms", (unsigned long long)(took / LIVE_MS));
    relay_set(relay,
              &(struct relay_plan){.freeze = true, .cut_after_received = RELAY_NEVER, .cut_after_sent = RELAY_NEVER});
    took = time_to_refusal(live_url_by_port(relay_port(relay)), 400 * LIVE_MS, "08001");
    cr_assert_geq(took, 400 * LIVE_MS, "%llu ms", (unsigned long long)(took / LIVE_MS));
    relay_close(relay);
}

/* Closing does not wait for somebody who does not answer. */
Test(pg_connect, close_while_connecting) {
    struct relay *relay = relay_open(live_port());
    relay_set(relay, &(struct relay_plan){.mute = true});
    for (int i = 0; i < 3; i++) {
        live_open_url(&live, live_url_by_port(relay_port(relay)), NULL,
                      &(quring_db_options){.connect_timeout_ns = 10 * LIVE_STALL_NS});
        live_submit(&live, &(quring_query){.sql = "select 1"});
        cr_assert_eq(quring_run(live.engine, 1, 20 * LIVE_MS), 0);
        if (i == 1)
            quring_db_close(live.db);
        live_close(&live);
    }
    live_open_url(&live, live_url_by_port(relay_port(relay)), NULL, NULL); /* never run at all */
    live_close(&live);
    relay_close(relay);
}

/* ---- Fewer connections than asked for ---- */

static void make_role(int limit) {
    struct live admin;
    char sql[128];
    live_open(&admin, &(quring_db_options){.connection_count = 1});
    quring_done done = live_run(&admin, &(quring_query){.sql = "create role live_few login password 'few'"});
    live_release(&admin, &done);
    snprintf(sql, sizeof sql, "alter role live_few connection limit %d", limit);
    live_exec(&admin, sql);
    live_close(&admin);
}

Test(pg_connect, too_many_connections) {
    make_role(0);
    check_refused(url_as("live_few:few", "quring"), "53300", "too many connections");
}

/* Two of eight are let in: these carry everything, and the others join when there is room. */
Test(pg_connect, goes_on_with_those_it_gets) {
    make_role(2);
    live_open_url(&live, url_as("live_few:few", "quring"), NULL, &(quring_db_options){.connection_count = 8});
    struct ledger ledger;
    ledger_init(&ledger, 4000);
    for (uint32_t i = 0; i < 4000; i++)
        live_submit(&live, &(quring_query){.sql = "select $1::int8",
                                           .params = QURING_PARAMS(quring_int64((int64_t)live_identity(i))),
                                           .user_data = i});
    live_drain(&live, ledger_note, &ledger);
    ledger_check(&ledger);
    cr_assert_eq(ledger.by_status[QURING_OK], 4000);
    ledger_free(&ledger);
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    cr_assert_leq(stats.connection_count, 2);
    make_role(-1);
    for (uint64_t until = live_now_ns() + LIVE_STALL_NS; stats.connection_count < 8;) {
        cr_assert_lt(live_now_ns(), until, "%u connections", stats.connection_count);
        live_submit(&live, &(quring_query){.sql = "select pg_sleep(0.1)"});
        live_drain(&live, NULL, NULL);
        quring_stats_get(live.engine, &stats);
    }
    live_close(&live);
}

/* The engine's own limit of sockets: what does not fit is refused, and what has room works. */
Test(pg_connect, more_connections_than_the_engine_has_sockets) {
    live_open_url(&live, live_url(), &(quring_options){.connection_count = 2},
                  &(quring_db_options){.connection_count = 2});
    cr_assert_eq(live_int(&live, "select 1"), 1);
    quring_db *db = NULL;
    int error = quring_db_open(live.engine, live_url(), &(quring_db_options){.connection_count = 1}, &db);
    cr_assert_eq(error, QURING_EFULL, "%s", quring_strerror(error));
    cr_assert_eq(live_int(&live, "select 2"), 2);
    live_close(&live);
}
