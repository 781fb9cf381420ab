/* SPDX-License-Identifier: MIT */
/*
 * One connection to SQLite and what is prepared on it. It belongs to one thread, so it is opened without SQLite's mutexes.
 * Nothing here knows of lanes: a connection can be driven directly, as the unit tests do.
 *
 *   open.c    open, settings, close
 *   conn.c    errors, transaction control
 *   wal.c     a file's way into WAL mode
 *   watch.c   what interrupts a statement that runs or waits for a lock
 *   harden.c  SQLite's switches and limits
 *   rules.c   which statements a connection may prepare, by SQLite's authorizer
 *   stmt.c    the cache of prepared statements
 *   bind.c    parameters
 *   exec.c    one query from its text to its result
 */
#ifndef QURING_LITE_CONN_H
#define QURING_LITE_CONN_H

#include "lite/file.h"
#include "lite/query.h"
#include "lite/url.h"

#include <pthread.h>
#include <sqlite3.h>

/* The settings that all lanes of a database have in common; constant while they live. */
struct lite_config {
    const char *path; /* NULL: in memory */
    enum lite_mode mode;
    bool immutable;
    quring_durability durability;
    uint64_t busy_timeout_ns;
    uint32_t statement_count;
    const atomic_bool *closing; /* interrupts everything */
    /* Waits for a lock in opening count from then, so that several connections wait together; 0, NULL: from now. */
    const atomic_uint_least64_t *open_from_ns;
};

enum lite_role {
    LITE_READER,   /* one of several; what writes or concerns the whole database is not for it */
    LITE_WRITER,   /* the only one that writes and checkpoints; all there is of a database in memory */
    LITE_EXCLUSIVE /* the only one, and its state is the caller's */
};

/* What may be done while the lane has a transaction of quring_tx_open() open. */
enum lite_tx_mode { LITE_NO_TX, LITE_TX_WRITES, LITE_TX_READS };

/* ---- Interrupting (watch.c) ---- */

/*
 * A statement that runs calls back every so many steps of SQLite's machine, and one that waits for a lock before each of
 * its naps. Both look here, on the connection's thread. Some single steps take long (count(*), integrity_check): these end
 * by sqlite3_interrupt(), from another thread. It stops whatever runs, so it is called only while `at_work` names the
 * query that is meant and is held there:
 *
 *      0 --begin--> query --end--> 0
 *                     \--interrupted--> query | INTERRUPTED --end--> 0
 *
 * The end of one that was interrupted waits for `interrupting`, and clears an interrupt that came too late.
 */
struct lite_watch {
    const atomic_bool *closing;
    const atomic_uchar *abandoned;           /* of the query at work; NULL: none is, and no step is looked at */
    void (*pause)(struct lite_watch *watch); /* called now and then while a statement takes long; NULL: nothing */
    int step_count;                          /* of SQLite's machine, from one look to the next */
    bool in_control;                         /* what runs begins or ends a transaction, or is about a savepoint */
    uint64_t statement_ns;                   /* when the statement at work was first seen to run; 0: not yet */
    uint64_t busy_timeout_ns;                /* a wait for a lock ends this long after the later of … */
    uint64_t taken_ns;                       /* … when the queries at hand were taken, and … */
    uint64_t locked_since_ns; /* … when another connection was seen to hold the lock; 0: it is not held */
    uint64_t wait_until_ns;   /* instead of that, for work that is no query's; 0: not set */
    atomic_uintptr_t at_work; /* the query's address */
    pthread_mutex_t interrupting;
};

/* CLOCK_MONOTONIC. */
uint64_t lite_now_ns(void);

/* True when the work at hand is to end, because the handle is closing or its query was given up. */
bool lite_watch_interrupted(const struct lite_watch *watch);

void lite_watch_install(struct lite_watch *watch, sqlite3 *handle);

/* Around the work for one query. */
void lite_watch_begin(struct lite_watch *watch, struct query *query);
void lite_watch_end(struct lite_watch *watch, struct query *query, sqlite3 *handle);

struct lite_conn;

/*
 * Any thread: ends the statement at work if it is this query's. Who abandons a query says so in it before. True: it is, and
 * the call is to be repeated until it is not, for SQLite forgets an interrupt that comes right before the first step.
 */
bool lite_conn_interrupt(struct lite_conn *conn, struct query *query);

/*
 * Holds the connection in that query, which can't end before it is let go. False: it is not at work on it. The reactor's
 * thread, for a moment.
 */
