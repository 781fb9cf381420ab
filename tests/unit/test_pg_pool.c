/* SPDX-License-Identifier: MIT */
/* The connections to one server: which of them try and when, how long queries wait, and where they are sent. */
#include "lib/pg_fixture.h"
#include "ring/ring.h"

#include <stdlib.h>

enum { CONNS = 3, DEPTH = 4 };

static struct pg_pool *pool;

TestSuite(pg_pool, .init = pg_setup, .fini = pg_teardown);

#define ONE "select 1"

static void open_pool(const quring_db_options *options) {
    pg_again(options);
    pool = &bed.db.pool;
    int error = pg_pool_open(pool, &bed.db.base, "host=bed", &bed.db.kept_bytes);
    cr_assert_eq(error, 0, "%s", bed.hub.message);
    bed.pool_open = true;
    pool->attempts.rng.state = 1;
}

static void open_conns(uint32_t count) {
    open_pool(&(quring_db_options){.connection_count = count, .depth = DEPTH});
}

/* What the backend does in a turn that its database is due in. */
static void advance(void) {
    pg_pool_advance(pool);
    list_for_each_safe(node, &bed.db.base.ready)
        pg_pool_admit(pool, list_entry(node, struct queue, ready));
    pg_bed_settle(&bed);
}

static void answer_all(void) {
    pg_bed_settle(&bed);
    for (uint32_t i = 0; i < pool->conn_count; i++)
        if (pool->conns[i]->state == PG_CONN_BARRIER)
            pg_bed_answer(&bed, pool->conns[i], false);
}

static void answer_first(void) {
    uint32_t i = 0;
    while (pool->conns[i]->state != PG_CONN_BARRIER)
        cr_assert_lt(++i, pool->conn_count);
    pg_bed_answer(&bed, pool->conns[i], false);
}

/* All connections are up, and the pool is. */
static void bring_up(uint32_t count) {
    open_conns(count);
    for (uint32_t i = 0; i < count; i++)
        answer_all();
    advance();
    cr_assert_eq(pool->ready_count, count);
    cr_assert_eq(pool->state, PG_POOL_UP);
}

static void lose(uint32_t i) {
    pg_conn_break(pool->conns[i], QURING_IN_DOUBT, "08006", "lost");
    pg_bed_settle(&bed);
}

static void refuse(const char *sqlstate) {
    bed.refusal = sqlstate;
}

/* How many connections try, or will once they may. */
static uint32_t trying_count(void) {
    uint32_t count = heap_contains(&pool->next_attempt.node);
    for (uint32_t i = 0; i < pool->conn_count; i++)
        count += pool->conns[i]->state == PG_CONN_CONNECTING || pool->conns[i]->state == PG_CONN_BARRIER;
    return count;
}

/* ---- States ---- */

static void waits_long(void) {
    pg_bed_pass(&bed, bed.db.base.options.reconnect_wait_ns + PG_BED_MS);
}

static void fails(void) {
    refuse("08001");
    pg_bed_pass(&bed, 500 * PG_BED_MS);
}

static void is_refused_for_good(void) {
    refuse("28P01");
    pg_bed_pass(&bed, 500 * PG_BED_MS);
}

static void comes_up(void) {
    refuse(NULL);
    pg_bed_pass(&bed, 500 * PG_BED_MS);
    answer_all();
    advance();
}

/* READY, and lost again before anything could be given to it. */
static void comes_up_in_vain(void) {
    refuse(NULL);
    pg_bed_pass(&bed, 500 * PG_BED_MS);
    answer_all();
    refuse("08001");
    for (uint32_t i = 0; i < pool->conn_count; i++)
        if (pool->conns[i]->state == PG_CONN_READY)
            lose(i);
}

static void loses_one(void) {
    refuse("08001");
    lose(0);
}

static void loses_all(void) {
    refuse("08001");
    for (uint32_t i = 0; i < pool->conn_count; i++)
        if (pool->conns[i]->state == PG_CONN_READY)
            lose(i);
}

static void passes(void) {
    pg_bed_pass(&bed, PG_BED_MS);
}

