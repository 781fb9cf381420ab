/* SPDX-License-Identifier: MIT */
#include "engine/inbox.h"

#include "base/eventfd.h"
#include "core/detach.h"
#include "ring/ring.h"
#include "value/param.h"
#include "value/value.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* ---- Open and close ---- */

static void inbox_free(struct quring_inbox *inbox) {
    for (uint32_t i = 0; i < inbox->queries.count; i++) {
        struct query *query = inbox_query(inbox, i);
        if (query->stand_in)
            stand_in_free(query->stand_in);
        buf_free(&query->store);
        error_free(&query->error);
        result_free(&query->result);
    }
    slots_free(&inbox->queries);
    slots_free(&inbox->txs);
    free(inbox->engine_txs);
    free(inbox->notes);
    free(inbox->returned);
    free(inbox->commands);
    free(inbox->completions);
    if (inbox->event_fd >= 0)
        close(inbox->event_fd);
    owner_mark_free(inbox->owner);
    db_numbers_drop(inbox->numbers);
    ring_drop(inbox->ring);
    free(inbox);
}

void inbox_let_go(struct quring_inbox *inbox) {
    if (atomic_fetch_sub(&inbox->owner_count, 1) == 1)
        inbox_free(inbox);
}

static bool inbox_open_slots(struct quring_inbox *inbox, size_t text_limit_bytes) {
    if (!slots_init(&inbox->queries, inbox->query_count, sizeof(struct query), 64))
        return false;
    inbox->slots = slots_at(&inbox->queries, 0);
    inbox->slot_bytes = inbox->queries.object_bytes;
    inbox->index_mask = inbox->queries.step - 1;
    for (uint32_t i = 0; i < inbox->query_count; i++) {
        struct query *query = inbox_query(inbox, i);
        list_init(&query->link);
        buf_init(&query->store, 2 * text_limit_bytes + QUERY_KEEP_BYTES);
        error_init(&query->error);
        result_init(&query->result);
    }
    return true;
}

/*
 * A slot has one completion on its way at most, and four commands: a query that has ended is cancelled and reaped, and the
 * next one submitted and cancelled, before any of these is read. That one has no completion, and the slot no other query,
 * until its commands have been read. A transaction is opened right before a query of it, and its handle is released once:
 * three more for each slot, because there are as many handles at most. One more is for the end.
 */
static bool inbox_open_rings(struct quring_inbox *inbox) {
    uint64_t commands = INBOX_LINE_BYTES, completions = INBOX_LINE_BYTES;
    while (commands < 7 * (uint64_t)inbox->query_count + 1)
        commands *= 2;
    while (completions < inbox->query_count)
        completions *= 2;
    inbox->commands = aligned_alloc(INBOX_LINE_BYTES, commands * sizeof *inbox->commands);
    inbox->completions = aligned_alloc(INBOX_LINE_BYTES, completions * sizeof *inbox->completions);
    inbox->notes = calloc(inbox->query_count, sizeof *inbox->notes);
    inbox->returned = calloc(inbox->query_count, sizeof *inbox->returned);
    inbox->command_mask = commands - 1;
    inbox->completion_mask = completions - 1;
    return inbox->commands && inbox->completions && inbox->notes && inbox->returned;
}

int inbox_open(const struct inbox_setup *setup, struct quring_inbox **out) {
    PRE(setup->options.query_count && setup->options.query_count <= INBOX_QUERIES_MAX);
    struct quring_inbox *inbox = aligned_alloc(INBOX_LINE_BYTES, sizeof *inbox);
    if (!inbox)
        return QURING_ENOMEM;
    memset(inbox, 0, sizeof *inbox);
    inbox->ring = ring_hold(setup->ring);
    inbox->numbers = db_numbers_hold(setup->numbers);
    inbox->query_count = setup->options.query_count;
    inbox->bytes_limit = setup->options.bytes;
    inbox->text_limit_bytes = setup->text_limit_bytes;
    inbox->call.done = setup->called;
    list_init(&inbox->touched);
    atomic_init(&inbox->owner_count, 1);
    atomic_init(&inbox->wake_at, INBOX_AWAKE);
    inbox->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = inbox->event_fd >= 0 ? 0 : errno == EMFILE || errno == ENFILE ? QURING_EFILES : QURING_ESYSTEM;
    inbox->owner = owner_mark_new();
    if (!error && (!inbox->owner || !inbox_open_slots(inbox, setup->text_limit_bytes) || !inbox_open_rings(inbox)))
        error = QURING_ENOMEM;
    if (error) {
        inbox_let_go(inbox);
        return error;
    }
    atomic_store(&inbox->owner_count, 2);
    *out = inbox;
    return 0;
}

