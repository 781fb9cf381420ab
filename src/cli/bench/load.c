/* SPDX-License-Identifier: MIT */
#include "cli/bench/load.h"

#include "cli/cli.h"
#include "cli/common/failure.h"
#include "cli/common/say.h"
#include "cli/common/stop.h"
#include "cli/common/trace.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

/*
 * Completions are reaped few at a time: what was just reaped is still in the first-level cache when its slot is used again.
 * Where the first HOPELESS_ERRORS queries have all failed, a table or a privilege is missing, and the rest would fail, too.
 */
enum { BATCH = 32, HOPELESS_ERRORS = 100 };

/* In user_data beside the slot: the ROLLBACK behind a statement that failed, and above it the statement's command. */
static const uint64_t ROLLBACK = (uint64_t)1 << 32;

enum { COMMAND_SHIFT = 33 };

static const uint64_t SECOND_NS = 1000000000, DRAIN_SECONDS = 10;

struct slot {
    uint64_t start_ns;
    uint64_t run_start_ns; /* of the script */
    const struct cli_source *source;
    struct cli_script_figures *figures; /* of that script */
    uint32_t command;                   /* the last of the unit that is out (script.h) */
    uint32_t out_count;                 /* of its queries */
    bool failed;                        /* one of them did, or they are given up: the others count for nothing */
};

struct loop {
    struct cli_load *load;
    quring_engine *engine;
    struct cli_load_figures *figures;
    struct cli_histogram *interval;
    struct slot *slots;
    struct cli_value *values; /* `stride` of them a slot: as many as the script with the most variables has */
    uint32_t stride;
    uint32_t *idle; /* slots without a query, a stack: the slot that was used last is still in the cache */
    uint32_t idle_count, inflight;
    uint32_t lost_count; /* clients whose connection was lost */
    struct cli_random random;
    uint64_t limit, issued;
    uint64_t start_ns;
    uint64_t end_ns;   /* when no query is begun any more; UINT64_MAX: after `limit` of them */
    uint64_t last_ns;  /* of the last completion, or the end: the figures are for the time up to here */
    uint64_t drain_ns; /* when queries that are still out are given up; UINT64_MAX: never */
    uint64_t tick_ns;  /* of the next call of on_progress */
    double due_ns;     /* open loop: when the next query is to start, from start_ns on; fractions add up */
    bool issuing, failed;
};

static uint64_t now_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * SECOND_NS + (uint64_t)ts.tv_nsec;
}

static void load_stop_issuing(struct loop *loop, uint64_t now) {
    if (loop->issuing && now > loop->last_ns)
        loop->last_ns = now;
    loop->issuing = false;
}

/* Queries that are out get DRAIN_SECONDS to end, so that the last ones count and a server that hangs cannot hold the tool. */
static void load_drain(struct loop *loop, uint64_t now) {
    load_stop_issuing(loop, now);
    if (loop->drain_ns == UINT64_MAX)
        loop->drain_ns = now + DRAIN_SECONDS * SECOND_NS;
}

/* ---- Starting queries -------------------------------------------------------------------------------------------- */

static void load_fail(struct loop *loop, const struct slot *slot, const struct cli_command *command, const char *why) {
    if (!loop->failed)
        cli_error("%s:%" PRIu64 ": %s", slot->source->name, command->line, why);
    loop->failed = true;
    load_drain(loop, loop->last_ns);
}

static inline void load_fill_params(const struct loop *loop, uint32_t index, const struct cli_command *command,
                                    quring_param *params) {
    const struct cli_value *values = loop->values + (size_t)index * loop->stride;
    for (uint32_t i = 0; i < command->param_count; i++) {
        struct cli_value value = values[command->params[i]];
        params[i].type = value.is_real ? QURING_FLOAT8 : QURING_INT8;
        params[i].count = 0;
        if (value.is_real)
            params[i].value.real = value.real;
        else
            params[i].value.integer = value.integer;
    }
}

/* Takes what a call that submits a slot's command returned. False: it was refused, and the load comes to its end. */
static inline bool load_submitted(struct loop *loop, uint32_t index, uint32_t command, int error) {
    struct slot *slot = &loop->slots[index];
    slot->command = command;
    if (__builtin_expect(error < 0, 0)) {
        load_fail(loop, slot, &slot->source->script.commands[command], cli_refusal_text(loop->engine, error));
        return false;
    }
    slot->out_count++;
    loop->inflight++;
    loop->issued++;
    return true;
}

