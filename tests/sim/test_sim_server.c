/* SPDX-License-Identifier: MIT */
/* The simulated server itself: what it answers to which messages, where the library does not ask for all that it can do. */
#include "lib/seeds.h"
#include "lib/sim_client.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { MS = 1000000, QUERIES = 100 };

static struct sim *sim;
static struct sim_server server;
static struct sim_client client;

static void open_server(void) {
    struct sim_options options = {.seed = 1, .latency_ns = 1000, .short_delivery = 300, .split = 300};
    seeds_begin();
    sim = sim_new(&options);
    sim_server_init(&server, sim, QUERIES);
    sim_client_start(&client, &server);
}

static void close_server(void) {
    sim_client_close(&client);
    sim_settle(sim);
    sim_port(sim)->methods->destroy(sim_port(sim));
    sim_server_free(&server);
    sim_free(sim);
}

TestSuite(sim_server, .init = open_server, .fini = close_server);

static const char *talk(void) {
    return sim_client_talk(&client, MS);
}

/* Asks and syncs. */
static const char *answer(const char *sql, int64_t index) {
    sim_client_ask(&client, sql, index);
    sim_client_sync(&client);
    return talk();
}

/* Parse of a statement with rows, and Bind of a portal for it. */
static void open_portal(const char *portal, const char *sql, int64_t index) {
    sim_client_parse(&client, "s", sql);
    sim_client_bind(&client, portal, "s", index);
}

/* Execute and Sync. */
static const char *fetch(const char *portal, uint32_t row_limit) {
    sim_client_execute(&client, portal, row_limit);
    sim_client_sync(&client);
    return talk();
}

#define SAYS(heard, words) cr_assert_str_eq(heard, words)

/* ---- Transactions ---- */

Test(sim_server, status_of_a_block) {
    SAYS(answer("begin", -1), "1 2 C:BEGIN ZT");
    SAYS(answer("insert $1", 1), "1 2 C:INSERT 0 1 ZT");
    SAYS(answer("error 22012 $1", 2), "1 2 E22012 ZE");
    SAYS(answer("insert $1", 3), "E25P02 ZE");
    SAYS(answer("savepoint 1", -1), "E25P02 ZE");
    SAYS(answer("commit", -1), "1 2 C:ROLLBACK ZI");
    SAYS(answer("start transaction", -1), "1 2 C:START TRANSACTION ZT");
    SAYS(answer("insert $1", 4), "1 2 C:INSERT 0 1 ZT");
    cr_assert_eq(server.ledger[4].committed, 0);
    SAYS(answer("end", -1), "1 2 C:COMMIT ZI");
    cr_assert(server.ledger[1].committed == 0 && server.ledger[4].committed == 1);
}

Test(sim_server, warnings_where_no_block_is_or_one_is_already) {
    SAYS(answer("commit", -1), "1 2 N25P01 C:COMMIT ZI");
    SAYS(answer("rollback", -1), "1 2 N25P01 C:ROLLBACK ZI");
    SAYS(answer("savepoint 1", -1), "1 2 E25P01 ZI");
    SAYS(answer("begin", -1), "1 2 C:BEGIN ZT");
    SAYS(answer("begin", -1), "1 2 N25001 C:BEGIN ZT");
    SAYS(answer("rollback", -1), "1 2 C:ROLLBACK ZI");
}