int inbox_error(struct quring_inbox *inbox, int error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(inbox->message, sizeof inbox->message, format, args);
    va_end(args);
    return error;
}

/* ---- Waking the client ---- */

/*
 * Completions are counted before the look at wake_at, and the client sets wake_at before its last look at the count, all
 * sequentially consistent: one of the two sees the other, so no completion comes unseen before a sleep.
 */
void inbox_publish(struct quring_inbox *inbox, bool turn_follows) {
    atomic_store(&inbox->completions_sent, inbox->completions_written);
    uint64_t at = atomic_load(&inbox->wake_at);
    if (at > inbox->completions_written || !atomic_compare_exchange_strong(&inbox->wake_at, &at, INBOX_AWAKE))
        return;
    if (turn_follows)
        ring_raise(inbox->ring, inbox->event_fd);
    else
        eventfd_raise(inbox->event_fd);
}

/* The descriptor stays readable from here on, for a client that polls it. */
void inbox_leave(struct quring_inbox *inbox) {
    atomic_store(&inbox->shut, true);
    atomic_store(&inbox->gone, true);
    if (atomic_exchange(&inbox->wake_at, INBOX_AWAKE) != INBOX_AWAKE)
        eventfd_raise(inbox->event_fd);
    inbox_let_go(inbox);
}

/* ---- Commands ---- */

void inbox_call(struct quring_inbox *inbox) {
    if (!atomic_exchange(&inbox->called, true))
        ring_post(inbox->ring, &inbox->call);
}

void inbox_send(struct quring_inbox *inbox) {
    inbox_show(inbox);
    inbox_call(inbox);
}

static void inbox_send_plain(struct quring_inbox *inbox, enum inbox_kind kind, quring_id id) {
    *inbox_command_at(inbox, inbox->commands_written++) = (struct inbox_command){.kind = (uint8_t)kind, .id = id};
    inbox_send(inbox);
}

int inbox_refuse_shut(struct quring_inbox *inbox) {
    return inbox_error(inbox, QURING_ESHUTDOWN, "the engine was shut down or closed");
}

static int inbox_refuse_stale(struct quring_inbox *inbox) {
    return inbox_error(inbox, QURING_ESTALE, "no query of this inbox has this id: it was released, or never given out");
}

/* The text ends with a NUL here, so that an empty one has an address, too. Its rare second caller must not cost the other. */
static inline __attribute__((always_inline)) int inbox_copy_text(struct quring_inbox *inbox, struct query *query,
                                                                 const quring_query *q) {
    size_t length = q->sql_bytes ? q->sql_bytes : strlen(q->sql);
    if (length > inbox->bytes_limit || length > inbox->text_limit_bytes)
        return inbox_error(inbox, QURING_ETOOBIG, "the SQL has %zu bytes, over options.bytes or %zu", length,
                           inbox->text_limit_bytes);
    if (q->sql_bytes && memchr(q->sql, 0, q->sql_bytes))
        return inbox_error(inbox, QURING_EINVAL, "the SQL has a NUL byte in it");
    buf_put(&query->store, q->sql, length);
    buf_put_u8(&query->store, 0);
    return buf_failed(&query->store) ? inbox_error(inbox, QURING_ENOMEM, "no memory for the SQL") : 0;
}