/* `tx` NULL: outside of transactions, or on a connection of its own. */
static inline bool load_submit(struct loop *loop, uint32_t index, uint32_t command, quring_tx *tx) {
    const struct cli_command *c = &loop->slots[index].source->script.commands[command];
    quring_param params[CLI_SCRIPT_PARAM_MAX];

    load_fill_params(loop, index, c, params);
    quring_db **dbs = loop->load->dbs;
    quring_query query = {
        .db = dbs ? dbs[index] : loop->load->client->db,
        .sql = dbs ? c->sql : NULL,
        .statement = dbs ? NULL : c->statement,
        .params = params,
        .param_count = c->param_count,
        .user_data = (uint64_t)command << COMMAND_SHIFT | index,
        .tx = tx,
    };
    return load_submitted(loop, index, command, quring_submit(loop->engine, &query, NULL));
}

/* Ends the transaction that a client's script may have open: others may wait for its locks. False: it can't be sent. */
static bool load_roll_back(struct loop *loop, uint32_t index) {
    quring_query query = {.db = loop->load->dbs[index], .sql = "rollback", .user_data = index | ROLLBACK};
    if (quring_submit(loop->engine, &query, NULL) < 0)
        return false;
    loop->inflight++;
    return true;
}

static inline bool load_set(struct loop *loop, uint32_t index, const struct cli_command *command) {
    struct cli_value *values = loop->values + (size_t)index * loop->stride;
    const char *why = cli_expr_eval(&command->expr, values, &loop->random, &values[command->variable]);
    if (__builtin_expect(why != NULL, 0))
        load_fail(loop, &loop->slots[index], command, why);
    return !why;
}

/* Submits all of a transaction, up to its end. False: a part of it was refused. */
static bool load_submit_tx(struct loop *loop, uint32_t index, uint32_t begin, quring_tx *tx) {
    const struct cli_command *commands = loop->slots[index].source->script.commands;
    for (uint32_t command = begin + 1;; command++) {
        uint64_t user_data = (uint64_t)command << COMMAND_SHIFT | index;
        if (!commands[command].sql) {
            if (!load_set(loop, index, &commands[command]))
                return false;
        } else if (commands[command].control == CLI_CONTROL_COMMIT) {
            return load_submitted(loop, index, command, quring_commit(tx, user_data, NULL));
        } else if (commands[command].control == CLI_CONTROL_ROLLBACK) {
            return load_submitted(loop, index, command, quring_rollback(tx, user_data, NULL));
        } else if (!load_submit(loop, index, command, tx)) {
            return false;
        }
    }
}

/* Begins the transaction of a slot. Returns false when nothing of it is out. What is out of half a one is rolled back. */
static bool load_begin_tx(struct loop *loop, uint32_t index, uint32_t begin) {
    struct slot *slot = &loop->slots[index];
    const struct cli_command *command = &slot->source->script.commands[begin];
    quring_tx *tx;
    int error = quring_tx_open(loop->load->client->db, &command->tx, &tx);
    if (error < 0) {
        load_fail(loop, slot, command, cli_refusal_text(loop->engine, error));
        return false;
    }
    slot->failed = !load_submit_tx(loop, index, begin, tx);
    quring_tx_release(tx);
    return slot->out_count > 0;
}

/*
 * Runs a slot's script from `command` on, up to and including the next unit. Returns false when nothing of it is out,
 * because there is no statement left, or a \set failed outside of a transaction.
 */
static inline bool load_advance(struct loop *loop, uint32_t index, uint32_t command, uint64_t start_ns) {
    struct slot *slot = &loop->slots[index];
    const struct cli_script *script = &slot->source->script;
    bool exclusive = loop->load->dbs != NULL;

    slot->start_ns = start_ns;
    slot->failed = false;
    for (; command < script->command_count; command++) {
        const struct cli_command *c = &script->commands[command];
        if (c->sql && c->control == CLI_CONTROL_BEGIN && !exclusive)
            return load_begin_tx(loop, index, command);
        if (c->sql)
            return load_submit(loop, index, command, NULL);
        if (!load_set(loop, index, c))
            return exclusive && load_roll_back(loop, index);
    }
    return false;
}