bool lite_conn_hold(struct lite_conn *conn, struct query *query);
void lite_conn_let_go(struct lite_conn *conn);

/* The query at work; NULL: none. The reactor's thread, which alone ends queries, so that it is there still. */
struct query *lite_conn_at_work(struct lite_conn *conn);

/* The reactor's thread: the same for whatever query is at work, if it was abandoned. */
bool lite_conn_interrupt_abandoned(struct lite_conn *conn);

/*
 * Around what may take the file's write lock: the first lets those pass that have stood in line for it for a while (line.h), and
 * a wait for the lock stands in line until the second, which is also called after a transaction that was begun between them.
 */
void lite_conn_line_up(struct lite_conn *conn);
void lite_conn_leave_line(struct lite_conn *conn);

/* ---- Rules (harden.c, rules.c) ---- */

/* Sets a new connection's switches and limits; SQLite's result code. */
int lite_harden(sqlite3 *handle, enum lite_role role);

/* The authorizer's findings while a statement was prepared. */
struct lite_verdict {
    bool preparing;      /* the user's text; else SQLite's or our own statements */
    bool is_pragma;      /* that text is a PRAGMA, or EXPLAINs one */
    bool pragma;         /* may have worked while it was prepared: never kept */
    bool to_writer;      /* refused, because it is the writer's to do */
    const char *refusal; /* why it, or a step of it, was refused; NULL: it was not */
};

int lite_rules_install(struct lite_conn *conn);

/* ---- Prepared statements (stmt.c) ---- */

struct lite_stmt {
    uint64_t serial;         /* of the quring_statement; 0: none */
    sqlite3_stmt *handle;    /* NULL: the text is empty */
    struct columns *columns; /* held; made with the first execution; NULL: no columns */
    uint32_t *numbers;       /* the $n of each of SQLite's indexes; NULL: they are the same */
    const char *command;     /* static */
    size_t command_length;
    uint32_t index_count;    /* of SQLite's parameter indexes */
    uint32_t param_count;    /* that a query must bring */
    int32_t reprepare_count; /* when `columns` was made */
    bool reads_only;
    bool changes_rows; /* INSERT, UPDATE, DELETE: has an affected count */
    bool keep;         /* may be executed again */
    bool controls;     /* it begins or ends a transaction, or is about a savepoint */
    bool bound_memory; /* texts or bytes are bound: see lite_unbind() */
};

/*
 * The query's statement, from the cache or prepared now. NULL: it is not to be run here, and either
 * verdict.to_writer is set or query->error is.
 */
struct lite_stmt *lite_stmt_get(struct lite_conn *conn, struct query *query);

/* After its execution: lets go of what is not kept. */
void lite_stmt_put(struct lite_stmt *stmt);

/* Makes `columns` true again after SQLite prepared the statement anew. False: out of memory. */
bool lite_stmt_refresh_columns(struct lite_stmt *stmt);

void lite_stmt_close(struct lite_stmt *stmt);

/* ---- Connections (conn.c, open.c) ---- */

enum lite_control {
    LITE_BEGIN, /* takes its snapshot with the first read */
    LITE_BEGIN_IMMEDIATE,
    LITE_COMMIT,
    LITE_ROLLBACK,
    LITE_CONTROL_COUNT
};

/*
 * A file is changed to WAL mode before it is first written, and a new one right after: who only reads leaves it as it was.
 * Moved by lite_wal_move() alone:
 *
 *      NOT_WANTED --a file opened in another mode--> WANTED --others had it locked--> LATER
 *          ^                                          |  ^                              |
 *          |                                          |  +--the next run of queries-----+
 *          +--it is in WAL mode, or can't be, the caller chose a mode, or closed--------+
 */
enum lite_wal { LITE_WAL_NOT_WANTED, LITE_WAL_WANTED, LITE_WAL_LATER };

struct lite_conn {
    const struct lite_config *config;
    struct lite_member member; /* of the file that is open */
    struct lite_place place;   /* in the line of that file */
    bool lines_up;             /* what it waits for is the file's write lock */
    enum lite_role role;
    enum lite_tx_mode tx;
    struct trace *trace; /* the hub's; NULL: there is none */
    uint32_t number;     /* of its lane, from 1: for the trace */
    sqlite3 *handle;     /* NULL: not open; then open_error says why */
    struct query_error open_error;
    int open_errno; /* why the file could not be opened for writing; 0: it was, or was not to be */
    struct lite_watch watch;
    struct lite_verdict verdict;
    sqlite3_stmt *control[LITE_CONTROL_COUNT];
    struct lite_stmt *cache; /* by quring_statement.index */
    struct lite_stmt once;   /* a statement that is not cached */
    struct buf scratch;      /* a parameter's text */
    enum lite_wal wal;
    void (*hold_reads)(struct lite_conn *conn,
                       bool hold); /* those of the handle's other connections; NULL: it has none */
    bool has_settings;             /* the caller's, by PRAGMA, which are gone when it is closed */
    bool commit_begun;             /* by the last statement: from there on, files are changed for good */
    bool unsettled;                /* a ROLLBACK failed: nothing runs in what it left open, see serve_settle() */
    bool rolled_back;              /* exclusive: an error ended the transaction, and its caller has not noticed yet */
    uint32_t wal_frame_count;      /* after the last commit */
    uint64_t prepare_count;
};

