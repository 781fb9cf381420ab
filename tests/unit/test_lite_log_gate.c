/* SPDX-License-Identifier: MIT */
/* When snapshots wait for the log, and a model of a log under snapshots that overlap for ever. */
#include "base/rng.h"
#include "lite/log_gate.h"

#include <criterion/criterion.h>

static const uint64_t MS = 1000000;

TestSuite(log_gate);

/* ---- Decisions ---- */

Test(log_gate, a_short_log_waits_for_nobody) {
    struct log_gate gate = {0};
    cr_assert_not(log_gate_close(&gate, 15999, 1, 1));
    cr_assert_eq(gate.state, LOG_GATE_OPEN);
}

Test(log_gate, a_long_log_waits_for_young_snapshots) {
    struct log_gate gate = {0};
    cr_assert(log_gate_close(&gate, 16000, 200 * MS, 5000 * MS));
    cr_assert_eq(gate.state, LOG_GATE_DRAINING);
    cr_assert_eq(gate.until_ns, 6000 * MS, "a second for each 16000 pages");
    log_gate_drained(&gate);
    cr_assert_eq(gate.state, LOG_GATE_DRAINED);
    log_gate_open(&gate, 0);
    cr_assert_eq(gate.state, LOG_GATE_OPEN);
    cr_assert(log_gate_close(&gate, 16000, 1000 * MS, 7000 * MS), "it has started over, so it is as before");
}

Test(log_gate, older_snapshots_are_waited_for_when_the_log_is_longer) {
    struct log_gate gate = {0};
    cr_assert_not(log_gate_close(&gate, 16000, 1001 * MS, 1));
    cr_assert_not(log_gate_close(&gate, 320000 - 1000, 20000 * MS, 1));
    cr_assert(log_gate_close(&gate, 320000, 20000 * MS, 1));
    cr_assert_eq(gate.until_ns, 20000 * MS + 1);
}

Test(log_gate, after_a_wait_in_vain_the_log_has_to_grow_by_a_quarter) {
    struct log_gate gate = {0};
    cr_assert(log_gate_close(&gate, 16000, 1, 1));
    log_gate_open(&gate, 20000);
    cr_assert_not(log_gate_close(&gate, 24999, 1, 1));
    cr_assert(log_gate_close(&gate, 25000, 1, 1));
}

/* ---- A model ---- */

enum { SNAPSHOTS = 4, PAGES_A_CHECKPOINT = 1000, TURNS = 200000, SEEDS = 40 };

/* A turn takes a millisecond. Each client begins a snapshot as soon as it may, when it has ended the one before. */
struct model {
    struct log_gate gate;
    struct rng rng;
    uint64_t now_ns;
    uint32_t pages_a_turn, held_ms_max;
    double pages;
    uint32_t checkpointed, longest, started_over;
    struct {
        uint64_t since_ns, until_ns, asked_ns; /* since 0: none is open */
    } clients[SNAPSHOTS];
    uint64_t longest_wait_ns;
};

static uint32_t model_open_count(const struct model *model, uint64_t *oldest_ns) {
    uint32_t count = 0;
    *oldest_ns = 0;
    for (int i = 0; i < SNAPSHOTS; i++) {
        uint64_t age_ns = model->now_ns - model->clients[i].since_ns;
        if (!model->clients[i].since_ns)
            continue;
        count++;
        *oldest_ns = age_ns > *oldest_ns ? age_ns : *oldest_ns;
    }
    return count;
}

static void model_begin(struct model *model, int i) {
    uint64_t held_ns = (1 + rng_below(&model->rng, model->held_ms_max)) * MS;
    uint64_t waited_ns = model->now_ns - model->clients[i].asked_ns;
    if (waited_ns > model->longest_wait_ns)
        model->longest_wait_ns = waited_ns;
    model->clients[i].since_ns = model->now_ns;
    model->clients[i].until_ns = model->now_ns + held_ns;
}

static void model_move_clients(struct model *model) {
    for (int i = 0; i < SNAPSHOTS; i++) {
        bool open = model->clients[i].since_ns != 0;
        if (open && model->now_ns >= model->clients[i].until_ns) {
            model->clients[i].since_ns = 0;
            model->clients[i].asked_ns = model->now_ns;
        } else if (!open && model->gate.state == LOG_GATE_OPEN) {
            model_begin(model, i);
        }
    }
}

static void model_move_log(struct model *model) {
    uint64_t oldest_ns;
    uint32_t open = model_open_count(model, &oldest_ns), pages;
    model->pages += model->pages_a_turn;
    pages = (uint32_t)model->pages;
    model->longest = pages > model->longest ? pages : model->longest;
    bool due = pages >= model->checkpointed + PAGES_A_CHECKPOINT;
    if (due)
        model->checkpointed = pages;
    if (model->gate.state == LOG_GATE_DRAINING && !open)
        log_gate_drained(&model->gate);
    if (model->gate.state == LOG_GATE_DRAINED || (!open && due && pages >= 16000)) {
        model->pages = 0;
        model->checkpointed = 0;
        model->started_over++;
        if (model->gate.state == LOG_GATE_DRAINED)
            log_gate_open(&model->gate, 0);
    } else if (model->gate.state == LOG_GATE_DRAINING && model->now_ns >= model->gate.until_ns) {
        log_gate_open(&model->gate, pages);
    } else if (model->gate.state == LOG_GATE_OPEN && due && open) {
        (void)log_gate_close(&model->gate, pages, oldest_ns, model->now_ns);
    }
}

static double larger(double a, double b) {
    return a > b ? a : b;
}

/*
 * With snapshots of up to d seconds and p pages a second, a wait in vain began before the log had 16000 d pages, and ended before
 * it had (16000 + p) d; the next begins a quarter later, at the latest when a snapshot of d is worth it, and lasts d.
 */
static double model_bound(double pages_a_second, double seconds) {
    double closes_at = larger(16000, 1.25 * (16000 + pages_a_second) * seconds);
    return closes_at + PAGES_A_CHECKPOINT + pages_a_second * (seconds + 0.003);
}

Test(log_gate, the_log_is_bounded_under_snapshots_that_overlap) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct model model = {.rng = {seed}, .now_ns = MS};
        model.pages_a_turn = 1 + rng_below(&model.rng, 40);
        model.held_ms_max = 10 + rng_below(&model.rng, seed % 2 ? 300 : 5000);
        for (int turn = 0; turn < TURNS; turn++) {
            model_move_clients(&model);
            model_move_log(&model);
            model.now_ns += MS;
        }
        double written = (double)model.pages_a_turn * TURNS;
        double bound = model_bound(1000.0 * model.pages_a_turn, model.held_ms_max / 1000.0);
        cr_assert_leq(model.longest, bound, "seed %lu: %u pages, %.0f", seed, model.longest, bound);
        cr_assert_geq(model.started_over + 1, written / bound, "seed %lu", seed);
        cr_assert_leq(model.longest_wait_ns, (model.held_ms_max + 3) * MS, "seed %lu", seed);
    }
}