static inline uint32_t load_choose_source(struct loop *loop) {
    const struct cli_workload *workload = loop->load->workload;
    if (workload->count == 1)
        return 0;
    uint64_t at = (uint64_t)cli_random_range(&loop->random, 0, workload->weight_total - 1);
    uint32_t i = 0;
    while (at >= workload->sources[i].weight)
        at -= workload->sources[i++].weight;
    return i;
}

static inline void load_begin(struct loop *loop, uint32_t index, uint64_t start_ns) {
    uint32_t source = load_choose_source(loop);
    loop->slots[index].source = &loop->load->workload->sources[source];
    loop->slots[index].figures = &loop->figures->scripts[source];
    loop->slots[index].run_start_ns = start_ns;
    if (!load_advance(loop, index, 0, start_ns)) /* only when it failed: a script has a statement */
        loop->idle[loop->idle_count++] = index;
}

static void load_begin_due(struct loop *loop, uint64_t now) {
    double rate = loop->load->options.rate;
    while (loop->idle_count > 0 && loop->issuing && loop->issued < loop->limit) {
        uint64_t start = now;
        if (rate > 0) {
            if (loop->due_ns > (double)(now - loop->start_ns))
                return;
            start = loop->start_ns + (uint64_t)loop->due_ns;
            /* The gaps of a Poisson process are distributed exponentially, by inversion of a uniform number. */
            loop->due_ns += -log(cli_random_real(&loop->random)) * (double)SECOND_NS / rate;
            uint64_t lag = now - start;
            loop->figures->lag_sum_ns += (double)lag;
            loop->figures->lag_count++;
            if (lag > loop->figures->lag_max_ns)
                loop->figures->lag_max_ns = lag;
        }
        load_begin(loop, loop->idle[--loop->idle_count], start);
    }
}

/* ---- Ending queries ---------------------------------------------------------------------------------------------- */

static void load_count_failure(struct cli_load_figures *figures, const char *name, uint64_t count) {
    struct cli_failure_kind *kind = figures->failures, *last = kind + CLI_FAILURE_KINDS - 1;
    while (kind < last && kind->count > 0 && strcmp(kind->name, name) != 0)
        kind++;
    snprintf(kind->name, sizeof kind->name, "%s", kind == last ? "others" : name);
    kind->count += count;
}

/* The first failure is shown in full, because its message says what to mend; the others are counted by kind. */
static void load_note_error(struct loop *loop, const quring_done *done, uint64_t now) {
    if (done->status == QURING_SHUTDOWN && !loop->issuing) {
        loop->figures->unfinished_count++;
        return;
    }
    load_count_failure(loop->figures, *done->error->sqlstate ? done->error->sqlstate : quring_status_name(done->status),
                       1);
    loop->slots[(uint32_t)done->user_data].figures->error_count++;
    if (loop->figures->error_count++ == 0) {
        const struct cli_source *source = loop->slots[(uint32_t)done->user_data].source;
        char where[256];
        snprintf(where, sizeof where, "the first failure, %.200s:%" PRIu64, source->name,
                 source->script.commands[done->user_data >> COMMAND_SHIFT].line);
        cli_failure_say(where, done);
    }
    uint64_t succeeded = loop->figures->latency.count + loop->interval->count;
    if (loop->figures->error_count == HOPELESS_ERRORS && succeeded == 0) {
        cli_error("stopped: the first %d queries failed, all of them", HOPELESS_ERRORS);
        load_drain(loop, now);
    }
}

static inline void load_count_success(struct loop *loop, const struct slot *slot, uint64_t command, uint64_t now) {
    uint64_t latency = now > slot->start_ns ? now - slot->start_ns : 0;
    cli_histogram_add(loop->interval, latency);
    if (loop->load->workload->count > 1) /* else all of it is this script's */
        cli_histogram_add(&slot->figures->latency, latency);
    if (command != slot->source->script.last_statement)
        return;
    slot->figures->run_count++;
    if (slot->source->script.statement_count > 1)
        cli_histogram_add(&slot->figures->run_latency, now > slot->run_start_ns ? now - slot->run_start_ns : 0);
}

