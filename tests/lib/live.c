/* SPDX-License-Identifier: MIT */
#include "lib/live.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- Open ---- */

const char *live_env(const char *name) {
    const char *value = getenv(name);
    cr_assert(value, "%s is not set", name);
    return value;
}

const char *live_url(void) {
    return live_env("QURING_TEST_PG_URL");
}

const char *live_socket_url(void) {
    return live_env("QURING_TEST_PG_SOCKET_URL");
}

const char *live_url_with(const char *query) {
    static char url[1024];
    const char *base = live_url();
    snprintf(url, sizeof url, "%s%c%s", base, strchr(base, '?') ? '&' : '?', query);
    return url;
}

/* Where the port stands in live_url(): behind the last colon, the user being before an @. */
static const char *find_port(const char *url) {
    const char *host = strchr(url, '@');
    const char *port = host ? strchr(host, ':') : NULL;
    cr_assert(port, "no port in %s", url);
    return port + 1;
}

unsigned live_port(void) {
    return (unsigned)strtoul(find_port(live_url()), NULL, 10);
}

const char *live_url_by_port(unsigned port) {
    static char url[1024];
    const char *base = live_url(), *at = find_port(base);
    snprintf(url, sizeof url, "%.*s%u%s", (int)(at - base), base, port, at + strspn(at, "0123456789"));
    return url;
}

void live_open_url(struct live *live, const char *url, const quring_options *engine, const quring_db_options *options) {
    int error = quring_engine_open(engine, &live->engine);
    cr_assert_eq(error, 0, "quring_engine_open: %s", quring_strerror(error));
    live->db = live_open_db(live, url, options);
}

void live_open(struct live *live, const quring_db_options *options) {
    live_open_url(live, live_url(), NULL, options);
}

/* What a test says nothing of may take as long as it likes: the usual waits are over on a machine that is slow enough. */
static quring_db_options be_patient(const char *url, const quring_db_options *options) {
    quring_db_options own = options ? *options : (quring_db_options){0};
    if (!own.connect_timeout_ns && !strstr(url, "connect_timeout"))
        own.connect_timeout_ns = LIVE_STALL_NS;
    if (!own.reconnect_wait_ns)
        own.reconnect_wait_ns = LIVE_STALL_NS;
    if (!own.busy_timeout_ns)
        own.busy_timeout_ns = LIVE_STALL_NS;
    if (!own.silence_ns && !own.exclusive)
        own.silence_ns = LIVE_STALL_NS;
    return own;
}

quring_db *live_open_db(struct live *live, const char *url, const quring_db_options *options) {
    const quring_db_options own = be_patient(url, options);
    quring_db *db = NULL;
    int error = quring_db_open(live->engine, url, &own, &db);
    cr_assert_eq(error, 0, "quring_db_open(%s): %s: %s", url, quring_strerror(error), quring_errmsg(live->engine));
    return db;
}

/* Those that were left behind by an engine that closed: exit() may not take OpenSSL down while they are in it. */
static bool attempts_go_on(void) {
    DIR *tasks = opendir("/proc/self/task");
    bool found = false;
    for (struct dirent *task; tasks && (task = readdir(tasks));) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        FILE *file = task->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (file) {
            found |= fgets(name, sizeof name, file) && strcmp(name, "quring-connect\n") == 0;
            fclose(file);
        }
    }
    closedir(tasks);
    return found;
}

void live_close(struct live *live) {
    quring_stats stats;
    quring_stats_get(live->engine, &stats);
    cr_assert_eq(stats.stale_count, 0, "%llu stale completions", (unsigned long long)stats.stale_count);
    quring_engine_close(live->engine);
    *live = (struct live){0};
    while (attempts_go_on())
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

void live_connect(struct live *live, uint32_t count) {
    quring_stats stats;
    uint64_t until = live_now_ns() + LIVE_STALL_NS;
    for (quring_stats_get(live->engine, &stats); stats.connection_count < count;) {
        cr_assert_lt(live_now_ns(), until, "%u of %u connections", stats.connection_count, count);
        for (uint32_t i = 0; i < 4 * count; i++)
            live_submit(live, &(quring_query){.sql = "select pg_sleep(0.005)"});
        live_drain(live, NULL, NULL);
        quring_stats_get(live->engine, &stats);
    }
}

void live_gate_close(struct live_gate *gate) {
    live_open(&gate->keeper, &(quring_db_options){.exclusive = true});
    live_script(&gate->keeper, "create table if not exists live_gate ();\nbegin;\nlock table live_gate");
}

void live_gate_open(struct live_gate *gate) {
    live_exec(&gate->keeper, "commit");
    live_close(&gate->keeper);
}

uint64_t live_now_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * LIVE_SECOND + (uint64_t)ts.tv_nsec;
}

/* ---- One query at a time ---- */

quring_id live_submit(struct live *live, const quring_query *query) {
    quring_query copy = *query;
    if (!copy.db)
        copy.db = live->db;
    quring_id id = 0;
    int error = quring_submit(live->engine, &copy, &id);
    cr_assert_eq(error, 0, "quring_submit(%.200s): %s %s", copy.sql ? copy.sql : "a statement", quring_strerror(error),
                 quring_errmsg(live->engine));
    cr_assert_neq(id, 0);
    return id;
}