Test(sim_server, savepoints) {
    SAYS(answer("begin", -1), "1 2 C:BEGIN ZT");
    SAYS(answer("savepoint 1", -1), "1 2 C:SAVEPOINT ZT");
    SAYS(answer("insert $1", 1), "1 2 C:INSERT 0 1 ZT");
    SAYS(answer("savepoint 1", -1), "1 2 C:SAVEPOINT ZT"); /* hides the first */
    SAYS(answer("insert $1", 2), "1 2 C:INSERT 0 1 ZT");
    SAYS(answer("error 22012 $1", 3), "1 2 E22012 ZE");
    SAYS(answer("rollback to 2", -1), "1 2 E3B001 ZE");
    SAYS(answer("rollback to 1", -1), "1 2 C:ROLLBACK ZT");
    SAYS(answer("release 1", -1), "1 2 C:RELEASE ZT");
    SAYS(answer("savepoint 3", -1), "1 2 C:SAVEPOINT ZT");
    SAYS(answer("release 1", -1), "1 2 C:RELEASE ZT"); /* the first one, and 3 with it */
    SAYS(answer("release 3", -1), "1 2 E3B001 ZE");
    SAYS(answer("rollback", -1), "1 2 C:ROLLBACK ZI");
    cr_assert(server.ledger[1].committed == 0 && server.ledger[2].committed == 0);
}

/* What ran since the last Sync is of a block that begins behind it, and of a COMMIT without one. */
Test(sim_server, blocks_that_begin_and_end_between_two_syncs) {
    sim_client_ask(&client, "insert $1", 1);
    sim_client_ask(&client, "begin", -1);
    SAYS(answer("insert $1", 2), "1 2 C:INSERT 0 1 1 2 C:BEGIN 1 2 C:INSERT 0 1 ZT");
    sim_client_ask(&client, "rollback", -1);
    SAYS(answer("insert $1", 3), "1 2 C:ROLLBACK 1 2 C:INSERT 0 1 ZI");
    cr_assert(server.ledger[1].committed == 0 && server.ledger[2].committed == 0 && server.ledger[3].committed == 1);
    sim_client_ask(&client, "insert $1", 4);
    sim_client_ask(&client, "commit", -1);
    SAYS(answer("error 22012 $1", 5), "1 2 C:INSERT 0 1 1 2 N25P01 C:COMMIT 1 2 E22012 ZI");
    cr_assert(server.ledger[4].committed == 1 && server.ledger[5].committed == 0);
}

/* ---- Portals ---- */

static void begin(void) {
    SAYS(answer("begin", -1), "1 2 C:BEGIN ZT");
}

Test(sim_server, a_portal_goes_on_where_it_was_suspended) {
    begin();
    open_portal("p", "rows 5 $1", 1);
    sim_client_describe(&client, 'P', "p");
    SAYS(fetch("p", 2), "1 2 T D0 D1 s ZT");
    SAYS(fetch("p", 2), "D2 D3 s ZT");
    SAYS(fetch("p", 2), "D4 C:SELECT 1 ZT");
    SAYS(fetch("p", 2), "C:SELECT 0 ZT");
    cr_assert(server.ledger[1].executed == 1 && server.ledger[1].committed == 0);
    SAYS(answer("commit", -1), "1 2 C:COMMIT ZI");
    cr_assert_eq(server.ledger[1].committed, 1);
}

/* PostgreSQL does not look whether there is one row more. */
Test(sim_server, a_portal_with_as_many_rows_as_asked_is_suspended) {
    begin();
    open_portal("", "rows 4 $1", 1);
    SAYS(fetch("", 4), "1 2 D0 D1 D2 D3 s ZT");
    SAYS(fetch("", 4), "C:SELECT 0 ZT");
    sim_client_bind(&client, "", "s", 2);
    SAYS(fetch("", 5), "2 D0 D1 D2 D3 C:SELECT 4 ZT");
    sim_client_bind(&client, "", "s", 3);
    SAYS(fetch("", 0), "2 D0 D1 D2 D3 C:SELECT 4 ZT");
}

Test(sim_server, portals_of_one_statement_are_apart) {
    begin();
    open_portal("p", "rows 3 $1", 1);
    sim_client_bind(&client, "q", "s", 2);
    SAYS(fetch("p", 2), "1 2 2 D0 D1 s ZT");
    SAYS(fetch("q", 1), "D0 s ZT");
    SAYS(fetch("p", 2), "D2 C:SELECT 1 ZT");
    SAYS(answer("insert $1", 3), "1 2 C:INSERT 0 1 ZT");
    SAYS(fetch("q", 0), "D1 D2 C:SELECT 2 ZT");
}