/* Ends the transaction of a statement that failed. Its client goes on after that, and never without a connection. */
static void load_leave(struct loop *loop, uint32_t index, const quring_done *done) {
    if (done->status == QURING_SERVER_ERROR && load_roll_back(loop, index))
        return;
    if (loop->issuing && ++loop->lost_count == loop->load->options.slot_count) {
        cli_error("stopped: all %" PRIu32 " connections were lost", loop->lost_count);
        load_drain(loop, loop->last_ns);
    }
}

/*
 * A script goes on with its next unit at once. One whose statement failed is left, since the rest may build on it. Of a
 * transaction that fails the first query to tell so is counted, once: the others say the same.
 */
static inline void load_end_query(struct loop *loop, const quring_done *done, uint64_t now) {
    uint32_t index = (uint32_t)done->user_data;
    struct slot *slot = &loop->slots[index];
    bool ok = done->status == QURING_OK, exclusive = loop->load->dbs != NULL;

    loop->inflight--;
    if (__builtin_expect((done->user_data & ROLLBACK) != 0, 0)) {
        quring_release(loop->engine, done->id);
        loop->idle[loop->idle_count++] = index;
        return;
    }
    slot->out_count--;
    if (__builtin_expect(!ok && !slot->failed, 0))
        load_note_error(loop, done, now);
    slot->failed |= !ok;
    if (__builtin_expect(!slot->failed, 1))
        load_count_success(loop, slot, done->user_data >> COMMAND_SHIFT, now);
    bool left = !ok && exclusive;
    if (left)
        load_leave(loop, index, done);
    quring_release(loop->engine, done->id);
    if (slot->out_count > 0)
        return;
    bool well = !slot->failed, issuing = loop->issuing && loop->issued < loop->limit;
    if (well && (issuing || exclusive) && slot->command + 1 < slot->source->script.command_count &&
        load_advance(loop, index, slot->command + 1, now))
        return;
    if (well && issuing && loop->load->options.rate == 0 && loop->issuing)
        load_begin(loop, index, now);
    else if (!left)
        loop->idle[loop->idle_count++] = index;
}

/* ---- The loop ---------------------------------------------------------------------------------------------------- */

/* Ticks that were missed are skipped: a late line of progress is not made up by several at once. */
static void load_tick(struct loop *loop, uint64_t now) {
    struct cli_load *load = loop->load;
    if (now < loop->tick_ns)
        return;
    load->on_progress(load->arg, load, loop->interval, (double)(now - loop->start_ns) / 1e9);
    cli_histogram_merge(&loop->figures->latency, loop->interval);
    cli_histogram_reset(loop->interval);
    uint64_t step = (uint64_t)(load->options.progress_seconds * 1e9);
    loop->tick_ns += step * ((now - loop->tick_ns) / step + 1);
}

/* Returns how long the loop may wait: until the next query is due, the next line of progress, or the end. */
static uint64_t load_wait_ns(const struct loop *loop, uint64_t now) {
    uint64_t until = loop->tick_ns;
    uint64_t end = loop->issuing ? loop->end_ns : loop->drain_ns;
    if (end < until)
        until = end;
    if (loop->issuing && loop->load->options.rate > 0 && loop->idle_count > 0) {
        uint64_t due = loop->start_ns + (uint64_t)loop->due_ns;
        if (due < until)
            until = due;
    }
    return until == UINT64_MAX ? QURING_FOREVER : until > now ? until - now : 0;
}

/* Half of what is in flight: the other half keeps the server at work meanwhile. */
static uint32_t load_wait_count(const struct loop *loop) {
    return loop->load->options.gathers && loop->inflight > 1 ? loop->inflight / 2 : 1;
}

/*
 * Shows a query that took long. The trace is drained after each batch of completions, so it has room for their events
 * whatever the number in flight is; should some have been dropped all the same, they are of queries that came earlier.
 */
static void load_show_slow(void *arg, const quring_event *event) {
    const struct loop *loop = arg;
    if (event->kind != QURING_EVENT_DONE || event->submitted_at_ns < loop->start_ns ||
        (double)(event->at_ns - event->submitted_at_ns) < 1e6 * loop->load->options.slow_ms)
        return;
    struct cli_out line;
    cli_out_init(&line, CLI_OUT_MEMORY);
    cli_out_text(&line, "slow: ");
    cli_trace_put_done(&line, event);
    cli_out_text(&line, ": ");
    cli_trace_put_sql(&line, event);
    cli_say_out(&line);
}

