/* SPDX-License-Identifier: MIT */
/* How long queries waited, and how many: of each handle for itself. */
#include "core/stats.h"
#include "lib/engine_fixture.h"

TestSuite(engine_waits, .init = engine_setup, .fini = engine_teardown);

static quring_db_stats stats_of(const struct fake_db *db) {
    quring_db_stats stats;
    stats_fill(&db->base, &stats);
    return stats;
}

static void pass_ms(uint64_t ms) {
    cr_assert_geq(engine_run(engine, FAKE_QUERIES, ms * FAKE_MS), 0);
}

/* "0:2 14:1": so many queries in these classes. */
static const char *waits_of(const struct fake_db *db) {
    static char text[400];
    quring_db_stats stats = stats_of(db);
    size_t length = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < QURING_WAIT_BUCKETS; i++)
        if (stats.wait_count[i])
            length += (size_t)snprintf(text + length, sizeof text - length, "%s%u:%lu", length ? " " : "", i,
                                       (unsigned long)stats.wait_count[i]);
    return text;
}

Test(engine_waits, queries_of_the_first_turn_did_not_wait) {
    for (uint32_t i = 0; i < 5; i++)
        fake_ask(a, i);
    fake_assert_text(waits_of(a), "", "none was given away yet");
    engine_turn();
    fake_assert_text(waits_of(a), "0:5", "all were");
    cr_assert_eq(stats_of(a).waiting_peak_count, 0);
    pass_ms(100);
    fake_ask(a, 5);
    engine_turn();
    fake_assert_text(waits_of(a), "0:6", "the program was away, and no query waited");
    fake_assert_text(waits_of(b), "", "each handle for itself");
}

/* A class spans a factor of two; 5 ms are from 2^12 to 2^13 us, 105 ms from 2^16 to 2^17. */
Test(engine_waits, what_a_turn_leaves_behind_waits_from_then_on) {
    a->depth = 1;
    for (uint32_t i = 0; i < 3; i++)
        fake_ask(a, i);
    engine_turn();
    cr_assert_eq(stats_of(a).waiting_peak_count, 2);
    pass_ms(5);
    fake_end(a, 0, QURING_OK);
    engine_turn();
    fake_assert_text(waits_of(a), "0:1 13:1", "the second waited 5 ms");
    pass_ms(100);
    fake_end(a, 1, QURING_OK);
    engine_turn();
    fake_assert_text(waits_of(a), "0:1 13:1 17:1", "the third 105 ms");
    cr_assert_eq(stats_of(a).waiting_count, 0);
    cr_assert_eq(stats_of(a).waiting_peak_count, 2);
}

/* The turns that find no room between do not begin the wait anew, nor do those that come later wait as long. */
Test(engine_waits, the_wait_counts_from_the_first_turn) {
    a->depth = 1;
    fake_ask(a, 0);
    fake_ask(a, 1);
    for (int i = 0; i < 10; i++)
        pass_ms(7);
    fake_ask(a, 2);
    for (int i = 0; i < 2; i++)
        pass_ms(3);
    a->depth = 3;
    engine_turn();
    fake_assert_text(waits_of(a), "0:1 13:1 17:1", "76 ms and 6 ms");
}

Test(engine_waits, the_program_is_away_while_a_query_waits) {
    a->depth = 1;
    fake_ask(a, 0);
    fake_ask(a, 1);
    engine_turn();
    sim_wait(fake_sim(), 50 * FAKE_MS);
    fake_end(a, 0, QURING_OK);
    engine_turn();
    fake_assert_text(waits_of(a), "0:1 16:1", "it waited all that time");
}

Test(engine_waits, queries_that_end_unsent_count_nowhere) {
    a->depth = 1;
    fake_ask(a, 0);
    fake_ask_until(a, 1, 20 * FAKE_MS);
    fake_ask(a, 2);
    fake_ask(a, 3);
    engine_turn();
    pass_ms(30);
    cr_assert_eq(engine_cancel(engine, fake_id(2)), 0);
    fake_end(a, 0, QURING_OK);
    engine_turn();
    fake_assert_text(waits_of(a), "0:1 15:1", "the first, and the last");
    quring_db_stats stats = stats_of(a);
    cr_assert_eq(stats.submitted_count, 4);
    cr_assert(stats.done_count[QURING_OK] == 1 && stats.done_count[QURING_TIMEOUT] == 1 &&
              stats.done_count[QURING_CANCELLED] == 1);
    cr_assert(stats.inflight_count == 1 && stats.waiting_count == 0);
}

