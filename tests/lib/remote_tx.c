/* SPDX-License-Identifier: MIT */
#include "lib/remote_tx.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STEPS = 3, ENDS = STEPS + 1, REAP = 16 };

/* What is done with the move of that number; all threads take turns in the same way. */
enum move_kind { MOVE_TX, MOVE_BATCH, MOVE_ATOMIC, MOVE_ROLLED_BACK, MOVE_RELEASED, MOVE_CANCELLED, MOVE_KINDS };

struct move {
    uint32_t ends_wanted, ends;
    bool has_end;          /* its COMMIT or ROLLBACK has ended */
    bool failed, in_doubt; /* as that says, or any member of a batch */
};

struct walk {
    struct remote_mover *mover;
    quring_inbox *inbox;
    struct move *moves;
};

/* ---- Submit ---- */

static void fill_steps(const struct walk *walk, uint32_t move, const char *token, quring_param params[STEPS][STEPS],
                       quring_query queries[STEPS]) {
    static const char *const texts[STEPS] = {"update accounts set balance = balance - $1 where id = $2",
                                             "update accounts set balance = balance + $1 where id = $2",
                                             "insert into moves (mover, number, token) values ($1, $2, $3)"};
    /* The lower account comes first, so that no two moves wait for each other; the amount may be negative. */
    int32_t from = (int32_t)((move * 7 + walk->mover->number) % (REMOTE_ACCOUNTS - 1)), to = REMOTE_ACCOUNTS - 1;
    params[0][0] = params[1][0] = quring_int32(move % 2 ? 3 : -3);
    params[0][1] = quring_int32(from);
    params[1][1] = quring_int32(to);
    params[2][0] = quring_int32((int32_t)walk->mover->number);
    params[2][1] = quring_int32((int32_t)move);
    params[2][2] = quring_text(token);
    for (uint32_t i = 0; i < STEPS; i++)
        queries[i] = (quring_query){.db = walk->mover->host->db,
                                    .sql = texts[i],
                                    .params = params[i],
                                    .param_count = i < 2 ? 2 : 3,
                                    .user_data = (uint64_t)move * ENDS + i};
}

static int submit_one_by_one(struct walk *walk, quring_query queries[STEPS], quring_tx *tx, enum move_kind kind) {
    quring_id id = 0;
    int error = 0;
    for (uint32_t i = 0; i < STEPS && !error; i++)
        error = quring_inbox_submit(walk->inbox, &queries[i], i == 1 ? &id : NULL);
    if (!error && kind == MOVE_CANCELLED)
        error = quring_inbox_cancel(walk->inbox, id);
    if (!error && kind == MOVE_ROLLED_BACK)
        error = quring_rollback(tx, queries[0].user_data + STEPS, NULL);
    else if (!error && kind != MOVE_RELEASED)
        error = quring_commit(tx, queries[0].user_data + STEPS, NULL);
    return error;
}

static int submit_whole(struct walk *walk, const quring_query queries[STEPS], quring_tx *tx) {
    quring_query whole[ENDS];
    for (uint32_t i = 0; i < STEPS; i++)
        whole[i] = queries[i];
    whole[STEPS] = (quring_query){.tx = tx, .sql = "commit", .user_data = queries[0].user_data + STEPS};
    int count = quring_inbox_submit_batch(walk->inbox, whole, ENDS, QURING_BATCH_INDEPENDENT, NULL);
    if (count < 0 || count == ENDS)
        return count < 0 ? count : 0;
    int error =
        quring_inbox_submit(walk->inbox, &whole[count], NULL); /* which refused it: the engine may have shut down */
    return error ? error : QURING_EFULL;
}

static int submit_atomic(struct walk *walk, const quring_query queries[STEPS]) {
    int count = quring_inbox_submit_batch(walk->inbox, queries, STEPS, QURING_BATCH_ATOMIC, NULL);
    return count < 0 ? count : 0;
}

static int submit_move(struct walk *walk) {
    struct remote_mover *mover = walk->mover;
    quring_param params[STEPS][STEPS];
    quring_query queries[STEPS];
    quring_tx *tx = NULL;
    const char *token = NULL;
    uint32_t number = mover->begun_count;
    enum move_kind kind = number % MOVE_KINDS;
    int error = kind == MOVE_ATOMIC ? 0 : quring_inbox_tx_open(walk->inbox, mover->host->db, mover->options, &tx);
    if (error)
        return error;
    if (tx && mover->options && mover->options->token_table)
        token = quring_tx_token(tx);
    fill_steps(walk, number, token, params, queries);
    for (uint32_t i = 0; i < STEPS; i++)
        queries[i].tx = tx;
    walk->moves[number].ends_wanted = kind == MOVE_ATOMIC || kind == MOVE_RELEASED ? STEPS : ENDS;
    mover->begun_count++;
    error = kind == MOVE_ATOMIC  ? submit_atomic(walk, queries)
            : kind == MOVE_BATCH ? submit_whole(walk, queries, tx)
                                 : submit_one_by_one(walk, queries, tx, kind);
    quring_tx_release(tx);
    return error;
}

