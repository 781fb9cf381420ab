/* SPDX-License-Identifier: MIT */
#include "lib/fake_backend.h"

#include "core/detach.h"

#include <stdio.h>

const struct backend *__wrap_engine_backend_of(const char *url);

static struct sim *sim;
static quring_id ids[FAKE_QUERIES];
static char log_text[1000];

/* ---- Words ---- */

__attribute__((format(printf, 3, 4))) static void put(char *text, size_t size, const char *format, ...) {
    size_t length = strlen(text);
    va_list args;
    if (length)
        snprintf(text + length, size - length, ", ");
    length = strlen(text); /* what has no room is cut */
    va_start(args, format);
    vsnprintf(text + length, size - length, format, args);
    va_end(args);
}

const char *fake_log(void) {
    static char text[sizeof log_text];
    memcpy(text, log_text, sizeof text);
    log_text[0] = 0;
    return text;
}

void fake_same(const char *actual, const char *expected, const char *what, int line) {
    cr_assert_str_eq(actual, expected, "line %d: %s:\n%s\ninstead of\n%s", line, what, actual, expected);
}

/* ---- The backend ---- */

/* What it keeps of a RUNNING query. */
struct fake_query {
    uint64_t ends_ns; /* UINT64_MAX: not by itself */
    quring_status status;
};

static struct fake_query *kept_of(struct query *query) {
    return (struct fake_query *)query->backend;
}

static struct fake_db *fake_of(struct quring_db *db) {
    return base_container_of(db, struct fake_db, base);
}

static uint64_t now_ns(const struct fake_db *db) {
    return engine_now_ns(db->base.engine);
}

static void set_timer(struct fake_db *db, uint64_t at_ns);
static void abandon(struct query *query, quring_status status);

/* ---- Transactions: each has a place, of which there are few ---- */

static void give_place(struct quring_tx *tx, const char *what) {
    struct fake_db *db = fake_of(tx->queue.db);
    if (*what)
        put(log_text, sizeof log_text, "%s", what);
    db->placed_count--;
    tx_end(tx);
    struct list *node = list_first(&db->parked);
    if (node)
        queue_bring_back(list_entry(node, struct queue, ready));
    db_due(&db->base);
}

static bool has_out(const struct quring_tx *tx) {
    list_for_each(node, &fake_of(tx->queue.db)->running)
        if (list_entry(node, struct query, link)->queue == &tx->queue)
            return true;
    return false;
}

static void send(struct fake_db *db, struct query *query) {
    uint64_t ends_ns = db->work_ns ? now_ns(db) + db->work_ns : UINT64_MAX;
    list_push_back(&db->running, &query->link);
    query->sent = true;
    *kept_of(query) = (struct fake_query){.ends_ns = ends_ns, .status = QURING_OK};
    if (db->work_ns)
        set_timer(db, ends_ns);
}

static void serve(struct quring_tx *tx) {
    struct fake_db *db = fake_of(tx->queue.db);
    struct query *query;
    while ((query = tx_next(tx))) {
        if (tx->state == TX_WAITING && db->placed_count == db->place_count) {
            queue_set_aside(&tx->queue, &db->parked, now_ns(db));
            return;
        }
        if (tx->state == TX_WAITING) {
            put(log_text, sizeof log_text, "begin");
            db->placed_count++;
            tx_move(tx, TX_OPEN);
        }
        put(log_text, sizeof log_text, "send %u", (unsigned)query->user_data);
        cr_assert_eq(queue_take(&tx->queue), query);
        if (tx_is_end(tx_verb(query)))
            tx_move(tx, TX_ENDING);
        send(db, query);
    }
    if (tx->state == TX_WAITING && tx_is_doomed(tx))
        tx_end(tx);
    else if (tx->state == TX_OPEN && tx_is_doomed(tx) && !has_out(tx))
        give_place(tx, "roll back");
}

static void tx_changed(struct quring_tx *tx, bool timed_out) {
    struct fake_db *db = fake_of(tx->queue.db);
    list_for_each_safe(node, &db->running) {
        struct query *query = list_entry(node, struct query, link);
        if (timed_out && query->queue == &tx->queue && db->tx_waits) {
            abandon(query, QURING_TIMEOUT);
            tx->hub->watch(query);
        } else if (timed_out && query->queue == &tx->queue)
            query_fail(query, QURING_TIMEOUT, "57014", "its transaction's timeout passed");
    }
    serve(tx);
}

