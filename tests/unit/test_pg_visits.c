/* SPDX-License-Identifier: MIT */
/*
 * Which hosts an attempt visits, in which order, and when. The first letters of a host, or the last digit of an address, say
 * what becomes of a visit; a journey is told as "hang 0, up 5100: up", with the milliseconds since its beginning.
 */
#include "base/rng.h"
#include "lib/pg_fixture.h"

#include <string.h>

enum { LATE_MS = 100 };

static struct pg_pool *pool;
static char journey[4000];
static uint64_t begun_ns;
static const char *last_visited;

TestSuite(pg_visits, .init = pg_setup, .fini = pg_teardown);

static uint64_t elapsed_ms(void) {
    return (sim_now_ns(bed.sim) - begun_ns) / PG_BED_MS;
}

static void tell(const char *what, const char *session) {
    size_t used = strlen(journey);
    snprintf(journey + used, sizeof journey - used, "%s%s%s%s %lu", used ? ", " : "", what, session ? "/" : "",
             session ? session : "", (unsigned long)elapsed_ms());
}

static void refuse(struct pg_connect *connect, const char *sqlstate, const char *message) {
    memcpy(connect->sqlstate, sqlstate, sizeof connect->sqlstate);
    snprintf(connect->message, sizeof connect->message, "%s", message);
}

static bool is(const char *what, const char *kind) {
    return strncmp(what, kind, strlen(kind)) == 0;
}

/* 10.0.0.1 is up, 10.0.0.2 hangs, 10.0.0.3 is down. */
static const char *kind_of(const struct pg_connect *connect) {
    static const char *const kinds[] = {"", "up", "hang", "down"};
    return *connect->address ? kinds[connect->address[strlen(connect->address) - 1] - '0'] : connect->host->host;
}

static void visit(struct pg_connect *connect) {
    const char *kind = kind_of(connect);
    tell(*connect->address ? connect->address : kind, connect->session);
    last_visited = kind;
    if (is(kind, "hang"))
        connect->task.hangs = true;
    else if (is(kind, "down"))
        refuse(connect, "08001", "connection to server at \"x\", port 1 failed: Connection refused\n\tIs it running?");
    else if (is(kind, "auth"))
        refuse(connect, "28P01", "wrong password");
    else if (is(kind, "full"))
        refuse(connect, "53300", "too many connections");
    else if (is(kind, "primary") && connect->session && strcmp(connect->session, "standby") == 0)
        refuse(connect, "08001", "server is not in hot standby mode");
    else
        pg_bed_connect(connect);
}

/* "two" has an address that hangs and one that is up, "none" two that are down, "gone" does not exist, "lost" hangs. */
static void look_up(struct pg_connect *connect) {
    const char *name = connect->host->host;
    tell(name, NULL);
    if (is(name, "lost")) {
        connect->task.hangs = true;
    } else if (is(name, "gone")) {
        refuse(connect, "08001", "could not translate host name");
    } else {
        connect->found.count = 2;
        strcpy(connect->found.text[0], is(name, "none") ? "10.0.0.3" : "10.0.0.2");
        strcpy(connect->found.text[1], is(name, "none") ? "10.1.0.3" : "10.0.0.1");
    }
}

static void open_hosts(const char *conninfo, uint64_t timeout_ms, uint32_t connection_count, pg_connector looks_up) {
    pg_again(&(quring_db_options){.connection_count = connection_count});
    bed.db.base.options.connect_timeout_ns = timeout_ms * PG_BED_MS;
    pg_use_connector(visit, looks_up);
    journey[0] = 0;
    begun_ns = sim_now_ns(bed.sim);
    pool = &bed.db.pool;
    cr_assert_eq(pg_pool_open(pool, &bed.db.base, conninfo, &bed.db.kept_bytes), 0);
    bed.pool_open = true;
}