Test(sim_server, a_portal_ends_with_its_transaction) {
    static const char *const ends[][2] = {{"commit", "1 2 C:COMMIT ZI"}, {"rollback", "1 2 C:ROLLBACK ZI"}};
    for (int i = 0; i < 2; i++) {
        begin();
        sim_client_parse(&client, "", "rows 5 $1");
        sim_client_bind(&client, "p", "", 1);
        SAYS(fetch("p", 1), "1 2 D0 s ZT");
        SAYS(answer(ends[i][0], -1), ends[i][1]);
        SAYS(fetch("p", 1), "E34000 ZI");
    }
    sim_client_parse(&client, "", "rows 5 $1");
    sim_client_bind(&client, "p", "", 1);
    sim_client_execute(&client, "p", 1);
    sim_client_flush(&client);
    SAYS(talk(), "1 2 D0 s"); /* Flush ends nothing */
    SAYS(fetch("p", 1), "D1 s ZI");
    SAYS(fetch("p", 1), "E34000 ZI");
    SAYS(fetch("", 1), "E34000 ZI");
}

Test(sim_server, a_portal_of_a_failed_block_is_refused) {
    begin();
    open_portal("p", "rows 5 $1", 1);
    sim_client_execute(&client, "p", 1);
    SAYS(answer("error 22012 $1", 2), "1 2 D0 s 1 2 E22012 ZE");
    SAYS(fetch("p", 1), "E25P02 ZE");
    SAYS(answer("rollback", -1), "1 2 C:ROLLBACK ZI");
    cr_assert_eq(server.ledger[1].committed, 0);
}

Test(sim_server, a_portal_that_fails_after_rows) {
    begin();
    open_portal("p", "late 3 22012 $1", 1);
    SAYS(fetch("p", 2), "1 2 D0 D1 s ZT");
    SAYS(fetch("p", 2), "D2 E22012 ZE");
    SAYS(answer("commit", -1), "1 2 C:ROLLBACK ZI");
}

Test(sim_server, a_portal_goes_back_with_its_savepoint) {
    begin();
    open_portal("p", "rows 9 $1", 1);
    SAYS(answer("savepoint 1", -1), "1 2 1 2 C:SAVEPOINT ZT");
    sim_client_bind(&client, "q", "s", 2);
    SAYS(answer("savepoint 2", -1), "2 1 2 C:SAVEPOINT ZT");
    sim_client_bind(&client, "r", "s", 3);
    SAYS(answer("release 2", -1), "2 1 2 C:RELEASE ZT");
    SAYS(fetch("r", 1), "D0 s ZT"); /* it is of savepoint 1 from here on */
    SAYS(answer("rollback to 1", -1), "1 2 C:ROLLBACK ZT");
    SAYS(fetch("p", 1), "D0 s ZT");
    SAYS(fetch("q", 1), "E34000 ZE");
    SAYS(answer("rollback to 1", -1), "1 2 C:ROLLBACK ZT");
    SAYS(fetch("r", 1), "E34000 ZE");
}

Test(sim_server, a_portal_that_is_closed_is_gone) {
    begin();
    open_portal("p", "rows 5 $1", 1);
    SAYS(fetch("p", 1), "1 2 D0 s ZT");
    sim_client_drop(&client, 'P', "p");
    sim_client_drop(&client, 'P', "of nobody");
    sim_client_bind(&client, "p", "s", 2);
    SAYS(fetch("p", 1), "3 3 2 D0 s ZT");
    sim_client_drop(&client, 'S', "s"); /* and its portals with it */
    SAYS(fetch("p", 1), "3 E34000 ZE");
}

