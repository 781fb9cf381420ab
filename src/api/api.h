/* SPDX-License-Identifier: MIT */
/*
 * The public functions that need an engine: they check who calls, then the arguments, and call it.
 *
 *   api     engines, databases, traces and statistics; and what the other files share
 *   query   queries and batches, from submit to release
 *   tx      transactions
 *   inbox   all of this for threads that have no engine
 *
 * On another thread, or in a child process, they write nothing of the engine and ask nothing of the kernel, because the
 * ring, the sockets and the eventfd that a child inherits are its parent's too.
 */
#ifndef QURING_API_API_H
#define QURING_API_API_H

#include "engine/engine.h"
#include "engine/inbox.h"

/* ---- Structs of programs that were compiled with another version of the header ---- */

/* Copies the members that both versions know. False: a member is set that this library does not know. */
bool api_struct_take(void *ours, size_t our_bytes, const void *theirs, size_t their_bytes);

/* Fills the caller's struct; its members that this library does not know become zero. */
void api_struct_give(void *theirs, size_t their_bytes, const void *ours, size_t our_bytes);

/* What is said where api_struct_take() is false. */
extern const char api_unknown_member[];

/* ---- The caller, and what was wrong with the call ---- */

enum { API_OPEN_MESSAGE_BYTES = 512 };

/* The message of an open that failed, which leaves no engine or inbox to keep it. */
extern _Thread_local char api_open_message[API_OPEN_MESSAGE_BYTES];

/* Sets that message and returns `error`. */
int api_refuse_open(int error, const char *why);

/* Any thread but the one that opened the engine, and any thread of a child process. */
static inline bool api_is_foreign(const quring_engine *engine) {
    return base_unlikely(!owner_mark_is_here(engine->owner));
}

/* The check that every call on an engine begins with. */
static inline int api_refuse_caller(const quring_engine *engine) {
    if (base_unlikely(!engine))
        return QURING_EINVAL;
    return api_is_foreign(engine) ? QURING_EFORKED : 0;
}

/* The check that every call on an inbox begins with: it is the calling thread's, whichever the engine's is. */
static inline int api_refuse_inbox_caller(const quring_inbox *inbox) {
    if (base_unlikely(!inbox))
        return QURING_EINVAL;
    return base_unlikely(!owner_mark_is_here(inbox->owner)) ? QURING_EFORKED : 0;
}

static inline int api_refuse(quring_engine *engine, int error, const char *why) {
    return hub_error(&engine->hub, error, "%s", why);
}

/* ---- Transactions ---- */

/* The inbox whose thread has this handle; NULL: the engine's own thread has it. */
static inline quring_inbox *api_tx_inbox(const quring_tx *tx) {
    return ((const struct tx_handle *)(const void *)tx)->inbox;
}

static inline struct inbox_tx *api_inbox_tx(quring_tx *tx) {
    return (struct inbox_tx *)(void *)tx;
}

#define API_TX_OPTIONS_WORDS "options.isolation is %d, lease_reset %d: at most %d and %d"

/* tx.c: false is told in these words. */
bool api_tx_options_known(const quring_tx_options *options);

/* tx.c: what is wrong with options.resolve and its table; NULL: nothing is. */
const char *api_refuse_resolve(const quring_db *db, const quring_tx_options *options);

#endif