static void loop_run(struct loop *loop) {
    quring_done done[BATCH];
    uint64_t now = loop->start_ns;

    for (;;) {
        if (cli_stop_wanted() || now >= loop->end_ns)
            load_drain(loop, now);
        else if (loop->issued >= loop->limit)
            load_stop_issuing(loop, now); /* as many as were asked for are waited for, however long they take */
        load_begin_due(loop, now);
        if (loop->inflight == 0 && !loop->issuing)
            return;
        if (!loop->issuing && now >= loop->drain_ns) {
            quring_shutdown(loop->engine, 0);
            loop->figures->over = true;
        }
        /* Also with nothing in flight, in an open loop: a wake by a signal that comes just before is not lost in here. */
        int error = quring_run(loop->engine, load_wait_count(loop), load_wait_ns(loop, now));
        if (error < 0) {
            cli_refusal_show(NULL, loop->engine, error, NULL);
            loop->failed = true;
            return;
        }
        now = now_ns();
        int count;
        while ((count = quring_reap(loop->engine, done, BATCH)) > 0) {
            for (int i = 0; i < count; i++)
                load_end_query(loop, &done[i], now);
            loop->last_ns = now;
        }
        if (loop->load->options.slow_ms > 0)
            cli_trace_drain(loop->engine, load_show_slow, loop);
        load_tick(loop, now);
    }
}

/* ---- Before and after -------------------------------------------------------------------------------------------- */

static double seconds_of(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void load_count_waits(struct loop *loop, const quring_db *db, uint64_t sign) {
    quring_db_stats stats;
    quring_db_stats_get(db, &stats);
    for (size_t i = 0; i < QURING_WAIT_BUCKETS; i++)
        loop->figures->wait_count[i] += sign * stats.wait_count[i];
}

/* Adds, or with sign -1 takes away, what has been used so far. */
static void load_count_use(struct loop *loop, int sign) {
    struct cli_load_figures *figures = loop->figures;
    struct rusage usage;
    quring_stats stats;

    getrusage(RUSAGE_SELF, &usage);
    quring_stats_get(loop->engine, &stats);
    figures->cpu_user_seconds += sign * seconds_of(usage.ru_utime);
    figures->cpu_system_seconds += sign * seconds_of(usage.ru_stime);
    figures->enter_count += (uint64_t)sign * stats.enter_count;
    figures->sent_bytes += (uint64_t)sign * stats.sent_bytes;
    figures->received_bytes += (uint64_t)sign * stats.received_bytes;
    quring_db **dbs = loop->load->dbs;
    for (uint32_t i = 0; dbs && i < loop->load->options.slot_count; i++)
        load_count_waits(loop, dbs[i], (uint64_t)sign);
    if (!dbs)
        load_count_waits(loop, loop->load->client->db, (uint64_t)sign);
}

static bool load_allocate(struct loop *loop, uint32_t count) {
    const struct cli_workload *workload = loop->load->workload;
    for (uint32_t i = 0; i < workload->count; i++)
        if (workload->sources[i].script.variables.count > loop->stride)
            loop->stride = workload->sources[i].script.variables.count;
    loop->slots = calloc(count, sizeof *loop->slots);
    loop->values = calloc((size_t)count * loop->stride, sizeof *loop->values);
    loop->idle = calloc(count, sizeof *loop->idle);
    loop->interval = calloc(1, sizeof *loop->interval);
    loop->figures->scripts = calloc(workload->count, sizeof *loop->figures->scripts);
    if (!loop->slots || !loop->values || !loop->idle || !loop->interval || !loop->figures->scripts)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        loop->idle[i] = count - 1 - i;
        loop->values[(size_t)i * loop->stride + CLI_VARIABLE_CLIENT_ID].integer = i;
    }
    loop->idle_count = count;
    return true;
}