static inline __attribute__((always_inline)) int inbox_copy_params(struct quring_inbox *inbox, struct query *query,
                                                                   const quring_query *q, const quring_param **params) {
    for (uint32_t i = 0; i < q->param_count; i++)
        if (!value_param_valid(&q->params[i]))
            return inbox_error(inbox, QURING_EINVAL, "parameter $%u is not well formed", i + 1);
    *params = value_copy_params(&query->store, q->params, q->param_count);
    if (*params)
        return 0;
    if (buf_failed(&query->store))
        return inbox_error(inbox, QURING_ENOMEM, "no memory for the parameters");
    return inbox_error(inbox, QURING_ETOOBIG, "the parameters have more bytes than options.bytes or %zu",
                       inbox->text_limit_bytes);
}

/* Gives the slots back whose queries were released before another thread had let go of them, and has by now. */
static __attribute__((cold, noinline)) void inbox_take_back(struct quring_inbox *inbox) {
    for (uint32_t i = 0; inbox->released_count && i < inbox->query_count; i++) {
        struct inbox_note *note = &inbox->notes[i];
        struct query *query = inbox_query(inbox, i);
        if (!note->released || !atomic_load_explicit(&inbox->returned[i], memory_order_acquire))
            continue;
        atomic_store_explicit(&inbox->returned[i], false, memory_order_relaxed);
        note->released = false;
        inbox->released_count--;
        buf_reset(&query->store, QUERY_KEEP_BYTES);
        inbox->charged_bytes -= note->charged_bytes;
        slots_give(&inbox->queries, query->id);
    }
}

struct query *inbox_take_slot(struct quring_inbox *inbox, quring_id *id) {
    struct query *query = slots_take(&inbox->queries, id);
    if (base_likely(query != NULL))
        return query;
    inbox_take_back(inbox);
    return slots_take(&inbox->queries, id);
}

/* A query that is over options.bytes alone never fits, and the caller must know. */
static inline int inbox_charge(struct quring_inbox *inbox, const quring_query *q, quring_id id, uint64_t bytes) {
    if (bytes > inbox->bytes_limit)
        return inbox_error(inbox, QURING_ETOOBIG, "SQL and parameters have %llu bytes, over options.bytes",
                           (unsigned long long)bytes);
    if (base_unlikely(inbox->charged_bytes + bytes > inbox->bytes_limit))
        inbox_take_back(inbox);
    if (inbox->charged_bytes + bytes > inbox->bytes_limit)
        return inbox_error(
            inbox, QURING_EFULL,
            "options.bytes: queries not yet released have %llu bytes of SQL and parameters, and %llu more "
            "go over %llu",
            (unsigned long long)inbox->charged_bytes, (unsigned long long)bytes,
            (unsigned long long)inbox->bytes_limit);
    inbox->notes[id & inbox->index_mask] =
        (struct inbox_note){.charged_bytes = (size_t)bytes, .has_key = q->order_key != 0};
    inbox->charged_bytes += bytes;
    return 0;
}

static int inbox_copy_ahead(struct quring_inbox *inbox, struct query *query, const struct buf *ahead) {
    buf_put(&query->store, buf_head(ahead), buf_size(ahead));
    return buf_failed(&query->store) ? inbox_error(inbox, QURING_ENOMEM, "no memory for a token") : 0;
}

/*
 * Copies what the query points to into the slot, behind what is there, and fills the command. The copies' addresses are known
 * once all are made.
 */
static inline int inbox_copy_input(struct quring_inbox *inbox, struct query *query, const quring_query *q,
                                   struct inbox_command *command, size_t ahead_bytes) {
    const quring_param *params = NULL;
    int error = q->statement ? 0 : inbox_copy_text(inbox, query, q);
    if (!error && q->param_count)
        error = inbox_copy_params(inbox, query, q, &params);
    if (error)
        return error;
    command->by_handle = q->statement != NULL;
    if (q->statement)
        command->statement = q->statement;
    else
        command->sql = (const char *)buf_head(&query->store) + ahead_bytes;
    command->params = params;
    command->param_count = q->param_count;
    return inbox_charge(inbox, q, command->id, buf_size(&query->store) - ahead_bytes);
}

/* A command has to carry a member that is new, or src/api to refuse it: a query must not run without what it asks for. */
_Static_assert(sizeof(quring_query) == offsetof(quring_query, tx) + 8, "a member that commands lack");

