/* SPDX-License-Identifier: MIT */
/*
 * Lists of hosts, of which one is good: it is reached past all others, whatever these do. The good one is a relay before the
 * real server, and it, and the others, tell who came.
 */
#include "lib/impostor.h"
#include "lib/live.h"
#include "lib/names.h"
#include "lib/relay.h"
#include "pg/hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct live live;
static struct relay *good;

/* Those that are about to end have the time to do so. */
static void wait_until_held_alone(void) {
    while ((uint32_t)impostor_threads_connecting() != names_held_count())
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

static void wait_until_alone(void) {
    while (impostor_threads_connecting())
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

static void setup(void) {
    good = relay_open(live_port());
}

/* Threads that attempts have left behind end by themselves, and with them what they have made. */
static void teardown(void) {
    names_let_go();
    wait_until_alone();
    relay_close(good);
}

TestSuite(pg_list, .init = setup, .fini = teardown);

static void open_list(const char *conninfo, uint32_t connection_count, uint64_t timeout_ns) {
    live_open_url(&live, conninfo, NULL,
                  &(quring_db_options){.connection_count = connection_count, .connect_timeout_ns = timeout_ns});
}

/* An attempt that a busy machine has kept from the good host is followed by another. `lost`: a connection may be. */
static void wait_for_answer(const char *conninfo, bool lost) {
    int64_t value = 0;
    for (uint64_t until = live_now_ns() + LIVE_STALL_NS; value != 42;) {
        cr_assert_lt(live_now_ns(), until, "%s is not reached", conninfo);
        quring_done done = live_run(&live, &(quring_query){.sql = "select 40 + 2"});
        if (done.status == QURING_OK)
            cr_assert_eq(quring_get_int64(done.result, 0, 0, &value), 0);
        else
            cr_assert(done.status == QURING_NOT_SENT || (lost && done.status == QURING_IN_DOUBT), "%s: %s %s", conninfo,
                      quring_status_name(done.status), done.error->message);
        live_release(&live, &done);
    }
}

/* Returns how long it took. */
static uint64_t reach(const char *conninfo, uint64_t timeout_ns) {
    uint64_t start = live_now_ns();
    open_list(conninfo, 1, timeout_ns);
    wait_for_answer(conninfo, false);
    uint64_t took = live_now_ns() - start;
    quring_engine_close(live.engine);
    return took;
}

static const char *list_of(const char *hosts, const char *ports, const char *more) {
    static char conninfo[1000];
    snprintf(conninfo, sizeof conninfo, "user=quring dbname=quring host=%s port=%s %s", hosts, ports, more);
    return conninfo;
}

static const char *two_ports(unsigned first, unsigned second) {
    static char ports[100];
    snprintf(ports, sizeof ports, "%u,%u", first, second);
    return ports;
}

/* Who is in the queue of one that listens may be met later. */
static bool is_met(struct impostor *impostor) {
    for (int i = 0; i < 100 && !impostor_count(impostor); i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    return impostor_count(impostor) > 0;
}

/* ---- One host that is of no use, and a good one ---- */

Test(pg_list, past_a_server_that_does_not_let_us_in) {
    static const struct {
        const char *what;
        enum impostor_kind kind;
        const char *session;
        bool costs_its_share;
    } rows[] = {
        {"silent", IMPOSTOR_SILENT, "", true},
        {"unreachable", IMPOSTOR_UNREACHABLE, "", true},
        {"a million iterations", IMPOSTOR_SCRAM, "", true},
        {"lets in, and is silent then", IMPOSTOR_STANDBY, "", true},
        {"a standby, for writing", IMPOSTOR_STANDBY, "target_session_attrs=read-write", false},
        {"a standby, where the primary is wanted", IMPOSTOR_STANDBY, "target_session_attrs=primary", false},
        {"a standby that is silent, where one is preferred", IMPOSTOR_STANDBY, "target_session_attrs=prefer-standby",
         true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct impostor *impostor = impostor_open(rows[i].kind, "127.0.0.2", 0);
        uint64_t timeout_ns = LIVE_SECOND;
        do { /* as long as the share of one is over before it has said a word, on a machine that is busy */
            timeout_ns *= 2;
            cr_assert_lt(timeout_ns, LIVE_STALL_NS, "%s: it was left out", rows[i].what);
            uint32_t before = relay_accepted_count(good);
            const char *ports = two_ports(impostor_port(impostor), relay_port(good));
            uint64_t took = reach(list_of("127.0.0.2,127.0.0.1", ports, rows[i].session), timeout_ns);
            cr_assert_gt(relay_accepted_count(good), before, "%s", rows[i].what);
            uint64_t share = timeout_ns / (strstr(rows[i].session, "prefer") ? 4 : 2);
            if (rows[i].costs_its_share)
                cr_assert_geq(took, share, "%s: it had no time", rows[i].what);
        } while (rows[i].kind != IMPOSTOR_UNREACHABLE && !is_met(impostor));
        impostor_close(impostor);
    }
}

Test(pg_list, past_a_pooler_that_lets_in_and_hangs) {
    struct relay *pooler = relay_open(live_port());
    relay_set(pooler,
              &(struct relay_plan){.freeze = true, .cut_after_received = RELAY_NEVER, .cut_after_sent = RELAY_NEVER});
    (void)reach(list_of("127.0.0.1,127.0.0.1", two_ports(relay_port(pooler), relay_port(good)), ""), 2 * LIVE_SECOND);
    cr_assert_geq(relay_accepted_count(pooler), 1);
    cr_assert_geq(relay_accepted_count(good), 1);
    relay_close(pooler);
}

Test(pg_list, past_what_is_not_there) {
    unsigned port = relay_port(good);
    (void)reach(list_of("127.0.0.1,127.0.0.1", two_ports(relay_dead_port(), port), ""), 20 * LIVE_SECOND);
    (void)reach(list_of("gone.test,127.0.0.1", two_ports(port, port), ""), 20 * LIVE_SECOND);
    (void)reach(list_of("/nowhere/at/all,127.0.0.1", two_ports(port, port), ""), 20 * LIVE_SECOND);
    cr_assert_geq(relay_accepted_count(good), 3);
    char hosts[300];
    snprintf(hosts, sizeof hosts, "127.0.0.1,%s", live_env("QURING_TEST_PG_DATA"));
    (void)reach(list_of(hosts, two_ports(relay_dead_port(), live_port()), ""), 20 * LIVE_SECOND);
    /* addresses go before names, which stay what a certificate or a password is looked for under */
    (void)reach(list_of("gone.test,gone.test", two_ports(relay_dead_port(), port), "hostaddr=127.0.0.2,127.0.0.1"),
                20 * LIVE_SECOND);
    cr_assert_geq(relay_accepted_count(good), 4);
}

Test(pg_list, past_a_name_that_is_looked_up_for_ever) {
    names_hold();
    unsigned port = relay_port(good);
    uint64_t took = reach(list_of("held.test,127.0.0.1", two_ports(port, port), ""), 2 * LIVE_SECOND);
    cr_assert_geq(took, LIVE_SECOND);
    cr_assert_geq(names_held_count(), 1, "closing has waited for it");
    names_let_go();
}

/* One name, two addresses: the first accepts, and is silent. */
Test(pg_list, past_an_address_of_the_same_name) {
    struct impostor *impostor = impostor_open(IMPOSTOR_SILENT, "127.0.0.2", relay_port(good));
    char port[20];
    snprintf(port, sizeof port, "%u", relay_port(good));
    uint64_t took = reach(list_of("two.test", port, ""), 2 * LIVE_SECOND);
    cr_assert_geq(took, LIVE_SECOND);
    while (!is_met(impostor))
        continue;
    cr_assert_geq(relay_accepted_count(good), 1);
    impostor_close(impostor);
}

/* IMPOSTOR_UNREACHABLE counts nobody. */
static int number_left_out(struct impostor **impostors, int count) {
    for (int i = 1; i < count; i++)
        if (impostor_count(impostors[i]) == 0)
            return i;
    return 0;
}

Test(pg_list, past_all_of_them_at_once) {
    static const enum impostor_kind kinds[] = {IMPOSTOR_UNREACHABLE, IMPOSTOR_SILENT, IMPOSTOR_SCRAM, IMPOSTOR_STANDBY};
    enum { KINDS = sizeof kinds / sizeof *kinds };
    struct impostor *impostors[KINDS];
    char hosts[200] = "gone.test,held.test,127.0.0.1", ports[200];
    unsigned port = relay_port(good);
    names_hold();
    snprintf(ports, sizeof ports, "%u,%u,%u", port, port, relay_dead_port());
    for (int i = 0; i < KINDS; i++) {
        impostors[i] = impostor_open(kinds[i], "127.0.0.2", 0);
        strcat(hosts, ",127.0.0.2");
        snprintf(ports + strlen(ports), sizeof ports - strlen(ports), ",%u", impostor_port(impostors[i]));
    }
    strcat(hosts, ",127.0.0.1");
    snprintf(ports + strlen(ports), sizeof ports - strlen(ports), ",%u", port);
    /* A busy machine may keep an attempt from one of them until its share has passed: all are met in several. */
    for (int tries = 0, left_out = 1; left_out; tries++) {
        cr_assert_lt(tries, 10, "number %d was left out", left_out);
        (void)reach(list_of(hosts, ports, "target_session_attrs=primary"), 8 * LIVE_SECOND);
        left_out = number_left_out(impostors, KINDS);
    }
    for (int i = 0; i < KINDS; i++)
        impostor_close(impostors[i]);
    names_let_go();
}

/* The certificate is that of the host's own name, whichever of the list it is. */
Test(pg_list, over_tls) {
    if (!getenv("QURING_TEST_PG_TLS_URL"))
        cr_skip_test("no TLS on this server");
    const char *root = strstr(live_env("QURING_TEST_PG_TLS_URL"), "sslrootcert=");
    char more[300];
    snprintf(more, sizeof more, "sslmode=verify-full %s", root);
    open_list(list_of("127.0.0.1,127.0.0.1", two_ports(relay_dead_port(), live_port()), more), 1, 20 * LIVE_SECOND);
    wait_for_answer("a list over TLS", false);
    cr_assert_eq(live_int(&live, "select count(*) from pg_stat_ssl where pid = pg_backend_pid() and ssl"), 1);
    live_close(&live);
}

/* A server that knows us and does not let us in is not got around: libpq's list is not one of passwords. */
Test(pg_list, not_past_a_wrong_password) {
    unsigned port = relay_port(good);
    open_list(list_of("127.0.0.1,127.0.0.1", two_ports(live_port(), port), "password=wrong"), 1, 2 * LIVE_STALL_NS);
    quring_done done = live_run(&live, &(quring_query){.sql = "select 1"});
    live_check_error(&done, QURING_NOT_SENT, "28P01", "password authentication failed");
    live_release(&live, &done);
    live_close(&live);
    cr_assert_eq(relay_accepted_count(good), 0);
}

Test(pg_list, the_reason_names_all_hosts) {
    char ports[100], first[80], second[80];
    unsigned dead[2] = {relay_dead_port(), relay_dead_port()};
    snprintf(ports, sizeof ports, "%u,%u,1", dead[0], dead[1]);
    snprintf(first, sizeof first, "127.0.0.1:%u: Connection refused", dead[0]);
    snprintf(second, sizeof second, "\n127.0.0.2:%u: Connection refused\ngone.test:1: ", dead[1]);
    open_list(list_of("127.0.0.1,127.0.0.2,gone.test", ports, ""), 1, 3 * LIVE_STALL_NS);
    quring_done done = live_run(&live, &(quring_query){.sql = "select 1"});
    live_check_error(&done, QURING_NOT_SENT, "08001", first);
    live_check_error(&done, QURING_NOT_SENT, "08001", second);
    live_release(&live, &done);
    live_close(&live);
}

/* ---- Threads, and the end ---- */

/* However often connections are lost and made again, a dead name server collects no more threads than at first. */
Test(pg_list, stuck_threads_are_few) {
    names_hold();
    unsigned port = relay_port(good);
    const char *list = list_of("held.test,127.0.0.1", two_ports(port, port), "");
    open_list(list, 8, LIVE_SECOND);
    for (int round = 0; round < 5; round++) {
        wait_for_answer(list, round > 0);
        live_connect(&live, 8);
        cr_assert_leq(names_held_count(), PG_DETACHED_MAX);
        quring_done done = live_query(&live, "select pg_terminate_backend(pid) from pg_stat_activity "
                                             "where application_name = 'quring' and pid <> pg_backend_pid()");
        live_release(&live, &done);
    }
    quring_engine_close(live.engine);
    wait_until_held_alone();
}

Test(pg_list, many_connections_by_a_slow_name) {
    char port[20];
    snprintf(port, sizeof port, "%u", live_port());
    open_list(list_of("slow.test", port, ""), 80, 0);
    live_connect(&live, 80);
    live_close(&live);
}

/* The look-ups go on for as long as the test likes, so that a close that waits for them never ends. */
Test(pg_list, closing_does_not_wait_for_names) {
    char port[20];
    snprintf(port, sizeof port, "%u", live_port());
    for (uint32_t up = 0; up <= 3; up++) {
        names_let_go();
        open_list(list_of("held.test", port, ""), 40, 0);
        if (up)
            live_connect(&live, up);
        names_hold();
        cr_assert_geq(quring_run(live.engine, 0, 100 * LIVE_MS), 0);
        if (up == 3)
            quring_db_close(live.db);
        quring_engine_close(live.engine);
        wait_until_held_alone();
        names_let_go();
        wait_until_alone();
    }
}