/* ---- Reap ---- */

static bool is_in_doubt(const quring_done *done) {
    return done->sent && done->status != QURING_OK && done->status != QURING_SERVER_ERROR &&
           done->status != QURING_SKIPPED;
}

/* COMMIT tells of its transaction, and all members of a batch together of that. */
static void note_fate(struct remote_mover *mover, uint32_t number, const struct move *move) {
    enum move_kind kind = number % MOVE_KINDS;
    bool never = kind == MOVE_ROLLED_BACK || kind == MOVE_RELEASED;
    bool told = kind == MOVE_ATOMIC || move->has_end;
    mover->ended_count++;
    if (never)
        mover->fates[number] = FATE_NOT;
    else if (told)
        mover->fates[number] = move->in_doubt ? FATE_UNKNOWN : move->failed ? FATE_NOT : FATE_COMMITTED;
    mover->committed_count += mover->fates[number] == FATE_COMMITTED;
    mover->doubt_count += kind != MOVE_ATOMIC && move->has_end && move->in_doubt;
}

static void note_end(struct walk *walk, const quring_done *done) {
    struct remote_mover *mover = walk->mover;
    uint32_t number = (uint32_t)(done->user_data / ENDS);
    struct move *move = &walk->moves[number];
    bool is_end = done->user_data % ENDS == STEPS, atomic = number % MOVE_KINDS == MOVE_ATOMIC;
    mover->wrong_count += number >= mover->begun_count || ++move->ends > move->ends_wanted;
    mover->wrong_count += done->status != QURING_OK && !*done->error->message;
    mover->wrong_count += done->status == QURING_SKIPPED && atomic && !done->failed_id;
    move->has_end |= is_end;
    if (is_end || atomic) {
        move->failed |= done->status != QURING_OK;
        move->in_doubt |= is_in_doubt(done);
    }
    if (move->ends == move->ends_wanted)
        note_fate(mover, number, move);
}

static int reap_all(struct walk *walk) {
    quring_done done[REAP];
    int count;
    while ((count = quring_inbox_reap(walk->inbox, done, REAP)) > 0) {
        for (int i = 0; i < count; i++)
            note_end(walk, &done[i]);
        if (quring_inbox_release_batch(walk->inbox, done, (uint32_t)count) != count)
            walk->mover->wrong_count++;
    }
    return count;
}

/* ---- The thread ---- */

static bool walk_is_over(const struct walk *walk) {
    const struct remote_mover *mover = walk->mover;
    return mover->begun_count == mover->move_count || (mover->leaves && mover->begun_count > mover->move_count / 2);
}

static void walk_all(struct walk *walk) {
    struct remote_mover *mover = walk->mover;
    int error = 0;
    while (!error && !walk_is_over(walk)) {
        while (!error && !walk_is_over(walk) && mover->begun_count - mover->ended_count < mover->window)
            error = submit_move(walk);
        if (error || walk_is_over(walk))
            break;
        error = quring_inbox_wait(walk->inbox, 1, QURING_FOREVER);
        error = error > 0 ? reap_all(walk) : error;
    }
    mover->error = error == QURING_ESHUTDOWN && mover->until_shut ? 0 : error;
    if (mover->leaves)
        return;
    while (quring_inbox_pending(walk->inbox) && quring_inbox_wait(walk->inbox, 1, QURING_FOREVER) >= 0)
        reap_all(walk);
}

static void *mover_main(void *argument) {
    struct remote_mover *mover = argument;
    struct walk walk = {.mover = mover, .moves = calloc(mover->move_count, sizeof(struct move))};
    const quring_inbox_options options = {.query_count = mover->window * (ENDS + 1)};
    mover->error = quring_inbox_open(mover->host->engine, &options, &walk.inbox);
    if (mover->opened)
        sem_post(mover->opened);
    if (!mover->error) {
        walk_all(&walk);
        quring_inbox_close(walk.inbox);
    }
    atomic_fetch_add(&mover->host->ended_count, 1);
    free(walk.moves);
    return NULL;
}

void remote_movers_start(struct remote_host *host, struct remote_mover movers[REMOTE_CLIENTS],
                         const struct remote_mover *like) {
    for (uint32_t i = 0; i < REMOTE_CLIENTS; i++) {
        movers[i] = *like;
        movers[i].host = host;
        movers[i].number = i;
        movers[i].fates = calloc(like->move_count, 1);
        cr_assert_eq(pthread_create(&movers[i].thread, NULL, mover_main, &movers[i]), 0);
    }
}

void remote_movers_join(struct remote_mover movers[REMOTE_CLIENTS]) {
    for (uint32_t i = 0; i < REMOTE_CLIENTS; i++) {
        const struct remote_mover *mover = &movers[i];
        pthread_join(mover->thread, NULL);
        cr_assert_eq(mover->error, 0, "%s", quring_strerror(mover->error));
        cr_assert_eq(mover->wrong_count, 0);
        if (!mover->leaves && !mover->until_shut)
            cr_assert_eq(mover->ended_count, mover->move_count);
    }
}