static inline __attribute__((always_inline)) int inbox_put_any(struct quring_inbox *inbox, const struct buf *ahead,
                                                               const quring_query *q, quring_id *id) {
    PRE(q->db && (q->sql || q->statement) && (q->params || !q->param_count));
    if (base_unlikely(atomic_load_explicit(&inbox->shut, memory_order_relaxed)))
        return inbox_refuse_shut(inbox);
    uint64_t token;
    struct query *query = inbox_take_slot(inbox, &token);
    if (base_unlikely(!query))
        return inbox_error(inbox, QURING_EFULL, "query_count: %u queries are submitted and not yet released",
                           inbox->query_count);
    struct inbox_command *command = inbox_command_at(inbox, inbox->commands_written);
    command->kind = INBOX_SUBMIT;
    command->commit = (uint8_t)q->commit;
    command->read_only = q->read_only;
    command->id = token;
    command->user_data = q->user_data;
    command->timeout_ns = q->timeout_ns;
    command->order_key = q->order_key;
    command->db = q->db;
    int error = ahead ? inbox_copy_ahead(inbox, query, ahead) : 0;
    if (base_likely(!error))
        error = inbox_copy_input(inbox, query, q, command, ahead ? buf_size(ahead) : 0);
    if (base_unlikely(error)) {
        buf_reset(&query->store, QUERY_KEEP_BYTES);
        slots_give(&inbox->queries, token);
        return error;
    }
    inbox->commands_written++;
    inbox->pending_count++;
    if (id)
        *id = token;
    return 0;
}

int inbox_put(struct quring_inbox *inbox, const quring_query *q, quring_id *id) {
    return inbox_put_any(inbox, NULL, q, id);
}

__attribute__((cold, noinline)) int inbox_put_behind(struct quring_inbox *inbox, const struct buf *ahead,
                                                     const quring_query *q, quring_id *id) {
    return inbox_put_any(inbox, ahead, q, id);
}

int inbox_submit(struct quring_inbox *inbox, const quring_query *q, quring_id *id) {
    int error = inbox_put(inbox, q, id);
    if (base_likely(!error))
        inbox_send(inbox);
    return error;
}

/* ---- Batches ---- */

void inbox_begin_batch(struct quring_inbox *inbox, struct inbox_batch *batch, uint32_t count, bool atomic) {
    *batch = (struct inbox_batch){.start = inbox->commands_written,
                                  .count_wanted = count,
                                  .others_count = slots_taken(&inbox->queries),
                                  .pending_count = inbox->pending_count,
                                  .atomic = atomic};
}

int inbox_put_member(struct quring_inbox *inbox, const struct inbox_batch *batch, const quring_query *q,
                     quring_id *id) {
    PRE(batch->atomic);
    if (q->tx)
        return inbox_error(inbox, QURING_EINVAL, "a transaction commits by itself: its queries join no ATOMIC batch");
    if (q->order_key)
        return inbox_error(inbox, QURING_EINVAL,
                           "the members of an ATOMIC batch have no order_key: they run in their order");
    if (batch->start != inbox->commands_written && inbox_command_at(inbox, batch->start)->db != q->db)
        return inbox_error(inbox, QURING_EINVAL, "the queries of an ATOMIC batch name several databases");
    return inbox_put(inbox, q, id);
}

/* The reactor has not seen the commands. What would not fit into an empty inbox either never fits. */
static int inbox_drop_batch(struct quring_inbox *inbox, const struct inbox_batch *batch, int error) {
    while (inbox->commands_written != batch->start) {
        quring_id id = inbox_command_at(inbox, --inbox->commands_written)->id;
        buf_reset(&inbox_query_of(inbox, id)->store, QUERY_KEEP_BYTES);
        inbox->charged_bytes -= inbox->notes[id & inbox->index_mask].charged_bytes;
        inbox->pending_count--;
        slots_give(&inbox->queries, id);
    }
    if (error == QURING_EFULL && (batch->others_count == 0 || batch->count_wanted > inbox->query_count))
        return inbox_error(inbox, QURING_ETOOBIG,
                           "%u queries in an ATOMIC batch: together they go over options.query_count (%u) or bytes "
                           "(%llu)",
                           batch->count_wanted, inbox->query_count, (unsigned long long)inbox->bytes_limit);
    return error;
}

