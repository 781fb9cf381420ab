/* SPDX-License-Identifier: MIT */
/*
 * What a server says or does while the program is elsewhere. The queries that come next are not sent into it: none ends
 * IN_DOUBT, and none gets an answer that was there before it was asked.
 */
#include "lib/replies.h"
#include "lib/sim_world.h"

#include <criterion/criterion.h>

TestSuite(sim_idle, .init = seeds_begin);

enum { CONNECTIONS = 3, BURST = 12 };

static const uint64_t SECOND = 1000000000, MS = 1000000;

static struct world world;

/* N a notice, S a parameter status, R a whole reply that nobody asked for, F a FATAL error. */
static void say(char what) {
    static const struct reply_column column = {"id", 20, -1};
    static const char *const value = "4711";
    static const uint32_t int8 = 20;
    struct buf out;
    buf_init(&out, SIZE_MAX);
    switch (what) {
    case 'N':
        reply_report(&out, 'N', "NOTICE", "00000", "good night", NULL);
        break;
    case 'S':
        reply_status(&out, "TimeZone", "UTC");
        break;
    case 'F':
        reply_report(&out, 'E', "FATAL", "57P05", "terminating connection due to idle-session timeout", NULL);
        break;
    case 'P': /* to a first execution, which is described */
        reply_bare(&out, '1');
        reply_parameters(&out, 1, &int8);
        reply_columns(&out, 1, &column);
        __attribute__((fallthrough));
    default: /* to a later one */
        reply_bare(&out, '2');
        reply_row(&out, 1, &value);
        reply_tag(&out, "SELECT 1");
        reply_ready(&out, 'I');
    }
    sim_server_say(&world.server, out.data, buf_size(&out));
    buf_free(&out);
}

static void burst(void) {
    for (int i = 0; i < BURST; i++)
        (void)world_query(&world, "select", 0, NULL);
    world_finish(&world);
}

/* `script`: what is said, then '.' for FIN or '!' for RST. `armed`: the engine had a turn with nothing to do before. */
static void quiet_moment(const char *script, bool armed, uint64_t away_ns, uint64_t seed) {
    struct sim_options sim = {.seed = seed, .start_ns = SECOND, .batch = (uint32_t)(seed / 2 % 3)};
    quring_options engine = {.query_count = 200};
    quring_db_options db = {.connection_count = CONNECTIONS, .depth = 16};
    world_open(&world, &sim, &engine, &db, 200);
    world_connect(&world, CONNECTIONS);
    for (int round = 0; round < 3; round++) {
        burst();
        if (armed)
            (void)world_run(&world, 0, 0);
        for (const char *at = script; *at; at++) {
            if (*at == '.' || *at == '!')
                sim_server_kill(&world.server, *at == '!');
            else
                say(*at);
            world_stay_away(&world, away_ns);
        }
        burst();
        world_connect(&world, CONNECTIONS);
    }
    LAW(world.by_status[QURING_OK] == world.asked_count, "%s: %u of %u OK", script, world.by_status[QURING_OK],
        world.asked_count);
    bool harmless = strspn(script, "NS") == strlen(script);
    LAW(world.server.connects == (harmless ? 1u : 4u) * CONNECTIONS, "%s: %u connects", script, world.server.connects);
    world_close(&world);
}

Test(sim_idle, what_happened_meanwhile_harms_no_query) {
    static const char *const scripts[] = {
        ".",  "!",  "F",  "F.",  "F!",  "R",  "P",  "R.",  "P!",   "RP",  "N",    "NS",
        "N.", "S!", "NF", "NF.", "SF!", "NR", "RN", "SP.", "NNS.", "RF.", "NRF!", "NSNSF.",
    };
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        for (uint64_t seed = 1; seed <= 6; seed++) {
            quiet_moment(scripts[i], seed & 1, 10 * MS, seed);
            quiet_moment(scripts[i], seed & 1, 1000, seed);
        }
}

static uint64_t enters_of_a_turn(void) {
    (void)world_query(&world, "select", 0, NULL);
    uint64_t before = world_stats(&world).enter_count;
    (void)world_run(&world, 0, 0);
    return world_stats(&world).enter_count - before;
}

/* A look is one system call: before the first query on a connection with nothing out, and not behind others. */
Test(sim_idle, a_busy_program_does_not_look) {
    struct sim_options sim = {.seed = 1, .start_ns = SECOND, .latency_ns = 1000};
    quring_options engine = {.query_count = 200};
    quring_db_options db = {.connection_count = 1, .depth = 16};
    world_open(&world, &sim, &engine, &db, 200);
    world_connect(&world, 1);
    burst();
    cr_assert_eq(enters_of_a_turn(), 2);
    (void)world_run(&world, 0, 0); /* its send ends */
    cr_assert_eq(quring_pending(world.engine), 1);
    cr_assert_eq(enters_of_a_turn(), 1);
    world_finish(&world);
    world_close(&world);
}