quring_done live_wait(struct live *live) {
    quring_done done;
    uint64_t until = live_now_ns() + LIVE_STALL_NS;
    while (quring_reap(live->engine, &done, 1) == 0) {
        cr_assert_gt(quring_pending(live->engine), 0, "waiting for a query, but none is out");
        cr_assert_lt(live_now_ns(), until, "nothing came back for %d s", (int)(LIVE_STALL_NS / LIVE_SECOND));
        int error = quring_run(live->engine, 1, LIVE_SECOND);
        cr_assert_geq(error, 0, "quring_run: %s %s", quring_strerror(error), quring_errmsg(live->engine));
    }
    return done;
}

quring_done live_run(struct live *live, const quring_query *query) {
    quring_id id = live_submit(live, query);
    quring_done done = live_wait(live);
    cr_assert_eq(done.id, id, "another query than the only one came back");
    return done;
}

void live_release(struct live *live, const quring_done *done) {
    int error = quring_release(live->engine, done->id);
    cr_assert_eq(error, 0, "quring_release: %s", quring_strerror(error));
}

void live_check_ok(const quring_done *done, const char *what) {
    if (done->status == QURING_OK)
        cr_assert_null(done->error);
    else
        cr_assert_fail("%.200s: %s %s: %s", what, quring_status_name(done->status), done->error->sqlstate,
                       done->error->message);
}

void live_check_error(const quring_done *done, quring_status status, const char *sqlstate, const char *words) {
    cr_assert_eq(done->status, status, "%s %s: %s", quring_status_name(done->status),
                 done->error ? done->error->sqlstate : "", done->error ? done->error->message : "");
    cr_assert_str_eq(done->error->sqlstate, sqlstate, "%s: %s", done->error->sqlstate, done->error->message);
    cr_assert(strstr(done->error->message, words), "\"%s\" is not in: %s", words, done->error->message);
    cr_assert_eq(quring_row_count(done->result), 0);
}

uint64_t live_exec(struct live *live, const char *sql) {
    quring_done done = live_run(live, &(quring_query){.sql = sql});
    live_check_ok(&done, sql);
    uint64_t affected = quring_affected_count(done.result);
    live_release(live, &done);
    return affected;
}

int64_t live_int(struct live *live, const char *sql) {
    quring_done done = live_run(live, &(quring_query){.sql = sql});
    live_check_ok(&done, sql);
    int64_t value = 0;
    int error = quring_get_int64(done.result, 0, 0, &value);
    cr_assert_eq(error, 0, "%s: %s", sql, quring_result_error(done.result));
    live_release(live, &done);
    return value;
}

void live_script(struct live *live, const char *statements) {
    char *copy = strdup(statements), *rest = copy;
    while (rest) {
        char *end = strstr(rest, ";\n");
        if (end)
            *end = 0;
        if (*rest)
            live_exec(live, rest);
        rest = end ? end + 2 : NULL;
    }
    free(copy);
}

/* ---- Many ---- */

uint32_t live_reap(struct live *live, live_each each, void *context) {
    quring_done done[256];
    uint32_t total = 0;
    int n;
    while ((n = quring_reap(live->engine, done, 256)) > 0) {
        for (int i = 0; i < n; i++) {
            if (each)
                each(live, &done[i], context);
            live_release(live, &done[i]);
        }
        total += (uint32_t)n;
    }
    return total;
}

void live_drain(struct live *live, live_each each, void *context) {
    uint64_t until = live_now_ns() + LIVE_STALL_NS;
    while (quring_pending(live->engine)) {
        int error = quring_run(live->engine, 1, LIVE_SECOND);
        cr_assert_geq(error, 0, "quring_run: %s %s", quring_strerror(error), quring_errmsg(live->engine));
        if (live_reap(live, each, context))
            until = live_now_ns() + LIVE_STALL_NS;
        cr_assert_lt(live_now_ns(), until, "%u queries are stuck", quring_pending(live->engine));
    }
}

uint64_t live_identity(uint64_t number) {
    uint64_t x = (number + 1) * 0x9e3779b97f4a7c15u;
    x ^= x >> 32;
    return x * 0xd6e8feb86659fd93u;
}

void ledger_init(struct ledger *ledger, uint32_t count) {
    *ledger = (struct ledger){.count = count};
    ledger->endings = calloc(count ? count : 1, 1);
    ledger->status = calloc(count ? count : 1, 1);
    cr_assert(ledger->endings && ledger->status);
}

void ledger_free(struct ledger *ledger) {
    free(ledger->endings);
    free(ledger->status);
}

static bool has_identity(const quring_done *done) {
    int64_t value;
    for (uint64_t row = 0; row < quring_row_count(done->result); row++)
        if (quring_get_int64(done->result, row, 0, &value) || (uint64_t)value != live_identity(done->user_data))
            return false;
    return true;
}

void ledger_note(struct live *live, const quring_done *done, void *context) {
    struct ledger *ledger = context;
    (void)live;
    cr_assert_lt(done->user_data, ledger->count);
    ledger->endings[done->user_data]++;
    ledger->status[done->user_data] = (uint8_t)done->status;
    ledger->by_status[done->status]++;
    ledger->ended_count++;
    if (done->status != QURING_OK)
        cr_assert(done->error && quring_row_count(done->result) == 0);
    else if (!has_identity(done))
        ledger->wrong_count++;
}

void ledger_check(const struct ledger *ledger) {
    for (uint32_t i = 0; i < ledger->count; i++)
        cr_assert_eq(ledger->endings[i], 1, "query %u ended %u times", i, ledger->endings[i]);
    cr_assert_eq(ledger->wrong_count, 0, "%u queries got the rows of others", ledger->wrong_count);
}