Test(sim_server, names_that_are_taken_or_of_nobody) {
    static const char *const sqlstates[] = {"E42P03 ZE", "E42P05 ZE", "E26000 ZE", "E34000 ZE", "E26000 ZE"};
    for (int i = 0; i < 5; i++) {
        begin();
        open_portal("p", "rows 5 $1", 1);
        sim_client_sync(&client);
        SAYS(talk(), "1 2 ZT");
        if (i == 0)
            sim_client_bind(&client, "p", "s", 2);
        else if (i == 1)
            sim_client_parse(&client, "s", "rows 5 $1");
        else if (i == 2)
            sim_client_bind(&client, "q", "of nobody", 2);
        else
            sim_client_describe(&client, i == 3 ? 'P' : 'S', "of nobody");
        sim_client_sync(&client);
        SAYS(talk(), sqlstates[i]);
        sim_client_drop(&client, 'S', "s");
        SAYS(answer("rollback", -1), "3 1 2 C:ROLLBACK ZI");
    }
}

Test(sim_server, a_write_runs_once) {
    begin();
    open_portal("p", "insert $1", 1);
    SAYS(fetch("p", 1), "1 2 C:INSERT 0 1 ZT"); /* a limit of rows does not suspend it */
    sim_client_execute(&client, "p", 0);
    SAYS(fetch("p", 0), "E55000 ZE");
    cr_assert_eq(server.ledger[1].executed, 1);
}

/* ---- A second socket ---- */

/* CancelRequest over a connection of its own, which the server closes without a word. */
static void cancel(uint32_t pid, uint32_t key) {
    struct sim_client other;
    sim_client_open(&other, &server);
    sim_client_cancel(&other, pid, key);
    SAYS(sim_client_talk(&other, MS), ".");
    sim_client_close(&other);
}

Test(sim_server, a_running_statement_is_cancelled) {
    static const char *const texts[] = {"silent $1", "sleep 60000000 $1", "flood $1"};
    for (int i = 0; i < 3; i++) {
        sim_client_ask(&client, texts[i], 1);
        sim_client_ask(&client, "insert $1", 2); /* skipped, as all up to Sync */
        sim_client_sync(&client);
        sim_client_wait(&client, 30000);
        cancel(client.pid, client.key);
        SAYS(talk(), i == 2 ? "1 2 N00000 E57014 ZI" : "1 2 E57014 ZI");
        SAYS(answer("select id $1", 3), "1 2 D C:SELECT 1 ZI");
    }
    sim_settle(sim); /* nothing comes of the sleep's end */
    SAYS(talk(), "");
    cr_assert(server.ledger[1].executed == 3 && server.ledger[1].committed == 0);
    cr_assert(server.ledger[2].executed == 0 && server.ledger[3].committed == 3);
}

Test(sim_server, a_cancel_of_another_key_or_of_nobody_does_nothing) {
    struct sim_client bystander;
    sim_client_start(&bystander, &server);
    cr_assert(bystander.pid != client.pid && bystander.key != client.key);
    sim_client_ask(&client, "silent $1", 1);
    sim_client_sync(&client);
    SAYS(talk(), "");
    cancel(client.pid, client.key ^ 1);
    cancel(client.pid + 10, client.key);
    cancel(client.pid, bystander.key);
    cancel(bystander.pid, bystander.key); /* its own, but it runs nothing */
    SAYS(talk(), "");
    cancel(client.pid, client.key);
    SAYS(talk(), "1 2 E57014 ZI");
    sim_client_ask(&bystander, "insert $1", 2);
    sim_client_sync(&bystander);
    SAYS(sim_client_talk(&bystander, MS), "1 2 C:INSERT 0 1 ZI");
    sim_client_close(&bystander);
}

Test(sim_server, a_cancel_while_none_runs_does_not_meet_the_next) {
    cancel(client.pid, client.key);
    SAYS(answer("sleep 100 $1", 1), "1 2 D C:SELECT 1 ZI");
    cancel(client.pid, client.key);
    SAYS(answer("insert $1", 2), "1 2 C:INSERT 0 1 ZI");
}