static void bring(enum pg_pool_state state) {
    if (state == PG_POOL_TRYING) {
        open_conns(2);
        return;
    }
    bring_up(2);
    if (state == PG_POOL_OUTAGE)
        loses_all();
    cr_assert_eq(pool->state, state);
}

Test(pg_pool, pool_move_and_what_waiting_queries_do) {
    static const struct {
        enum pg_pool_state from;
        const char *what;
        void (*happens)(void);
        enum pg_pool_state to;
        const char *fate;
    } rows[] = {
        {PG_POOL_TRYING, "an attempt fails", fails, PG_POOL_TRYING, "NOT_SENT 08001"},
        {PG_POOL_TRYING, "it is refused for good", is_refused_for_good, PG_POOL_TRYING, "NOT_SENT 28P01"},
        {PG_POOL_TRYING, "a connection comes up", comes_up, PG_POOL_UP, "running"},
        {PG_POOL_TRYING, "one comes up and is lost at once", comes_up_in_vain, PG_POOL_TRYING, "NOT_SENT 08006"},
        {PG_POOL_UP, "one of two is lost", loses_one, PG_POOL_UP, "waiting"},
        {PG_POOL_UP, "all are lost", loses_all, PG_POOL_OUTAGE, "waiting"},
        {PG_POOL_OUTAGE, "a little time", passes, PG_POOL_OUTAGE, "waiting"},
        {PG_POOL_OUTAGE, "attempts fail", fails, PG_POOL_OUTAGE, "waiting"},
        {PG_POOL_OUTAGE, "it is refused for good", is_refused_for_good, PG_POOL_OUTAGE, "NOT_SENT 28P01"},
        {PG_POOL_OUTAGE, "a connection comes up", comes_up, PG_POOL_UP, "running"},
        {PG_POOL_OUTAGE, "one comes up and is lost at once", comes_up_in_vain, PG_POOL_OUTAGE, "waiting"},
        {PG_POOL_OUTAGE, "queries have waited long enough", waits_long, PG_POOL_TRYING, "NOT_SENT 08001"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bring(rows[i].from);
        const struct query *query = pg_bed_ask(&bed, ONE);
        rows[i].happens();
        cr_assert_eq(pool->state, rows[i].to, "from %d, %s: to %d", rows[i].from, rows[i].what, pool->state);
        pg_bed_assert_text(pg_bed_fate(query), rows[i].fate, rows[i].what);
    }
}

/* Only these: another attempt changes nothing about them. */
Test(pg_pool, pool_end_or_wait_ends_queries_by_refusals_for_good) {
    static const struct {
        const char *sqlstate, *fate;
    } rows[] = {{"28P01", "NOT_SENT 28P01"}, {"28000", "NOT_SENT 28000"}, {"3D000", "NOT_SENT 3D000"},
                {"42501", "NOT_SENT 42501"}, {"42704", "waiting"},        {"53300", "waiting"},
                {"57P03", "waiting"},        {"08001", "waiting"},        {"08006", "waiting"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bring(PG_POOL_OUTAGE);
        refuse(rows[i].sqlstate);
        const struct query *query = pg_bed_ask(&bed, ONE);
        pg_bed_pass(&bed, 500 * PG_BED_MS);
        pg_bed_assert_text(pg_bed_fate(query), rows[i].fate, rows[i].sqlstate);
    }
}

Test(pg_pool, pool_outage_fired_moves_up_where_one_is_up_that_got_no_query) {
    bring(PG_POOL_OUTAGE);
    refuse(NULL);
    pg_bed_pass(&bed, 500 * PG_BED_MS);
    answer_all();
    const struct query *query = pg_bed_ask(&bed, ONE);
    cr_assert_eq(pool->state, PG_POOL_OUTAGE, "until the next turn");
    waits_long();
    cr_assert_eq(pool->state, PG_POOL_UP);
    pg_bed_assert_text(pg_bed_fate(query), "waiting", "it has not waited in vain");
}

/* ---- Attempts ---- */

Test(pg_pool, pool_plan_attempts_tries_with_one_connection_while_none_is_up) {
    open_conns(8);
    refuse("08001");
    for (int i = 0; i < 200; i++) {
        pg_bed_pass(&bed, 10 * PG_BED_MS);
        cr_assert_eq(trying_count(), 1, "%u try", trying_count());
    }
    cr_assert(bed.tried_count >= 4 && bed.tried_count <= 12, "%u attempts in two seconds", bed.tried_count);
    refuse(NULL);
    pg_bed_pass(&bed, 2000 * PG_BED_MS);
    cr_assert_eq(trying_count(), 1, "it is not up before the first exchange is over");
    uint32_t tried = bed.tried_count;
    answer_first();
    cr_assert_eq(pool->ready_count, 1);
    cr_assert_eq(bed.tried_count, tried + 2, "its success starts two others");
    answer_all();
    answer_all();
    cr_assert_eq(pool->ready_count, 8);
}

Test(pg_pool, pool_plan_attempts_tries_with_one_connection_after_all_are_lost) {
    bring_up(4);
    uint32_t tried = bed.tried_count;
    loses_all();
    cr_assert_leq(trying_count(), 1);
    pg_bed_pass(&bed, 200 * PG_BED_MS);
    cr_assert_eq(trying_count(), 1);
    cr_assert_leq(bed.tried_count, tried + 5);
}

/* Each success allows twice as many at once, and no more than there are connections. */
Test(pg_pool, pool_plan_attempts_grows_with_each_success) {
    static const uint32_t trying[] = {1, 2, 4, 8, 16, 32, 34};
    open_conns(40);
    pg_bed_settle(&bed);
    for (size_t i = 0; i < sizeof trying / sizeof *trying; i++) {
        cr_assert_eq(pool->trying_count, trying[i], "%u up: %u try", pool->ready_count, pool->trying_count);
        answer_first();
        pg_bed_settle(&bed);
    }
}

Test(pg_pool, pool_plan_attempts_of_a_server_that_is_down_waits_longer_each_time) {
    static const uint64_t most_ms[] = {100, 200, 400, 800, 1200, 1200, 1200};
    open_conns(3);
    refuse("08001");
    pg_bed_settle(&bed);
    for (size_t i = 0; i < sizeof most_ms / sizeof *most_ms; i++) {
        cr_assert_eq(bed.tried_count, i + 1);
        cr_assert(heap_contains(&pool->next_attempt.node));
        uint64_t wait = pool->next_attempt.node.key - ring_now_ns(bed.hub.ring);
        uint64_t least = most_ms[i] * PG_BED_MS / 2 - PG_BED_MS;
        cr_assert(wait >= least && wait <= most_ms[i] * PG_BED_MS, "failure %zu: %lu ms", i + 1,
                  (unsigned long)(wait / PG_BED_MS));
        pg_bed_pass(&bed, wait);
    }
}

/* The first was refused for good. What comes meanwhile ends in its words, and only for a query it is asked again. */
Test(pg_pool, pool_ask_again_only_for_a_query_and_once_in_a_while) {
    open_conns(4);
    refuse("28P01");
    pg_bed_pass(&bed, 3600 * 1000 * PG_BED_MS);
    cr_assert_eq(bed.tried_count, 1, "%u attempts while nobody asked", bed.tried_count);
    for (uint32_t round = 2; round < 10; round++) {
        const struct query *asks = pg_bed_ask(&bed, ONE);
        advance();
        cr_assert_eq(bed.tried_count, round, "a query asks");
        pg_bed_assert_text(pg_bed_fate(asks), "NOT_SENT 28P01", "and has the outcome");
        for (int second = 0; second < 29; second++) {
            const struct query *between = pg_bed_ask(&bed, ONE);
            advance();
            pg_bed_assert_text(pg_bed_fate(between), "NOT_SENT 28P01", "at once");
            pg_bed_pass(&bed, 1000 * PG_BED_MS);
        }
        cr_assert_eq(bed.tried_count, round, "not before half a minute has passed");
        pg_bed_pass(&bed, 32 * 1000 * PG_BED_MS);
    }
    refuse(NULL);
    const struct query *served = pg_bed_ask(&bed, ONE);
    advance();
    answer_all();
    advance();
    pg_bed_assert_text(pg_bed_fate(served), "running", "the password is right again");
    for (int i = 0; i < 3; i++)
        answer_all();
    cr_assert_eq(pool->ready_count, 4);
}

Test(pg_pool, pool_ask_again_leaves_queries_to_what_is_up) {
    bring_up(2);
    refuse("28P01");
    lose(0);
    pg_bed_pass(&bed, 500 * PG_BED_MS);
    uint32_t tried = bed.tried_count;
    const struct query *query = pg_bed_ask(&bed, ONE);
    advance();
    pg_bed_assert_text(pg_bed_fate(query), "running", "the other connection serves it");
    cr_assert_eq(bed.tried_count, tried);
}

/* Lost one after the other, in one turn or in some: what happened to the server once is one reason to wait. */
Test(pg_pool, pool_conn_down_of_many_connections_is_one_failure) {
    bring_up(8);
    refuse("08001");
    for (uint32_t i = 0; i < 8; i++)
        pg_conn_break(pool->conns[i], QURING_IN_DOUBT, "08006", "lost");
    pg_bed_settle(&bed);
    uint64_t wait = pool->next_attempt.node.key - ring_now_ns(bed.hub.ring);
    cr_assert(wait >= 49 * PG_BED_MS && wait <= 100 * PG_BED_MS, "%lu ms", (unsigned long)(wait / PG_BED_MS));
    cr_assert_eq(pool->manners.failures, 1);
}

/* It takes each connection up, and ends it at once: it is asked less and less often all the same. */
Test(pg_pool, pool_conn_down_of_what_was_just_made_is_a_failure) {
    open_conns(1);
    for (uint32_t i = 0; i < 40; i++) {
        pg_bed_pass(&bed, 500 * PG_BED_MS);
        answer_all();
        if (pool->ready_count)
            lose(0);
    }
    cr_assert(bed.tried_count > 15 && bed.tried_count < 30, "%u attempts in 20 s", bed.tried_count);
}

Test(pg_pool, pool_conn_postponed_tries_later) {
    open_conns(2);
    fails();
    struct pg_hosts *hosts = pool->attempts.hosts;
    struct pg_trouble *trouble = pg_hosts_stuck(hosts, pg_hosts_key(&hosts->hosts[0], ""));
    atomic_store(&trouble->stuck_count, PG_DETACHED_MAX);
    refuse(NULL);
    uint32_t tried = bed.tried_count;
    const struct query *query = pg_bed_ask(&bed, ONE);
    pg_bed_pass(&bed, 5000 * PG_BED_MS);
    cr_assert_eq(bed.tried_count, tried);
    pg_bed_assert_text(pg_bed_fate(query), "NOT_SENT 08001", "it does not wait for detached attempts");
    cr_assert_eq(trying_count(), 1);
    atomic_store(&trouble->stuck_count, 0);
    pg_bed_pass(&bed, 2000 * PG_BED_MS);
    answer_all();
    cr_assert_geq(pool->ready_count, 1);
}

/* ---- Admission ---- */

/* A number of requests a connection, with h where the first of them was given up. */
static void load(const char *loads) {
    for (uint32_t i = 0; *loads; i++) {
        struct query *first = NULL;
        for (int n = *loads++ - '0'; n > 0; n--) {
            struct query *query = pg_bed_take(&bed, ONE);
            pg_conn_send(pool->conns[i], query);
            first = first ? first : query;
        }
        pg_placement_progressed(&pool->placement, pool->conns[i]);
        pg_conn_flush(pool->conns[i]);
        pg_bed_settle(&bed);
        if (*loads == 'h')
            pg_conn_abandon(pool->conns[i], first, QURING_CANCELLED);
        loads += *loads == 'h';
        loads += *loads == ' ';
    }
}

static const char *loads_now(void) {
    static char text[CONNS * 2 + 1];
    for (uint32_t i = 0; i < CONNS; i++) {
        const struct pg_conn *conn = pool->conns[i];
        text[2 * i] = (char)('0' + (conn->session.next - conn->settled));
        text[2 * i + 1] = i + 1 < CONNS ? ' ' : 0;
    }
    return text;
}

Test(pg_pool, pg_pool_admit_gives_queries_to_the_least_loaded) {
    static const struct {
        const char *before;
        uint32_t asked;
        const char *after;
        uint32_t waiting;
    } rows[] = {
        {"0 0 0", 1, "0 0 1", 0},  {"0 0 0", 3, "1 1 1", 0},   {"0 0 0", 5, "2 2 1", 0},   {"1 0 0", 1, "1 0 1", 0},
        {"3 0 1", 1, "3 1 1", 0},  {"3 0 1", 3, "3 2 2", 0},   {"2 2 0", 2, "2 2 2", 0},   {"4 0 4", 3, "4 3 4", 0},
        {"4 0 4", 6, "4 4 4", 2},  {"4 4 4", 2, "4 4 4", 2},   {"0 0 0", 14, "4 4 4", 2},  {"1h 3 3", 2, "1 4 4", 0},
        {"1h 4 4", 2, "1 4 4", 2}, {"1h 2h 3", 1, "1 2 4", 0}, {"1h 2h 4", 1, "1 2 4", 1}, {"4h 4 0", 5, "4 4 4", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bring_up(CONNS);
        load(rows[i].before);
        for (uint32_t n = 0; n < rows[i].asked; n++)
            pg_bed_ask(&bed, ONE);
        advance();
        pg_bed_assert_text(loads_now(), rows[i].after, rows[i].before);
        cr_assert_eq(bed.db.base.queue.waiting_count, rows[i].waiting, "%s", rows[i].before);
    }
}

Test(pg_pool, pg_pool_admit_gives_none_to_what_is_not_ready) {
    bring_up(CONNS);
    refuse("08001");
    lose(1);
    for (int i = 0; i < 4; i++)
        pg_bed_ask(&bed, ONE);
    advance();
    pg_bed_assert_text(loads_now(), "2 0 2", "the one in the middle is lost");
}

/* What it has to send comes first; another has less to do, whatever their counts are. */
Test(pg_pool, pg_pool_admit_gives_none_to_what_has_much_to_send) {
    static char sql[(5 << 20) + 1] = "select '";
    bring_up(CONNS);
    memset(sql + 8, 'x', sizeof sql - 10);
    sql[sizeof sql - 2] = '\'';
    for (uint32_t i = 0; i < CONNS; i++)
        sim_peer_listen(pg_bed_server_of(&bed, pool->conns[i])->peer, false);
    pg_bed_ask(&bed, sql);
    advance();
    for (int i = 0; i < 4; i++)
        pg_bed_ask(&bed, ONE);
    advance();
    pg_bed_assert_text(loads_now(), "2 2 1", "the last one has five megabytes to send");
    sim_peer_listen(pg_bed_server_of(&bed, pool->conns[2])->peer, true);
    pg_bed_pass(&bed, PG_BED_MS);
    for (int i = 0; i < 500; i++)
        pg_bed_settle(&bed);
    pg_bed_ask(&bed, ONE);
    advance();
    pg_bed_assert_text(loads_now(), "2 2 2", "and takes more once they have gone");
}

Test(pg_pool, pg_pool_admit_ends_the_groups_of_a_turn) {
    bring_up(1);
    (void)pg_bed_got(&bed, pool->conns[0]);
    for (int i = 0; i < 2; i++)
        pg_bed_ask(&bed, ONE)->commit = QURING_COMMIT_GROUP;
    advance();
    pg_bed_assert_text(pg_bed_got(&bed, pool->conns[0]),
                       "Parse 1 'select 1', Describe 1, Bind 1 () -> , Execute, "
                       "Parse - 'select 1', Describe -, Bind - () -> , Execute, Sync",
                       "one Sync, behind both");
    cr_assert_not(pool->conns[0]->group_open);
}

/* ---- A bound connection ---- */

Test(pg_pool, pg_pool_admit_ends_what_waits_for_a_bound_connection_that_was_lost) {
    open_pool(&(quring_db_options){.exclusive = true, .connection_count = 1, .depth = DEPTH});
    answer_all();
    struct query *out = pg_bed_ask(&bed, ONE);
    advance();
    lose(0);
    pg_bed_assert_text(pg_bed_fate(out), "IN_DOUBT 08006", "it was sent");
    struct query *later = pg_bed_ask(&bed, ONE);
    uint32_t tried = bed.tried_count;
    pg_bed_assert_text(pg_bed_fate(later), "waiting", "until the next turn");
    advance();
    pg_bed_assert_text(pg_bed_fate(later), "NOT_SENT 08006", "what it relies on is gone");
    pg_bed_pass(&bed, 5000 * PG_BED_MS);
    cr_assert_eq(bed.tried_count, tried, "no other connection takes its place");
}

Test(pg_pool, pool_conn_down_tries_again_for_a_bound_connection_that_never_was) {
    open_pool(&(quring_db_options){.exclusive = true, .connection_count = 1, .depth = DEPTH});
    fails();
    const struct query *query = pg_bed_ask(&bed, ONE);
    pg_bed_pass(&bed, 2000 * PG_BED_MS);
    pg_bed_assert_text(pg_bed_fate(query), "NOT_SENT 08001", "the next attempt failed");
    refuse(NULL);
    pg_bed_pass(&bed, 2000 * PG_BED_MS);
    answer_all();
    const struct query *later = pg_bed_ask(&bed, ONE);
    advance();
    pg_bed_assert_text(pg_bed_fate(later), "running", "it is there now");
}

Test(pg_pool, pg_pool_admit_sends_to_a_bound_connection_in_order_up_to_its_depth) {
    open_pool(&(quring_db_options){.exclusive = true, .connection_count = 1, .depth = DEPTH});
    answer_all();
    struct query *queries[DEPTH + 1];
    for (int i = 0; i <= DEPTH; i++)
        queries[i] = pg_bed_ask(&bed, ONE);
    advance();
    for (int i = 0; i < DEPTH; i++)
        cr_assert_eq(pg_conn_request(pool->conns[0], pool->conns[0]->settled + (uint64_t)i)->query, queries[i]);
    pg_bed_assert_text(pg_bed_fate(queries[DEPTH]), "waiting", "one over its depth");
}

/* ---- Open and close ---- */

Test(pg_pool, pg_pool_open_takes_no_more_sockets_than_there_are) {
    quring_db_options options = {.connection_count = PG_BED_SERVERS + 1};
    pg_again(&options);
    cr_assert_eq(pg_pool_open(&bed.db.pool, &bed.db.base, "host=bed", &bed.db.kept_bytes), QURING_EFULL);
    cr_assert(strstr(bed.hub.message, "connection_count 1101"), "%s", bed.hub.message);
    cr_assert(ring_sockets_take(bed.hub.ring, PG_BED_SERVERS), "none is set aside");
    ring_sockets_give(bed.hub.ring, PG_BED_SERVERS);
}

Test(pg_pool, pg_pool_close_lets_go_of_connections_in_all_states) {
    bring_up(CONNS);
    refuse("08001");
    lose(0);
    pg_bed_ask(&bed, ONE);
    advance();
    bed.db.base.closing = true;
    pg_pool_close(pool);
    cr_assert_not(pg_pool_is_closed(pool), "the kernel has operations still");
    pg_bed_settle(&bed);
    cr_assert(pg_pool_is_closed(pool));
    cr_assert_eq(trying_count(), 0);
}

Test(pg_pool, pool_conn_down_counts_what_becomes_of_connections) {
    bring_up(2);
    const struct db_counters *counters = &bed.db.base.counters;
    cr_assert(counters->connect_count == 2 && counters->connection_count == 2);
    loses_one();
    cr_assert(counters->connection_lost_count == 1 && counters->connection_count == 1);
    uint64_t failures = counters->connect_failure_count;
    pg_bed_pass(&bed, 500 * PG_BED_MS);
    cr_assert_gt(counters->connect_failure_count, failures);
    refuse(NULL);
    pg_bed_pass(&bed, 2000 * PG_BED_MS);
    answer_all();
    cr_assert(counters->connect_count == 3 && counters->connection_count == 2);
}