static void set_timer(struct fake_db *db, uint64_t at_ns) {
    if (!heap_contains(&db->timer.node) || db->timer.node.key > at_ns)
        cr_assert(timer_set(db->base.hub->ring, &db->timer, at_ns));
}

static void finish(struct query *query, quring_status status) {
    struct quring_tx *tx = query->queue->tx;
    enum statement_verb verb = tx ? tx_verb(query) : VERB_NONE;
    struct tx_position position = query->tx_position;
    if (status == QURING_OK && tx && tx_stands_behind(tx, query) && verb != VERB_GOES_BACK && !tx_is_end(verb))
        tx_skip(tx, query);
    else if (status == QURING_OK && verb == VERB_COMMITS && tx->failure.set)
        tx_refuse_end(tx, query);
    else if (status == QURING_OK)
        query_finish(query, status);
    else
        query_fail(query, status, "57014", "ended by the test");
    if (!tx)
        return;
    if (status == QURING_OK && verb == VERB_GOES_BACK)
        tx_revive(tx, position);
    if (tx_is_end(verb))
        give_place(tx, "");
    else if (tx->state == TX_OPEN && !has_out(tx) && !tx_next(tx)) {
        if (tx_is_doomed(tx))
            give_place(tx, "roll back");
        else
            tx_idle(tx, now_ns(fake_of(tx->queue.db)));
    }
}

static void timer_fired(struct timer *timer) {
    struct fake_db *db = base_container_of(timer, struct fake_db, timer);
    db_due(&db->base);
    list_for_each_safe(node, &db->running) {
        struct query *query = list_entry(node, struct query, link);
        if (kept_of(query)->ends_ns <= ring_now_ns(db->base.hub->ring))
            finish(query, kept_of(query)->status);
        else if (kept_of(query)->ends_ns != UINT64_MAX)
            set_timer(db, kept_of(query)->ends_ns);
    }
}

static bool fake_accepts(const char *url) {
    return strncmp(url, "fake:", 5) == 0;
}

static int open_db(struct quring_db *base, const char *url) {
    struct fake_db *db = fake_of(base);
    if (url[5] == '!')
        return hub_error(base->hub, QURING_EUNSUPPORTED, "refused");
    db->name = url[5];
    db->depth = FAKE_QUERIES;
    db->timer.fire = timer_fired;
    list_init(&db->running);
    list_init(&db->parked);
    db->place_count = 1;
    base->statements = statement_table_new(4, 1000, NULL);
    if (base->options.exclusive)
        base->queue.bound = db;
    return 0;
}

static void advance(struct quring_db *base) {
    struct fake_db *db = fake_of(base);
    struct query *query;
    db->advance_count++;
    if (base->closing) {
        base->closed = list_empty(&db->running) && !heap_contains(&db->timer.node);
        return;
    }
    while (base->running_count < db->depth && (query = queue_take(&base->queue)))
        send(db, query);
    list_for_each_safe(node, &base->ready)
        if (list_entry(node, struct queue, ready)->tx)
            serve(list_entry(node, struct queue, ready)->tx);
}

static void abandon(struct query *query, quring_status status) {
    struct fake_db *db = fake_of(query->queue->db);
    put(log_text, sizeof log_text, "abandon %u %s", (unsigned)query->user_data, quring_status_name(status));
    if (!db->let_go_ns) {
        finish(query, status);
        return;
    }
    if (kept_of(query)->status != QURING_OK)
        return; /* the first one holds */
    *kept_of(query) = (struct fake_query){.ends_ns = now_ns(db) + db->let_go_ns, .status = status};
    set_timer(db, kept_of(query)->ends_ns);
}

static void detach(struct query *query) {
    const struct fake_db *db = fake_of(query->queue->db);
    struct query *stand_in = db->keeps ? NULL : stand_in_new(query);
    put(log_text, sizeof log_text, "detach %u", (unsigned)query->user_data);
    if (!stand_in)
        return;
    error_format(&stand_in->error, "57014", "given up");
    stand_in->sent = true;
    query_detach(query, stand_in, kept_of(query)->status);
}

static void close_db(struct quring_db *base) {
    struct fake_db *db = fake_of(base);
    put(log_text, sizeof log_text, "close %c", db->name);
    if (db->close_ns)
        set_timer(db, now_ns(db) + db->close_ns);
}