/* Servers answer the first exchange, except one that is mute or closes. */
static void answer(void) {
    pg_bed_settle(&bed);
    for (uint32_t i = 0; i < pool->conn_count; i++) {
        if (pool->conns[i]->state != PG_CONN_BARRIER || is(last_visited, "mute"))
            continue;
        if (is(last_visited, "ends"))
            pg_bed_say(&bed, pool->conns[i], "F:57P01");
        else
            pg_bed_answer(&bed, pool->conns[i], false);
    }
}

/* Until a connection is up, or queries end. Returns the journey; static. */
static const char *travel(void) {
    const struct query *query = pg_bed_ask(&bed, "select 1");
    answer();
    while (!pool->ready_count && query->state == QUERY_WAITING) {
        pg_bed_pass(&bed, 10 * PG_BED_MS);
        answer();
    }
    size_t used = strlen(journey);
    snprintf(journey + used, sizeof journey - used, ": %s", pool->ready_count ? "up" : pg_bed_fate(query));
    return journey;
}

Test(pg_visits, each_host_has_its_share_of_the_time) {
    static const struct {
        const char *hosts;
        uint64_t timeout_ms;
        const char *journey;
    } rows[] = {
        {"host=up", 10000, "up 0: up"},
        {"host=up,hang", 10000, "up 0: up"},
        {"host=hang,up", 10000, "hang 0, up 5100: up"},
        {"host=hang,up", 40, "hang 0, up 25: up"}, /* a quarter of 20 ms late */
        {"host=down,up", 10000, "down 0, up 0: up"},
        {"host=hang1,hang2,up", 9000, "hang1 0, hang2 3100, up 6150: up"},
        {"host=down,hang,up", 10000, "down 0, hang 0, up 5100: up"},
        {"host=hang,down,up", 9000, "hang 0, down 3100, up 3100: up"},
        {"host=hang1,hang2", 10000, "hang1 0, hang2 5100: NOT_SENT 08001"},
        {"host=hang", 10000, "hang 0: NOT_SENT 08001"},
        /* it lets us in and does not answer, or ends the connection: that is a part of its visit */
        {"host=mute,up", 10000, "mute 0, up 5000: up"},
        {"host=mute1,mute2,up", 9000, "mute1 0, mute2 3000, up 6000: up"},
        {"host=ends,up", 10000, "ends 0, up 0: up"},
        {"host=mute", 10000, "mute 0: NOT_SENT 08001"},
        {"host=ends1,ends2", 10000, "ends1 0, ends2 0: NOT_SENT 57P01"},
        /* a server's refusal ends the attempt only where another server would refuse, too */
        {"host=auth,up", 10000, "auth 0: NOT_SENT 28P01"},
        {"host=hang,auth,up", 9000, "hang 0, auth 3100: NOT_SENT 28P01"},
        {"host=full,up", 10000, "full 0, up 0: up"},
        {"host=full,down", 10000, "full 0, down 0: NOT_SENT 53300"},
        /* libpq's own setting is for each host; the option is for all */
        {"host=hang,up connect_timeout=3", 0, "hang 0, up 3100: up"},
        {"host=down,hang,up connect_timeout=3", 0, "down 0, hang 0, up 3100: up"},
        {"host=hang1,hang2,up connect_timeout=3", 0, "hang1 0, hang2 3100, up 6150: up"},
        {"host=hang,up connect_timeout=3", 10000, "hang 0, up 5100: up"},
        {"host=hang,up connect_timeout=0", 0, "hang 0, up 5100: up"},
        {"host=hang,up", 0, "hang 0, up 5100: up"},
        /* two rounds; who was silent in the first is left out of the second */
        {"host=primary,up target_session_attrs=prefer-standby", 10000, "primary/standby 0, up/standby 0: up"},
        {"host=primary,down target_session_attrs=prefer-standby", 10000,
         "primary/standby 0, down/standby 0, primary/any 0: up"},
        {"host=hang,primary target_session_attrs=prefer-standby", 12000,
         "hang/standby 0, primary/standby 3100, primary/any 3100: up"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        open_hosts(rows[i].hosts, rows[i].timeout_ms, 1, NULL);
        pg_bed_assert_text(travel(), rows[i].journey, rows[i].hosts);
    }
}

Test(pg_visits, names_are_looked_up_and_each_address_has_its_share) {
    static const struct {
        const char *hosts;
        const char *journey;
    } rows[] = {
        {"host=two", "two 0, 10.0.0.2 0, 10.0.0.1 5100: up"},
        {"host=gone", "gone 0: NOT_SENT 08001"},
        {"host=lost", "lost 0: NOT_SENT 08001"},
        {"host=gone,two", "gone 0, two 0, 10.0.0.2 0, 10.0.0.1 5100: up"},
        {"host=lost,two", "lost 0, two 5100, 10.0.0.2 5100, 10.0.0.1 7650: up"},
        {"host=none,two", "none 0, 10.0.0.3 0, 10.1.0.3 0, two 0, 10.0.0.2 0, 10.0.0.1 5100: up"},
        {"host=127.0.0.1 port=5433", " 0: up"},
        {"host=/tmp", " 0: up"},
        {"host=127.0.0.1,::1", "127.0.0.1 0: up"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        open_hosts(rows[i].hosts, 10000, 1, look_up);
        pg_bed_assert_text(travel(), rows[i].journey, rows[i].hosts);
    }
}

Test(pg_visits, the_reason_names_each_host) {
    static const struct {
        const char *hosts, *message;
    } rows[] = {
        {"host=auth", "wrong password"},
        {"host=down", "connection to server at \"x\", port 1 failed: Connection refused\n\tIs it running?"},
        {"host=hang", "timeout expired while connecting (connect_timeout_ns)"},
        {"host=down,hang port=5433,5434",
         "down:5433: Connection refused\nhang:5434: timeout expired while connecting (connect_timeout_ns)"},
        {"host=mute,full",
         "mute:5432: the server did not answer the first query in time\nfull:5432: too many connections"},
        {"host=down,auth,up", "down:5432: Connection refused\nauth:5432: wrong password"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        open_hosts(rows[i].hosts, 10000, 1, NULL);
        (void)travel();
        cr_assert_str_eq(pool->conns[0]->reason.message, rows[i].message, "%s: %s", rows[i].hosts,
                         pool->conns[0]->reason.message);
    }
    open_hosts("host=none,gone", 10000, 1, look_up);
    (void)travel();
    cr_assert_str_eq(pool->conns[0]->reason.message,
                     "none:5432 (10.0.0.3): Connection refused\nnone:5432 (10.1.0.3): Connection refused\n"
                     "gone:5432: could not translate host name");
}

static const char *reason_of_many(const char *name, int count, pg_connector looks_up) {
    static char hosts[16000];
    snprintf(hosts, sizeof hosts, "host=%s000", name);
    for (int i = 1; i < count; i++)
        snprintf(hosts + strlen(hosts), sizeof hosts - strlen(hosts), ",%s%03d", name, i);
    open_hosts(hosts, 10000, 1, looks_up);
    (void)travel();
    return pool->conns[0]->reason.message;
}

/* A reason of many hosts has a part for each, and stays whole. */
Test(pg_visits, the_reason_of_many_hosts_fits) {
    const char *message = reason_of_many("down", 60, NULL);
    cr_assert_lt(strlen(message), PG_MESSAGE_BYTES);
    cr_assert(strstr(message, "down000") && strstr(message, "\ndown059"), "%s", message);
}

/* Of more hosts, or of names with so many addresses, that not even a letter is left for each, some are left out. */
Test(pg_visits, the_reason_of_too_many_hosts_fits) {
    static const struct {
        const char *name;
        int count;
        pg_connector looks_up;
    } rows[] = {{"down", 520, NULL}, {"down", 700, NULL}, {"none", 24, look_up}, {"none", 300, look_up}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *message = reason_of_many(rows[i].name, rows[i].count, rows[i].looks_up);
        cr_assert_lt(strlen(message), PG_MESSAGE_BYTES, "%d: %s", rows[i].count, message);
        for (const char *line = message; line; line = strchr(line + 1, '\n'))
            cr_assert(is(line + (*line == '\n'), rows[i].name), "%d: %s", rows[i].count, message);
    }
}

static void lose(uint32_t index) {
    const struct pg_bed_server *server = pg_bed_server_of(&bed, pool->conns[index]);
    journey[0] = 0;
    begun_ns = sim_now_ns(bed.sim);
    sim_peer_reset(server->peer);
    pg_bed_settle(&bed);
}

/* A host that cost an attempt its share comes last for a while, and then one attempt alone tries it again. */
Test(pg_visits, a_host_that_lost_time_comes_last) {
    open_hosts("host=hang,up", 10000, 3, NULL);
    (void)travel();
    while (pool->ready_count < 3) {
        pg_bed_pass(&bed, 10 * PG_BED_MS);
        answer();
    }
    cr_assert(is(journey, "hang 0, up 5100, up 51"), "%s", journey);
    cr_assert_not(strstr(journey + 1, "hang"), "the others do not pay for it: %s", journey);
    pg_bed_pass(&bed, 31000 * PG_BED_MS);
    for (uint32_t i = 0; i < 3; i++)
        sim_peer_reset(pg_bed_server_of(&bed, pool->conns[i])->peer);
    pg_bed_settle(&bed);
    journey[0] = 0;
    for (int i = 0; i < 1000; i++) {
        pg_bed_pass(&bed, 10 * PG_BED_MS);
        answer();
    }
    cr_assert_eq(pool->ready_count, 3);
    int hangs = 0;
    for (const char *at = journey; (at = strstr(at, "hang")); at++)
        hangs++;
    cr_assert_eq(hangs, 1, "%s", journey);
}

/* load_balance_hosts=random, which libpq knows from version 16 on, in whose place the test speaks. */
Test(pg_visits, shuffled_hosts_and_addresses_are_all_tried_first_now_and_then) {
    bool first[4] = {false};
    open_hosts("host=up0,up1,up2,up3", 10000, 1, NULL);
    (void)travel();
    pool->attempts.hosts->shuffled = true;
    for (int round = 0; round < 40; round++) {
        lose(0);
        while (!pool->ready_count) {
            pg_bed_pass(&bed, 10 * PG_BED_MS);
            answer();
        }
        first[journey[2] - '0'] = true;
    }
    cr_assert(first[0] && first[1] && first[2] && first[3]);
    bool good_first = false, good_last = false;
    for (int round = 0; round < 40; round++) {
        open_hosts("host=two", 10000, 1, look_up);
        pool->attempts.hosts->shuffled = true;
        pool->attempts.rng.state = (uint64_t)round;
        bool hung = strstr(travel(), "10.0.0.2 ") != NULL;
        good_first |= !hung;
        good_last |= hung;
    }
    cr_assert(good_first && good_last);
}

/* Threads that are stuck at a host are not joined by more, and the other host is reached as before. */
Test(pg_visits, a_host_with_stuck_threads_is_passed_over) {
    open_hosts("host=up1,up2", 10000, 1, NULL);
    pg_bed_assert_text(travel(), "up1 0: up", "nothing is stuck");
    struct pg_hosts *hosts = pool->attempts.hosts;
    struct pg_trouble *trouble = pg_hosts_stuck(hosts, pg_hosts_key(&hosts->hosts[0], ""));
    for (int threads = 1; threads <= PG_DETACHED_MAX; threads++) {
        atomic_store(&trouble->stuck_count, (unsigned)threads);
        lose(0);
        while (!pool->ready_count) {
            pg_bed_pass(&bed, 10 * PG_BED_MS);
            answer();
        }
        cr_assert(strstr(journey, threads < PG_DETACHED_MAX ? "up1 " : "up2 "), "%s", journey);
        cr_assert_not(strchr(journey, ','), "%s", journey);
    }
    atomic_store(&trouble->stuck_count, 0);
}

static int times_in_journey(const char *what) {
    int times = 0;
    for (const char *at = journey; (at = strstr(at, what)); at++)
        times++;
    return times;
}

static void bring_up_all(uint32_t count) {
    while (pool->ready_count < count) {
        pg_bed_pass(&bed, 10 * PG_BED_MS);
        answer();
    }
}

/* Where all hosts have lost time, attempts that begin together do not all get stuck at the first of them. */
Test(pg_visits, attempts_at_once_do_not_all_join_a_stuck_thread) {
    enum { CONNS = 8 };
    open_hosts("host=lost,10.0.0.1", 10000, CONNS, look_up);
    (void)travel();
    bring_up_all(CONNS);
    struct pg_hosts *hosts = pool->attempts.hosts;
    struct pg_trouble *trouble = pg_hosts_stuck(hosts, pg_hosts_key(&hosts->hosts[0], NULL));
    cr_assert_eq(times_in_journey("lost"), 1, "%s", journey);
    for (uint32_t i = 0; i < hosts->count; i++)
        pg_hosts_put_last(hosts, pg_hosts_key(&hosts->hosts[i], ""), sim_now_ns(bed.sim));
    journey[0] = 0;
    for (uint32_t i = 1; i < CONNS; i++)
        sim_peer_reset(pg_bed_server_of(&bed, pool->conns[i])->peer);
    pg_bed_settle(&bed);
    cr_assert_lt(pool->ready_count, CONNS);
    bring_up_all(CONNS);
    cr_assert_eq(times_in_journey("lost"), PG_DETACHED_MAX - 1, "%s", journey);
    cr_assert_eq(atomic_load(&trouble->stuck_count), PG_DETACHED_MAX - 1,
                 "it does not count any more once it has ended");
    atomic_store(&trouble->stuck_count, 0);
}

Test(pg_visits, closing_ends_the_journey) {
    static const char *const lists[] = {"host=hang,up", "host=mute,up", "host=down,hang,up", "host=hang"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        open_hosts(lists[i], 10000, 1, NULL);
        pg_bed_pass(&bed, 1000 * PG_BED_MS);
        bed.db.base.closing = true;
        pg_pool_close(pool);
        pg_bed_pass(&bed, 301 * PG_BED_MS);
        cr_assert(pg_pool_is_closed(pool), "%s", lists[i]);
        cr_assert_not(strstr(journey, "up"), "%s", journey);
    }
}

/* Whatever the others do, a good host is reached before the attempt's time is over. */
Test(pg_visits, a_good_host_is_reached_in_any_list) {
    static const char *const kinds[] = {"hang", "down", "mute", "ends", "full", "gone", "lost", "none"};
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct rng rng = {.state = seed};
        char hosts[200] = "host=";
        uint32_t count = 1 + (uint32_t)rng_below(&rng, 8), good = (uint32_t)rng_below(&rng, count);
        bool names = rng_below(&rng, 2);
        for (uint32_t i = 0; i < count; i++) {
            const char *bad = names ? kinds[5 + rng_below(&rng, 3)] : kinds[rng_below(&rng, 5)];
            snprintf(hosts + strlen(hosts), sizeof hosts - strlen(hosts), "%s%s%u", i ? "," : "",
                     i == good ? "two" : bad, i);
        }
        open_hosts(hosts, 1000 + rng_below(&rng, 20000), 1, names ? look_up : NULL);
        uint64_t until_ms = bed.db.base.options.connect_timeout_ns / PG_BED_MS + LATE_MS;
        (void)travel();
        cr_assert_eq(pool->ready_count, 1, "seed %lu: %s: %s", (unsigned long)seed, hosts, journey);
        cr_assert_leq(elapsed_ms(), until_ms, "seed %lu: %s: %s", (unsigned long)seed, hosts, journey);
    }
}
