/* SPDX-License-Identifier: MIT */
/*
 * The whole engine over the simulated kernel. The input is the weather (how the kernel splits, delays and fails), what
 * is asked when, and bytes that a server says instead of its answers. Whatever it is: every query ends exactly once, and
 * nothing hangs.
 *
 *      input   8 bytes of seed, 8 of chances, then instructions of one byte with their arguments
 */
#include "base/cursor.h"
#include "lib/sim_world.h"

enum { QUERIES = 200, INSTRUCTIONS_MAX = 400 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct world world;

static void ask(uint8_t choice) {
    static const struct ask asks[] = {
        {.verb = "select"},
        {.verb = "rows", .number = 3},
        {.verb = "insert", .commit = QURING_COMMIT_GROUP},
        {.verb = "error", .sqlstate = "22012"},
        {.verb = "error", .sqlstate = "23505", .commit = QURING_COMMIT_GROUP},
        {.verb = "big", .number = 5000, .by_handle = true},
        {.verb = "silent"},
        {.verb = "fatal", .sqlstate = "57P01"},
        {.verb = "farewell", .sqlstate = "57P01"},
        {.verb = "open", .commit = QURING_COMMIT_GROUP},
        {.verb = "copy"},
        {.verb = "sleep", .number = 500},
        {.verb = "defer", .sqlstate = "23503", .commit = QURING_COMMIT_GROUP},
        {.verb = "hostile", .number = 24},
    };
    struct ask what = asks[choice % (sizeof asks / sizeof *asks)];
    what.timeout_ns = UINT64_C(1000000000) + choice;
    if (world.asked_count < QUERIES)
        (void)world_ask(&world, &what);
}

static void instruct(struct cursor *in) {
    uint8_t what = cursor_u8(in), argument = cursor_u8(in);
    switch (what % 10) {
    case 0: /* often */
    case 1:
    case 2:
        ask(argument);
        break;
    case 3:
    case 4:
        (void)world_run(&world, argument % 8, (uint64_t)argument * argument * 1000);
        break;
    case 5:
        if (world.asked_count)
            (void)quring_cancel(world.engine, world.asked[argument % world.asked_count].id);
        break;
    case 6: {
        size_t length = cursor_u8(in);
        length = length < cursor_left(in) ? length : cursor_left(in);
        sim_server_go_rogue(&world.server, argument % 4, cursor_take(in, length), length);
        break;
    }
    case 7:
        sim_server_kill(&world.server, argument & 1);
        break;
    case 8:
        world.server.schema++;
        world.server.refusal = argument & 1 ? "57P03" : NULL;
        world.server.refusals_left = argument / 64;
        break;
    default:
        if (argument > 250)
            (void)quring_shutdown(world.engine, argument == 255 ? 1000000 : 0);
        else
            (void)quring_wake(world.engine);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct cursor in = cursor_over(data, size);
    uint64_t seed = (uint64_t)cursor_u32(&in) << 32 | cursor_u32(&in);
    uint8_t chances[8] = {0};
    for (size_t i = 0; i < sizeof chances; i++)
        chances[i] = cursor_u8(&in);
    struct sim_options sim = {.seed = seed,
                              .socket_bytes = 64u << chances[0] % 12,
                              .latency_ns = (uint64_t)chances[1] * 1000,
                              .split = (uint16_t)(chances[2] * 3),
                              .short_send = (uint16_t)(chances[3] * 2),
                              .again = chances[4],
                              .busy = chances[5],
                              .interrupt = chances[6],
                              .withhold = (uint16_t)(chances[6] * 2)};
    quring_options engine = {.query_count = 64};
    quring_db_options db = {.connection_count = 1 + chances[7] % 3,
                            .depth = 1 + chances[7] / 8,
                            .statement_count = 2,
                            .exclusive = chances[7] == 255,
                            .message_bytes = 20000,
                            .connect_timeout_ns = 100000000};
    world_open(&world, &sim, &engine, &db, QUERIES);
    world.rogue = true;
    for (int i = 0; i < INSTRUCTIONS_MAX && cursor_left(&in); i++)
        instruct(&in);
    world_finish(&world);
    world_close_engine(&world);
    world_free(&world);
    return 0;
}