static void warm_up(struct quring_db *base) {
    put(log_text, sizeof log_text, "warm up %c", fake_of(base)->name);
}

static uint32_t missing(const struct quring_db *base, bool *hopeless) {
    const struct fake_db *db = base_container_of(base, struct fake_db, base);
    *hopeless = db->hopeless;
    return db->missing_count;
}

static void look(const struct quring_db *base, uint64_t at_ns, quring_db_info *info) {
    (void)base, (void)at_ns;
    info->wanted_count = 1;
}

static void destroy(struct quring_db *base) {
    struct fake_db *db = fake_of(base);
    put(log_text, sizeof log_text, "destroy %c", db->name);
    cr_assert(list_empty(&db->running));
    statement_table_free(base->statements);
}

static const struct backend fake_backend = {.name = "fake",
                                            .timer_count = 1,
                                            .db_bytes = sizeof(struct fake_db),
                                            .parts_batches = true,
                                            .accepts = fake_accepts,
                                            .open = open_db,
                                            .advance = advance,
                                            .abandon = abandon,
                                            .detach = detach,
                                            .tx_changed = tx_changed,
                                            .close = close_db,
                                            .warm_up = warm_up,
                                            .missing = missing,
                                            .look = look,
                                            .destroy = destroy};

const struct backend *__wrap_engine_backend_of(const char *url) {
    return fake_accepts(url) ? &fake_backend : NULL;
}

/* ---- The engine ---- */

quring_engine *fake_engine_open(const quring_options *options) {
    quring_engine *engine;
    char message[200] = "";
    sim = sim_new(&(struct sim_options){.seed = 1, .start_ns = 1000 * FAKE_MS});
    engine_use_port(sim_port(sim));
    log_text[0] = 0;
    cr_assert_eq(engine_open(options, &engine, message, sizeof message), 0, "%s", message);
    return engine;
}

void fake_engine_close(quring_engine *engine) {
    engine_close(engine);
    sim_free(sim);
}

struct sim *fake_sim(void) {
    return sim;
}

struct fake_db *fake_open(quring_engine *engine, const char *url, const quring_db_options *options) {
    quring_db *db = NULL;
    int error = engine_db_open(engine, url, options, &db);
    cr_assert_eq(error, 0, "%s: %s", url, engine->hub.message);
    return fake_of(db);
}

int fake_ask_until(struct fake_db *db, uint32_t number, uint64_t timeout_ns) {
    const quring_query query = {.db = &db->base, .sql = "select 1", .user_data = number, .timeout_ns = timeout_ns};
    cr_assert_lt(number, FAKE_QUERIES);
    return engine_submit(db->base.engine, &query, &ids[number]);
}

int fake_ask(struct fake_db *db, uint32_t number) {
    return fake_ask_until(db, number, 0);
}

int fake_ask_tx(quring_tx *tx, uint32_t number, const char *sql) {
    const quring_query query = {.tx = tx, .sql = sql, .user_data = number};
    cr_assert_lt(number, FAKE_QUERIES);
    int error = engine_tx_refuse(tx);
    return error ? error : engine_submit_tx(tx->engine, &query, &ids[number]);
}

int fake_commit(quring_tx *tx, uint32_t number) {
    return engine_tx_end(tx, VERB_COMMITS, number, &ids[number]);
}

quring_id fake_id(uint32_t number) {
    return ids[number];
}

void fake_end(struct fake_db *db, uint32_t number, quring_status status) {
    list_for_each_safe(node, &db->running) {
        struct query *query = list_entry(node, struct query, link);
        if (query->user_data == number) {
            finish(query, status);
            return;
        }
    }
    cr_assert_fail("query %u is not in the backend's hands", number);
}

void fake_put_back(struct fake_db *db) {
    list_for_each_safe(node, &db->running)
        queue_put_back(list_entry(node, struct query, link));
}

const char *fake_reaped(quring_engine *engine) {
    static char text[1000];
    quring_done done;
    text[0] = 0;
    while (engine_reap(engine, &done, 1) == 1) {
        put(text, sizeof text, "%u %s", (unsigned)done.user_data, quring_status_name(done.status));
        cr_assert_eq(engine_release(engine, done.id), 0);
    }
    return text;
}