static void load_start_clock(struct loop *loop) {
    const struct cli_load_options *options = &loop->load->options;
    loop->limit = options->query_limit ? options->query_limit : UINT64_MAX;
    loop->start_ns = loop->last_ns = now_ns();
    loop->drain_ns = UINT64_MAX;
    loop->end_ns = options->seconds > 0 ? loop->start_ns + (uint64_t)(options->seconds * 1e9) : UINT64_MAX;
    loop->tick_ns = UINT64_MAX;
    if (options->progress_seconds > 0)
        loop->tick_ns = loop->start_ns + (uint64_t)(options->progress_seconds * 1e9);
    loop->issuing = true;
    if (getrandom(&loop->random, sizeof loop->random, 0) != sizeof loop->random)
        loop->random.state = loop->start_ns;
}

const struct cli_histogram *cli_load_latency(const struct cli_load_figures *figures,
                                             const struct cli_workload *workload, uint32_t script) {
    return workload->count == 1 ? &figures->latency : &figures->scripts[script].latency;
}

const struct cli_histogram *cli_load_run_latency(const struct cli_load_figures *figures,
                                                 const struct cli_workload *workload, uint32_t script) {
    return workload->sources[script].script.statement_count > 1 ? &figures->scripts[script].run_latency
                                                                : cli_load_latency(figures, workload, script);
}

void cli_load_add(struct cli_load_figures *to, const struct cli_load_figures *from, uint32_t script_count) {
    cli_histogram_merge(&to->latency, &from->latency);
    for (uint32_t i = 0; i < script_count; i++) {
        to->scripts[i].run_count += from->scripts[i].run_count;
        to->scripts[i].error_count += from->scripts[i].error_count;
        cli_histogram_merge(&to->scripts[i].run_latency, &from->scripts[i].run_latency);
        cli_histogram_merge(&to->scripts[i].latency, &from->scripts[i].latency);
    }
    for (size_t i = 0; i < CLI_FAILURE_KINDS && from->failures[i].count > 0; i++)
        load_count_failure(to, from->failures[i].name, from->failures[i].count);
    to->error_count += from->error_count;
    to->seconds += from->seconds;
    to->cpu_user_seconds += from->cpu_user_seconds;
    to->cpu_system_seconds += from->cpu_system_seconds;
    to->enter_count += from->enter_count;
    to->sent_bytes += from->sent_bytes;
    to->received_bytes += from->received_bytes;
    for (size_t i = 0; i < QURING_WAIT_BUCKETS; i++)
        to->wait_count[i] += from->wait_count[i];
    to->lag_sum_ns += from->lag_sum_ns;
    to->lag_count += from->lag_count;
    to->lag_max_ns = from->lag_max_ns > to->lag_max_ns ? from->lag_max_ns : to->lag_max_ns;
    to->unfinished_count += from->unfinished_count;
    to->over |= from->over;
}

void cli_load_free(struct cli_load *load) {
    free(load->figures.scripts);
    load->figures.scripts = NULL;
}

/* Returns the exit status of a load that came to its end, after a message where nothing else said why. */
static int load_conclude(const struct loop *loop) {
    struct cli_load_figures *figures = loop->figures;
    figures->over |= loop->failed;
    if (loop->failed || figures->error_count > 0)
        return CLI_EXIT_FAILED;
    if (cli_stop_wanted())
        return figures->latency.count > 0 ? CLI_EXIT_OK : cli_stop_status();
    if (figures->unfinished_count == 0)
        return CLI_EXIT_OK;
    cli_error("%" PRIu64 " queries had no answer %" PRIu64 " s after the end, and were given up",
              figures->unfinished_count, DRAIN_SECONDS);
    return CLI_EXIT_FAILED;
}

int cli_load_run(struct cli_load *load) {
    struct loop loop = {.load = load, .engine = load->client->engine, .figures = &load->figures, .stride = 1};
    int status = CLI_EXIT_FAILED;

    cli_stop_wakes(load->client->engine);
    cli_load_free(load);
    load->figures = (struct cli_load_figures){0};
    if (load_allocate(&loop, load->options.slot_count)) {
        load_count_use(&loop, -1);
        load_start_clock(&loop);
        loop_run(&loop);
        load_count_use(&loop, 1);
        load->figures.seconds = (double)(loop.last_ns - loop.start_ns) / 1e9;
        cli_histogram_merge(&load->figures.latency, loop.interval);
        status = load_conclude(&loop);
    } else {
        status = cli_no_memory();
    }
    free(loop.slots);
    free(loop.values);
    free(loop.idle);
    free(loop.interval);
    return status;
}