/* False: out of memory. Opens nothing yet. */
bool lite_conn_init(struct lite_conn *conn, const struct lite_config *config, enum lite_role role);
void lite_conn_free(struct lite_conn *conn);

/*
 * False with `open_error` set; may be tried again. Waits until the process has no other file open under the name, or the
 * handle is closing (file.h).
 */
bool lite_conn_open(struct lite_conn *conn);
void lite_conn_close(struct lite_conn *conn);

/*
 * Right before a DETACH, which closes a file, while no query is at work: lets it end the file's log if nothing is lost by that.
 * The caller spares logs again behind it.
 */
void lite_conn_judge_detach(struct lite_conn *conn);

/* Runs statements of our own, and drops what they return; SQLite's result code. */
int lite_execute(sqlite3 *handle, const char *sql);

/* True when the file that is open is no longer the one of that name: it was deleted or replaced. */
bool lite_handle_is_gone(sqlite3 *handle);
bool lite_conn_file_is_gone(struct lite_conn *conn);

/* Runs transaction control of our own; SQLite's result code. */
int lite_conn_control(struct lite_conn *conn, enum lite_control control);

static inline bool lite_conn_in_transaction(const struct lite_conn *conn) {
    return !sqlite3_get_autocommit(conn->handle);
}

/* Ends the transaction, if one is open. One that can't be ended, as where memory runs out, leaves the connection unsettled. */
void lite_conn_roll_back(struct lite_conn *conn);

/*
 * The status of a statement that failed with this code: QURING_IN_DOUBT if a commit may have been carried out by it, as all of it
 * may be in the log, or its journal be gone. SQLite says that it failed, and who opens the file after a crash, or after all have
 * closed it, may find it. Else QURING_SERVER_ERROR.
 */
quring_status lite_conn_failed_status(const struct lite_conn *conn, int code);

/* Fills `error` with what SQLite says of the call that just failed. `text` may be NULL: no position then. */
void lite_conn_error(struct lite_conn *conn, int code, const struct quring_statement *text, struct query_error *error);

/* ---- WAL mode (wal.c) ---- */

/* Moves along the diagram; any other move is a broken contract. */
void lite_wal_move(struct lite_conn *conn, enum lite_wal to);

/* Looks at a file that was just opened. Its mode stays, and what is wanted is set. SQLite's result code. */
int lite_wal_look(struct lite_conn *conn);

/*
 * Whether SQLite could not open the shared memory for writing, and opened it for reading: as long as any connection of the process
 * has it, no write works. The connection is in WAL mode.
 */
bool lite_wal_only_reads_memory(const struct lite_conn *conn);

/* Whether the logs of the files that the connection closes stay as they are, even if it is the last one there. */
void lite_wal_spare(sqlite3 *handle, bool spared);

/*
 * Changes the file to WAL mode, around a statement that writes. Where that can't work (a transaction is open, others have
 * the file locked, no memory can be shared beside it) the statement works in the mode that the file has.
 */
void lite_wal_enter(struct lite_conn *conn);

/* ---- Queries (bind.c, exec.c) ---- */

/* Sets all parameters of a statement. False with query->error set. The query's text and bytes are not copied. */
bool lite_bind(struct lite_conn *conn, struct lite_stmt *stmt, struct query *query);

/* After its execution, also when lite_bind() failed: a cached statement keeps no memory, and no address of a query's. */
void lite_unbind(struct lite_conn *conn, struct lite_stmt *stmt);

enum { LITE_MOVED = -1 };

/*
 * Runs a query to its end, and sets its result or error. Returns its quring_status; or LITE_MOVED when a reader, or a
 * transaction that only reads, must not run it: nothing was done then. The connection is open.
 */
int lite_conn_run(struct lite_conn *conn, struct query *query);

#endif