Test(sim_server, a_cancel_within_a_block_fails_it) {
    begin();
    SAYS(answer("insert $1", 1), "1 2 C:INSERT 0 1 ZT");
    SAYS(answer("savepoint 1", -1), "1 2 C:SAVEPOINT ZT");
    SAYS(answer("silent $1", 2), "");
    cancel(client.pid, client.key);
    SAYS(talk(), "1 2 E57014 ZE");
    SAYS(answer("insert $1", 3), "E25P02 ZE");
    SAYS(answer("rollback to 1", -1), "1 2 C:ROLLBACK ZT");
    SAYS(answer("commit", -1), "1 2 C:COMMIT ZI");
    cr_assert(server.ledger[1].committed == 1 && server.ledger[2].committed == 0);
}

/* Whenever it comes, a statement is done and committed, or has failed and left nothing. */
static void cancel_seed(uint64_t seed) {
    struct rng rng = {seed};
    struct sim_client other;
    open_server();
    sim_client_open(&other, &server);
    for (uint32_t i = 0; i < 3; i++) {
        sim_client_ask(&client, "sleep 10 $1", i);
        sim_client_sync(&client);
    }
    sim_client_wait(&client, rng_below(&rng, 60000));
    sim_client_cancel(&other, client.pid, client.key);
    SAYS(sim_client_talk(&other, MS), ".");
    const char *at = talk();
    for (uint32_t i = 0; i < 3; i++) {
        static const char done[] = "1 2 D C:SELECT 1 ZI", failed[] = "1 2 E57014 ZI";
        bool is_done = strncmp(at, done, strlen(done)) == 0;
        LAW(is_done || strncmp(at, failed, strlen(failed)) == 0, "%s", at);
        LAW(server.ledger[i].committed == is_done, "%s, but committed %u times", at, server.ledger[i].committed);
        at += strlen(is_done ? done : failed);
        at += *at == ' ';
    }
    LAW(!*at, "%s", at);
    sim_client_close(&other);
    close_server();
}

Test(sim_server_seeds, cancels_at_any_time) {
    seeds_run(100, cancel_seed);
}

/* ---- Many portals ---- */

enum { PORTALS = 4 };

/* Whichever portal is asked for how many rows, each gives its own in order, and suspends as often as it must. */
static void portals_seed(uint64_t seed) {
    struct rng rng = {seed};
    uint32_t count[PORTALS], next[PORTALS] = {0};
    char name[] = "p0", sql[20], wanted[1000];
    open_server();
    begin();
    for (uint32_t i = 0; i < PORTALS; i++) {
        count[i] = (uint32_t)rng_below(&rng, 12);
        name[1] = (char)('0' + i);
        snprintf(sql, sizeof sql, "rows %u $1", count[i]);
        sim_client_parse(&client, "", sql);
        sim_client_bind(&client, name, "", i);
    }
    sim_client_sync(&client);
    (void)talk();
    for (int step = 0; step < 20; step++) {
        uint32_t i = (uint32_t)rng_below(&rng, PORTALS), limit = (uint32_t)rng_below(&rng, 5), sent = 0;
        size_t length = 0;
        name[1] = (char)('0' + i);
        while (next[i] < count[i] && (!limit || sent < limit)) {
            length += (size_t)snprintf(wanted + length, sizeof wanted - length, "D%u ", next[i]++);
            sent++;
        }
        if (limit && sent == limit)
            snprintf(wanted + length, sizeof wanted - length, "s ZT");
        else
            snprintf(wanted + length, sizeof wanted - length, "C:SELECT %u ZT", sent);
        const char *heard = fetch(name, limit);
        LAW(strcmp(heard, wanted) == 0, "%s, not %s", heard, wanted);
    }
    close_server();
}

Test(sim_server_seeds, portals_give_their_rows_in_order) {
    seeds_run(50, portals_seed);
}