int inbox_end_batch(struct quring_inbox *inbox, const struct inbox_batch *batch, int error) {
    uint64_t count = inbox->pending_count - batch->pending_count;
    if (batch->atomic && error)
        return inbox_drop_batch(inbox, batch, error);
    for (uint64_t i = 0; batch->atomic && i < count; i++) {
        struct inbox_command *command = inbox_command_at(inbox, batch->start + i);
        command->kind = INBOX_SUBMIT_UNIT;
        command->unit_count = count - i;
    }
    if (count)
        inbox_send(inbox);
    return count ? (int)count : error;
}

int inbox_cancel(struct quring_inbox *inbox, quring_id id) {
    if (!slots_get(&inbox->queries, id) || inbox->notes[id & inbox->index_mask].released)
        return inbox_refuse_stale(inbox);
    struct inbox_note *note = &inbox->notes[id & inbox->index_mask];
    if (note->reaped || note->cancelled)
        return 0;
    note->cancelled = true;
    inbox_send_plain(inbox, INBOX_CANCEL, id);
    return 0;
}

void inbox_close(struct quring_inbox *inbox) {
    inbox_send_plain(inbox, INBOX_CLOSE, 0);
    inbox_let_go(inbox);
}

/* ---- Completions ---- */

/* Ends the queries that the engine never took. No other thread looks at the inbox any more. */
static void inbox_end_orphans(struct quring_inbox *inbox) {
    inbox->orphaned = true;
    for (; inbox->commands_taken != inbox->commands_written; inbox->commands_taken++) {
        const struct inbox_command *command = &inbox->commands[inbox->commands_taken & inbox->command_mask];
        struct query *query = inbox_query_of(inbox, command->id);
        if (!inbox_brings_query(command))
            continue;
        error_set(&query->error, "57P01", "the engine was closed before this query was sent", NULL, NULL, 0);
        query->id = command->id;
        query->user_data = command->user_data;
        query->status = QURING_SHUTDOWN;
        query->sent = false;
        inbox_complete(inbox, query);
    }
    atomic_store_explicit(&inbox->completions_sent, inbox->completions_written, memory_order_relaxed);
}

/* Returns how many completions have come up to now. The look at `gone` is first, because no completion comes after it. */
static uint64_t inbox_completions_sent(struct quring_inbox *inbox) {
    if (base_unlikely(atomic_load_explicit(&inbox->gone, memory_order_acquire)) && !inbox->orphaned)
        inbox_end_orphans(inbox);
    return atomic_load_explicit(&inbox->completions_sent, memory_order_acquire);
}

/* Has the descriptor be readable if there are completions, or once there are. */
static void inbox_watch(struct quring_inbox *inbox) {
    eventfd_lower(inbox->event_fd);
    atomic_store(&inbox->wake_at, inbox->completions_read + 1);
    bool there = atomic_load(&inbox->completions_sent) != inbox->completions_read || atomic_load(&inbox->gone);
    if (there && atomic_exchange(&inbox->wake_at, INBOX_AWAKE) != INBOX_AWAKE)
        eventfd_raise(inbox->event_fd);
}

int inbox_reap(struct quring_inbox *inbox, quring_done *done, uint32_t capacity) {
    uint32_t count = 0;
    uint64_t sent = inbox_completions_sent(inbox);
    for (; count < capacity && inbox->completions_read != sent; count++) {
        const struct inbox_completion *completion =
            &inbox->completions[inbox->completions_read++ & inbox->completion_mask];
        struct inbox_note *note = &inbox->notes[completion->id & inbox->index_mask];
        note->reaped = true;
        note->detached = completion->detached;
        if (base_unlikely(note->has_key))
            inbox_send_plain(inbox, INBOX_REAPED, completion->id);
        done[count] = (quring_done){.id = completion->id,
                                    .user_data = completion->user_data,
                                    .status = (quring_status)completion->status,
                                    .result = &completion->query->result,
                                    .error = completion->status == QURING_OK ? NULL : &completion->query->error.view,
                                    .sent = completion->sent};
        if (base_unlikely(completion->status == QURING_SKIPPED))
            done[count].failed_id = completion->query->failed_id;
    }
    inbox->pending_count -= count;
    /* Who finds nothing may have been told late, of completions that it had found by itself. */
    if (base_unlikely(inbox->watched) && inbox->completions_read == sent &&
        (!count || atomic_load(&inbox->wake_at) == INBOX_AWAKE))
        inbox_watch(inbox);
    if (base_unlikely(inbox->orphaned) && !count && !inbox->pending_count)
        return inbox_refuse_shut(inbox);
    return (int)count;
}