/* It is given away twice, and waits anew. */
Test(engine_waits, a_query_that_is_put_back_counts_again) {
    for (uint32_t i = 0; i < 3; i++)
        fake_ask(a, i);
    engine_turn();
    pass_ms(100);
    fake_put_back(a);
    a->depth = 1;
    engine_turn();
    fake_assert_text(waits_of(a), "0:4", "the first of them at once");
    cr_assert_eq(stats_of(a).retry_count, 3);
    pass_ms(5);
    a->depth = 3;
    engine_turn();
    fake_assert_text(waits_of(a), "0:4 13:2", "the others wait anew");
}

/* What comes to a transaction's queue that stands in line for a place waits as the others do. */
Test(engine_waits, queries_of_a_transaction_that_waits_for_a_place) {
    quring_tx *tx = NULL;
    cr_assert_eq(engine_tx_open(&a->base, NULL, &tx), 0);
    a->place_count = 0;
    fake_ask_tx(tx, 0, "select 1");
    engine_turn();
    pass_ms(3);
    fake_ask_tx(tx, 1, "select 1");
    engine_turn();
    pass_ms(7);
    fake_ask_tx(tx, 2, "select 1");
    a->place_count = 1;
    queue_bring_back(&tx->queue);
    engine_turn();
    fake_assert_text(waits_of(a), "0:1 13:1 14:1", "10 ms, 7 ms, and the first turn that saw it");
    cr_assert_eq(stats_of(a).retry_count, 0);
}

/* Some were there before, and some came since. */
Test(engine_waits, those_that_were_put_back_before_others_that_waited) {
    a->depth = 1;
    for (uint32_t i = 0; i < 4; i++)
        fake_ask(a, i);
    engine_turn();
    pass_ms(50);
    a->depth = 0;
    fake_put_back(a);
    fake_ask(a, 4);
    engine_turn();
    pass_ms(5);
    a->depth = 5;
    engine_turn();
    fake_assert_text(waits_of(a), "0:1 13:2 16:3", "one put back and one new 5 ms, three 55 ms");
    cr_assert_eq(stats_of(a).waiting_peak_count, 5);
}

Test(engine_waits, a_closed_handle_has_no_word_in_anothers_waits) {
    a->depth = b->depth = 1;
    for (uint32_t i = 0; i < 4; i++)
        fake_ask(i % 2 ? a : b, i);
    engine_turn();
    pass_ms(5);
    engine_db_close(&a->base);
    b->depth = 2;
    engine_turn();
    fake_assert_text(waits_of(b), "0:1 13:1", "after the close of the other");
}

/* The engine's own are the sum, with what was closed in it. */
Test(engine_waits, stats_fill_adds_up_to_engine_stats) {
    quring_db_stats of_a, of_b;
    quring_stats all;
    for (uint32_t i = 0; i < 6; i++)
        fake_ask(i % 3 ? a : b, i);
    b->depth = 1;
    engine_turn();
    fake_end(a, 1, QURING_OK);
    fake_end(a, 2, QURING_SERVER_ERROR);
    of_a = stats_of(a);
    of_b = stats_of(b);
    engine_stats(engine, &all);
    cr_assert_eq(all.submitted_count, of_a.submitted_count + of_b.submitted_count);
    cr_assert_eq(all.waiting_count, of_a.waiting_count + of_b.waiting_count);
    cr_assert_eq(all.inflight_count, of_a.inflight_count + of_b.inflight_count);
    for (size_t i = 0; i <= QURING_SHUTDOWN; i++)
        cr_assert_eq(all.done_count[i], of_a.done_count[i] + of_b.done_count[i]);
    cr_assert(of_b.waiting_count == 1 && of_a.done_count[QURING_SERVER_ERROR] == 1);
}