/* ---- The tables ---- */

void remote_make_accounts(struct remote_host *host) {
    char sql[200];
    remote_tell(host, "drop table if exists accounts");
    remote_tell(host, "drop table if exists moves");
    remote_tell(host, "create table accounts (id int primary key, balance int not null)");
    remote_tell(host, "create table moves (mover int not null, number int not null, token text)");
    remote_tell(host, "drop table if exists " REMOTE_TOKENS);
    remote_tell(host, "create table " REMOTE_TOKENS " (token text primary key, committed boolean not null)");
    for (int i = 0; i < REMOTE_ACCOUNTS; i++) {
        snprintf(sql, sizeof sql, "insert into accounts values (%d, %d)", i, REMOTE_BALANCE);
        remote_tell(host, sql);
    }
}

static void check_row(struct remote_mover movers[REMOTE_CLIENTS], const quring_result *rows, uint64_t row) {
    int32_t mover, number;
    int64_t count;
    cr_assert_eq(quring_get_int32(rows, row, 0, &mover), 0);
    cr_assert_eq(quring_get_int32(rows, row, 1, &number), 0);
    cr_assert_eq(quring_get_int64(rows, row, 2, &count), 0);
    cr_assert_eq(count, 1, "move %d of thread %d took effect %d times", number, mover, (int)count);
    uint8_t *fate = &movers[mover].fates[number];
    cr_assert_neq(*fate, FATE_NOT, "move %d of thread %d took effect, and it was told that not", number, mover);
    *fate = FATE_UNKNOWN; /* what is left afterwards is not there */
}

static void forget_fates(struct remote_mover movers[REMOTE_CLIENTS]) {
    for (uint32_t i = 0; i < REMOTE_CLIENTS; i++)
        free(movers[i].fates);
}

/* A move and its token took effect together, or neither did. */
static void check_tokens(struct remote_host *host, bool all_have) {
    cr_assert_eq(remote_int(host, "select count(*) from moves where token is not null and not exists (select 1 from "
                                  "" REMOTE_TOKENS " t where t.token = moves.token and committed)"),
                 0);
    cr_assert_eq(remote_int(host, "select count(*) from " REMOTE_TOKENS " t where committed and not exists (select 1 "
                                  "from moves where moves.token = t.token)"),
                 0);
    if (all_have)
        cr_assert_gt(remote_int(host, "select count(*) from moves where token is not null"), 0);
}

void remote_check_moves(struct remote_host *host, struct remote_mover movers[REMOTE_CLIENTS]) {
    quring_inbox *inbox;
    const quring_tx_options *options = movers[0].options;
    cr_assert_eq(remote_int(host, "select sum(balance) from accounts"), REMOTE_ACCOUNTS * REMOTE_BALANCE);
    check_tokens(host, options && options->token_table);
    quring_done done = remote_ask(host, "select mover, number, count(*) from moves group by mover, number", &inbox);
    for (uint64_t row = 0; row < quring_row_count(done.result); row++)
        check_row(movers, done.result, row);
    quring_inbox_close(inbox);
    for (uint32_t i = 0; i < REMOTE_CLIENTS; i++)
        for (uint32_t k = 0; k < movers[i].begun_count; k++)
            cr_assert_neq(movers[i].fates[k], FATE_COMMITTED, "move %u of thread %u was committed, and is not there", k,
                          i);
    forget_fates(movers);
}

uint32_t remote_move_money(struct remote_host *host, const struct remote_mover *like) {
    struct remote_mover movers[REMOTE_CLIENTS];
    uint32_t committed = 0;
    remote_make_accounts(host);
    remote_movers_start(host, movers, like);
    remote_movers_join(movers);
    for (int i = 0; i < REMOTE_CLIENTS; i++)
        committed += movers[i].committed_count;
    remote_check_moves(host, movers);
    return committed;
}

static void move_and_close(struct remote_host *host, struct remote_mover movers[REMOTE_CLIENTS], unsigned pause_us) {
    sem_t opened;
    remote_host_start(host);
    remote_make_accounts(host);
    sem_init(&opened, 0, 0);
    remote_movers_start(
        host, movers, &(struct remote_mover){.move_count = 100000, .window = 4, .until_shut = true, .opened = &opened});
    for (int i = 0; i < REMOTE_CLIENTS; i++)
        sem_wait(&opened);
    usleep(pause_us);
    remote_host_stop(host);
    remote_movers_join(movers);
    sem_destroy(&opened);
}

void remote_move_until_closed(struct remote_host *host, unsigned rounds, unsigned pause_us, bool stays) {
    for (unsigned round = 0; round < rounds; round++) {
        struct remote_mover movers[REMOTE_CLIENTS];
        host->grace_ns = round % 2 ? UINT64_C(1000000000) : 0;
        move_and_close(host, movers, round * pause_us);
        if (!stays) {
            forget_fates(movers);
            continue;
        }
        remote_host_start(host);
        remote_check_moves(host, movers);
        remote_host_stop(host);
    }
}