static __attribute__((cold, noinline)) int inbox_release_detached(struct quring_inbox *inbox, quring_id id) {
    struct inbox_note *note = &inbox->notes[id & inbox->index_mask];
    struct query *query = inbox_query_of(inbox, id);
    if (note->released)
        return inbox_refuse_stale(inbox);
    stand_in_free(query->stand_in);
    query->stand_in = NULL;
    note->released = true;
    inbox->released_count++;
    inbox_take_back(inbox);
    return 0;
}

int inbox_release(struct quring_inbox *inbox, quring_id id) {
    struct query *query = slots_get(&inbox->queries, id);
    if (base_unlikely(!query))
        return inbox_refuse_stale(inbox);
    struct inbox_note *note = &inbox->notes[id & inbox->index_mask];
    if (base_unlikely(!note->reaped))
        return inbox_error(inbox, QURING_ENOTREADY, "the query was not reaped yet");
    if (base_unlikely(note->detached))
        return inbox_release_detached(inbox, id);
    error_clear(&query->error);
    result_end(&query->result);
    buf_reset(&query->store, QUERY_KEEP_BYTES);
    inbox->charged_bytes -= note->charged_bytes;
    slots_give(&inbox->queries, id);
    return 0;
}

/* ---- Sleeping ---- */

static uint64_t inbox_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Sleeps until the descriptor is readable. False: it is `until`, or a signal came. */
static bool inbox_sleep(struct quring_inbox *inbox, uint64_t until) {
    struct pollfd poll = {.fd = inbox->event_fd, .events = POLLIN};
    uint64_t now = until == UINT64_MAX ? 0 : inbox_now_ns();
    if (now >= until)
        return false;
    struct timespec left = {.tv_sec = (time_t)((until - now) / 1000000000),
                            .tv_nsec = (long)((until - now) % 1000000000)};
    if (ppoll(&poll, 1, until == UINT64_MAX ? NULL : &left, NULL) <= 0)
        return false;
    eventfd_lower(inbox->event_fd);
    return true;
}

int inbox_wait(struct quring_inbox *inbox, uint32_t min_count, uint64_t timeout_ns) {
    uint64_t now = timeout_ns && timeout_ns != QURING_FOREVER ? inbox_now_ns() : 0;
    uint64_t until = now + timeout_ns < now ? UINT64_MAX : now + timeout_ns;
    uint64_t there = inbox_completions_sent(inbox) - inbox->completions_read;
    uint32_t want = min_count < inbox->pending_count ? min_count : inbox->pending_count;
    bool slept = false;
    for (bool awake = timeout_ns != 0; there < want && awake; slept = true) {
        atomic_store(&inbox->wake_at, inbox->completions_read + want);
        if (atomic_load(&inbox->completions_sent) - inbox->completions_read < want && !atomic_load(&inbox->gone))
            awake = inbox_sleep(inbox, until);
        there = inbox_completions_sent(inbox) - inbox->completions_read;
        awake &= !inbox->orphaned;
    }
    if (slept && inbox->watched)
        inbox_watch(inbox);
    else if (slept)
        atomic_store_explicit(&inbox->wake_at, INBOX_AWAKE, memory_order_relaxed);
    if (base_unlikely(inbox->orphaned) && !inbox->pending_count)
        return inbox_refuse_shut(inbox);
    return (int)there;
}

int inbox_fd(struct quring_inbox *inbox) {
    if (!inbox->watched) {
        inbox->watched = true;
        inbox_watch(inbox);
    }
    return inbox->event_fd;
}
