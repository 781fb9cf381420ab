/* SPDX-License-Identifier: MIT */
/*
 * quring: SQL at the highest concurrent throughput that one thread can reach on Linux.
 *
 * The model is io_uring's own:
 *
 *   quring_submit()    queues a query, and does no I/O
 *   quring_run()       does all I/O for all queries
 *   quring_reap()      hands completions out in batches
 *   quring_release()   gives a completion's memory back
 *
 * No user code ever runs inside a call of this library.
 *
 * The text of a function says what it does; then, where there is something to say, what its parameters take; what it
 * Returns, with the reasons; what is legal once it has Failed; how long what it hands out is Valid; from which Thread it
 * may be called. All else follows from these laws:
 *
 * Threads   An engine and all that was made from it belong to the thread that opened it. Only quring_wake() and
 *           quring_inbox_open() may be called from other threads: an inbox is the way by which another thread has queries
 *           run, and belongs to that thread, as does what is made from it. More cores take more engines, which share
 *           nothing. On another thread, and in a child process after fork(), every other call on an engine or a handle
 *           that can fail returns EFORKED, those that return nothing do nothing, and counts are 0: neither an engine
 *           nor its sockets can be harmed from there. A child opens its own engine; but SQLite is not for a child whose
 *           parent had a SQLite database open, unless it runs another program: a lock within SQLite that another thread
 *           held at fork() stays locked, and SQLite takes the parent's locks on a file for the child's own
 *           (sqlite.org/howtocorrupt.html, section 2.6). Calls on a result do not check the thread: read a result on
 *           the thread that reaped it, and give other threads copies of its values. End every thread that calls
 *           quring_wake() or quring_inbox_open() before quring_engine_close().
 * Errors    Functions that return int return >= 0, or a negative QURING_E* that quring_strerror() explains;
 *           quring_errmsg() adds what was wrong in this very call. EINVAL is also for an engine or a handle that is NULL.
 *           A call that failed has changed nothing else, and may be made again, unless its text says otherwise. What
 *           became of a query stands in its quring_done.
 * Memory    What goes in is copied before the call returns. What comes out is valid until quring_release() of its query,
 *           or, for handles, until their own close. Options start zeroed; zero means the default named here.
 * Units     stand in the name: _ns, _bytes, _count. Times are relative unless the name says at.
 * Growth    Structs gain members at their end in later versions. A call that takes or fills one is an inline function that
 *           passes its size as this header knows it to the exported function of the same name and _sized: a program that
 *           was compiled with an older header reads and writes no byte behind its own struct. Other languages call the
 *           _sized function. Members that the library does not know yet must be zero: EINVAL.
 * Once      Every query that quring_submit() or quring_inbox_submit() accepted ends exactly once, with exactly one
 *           quring_status.
 * Order     The queries of an exclusive handle run in order, and end in order, except that timeouts, cancels and closing
 *           end theirs at once. Those of any other handle have no order, and neither have their completions.
 *           On PostgreSQL each query may go to any connection, so any may overtake any: a SELECT that was submitted behind
 *           an INSERT may not see its row, nor an INSERT behind CREATE TABLE its table. On SQLite reads run beside each
 *           other and beside a write, so a read may miss what was submitted before it. To have one query after another,
 *           submit it when the other's completion was reaped: it then sees all that the other did, over whichever
 *           connection. Or give both the same quring_query.order_key, which waits for no completion. Or use an exclusive
 *           handle, which runs its queries one after the other as they were submitted; or a transaction; or one statement.
 */
#ifndef QURING_QURING_H
#define QURING_QURING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QURING_VERSION_MAJOR 0
#define QURING_VERSION_MINOR 1
#define QURING_VERSION_PATCH 0

/* Returns "major.minor.patch" of the library that was linked; static. */
const char *quring_version(void);

/* ---- Errors of calls -------------------------------------------------------------------------------------------- */

enum {
    QURING_EINVAL = -1,       /* an argument is not what this call takes */
    QURING_ENOMEM = -2,       /* memory ran out */
    QURING_EFULL = -3,        /* a limit set at open is reached; reap and release first */
    QURING_ETOOBIG = -4,      /* larger than a limit, so it would never be sent */
    QURING_EURL = -5,         /* the URL names no database that this library can open */
    QURING_EUNSUPPORTED = -6, /* this statement or feature does not work here */
    QURING_ESHUTDOWN = -7,    /* the engine or the database handle is shutting down */
    QURING_ESTALE = -8,       /* this id was released, or was never given out */
    QURING_ENOTREADY = -9,    /* this query has not been reaped yet */
    QURING_ENULL = -10,       /* the value is SQL NULL */
    QURING_ETYPE = -11,       /* the value is of a type that this accessor does not convert */
    QURING_ERANGE = -12,      /* the value, row or column is out of range */
    QURING_ELOSSY = -13,      /* the value would lose precision */
    QURING_EFORBIDDEN = -14,  /* io_uring is forbidden for this process */
    QURING_ENORING = -15,     /* this kernel has no io_uring, or one before Linux 5.11 */
    QURING_EMEMLOCK = -16,    /* RLIMIT_MEMLOCK is too small for the ring */
    QURING_EFILES = -17,      /* too many open files */
    QURING_ESYSTEM = -18,     /* the operating system refused; quring_errmsg() has its words */
    QURING_EFORKED = -19      /* wrong process or thread: the engine belongs to the one that opened it */
};

/* Returns one sentence for a QURING_E*: what it means and what to do. Never NULL; static. */
const char *quring_strerror(int error);

/* ---- Engine ----------------------------------------------------------------------------------------------------- */

typedef struct quring_engine quring_engine;
typedef struct quring_db quring_db;
typedef struct quring_statement quring_statement;
typedef struct quring_result quring_result;
typedef struct quring_tx quring_tx;
typedef uint64_t quring_id; /* names a query until its release; never 0 */

#define QURING_FOREVER UINT64_MAX

/* How an engine talks to the kernel. */
typedef enum quring_port {
    /* io_uring, or epoll where it is refused: EFORBIDDEN, ENORING, EMEMLOCK. The environment's QURING_PORT=uring or epoll
       decides instead, if it is set. */
    QURING_PORT_AUTO = 0,
    /* io_uring, or the engine does not open. */
    QURING_PORT_URING,
    /* epoll: a system call for each send and receive. */
    QURING_PORT_EPOLL
} quring_port;

typedef struct quring_options {
    /* Queries submitted and not yet released, at most (4096; up to 1048576). */
    uint32_t query_count;
    /* SQL and parameters of queries not yet released, at most (64 MiB). Those of queries that were given up count until
       their server has read them. */
    uint64_t inflight_bytes;
    /* Sockets of all databases together, at most (1024; up to 32768). */
    uint32_t connection_count;
    /* The time to poll for replies before sleeping: trades CPU for latency (0: sleep). */
    uint64_t spin_ns;
    /* Sets the ring up without DEFER_TASKRUN, for kernels where that misbehaves. */
    bool no_defer_taskrun;
    /* Events that are kept for quring_trace() (0: no trace is kept, and it costs nothing; up to 1048576). It takes some 140
       bytes an event and 64 for each of query_count, from open on, and up to 16 MiB for the events' texts. */
    uint32_t trace_count;
    /* io_uring or epoll (AUTO). */
    quring_port port;
    /* How late quring_run() with a min_count over 1 may find that there are enough, because it sleeps on while they gather
       instead of waking for each reply (0: it wakes; up to 0.1 s). It then finds a wake, and what inboxes have submitted, as
       late. Saves much CPU where many queries are out on several connections. io_uring on Linux 6.12 or later, no other. */
    uint64_t gather_ns;
} quring_options;

/*
 * Opens an engine: sets up the ring, and nothing else. Threads start with the first database that needs them.
 * options    NULL: all defaults
 * Returns    0; EFILES, ENOMEM, ESYSTEM, and with QURING_PORT_URING also EFORBIDDEN, ENORING, EMEMLOCK: quring_strerror()
 *            says the remedy; EINVAL
 * Failed     quring_errmsg(NULL) has the system's words
 * Thread     any; the engine then belongs to it
 */
int quring_engine_open_sized(const quring_options *options, size_t options_bytes, quring_engine **engine);
static inline int quring_engine_open(const quring_options *options, quring_engine **engine) {
    return quring_engine_open_sized(options, sizeof(quring_options), engine);
}

/*
 * Refuses new queries from now on (ESHUTDOWN), and ends those that are out. Queries whose bytes never left end with
 * QURING_SHUTDOWN at once. The rest get up to `grace_ns` to end as they would have; after that they, too, end with
 * QURING_SHUTDOWN, and whether they took effect is unknown. All completions can be reaped afterwards.
 * A transaction whose COMMIT is not out is rolled back once what is out of it has ended: on SQLite before this returns; a
 * server is waited for only as long as `grace_ns`. On PostgreSQL an ATOMIC batch of more queries than options.depth of which
 * some wait to be sent is rolled back at once: these end with QURING_SHUTDOWN, the others with QURING_SKIPPED.
 * Returns    how many completions wait to be reaped; EFORKED
 */
int quring_shutdown(quring_engine *engine, uint64_t grace_ns);

/*
 * Closes every database and frees everything, unreaped completions included; first shuts down without grace, where
 * quring_shutdown() was not called. Tells servers that their connections end.
 *
 * Waits for an SQLite step that a worker thread is inside, after interrupting it; but for a thread that is connecting 0.3 s
 * at most. That thread then ends by itself, and a shared object with this library in it stays loaded for it. The process
 * may end before the thread does, because the first PostgreSQL handle keeps exit() from freeing OpenSSL; a program that has
 * used OpenSSL before passes OPENSSL_INIT_NO_ATEXIT itself.
 * engine     NULL is allowed
 */
void quring_engine_close(quring_engine *engine);

/*
 * Does all I/O: sends what was submitted, receives, and sleeps until
 *   - at least `min_count` completions wait to be reaped,
 *   - or all that is pending is done, and that is at least one: waiting for 64 with 10 pending returns with 10,
 *   - or `timeout_ns` has passed, quring_wake() was called, or a signal was handled (as for poll(2)).
 * With nothing pending the last three alone end it: a server sleeps here until its other threads have work for it. A loop
 * that is to end with its last query therefore asks quring_pending() first.
 * min_count, timeout_ns    0 in either never blocks
 * Returns    how many completions wait to be reaped, which may be fewer than min_count; ESYSTEM: the kernel refused to go
 *            on; EFORKED
 * Failed     after ESYSTEM what is done can be reaped and released; call it again, or close the engine
 */
int quring_run(quring_engine *engine, uint32_t min_count, uint64_t timeout_ns);

/* Returns how many queries are submitted and not yet reaped; 0 also where any other call returns EFORKED. */
uint32_t quring_pending(const quring_engine *engine);

/*
 * Makes a quring_run() that is blocked return, or the next one not block. Several calls before that return count as one, so
 * look for all the work there is after each quring_run(). Put the work where quring_run()'s thread will find it before this
 * call, not after it.
 * Returns    0; EFORKED in a child process
 * Thread     any; safe in a signal handler
 */
int quring_wake(quring_engine *engine);

/*
 * For foreign event loops: a descriptor that polls readable when quring_run(engine, 0, 0) has something to collect.
 * Call quring_run(engine, 0, 0) after submitting, when this descriptor is readable, and when quring_timeout_ns() has passed.
 * Level and edge triggered polling both work. The descriptor is the engine's: do not read it or close it.
 * Returns    the descriptor; EINVAL for NULL; EFORKED; EFILES or ESYSTEM: the kernel gives none
 * Valid      until quring_engine_close()
 */
int quring_fd(const quring_engine *engine);

/*
 * Tells how long a foreign loop may sleep before it must call quring_run(). Ask it anew before each sleep, and round up to
 * the loop's unit: rounded down, the loop does not sleep in the last millisecond.
 * Returns    that time; QURING_FOREVER when no timer is set
 */
uint64_t quring_timeout_ns(const quring_engine *engine);

/*
 * Tells what was wrong with the last call on this engine that failed: which limit, which argument, the system's words.
 * engine     NULL: with this thread's last quring_engine_open() or quring_inbox_open()
 * Returns    UTF-8; "" when there is no more to say than quring_strerror() does
 * Valid      until the next call on the engine
 */
const char *quring_errmsg(const quring_engine *engine);

/* ---- Databases -------------------------------------------------------------------------------------------------- */

typedef enum quring_commit_mode {
    QURING_COMMIT_DEFAULT = 0, /* EACH */
    QURING_COMMIT_EACH,        /* every query is a transaction of its own, on both backends */
    QURING_COMMIT_GROUP,       /* queries may share a transaction: see quring_query.commit */
    QURING_COMMIT_AUTO         /* GROUP for queries that are marked read_only, EACH for all others */
} quring_commit_mode;

/* SQLite's PRAGMA synchronous. */
typedef enum quring_durability {
    QURING_DURABILITY_DEFAULT = 0, /* FULL */
    QURING_DURABILITY_OFF,         /* a power failure may lose commits, and damage the file */
    QURING_DURABILITY_NORMAL,      /* in WAL mode a power failure may lose the last commits, and damages nothing */
    QURING_DURABILITY_FULL,        /* what was acknowledged outlives a power failure (with a journal: EXTRA) */
    QURING_DURABILITY_EXTRA        /* FULL, also for the directory's entry of a rollback journal */
} quring_durability;

/*
 * PostgreSQL: whether statements are kept, that is parsed once per connection and left on the server under names that begin
 * with "quring_" (reserved), or parsed for each use. FETCH, MOVE, EXECUTE, SHOW, EXPLAIN, CALL and texts with a literal that
 * says now, today, tomorrow or yesterday are always parsed for each use.
 *
 * A kept statement sees no better overload of a function that is created later. It takes its parameters in the types that
 * were inferred first: where these refuse a value after ALTER TABLE, it is parsed anew; where they cut it (the time of day,
 * in what was a date), it is cut until the handle is opened again. Descriptions of parameters and columns are kept up to
 * 256 KiB each and 16 MiB a handle; what goes beyond that is described for each use.
 */
typedef enum quring_prepared_statements {
    /* Kept, unless the first exchange shows that a pooler stands between. */
    QURING_PREPARED_DEFAULT = 0,
    /* Kept behind a pooler, too. It must know of prepared statements (PgBouncer from 1.21 on, with
       max_prepared_statements), or keep a connection for each client. */
    QURING_PREPARED_ALWAYS,
    QURING_PREPARED_NEVER
} quring_prepared_statements;

typedef struct quring_db_options {
    /* PostgreSQL: connections (8; up to 10000). SQLite: reader lanes beside the one writer lane (2; up to 63). */
    uint32_t connection_count;
    /* Queries in flight per connection or lane (PostgreSQL 64, SQLite 256; up to 65535). */
    uint32_t depth;
    /* One connection, strictly in order, whose state (BEGIN, SET, temporary tables) is the caller's. Contradicts
       connection_count over 1 and GROUP.
       A handle without it refuses statements that change such state: they would reach only one of many connections.
       It knows them by their words, so that set_config(…, false), UPDATE of pg_settings, advisory locks of the session,
       and what DO and functions do are not seen: leave these to exclusive handles.
       When an exclusive handle's connection is lost, its state is gone: all that is queued or submitted from then on ends
       NOT_SENT. Open another handle.
       PostgreSQL: a statement is parsed again after one that could change what it means (SET, ALTER, DO, …), unless it is
       submitted by handle (quring_prepare). What functions and triggers do is in no text: settings that the server reports
       (TimeZone, DateStyle, …) are followed once the function's query has ended; a table that a function or another
       session altered can give 0A000 or XX000 where its columns were read before. Results travel as text, in the styles
       that the caller has SET: accessors of dates and times want ISO, and quring_get_text() then gives a timestamptz in
       UTC.
       SQLite: within BEGIN, roll back after an error other than a constraint's: it may leave a part of its statement. */
    bool exclusive;
    /* Of queries that do not say (EACH). */
    quring_commit_mode commit;
    /* PostgreSQL: the time for one attempt to connect, over all hosts of a list, up to the answer to the first query. 0:
       libpq's connect_timeout (of the URL, the service file, or PGCONNECT_TIMEOUT) for each host, else 10 s over all. Each
       host gets an equal share of the time that is left. This holds whatever libpq does: a thread that is inside a name
       look-up or a key derivation when its share has passed is detached, and an address at which two are is passed over. The
       first query has a quarter of all, or a second if that is less, even where its connection came late. */
    uint64_t connect_timeout_ns;
    /* PostgreSQL: how long queries wait for a server that was there and went away before they end NOT_SENT (5 s). Where no
       connection was ever made, they end with the next attempt.
       A server that refuses for good (28xxx: password and the like, 3D000: no such database, 42501) is tried only when a
       query asks for it, and 30 to 60 s apart: queries that come between two attempts end NOT_SENT at once, in its words.
       One that has no place for more connections (53300) while some are up is tried by one at a time, up to a minute
       apart. Otherwise up to 64 connections are made at once, one alone while none is up. */
    uint64_t reconnect_wait_ns;
    /* Prepared statements kept per connection or lane (256; up to 65536). */
    uint32_t statement_count;
    /* PostgreSQL. */
    quring_prepared_statements prepared_statements;
    /* Of one query's rows, or 8 bytes a row where that is more; over it the query ends with LIMIT (64 MiB; up to 1 TiB). */
    uint64_t result_bytes;
    /* Rows of one query; over it the query ends with QURING_LIMIT (no limit). */
    uint64_t result_row_count;
    /* PostgreSQL: of one message from the server; a longer row ends its query with QURING_LIMIT (64 MiB; up to
       0x3fffffff). */
    uint64_t message_bytes;
    /* SQLite. */
    quring_durability durability;
    /* SQLite: how long to wait for a lock of another process or handle, from when it is met (5 s). Queries that a lane
       works off together wait together. Handles of one program that opened the file under one name write it in turns, mostly
       in the order in which they met the lock; none is passed over for long. Between processes SQLite keeps no order: one that
       writes without a pause may keep another from it for all of this time. The first write to a file that is not in WAL
       mode also waits, as long as it takes, for the reads of its own handle that are at work, and others begin behind it. */
    uint64_t busy_timeout_ns;
    /* PostgreSQL: how long a connection may be silent once its oldest query was given up (timeout, cancel) before it is
       closed and replaced (5 s; exclusive handles, whose state would be lost: QURING_FOREVER). Queries behind that one
       end IN_DOUBT with 08006, or go to another connection where no byte of them was sent; later ones are not sent behind
       it in the first place. This finds servers and poolers that hang, which from afar look like a long query. A server
       that could not be told to stop (quring_cancel()) may go on with what was given up, on a connection that it takes for
       open: statement_timeout, a little longer than timeout_ns, keeps such work from piling up. */
    uint64_t silence_ns;
    /* PostgreSQL: the same for a connection on which any query is out, given up or not: they end IN_DOUBT (QURING_FOREVER,
       because a long query is as silent; up to an eighth or 10 ms more). For programs whose queries have no timeout_ns and that
       know how long the longest of them may take until its first row. */
    uint64_t query_silence_ns;
    /* PostgreSQL: so many connections are kept (connection_count). More are made, up to connection_count, while all that
       are up have queries out. Contradicts exclusive, as do the next three. */
    uint32_t connection_min_count;
    /* PostgreSQL: a connection over connection_min_count on which no query was out for so long is closed (0: none is). No use
       if it is longer than connection_lifetime_ns, behind which each begins anew. */
    uint64_t connection_idle_ns;
    /* PostgreSQL: how old connections get (0: no limit). Each draws up to a tenth less at random, so that they do not all
       end together. An old one is given no more queries, and ends once those that are out on it have ended. Its successor
       comes up first if fewer connections are wanted than there may be; else one at a time is missing, and one under a
       query that takes far longer than is usual goes on until that has ended. While no successors can be made the others
       go on, however old. */
    uint64_t connection_lifetime_ns;
    /* PostgreSQL: a connection on which nothing was out for so long is asked whether it is there, by an empty Sync, before
       it is given queries (0: it is not). Meanwhile these go to others, or wait. If no answer comes within silence_ns it is
       replaced, and no query was on it. However short the time, one that has just answered is given queries. For firewalls and
       balancers that forget idle connections. Contradicts a silence_ns of QURING_FOREVER. */
    uint64_t health_check_ns;
    /* PostgreSQL: queries wait, as long as their timeouts let them, until as many connections are up as the handle begins
       with, or an attempt failed: so the first burst is spread over all of them. SQLite: the first quring_run() has all lanes
       open the file; they take queries from one line, so none waits. */
    bool warm_up;
    /* PostgreSQL: how many of the connections transactions may hold at once (three quarters of connection_count, rounded
       up: of 3 all; up to connection_count, which leaves none to other queries while all are held). Of those that were submitted
       whole, and that others passed for too long, one at a time may hold one beside these, up to its end. SQLite: how many
       transactions that only read may be open at once (8; up to 64): each has a connection and a thread of its own, which are
       made when they are first needed, and stay. */
    uint32_t lease_count;
    /* SQLite: how long a transaction that only reads may keep its snapshot from the log (60 s; QURING_FOREVER: no limit).
       Once the log has 16000 pages and can't start over because of a read, those that are older are ended: what runs in
       them ends with QURING_TIMEOUT, and what comes after it with QURING_SKIPPED and 72000. Of what others write the
       handle hears up to a second later, and with mode=ro perhaps never. While the log is shorter they go on. Where
       those of this handle overlap for ever, each of them younger, new ones wait now and then until those that are open
       have ended and the log has started over: a second, at most, for each 16000 pages that it has, and not for one
       that is older than that. Writes and reads outside of transactions do not wait for them. So the log stays in
       proportion to the time that the longest of them takes. Snapshots of another handle, or program, can't be made to
       wait: while they overlap the log grows, and a write waits for them for some seconds now and then. For reads
       outside of transactions there is timeout_ns; see also quring_db_stats.wal_held_count and wal_wait_count. */
    uint64_t snapshot_ns;
} quring_db_options;

/*
 * Opens a database handle. Connections are made in the background by quring_run(): a server that is down shows as the
 * status of queries, not here.
 * options    NULL: all defaults
 * url        postgresql://… postgres://…       a libpq URI, passed through whole
 *            host=… dbname=… …                 a libpq conninfo string
 *            sqlite:///relative.db, sqlite:////absolute.db
 *            sqlite://, sqlite:///:memory:     a private in-memory database
 * Returns    0; EURL; EUNSUPPORTED: what the URL asks for; EINVAL; ENOMEM; EFULL; ESHUTDOWN; ESYSTEM
 * Valid      until quring_db_close() or quring_engine_close()
 *
 * PostgreSQL: parameters of libpq's environment and files (PGPASSFILE, service file, …) apply, because libpq connects. Where
 * they say nothing of it, keepalives_idle is 30, keepalives_interval 10, keepalives_count 3, and tcp_user_timeout 30000: a
 * connection whose host or link is gone is lost within some 40 s.
 *
 * Hosts of a list (host=a,b; also hostaddr, PGHOST, a service file) are tried in their order, or, with
 * load_balance_hosts=random, in any; of a name each address. The next is tried when one can't be looked up or reached,
 * uses its share of the time up (connect_timeout_ns), is not what target_session_attrs asks for, or refuses for any reason but
 * authorisation (28…), a database that does not exist (3D000) and a missing privilege (42501). One that used its share up
 * comes after all others for 30 s. The list is read when the handle is opened, names at each attempt.
 *
 * SQLite's URLs take ?mode=rw (the default: the file must exist), rwc (it is created) or ro (read only), and ?immutable=1
 * (read only, and nobody writes: no locks, no file is made beside it, as read-only media need).
 *   - A handle that only reads leaves a file as it is. Before its first write, or right after the first write of a new
 *     file, a handle changes the file to WAL mode, which is kept in the file; where WAL can't work (a network file system,
 *     no shared memory) the file keeps its mode. An exclusive handle can't do so within a transaction, and leaves alone a
 *     mode that its caller chose by PRAGMA journal_mode, or locking_mode = exclusive. The change needs the file for itself:
 *     a transaction with read_only that is open then, or another program that reads, makes the first writes wait for
 *     busy_timeout_ns and end with 55P03, and they say so.
 *   - Outside an exclusive handle, statements that would make one of several connections answer otherwise (PRAGMAs such as
 *     case_sensitive_like, what is made in the schema temp) or write other files (ATTACH, VACUUM INTO) are refused: by
 *     quring_submit() with EUNSUPPORTED where the first words tell, else with 0A000.
 *   - PRAGMAs of how the file is written (synchronous, foreign_keys, which SQLite has off, …) are taken: they hold for the
 *     handle's one writer. Should its connection be lost (the file was replaced), all that comes after ends NOT_SENT: open
 *     another handle.
 *   - Close all handles before a file is replaced. Under open ones, what is at work on the old file ends first, and other
 *     queries of the process wait for that; the first writes of a handle then end NOT_SENT with 58P01, and what follows goes
 *     to the new file. But SQLite takes an old -wal, -shm or -journal beside it for the new file's own, and its rows with it.
 *   - last_insert_rowid() and changes() tell of one connection, so a shared handle's answer may be 0: use RETURNING and
 *     quring_affected_count().
 *   - SQL can't load extensions or tokenizers, and "x" in double quotes is a name and never a text, as in PostgreSQL.
 */
int quring_db_open_sized(quring_engine *engine, const char *url, const quring_db_options *options, size_t options_bytes,
                         quring_db **db);
static inline int quring_db_open(quring_engine *engine, const char *url, const quring_db_options *options,
                                 quring_db **db) {
    return quring_db_open_sized(engine, url, options, sizeof(quring_db_options), db);
}

/*
 * Ends the handle's queries as quring_shutdown(engine, 0) does, and lets go of the handle, which must not be used again. Waits
 * for nothing: what an SQLite lane is in the middle of ends some 25 ms later at most, as quring_cancel() says.
 * Closes nothing itself: later calls of quring_run() close sockets and files, quring_engine_close() what is left then.
 * quring_stats.connection_count tells when they are.
 * db         NULL is allowed
 */
void quring_db_close(quring_db *db);

/*
 * PostgreSQL: sets how many connections the handle has, as options.connection_count did. connection_min_count stays what it
 * was, or what there may be now if that is less. Does no I/O: later calls of quring_run() make connections, or end those
 * that are too many, idle ones first, and others once their queries have ended. No query ends otherwise because of it.
 * connection_count    1 to 10000
 * Returns    0; EFULL: the engine's connection_count leaves fewer; EINVAL; ENOMEM; ESHUTDOWN; EFORKED; EUNSUPPORTED: an
 *            exclusive handle, or SQLite
 */
int quring_db_resize(quring_db *db, uint32_t connection_count);

/*
 * PostgreSQL: has every connection that there is replaced by a new one: after a change of passwords, certificates, addresses
 * or of the server's own settings, or to leave a server that goes away. Does no I/O: in later calls of quring_run()
 * connections are given no more queries, end once those that are out on them have ended, and others take their place. At
 * most half of them are missing at once, one alone until the first successor is up, and none where fewer are wanted than
 * connection_count allows; the idle ones go first, one under a query that takes far longer than is usual goes on until that
 * has ended, and while no successor can be made the old ones go on. No query ends otherwise because of it, unless
 * connection_count is 1 and the server takes no successor. Where it has no place for as many connections as are wanted
 * (53300), none is replaced. What the server refused for good is tried again.
 * Returns    0; EINVAL; ESHUTDOWN; EFORKED; EUNSUPPORTED: an exclusive handle, or SQLite
 */
int quring_db_drain(quring_db *db);

/* Returns "postgresql" or "sqlite"; static. */
const char *quring_db_backend(const quring_db *db);

/*
 * PostgreSQL, exclusive handles: the process id that the server named when the connection was made, for
 * pg_cancel_backend() over another connection. A pooler names one of its own making, and moves the connection from one server's
 * process to another.
 * Returns    the process id; 0 while there is no connection, behind a pooler, for other handles, and on SQLite
 */
uint32_t quring_db_server_pid(const quring_db *db);

typedef enum quring_db_state {
    /* No connection was made since the handle was opened. On SQLite lanes open the file with the first queries. */
    QURING_DB_TRYING = 0,
    /* There are connections, or the pool has ended the only one and its successor is on the way: up_count is 0 meanwhile. */
    QURING_DB_UP,
    QURING_DB_OUTAGE, /* there were connections, and there are none */
    /* None are, because the server refuses for good (password, no such database): it is asked again when a query is
       submitted or quring_db_warm_up() is called, every 30 to 60 s at most, and at once after quring_db_drain(). A health
       check that keeps queries away in this state has to do one of these itself, or the handle stays in it. */
    QURING_DB_REFUSED,
    QURING_DB_LOST,   /* the connection is lost and is not replaced, because the caller had set something there */
    QURING_DB_CLOSING /* quring_shutdown() was called */
} quring_db_state;

/* Returns "TRYING", "UP", …; static. */
const char *quring_db_state_name(quring_db_state state);

typedef struct quring_db_info {
    quring_db_state state;
    uint64_t state_at_ns; /* when it was entered, by CLOCK_MONOTONIC */
    /* Connections, on SQLite lanes, that the handle is to have, and now has in each state. */
    uint32_t wanted_count;
    uint32_t up_count; /* these can be given queries: idle and busy ones together */
    uint32_t idle_count, busy_count;
    uint32_t connecting_count;
    uint32_t ending_count;   /* lost, closed or replaced, and not gone yet: they are given no more queries */
    uint32_t retrying_count; /* they are to try again, in retry_ns or when others have come up */
    uint32_t failure_count;  /* attempts that failed since a connection was made last */
    /* The time until the next attempt. QURING_FOREVER: none is planned, since none is missing, attempts are under way, or
       the server is asked again with a query only. On SQLite queries alone make lanes try again. */
    uint64_t retry_ns;
    /* Why a connection was lost, or could not be made, last: also if others are up. `message` is never NULL, and untrusted
       text in UTF-8; reason_at_ns is 0 where nothing of the kind has happened. */
    uint64_t reason_at_ns; /* by CLOCK_MONOTONIC */
    char sqlstate[6];
    const char *message;
} quring_db_info;

/*
 * Tells how a handle stands: what a health check, a log or a page for operators wants to know. Does no I/O, so it is as of
 * the last quring_run(). It looks at every connection, so a handle with thousands is better not asked in each turn.
 * Returns    0; EINVAL; EFORKED
 * Valid      info->message: until the next call on the engine
 */
int quring_db_status_sized(const quring_db *db, quring_db_info *info, size_t info_bytes);
static inline int quring_db_status(const quring_db *db, quring_db_info *info) {
    return quring_db_status_sized(db, info, sizeof(quring_db_info));
}

/*
 * Makes the connections that the handle wants, and has all lanes of SQLite open the file, before there are queries for them.
 * Does I/O as quring_run() does until
 *   - all are up, or none that is missing will come by itself: the server refuses for good, or the file can't be opened,
 *   - or `timeout_ns` has passed, quring_wake() was called, or a signal was handled.
 * A server that is down, or that has no place for so many, is asked again until then. Completions gather meanwhile.
 * timeout_ns  0 never blocks
 * Returns     how many are missing still, 0 when all are up, or are but for one that is renewed (connection_lifetime_ns):
 *             quring_db_status() tells why. ESHUTDOWN; ESYSTEM, as of quring_run(); EINVAL; EFORKED
 */
int quring_db_warm_up(quring_db *db, uint64_t timeout_ns);

/* ---- Parameters ------------------------------------------------------------------------------------------------- */

typedef enum quring_type {
    QURING_NULL = 0,
    QURING_BOOL,
    QURING_INT2,
    QURING_INT4,
    QURING_INT8,
    QURING_FLOAT4,
    QURING_FLOAT8,
    QURING_NUMERIC, /* exact, as text */
    QURING_TEXT,    /* UTF-8: text, varchar, char, name, … */
    QURING_BYTES,   /* bytea, BLOB */
    QURING_UUID,
    QURING_JSON,
    QURING_JSONB,
    QURING_DATE,        /* days since 1970-01-01 */
    QURING_TIMESTAMP,   /* microseconds since 1970-01-01 00:00 of an unnamed zone */
    QURING_TIMESTAMPTZ, /* microseconds since 1970-01-01 00:00 UTC */
    QURING_INT4_ARRAY,
    QURING_INT8_ARRAY,
    QURING_TEXT_ARRAY,
    QURING_UUID_ARRAY,
    QURING_OTHER /* any other type: its text */
} quring_type;

/* PostgreSQL's infinity and -infinity as QURING_TIMESTAMP or QURING_TIMESTAMPTZ; for QURING_DATE INT32_MAX, INT32_MIN. */
#define QURING_INFINITY INT64_MAX
#define QURING_MINUS_INFINITY INT64_MIN

/*
 * The value of $1, $2, …; make one with the functions below.
 *
 * PostgreSQL infers the type that the statement wants: a value that fits travels in binary, any other as its text for the
 * server to convert or refuse. Where it has to be told the type, cast($1 as bigint) works on both backends, $1::bigint on
 * PostgreSQL only.
 *
 * SQLite binds the value's own kind: integers, floats, BYTES as they are; BOOL as 1 or 0; UUID, NUMERIC, JSON as text, dates
 * and times as text in ISO style; arrays as a JSON array. The column's affinity may then change it: NUMERIC comes out of a
 * column declared numeric or decimal as a floating-point number of some 15 digits, out of one declared text as it was.
 */
typedef struct quring_param {
    quring_type type;
    /* Of elements in an array. */
    uint32_t count;
    union {
        int64_t integer;
        double real;
        uint8_t uuid[16];
        struct {
            /* Text and bytes; arrays: int32_t[], int64_t[], uint8_t[][16], const char *[]. */
            const void *data;
            size_t size_bytes;
        } bytes;
    } value;
} quring_param;

/*
 * Make a value. They keep the pointers that they are given, and copy nothing.
 * text       of quring_text(), quring_json() and quring_numeric(): NULL gives SQL NULL
 * values     of quring_text_array(): a NULL element is SQL NULL
 * Valid      as long as what the pointers point to, which must stay until quring_submit() has returned
 * Thread     any
 */
quring_param quring_null(void);
quring_param quring_bool(bool value);
quring_param quring_int32(int32_t value);
quring_param quring_int64(int64_t value);
quring_param quring_float64(double value);
quring_param quring_text(const char *text);
quring_param quring_text_sized(const char *text, size_t size_bytes);
quring_param quring_bytes(const void *data, size_t size_bytes);
quring_param quring_uuid(const uint8_t uuid[16]);
quring_param quring_json(const char *text);
quring_param quring_numeric(const char *text);
quring_param quring_date(int32_t days);
quring_param quring_timestamp(int64_t microseconds);
quring_param quring_timestamptz(int64_t microseconds);
quring_param quring_int32_array(const int32_t *values, uint32_t count);
quring_param quring_int64_array(const int64_t *values, uint32_t count);
quring_param quring_text_array(const char *const *values, uint32_t count);
quring_param quring_uuid_array(const uint8_t (*values)[16], uint32_t count);

/*
 * An array of quring_param for quring_query.params, with its count: .params = QURING_PARAMS(quring_int64(7), …).
 * C++ has no such arrays: fill a quring_param[] of your own, .params and .param_count.
 * Valid      until the end of the innermost block around this macro, so submit inside that block: a query that is filled in
 *            an if or a loop and submitted after it points to nothing, and compilers do not say so
 */
#ifndef __cplusplus
#define QURING_PARAMS(...)                                                                                             \
    (const quring_param[]){__VA_ARGS__},                                                                               \
        .param_count = sizeof((const quring_param[]){__VA_ARGS__}) / sizeof(quring_param)
#endif

/* ---- Queries ---------------------------------------------------------------------------------------------------- */

/*
 * QURING_COMMIT_GROUP lets a query share a transaction with others of its connection or lane, which saves a commit each.
 * Its outcome is handed out only once that committed. Should a member fail, it alone reports its error: the others were
 * rolled back with it and are run again, each alone. So a member may run more than once, and takes effect once. A member
 * that fails with 40001 or 40P01 is run again as well, since the conflict may have been its neighbours'.
 *
 * On PostgreSQL only SELECT, VALUES, TABLE, WITH, INSERT, UPDATE, DELETE and MERGE join. All else runs alone, as with
 * EACH: what may end the transaction (CALL, DO, VACUUM, …), SELECT INTO, FOR UPDATE and FOR SHARE, and texts that name
 * set_config, pg_settings, pg_advisory_…, pg_try_advisory_…, pg_logical_…, replication slots and origins, or any name (U&'…',
 * U&"…"). What members still share:
 *   - now() is the time at which the transaction began; locks are held until its end; under REPEATABLE READ the snapshot
 *   - what a function that they call sets for the transaction (set_config inside it) is seen by those behind
 *   - deferred constraints and triggers are judged at the end of all: one member's rows can satisfy another's constraint,
 *     and what a trigger has to say then is the last member's notice
 *   - what works outside of the transaction happens again when they run again: dblink, advisory locks of the session taken
 *     inside a function, numbers of sequences (which skip)
 * Where the server can't tell what became of the transaction (40003, 08007; SQLite: 58030, 53200), all members end with
 * QURING_IN_DOUBT.
 */
typedef struct quring_query {
    quring_db *db;
    /* One statement with $1, $2, … on both backends; or NULL, and: */
    const char *sql;
    /* From quring_prepare(), which saves the look-up. */
    quring_statement *statement;
    /* Of sql; 0 when it ends with a NUL. */
    size_t sql_bytes;
    const quring_param *params;
    uint32_t param_count;
    /* Handed back in quring_done. */
    uint64_t user_data;
    /* From submit on; once it has passed the query ends with QURING_TIMEOUT, and the database is told to stop, as
       quring_cancel() says (0: none). */
    uint64_t timeout_ns;
    /* See above; on an exclusive handle always EACH. */
    quring_commit_mode commit;
    /* Queries of one handle with the same key, any number but 0, run in the order of their submission: what is submitted
       behind an INSERT with its key sees the row, though nobody has waited for the INSERT (0: no order). Their completions
       have no order, and a query that fails stops none behind it. Keys are free: one for each user, account or session of
       the program, as many as there are queries. Queries of other keys, and without one, go by.
       PostgreSQL: as long as any query of a key is out, also one that was given up, all go to the same connection, without
       waiting for replies; if that has no room (options.depth), they wait for it. A query whose plan is stale, as after ALTER
       TABLE, is not run again when others of its key were sent behind it: it fails, with 0A000 for instance. A member of a
       GROUP is followed by members of the same one; others of its key wait until it has ended.
       When a connection is lost with a query of the key that was sent, also one that was given up, those behind it that were
       not sent end NOT_SENT, and so does all that is submitted with the key until each of its completions was reaped.
       SQLite: a read sees what was written before it with its key, and nothing of what comes behind it; reads between two
       writes may run beside each other. A member of a GROUP that is given up after it was carried out ends with the group.
       An exclusive handle keeps all its queries in order, and ignores keys. A transaction does, too, and takes none: EINVAL. */
    uint64_t order_key;
    /* It changes nothing, as the caller knows: with commit AUTO it runs as a member of a GROUP. Nobody checks, so a write that
       is marked so is a member like any other. */
    bool read_only;
    /* The transaction that it belongs to, which names the handle: db may be NULL. */
    quring_tx *tx;
} quring_query;

/*
 * Queues a query; does no I/O.
 * id         NULL is allowed; `*id` names the query until its release
 * Returns    0
 *            EFULL: a limit of quring_options is reached. Run, reap and release, then submit again; when quring_pending()
 *            is 0, only quring_release() makes room, and quring_run() would wait for ever. With nothing to release either,
 *            SQLite's lanes are still at work on queries that were given up (quring_cancel()): run with a timeout, and
 *            submit again
 *            EINVAL: no SQL, NUL bytes, over 65535 parameters
 *            ETOOBIG: over 0x3ffffffe bytes, or over inflight_bytes
 *            EUNSUPPORTED: COPY, LISTEN, SET client_encoding; transaction control, SET and their like, and CREATE and SELECT INTO
 *            with a name U&"…", outside of exclusive handles and transactions; see quring_tx_open() for what these refuse
 *            ESHUTDOWN; ENOMEM
 * Failed     nothing is queued
 */
int quring_submit_sized(quring_engine *engine, const quring_query *query, size_t query_bytes, quring_id *id);
static inline int quring_submit(quring_engine *engine, const quring_query *query, quring_id *id) {
    return quring_submit_sized(engine, query, sizeof(quring_query), id);
}

typedef enum quring_batch_mode {
    /* Each as if it were submitted by itself. */
    QURING_BATCH_INDEPENDENT = 0,
    /* All of them commit, or none takes effect. */
    QURING_BATCH_ATOMIC
} quring_batch_mode;

/*
 * Queues many queries in one call, which costs less than as many quring_submit(): most where neighbours have one `sql`. An
 * INDEPENDENT one takes queries of transactions, too, each as quring_submit() does.
 *
 * The queries of an ATOMIC batch are one transaction: all commit, or none takes effect. They are sent together, need no
 * BEGIN and no connection of their own, and their outcomes are handed out once the transaction has ended:
 *   - all OK, once it committed (or LIMIT, where a result was too large: it committed all the same)
 *   - one failed: it reports its error, and all others end with SKIPPED and name it in quring_done.failed_id
 *   - the commit itself failed (a deferred constraint): all end with that SERVER_ERROR, which belongs to none of them
 *   - 40001 or 40P01: all of it is run again, up to 20 times after a wait of up to some 60 ms, because nobody has seen an
 *     outcome yet. Not where a member was given up meanwhile: its parameters may be gone
 *   - the connection was lost: all end IN_DOUBT; or the batch goes to another one, if no byte of it was sent
 * One that is given up (timeout_ns, quring_cancel()) before the batch was sent ends it: all others are SKIPPED. Once it was
 * sent, the others go on, with the effects of that one, whose reply is dropped. SQLite may stop at that one, and take all of
 * the batch back.
 *
 * Of more queries than options.depth it is a long one. SQLite runs it as any other. On PostgreSQL it is BEGIN … COMMIT on a
 * connection that it has for itself meanwhile, which counts in options.lease_count and which it waits for in order, as a
 * quring_tx does, and the rest of it is sent as answers come. What is different then:
 *   - the connection was lost before a byte of COMMIT was sent: nothing took effect, and it is run again, once. Lost a second
 *     time, or with a member given up, all end SERVER_ERROR with the reason (08006, 57P01)
 *   - BEGIN failed: all end with that SERVER_ERROR, too
 *   - a member that is given up while it waits to be sent ends the batch, though others are out: the server is told to stop
 *
 * Members are statements that may join a GROUP, for one database that is not exclusive; `commit` does not matter. No server
 * decides on the order of two batches, but members run in theirs, and each sees what those before it did.
 * ids        NULL is allowed; ids[i] names queries[i] until its release
 * Returns    how many were queued. INDEPENDENT: the first ones, fewer than `count` where the next one was refused, of
 *            which quring_errmsg() tells; if that is the first, its error. ATOMIC: all or none
 *            As quring_submit(); of an ATOMIC batch also EUNSUPPORTED: a statement that may not join a GROUP, or an exclusive
 *            handle; ETOOBIG: more queries than query_count, or more bytes than inflight_bytes; EINVAL: several databases, an
 *            order_key, a query of a transaction
 */
int quring_submit_batch_sized(quring_engine *engine, const quring_query *queries, size_t query_bytes, uint32_t count,
                              quring_batch_mode mode, quring_id *ids);
static inline int quring_submit_batch(quring_engine *engine, const quring_query *queries, uint32_t count,
                                      quring_batch_mode mode, quring_id *ids) {
    return quring_submit_batch_sized(engine, queries, sizeof(quring_query), count, mode, ids);
}

/*
 * Looks a statement up once, so that submitting it by handle skips copying and hashing its text. Does no I/O: each
 * connection prepares it with its first use, and errors in it show there.
 * Returns    0; EINVAL; ETOOBIG: over inflight_bytes; ESHUTDOWN; ENOMEM
 * Valid      until quring_statement_release()
 */
int quring_prepare(quring_db *db, const char *sql, quring_statement **statement);

/* Also after its database handle or its engine was closed. NULL is allowed. In a child process it frees a copy. */
void quring_statement_release(quring_statement *statement);

/*
 * Gives up on a query, which ends with QURING_CANCELLED. A query that had already ended stays as it ended. Where it was sent
 * the database is told to stop, here as well as when a timeout_ns has passed:
 *
 * PostgreSQL: the query ends at once, and may still take effect: the reply that comes is read and dropped. A cancel stops
 * whatever its session is at, so the server is told once the query is the oldest that is out on its connection, for some
 * milliseconds, and no other can come to harm: each that was sent behind it must be of the kind that joins a GROUP, and
 * have no other of its order_key behind it; on an exclusive handle nothing may be behind it. Such a one, if it is hit by
 * mistake, was rolled back, and runs again unseen, once at most; but if it was hit while its commit waited for a
 * synchronous standby, it is committed on one server alone, and ends IN_DOUBT with 40003: the server says so by a warning, so
 * that with client_min_messages set to error it ends OK. From when it is the oldest until the server has answered, the connection
 * takes no more queries. It is closed behind those that are out where the request to cancel was cut off, and at once where that
 * does not end within 5 s. A statement that is stopped within a transaction of an exclusive handle fails the transaction, as
 * any error does. Of a query of a quring_tx the server is told once nothing but that transaction is out on the connection,
 * and nothing more of it is sent before the server has answered. Whatever of it is hit, the transaction is rolled back,
 * unless a savepoint can revive it: another query that is hit ends SKIPPED, and a COMMIT that was sent behind it tells what
 * became of it: 57014, or 40003 as above. The way depends on the link:
 *   - plain: PostgreSQL's cancel request, over a connection of its own, on a thread
 *   - TLS: pg_cancel_backend(), over another connection of the handle that is idle and leads to the same address, because
 *     libpq would send the other in clear text. If there is none, or the server will not: as behind a pooler
 *   - behind a pooler: the connection is closed and replaced once nothing else is out on it, one in 0.25 s. The server notices
 *     when it next sends something, or every client_connection_check_interval, if that is set there. An exclusive handle's
 *     connection is left alone, and one whose transaction a savepoint can revive, or whose COMMIT was sent
 *
 * What can be sent for that by now is handed to the kernel at once; a query that has just begun is given 2 ms, in a later run.
 * SQLite is interrupted, and the query ends when its lane has let go of it: at the next of its small steps, mostly within
 * milliseconds. If that takes longer than 25 ms, the query ends all the same, and its lane goes on until it can stop. Then a
 * query with done.sent true may still take effect, and one with done.sent false was not begun and will not be. Until the lane
 * is done, the query's slot and bytes count in the limits, released or not, and queries that need that lane wait. Nothing stops
 * the step that empties a table (DELETE without WHERE, DROP TABLE), and a commit's sync of the file; nor one call of a function
 * such as instr() or replace() on a long text; and for some tenths of a second the sorting of the next 16 MiB (CREATE INDEX,
 * ORDER BY, GROUP BY). A transaction with a query that ends so is rolled back, savepoints or not, and what stands behind the
 * query ends with it; unless the transaction is at its commit: then the query was carried out, and ends with that.
 * Returns    0; ESTALE
 */
int quring_cancel(quring_engine *engine, quring_id id);

/*
 * The outcome of a query, and what to do then:
 *
 *   OK            use its rows
 *   SERVER_ERROR  mend the statement or the data: it took no effect (but what a procedure committed, what SQLite's ON
 *                 CONFLICT FAIL keeps, and what SQLite committed of a transaction over attached files, one file after the
 *                 other). After 40001 and 40P01, and the loss of its transaction's connection (08…, 57P…), run the whole again
 *   SKIPPED       it took no effect, because another one of its ATOMIC batch or its transaction failed, or was given up:
 *                 done.failed_id, of which the error tells. Mend that one, and submit the whole again
 *   NOT_SENT      submit it again, later: the error says why there is no connection
 *   IN_DOUBT      look whether it took effect before it is submitted again, if doing it twice would do harm
 *   CANCELLED, TIMEOUT, SHUTDOWN
 *                 the program's own wish. With done.sent false it may be submitted again; else treat it as IN_DOUBT
 *   LIMIT         ask for less, or raise the limit that the error names. With done.sent true a write took effect, or is IN_DOUBT
 *                 if the connection was closed for it (notices, a message that is no row); in a transaction COMMIT tells
 *   PROTOCOL      as IN_DOUBT; and look what it is that answers there
 *
 * A look that finds the effect is proof. On PostgreSQL a look that finds none proves nothing, because the server may still
 * be at work: a query that was given up, or whose connection was lost, can take effect seconds later; nor does it on SQLite
 * behind IN_DOUBT, before another write has changed the file. So make a write that may be submitted again one that does no harm
 * twice, as by a key of the program's own: insert … on conflict (key) do nothing.
 */
typedef enum quring_status {
    QURING_OK = 0,
    /* The database refused it: see error->sqlstate. COMMIT of a failed transaction rolls it back, and ends so: with the error
       of the query that failed, or, on an exclusive handle, with 40000. */
    QURING_SERVER_ERROR,
    QURING_SKIPPED,  /* not run, or undone, because of another query: quring_done.failed_id */
    QURING_NOT_SENT, /* no byte left this process, so it is safe to send again */
    /* Sent, but its outcome is not known: the connection was lost, or the server can't tell (40003, 08007). SQLite: the disk
       or memory failed as a commit ended (58030, 53200): who opens the file next, or looks at it now, may find it. */
    QURING_IN_DOUBT,
    QURING_CANCELLED, /* by quring_cancel() */
    QURING_TIMEOUT,   /* its timeout_ns passed */
    QURING_LIMIT,     /* past a configured limit */
    QURING_PROTOCOL,  /* the server broke the protocol; its connection was closed */
    QURING_SHUTDOWN   /* the engine or the handle was closed around it */
} quring_status;

/* Returns "OK", "SERVER_ERROR", …; static. */
const char *quring_status_name(quring_status status);

typedef struct quring_error {
    /* PostgreSQL appendix A; on SQLite the nearest of those; "" when there is none. */
    char sqlstate[6];
    /* SQLite: the extended result code; PostgreSQL: 0. */
    int32_t backend_code;
    /* In characters from 1 in the SQL; 0 when unknown. */
    uint32_t position;
    /* None of these is NULL; untrusted text of the server, in UTF-8. */
    const char *message;
    const char *detail;
    const char *hint;
    /* "ERROR"; of a notice "NOTICE", "WARNING", "INFO", "LOG" or "DEBUG", in English. */
    const char *severity;
} quring_error;

typedef struct quring_done {
    quring_id id;
    uint64_t user_data;
    quring_status status;
    /* Never NULL; empty unless status is QURING_OK. Lives until the release. */
    const quring_result *result;
    /* NULL exactly when status is QURING_OK. Lives until the release. */
    const quring_error *error;
    /* True: it may have reached the database. A byte of it was handed to the kernel, or was certain to go out; on
       SQLite, its execution was begun. False: it took no effect and will take none, whatever the status says, so it is
       safe to submit again. One that was rolled back to be run again (GROUP, ATOMIC, quring_cancel()) counts as not sent
       until then. */
    bool sent;
    /* SKIPPED: the query whose failure is the reason; 0: none is, but BEGIN, the connection, a timeout of the transaction or
       the release of its handle, as `error` says. It may be released by now. */
    quring_id failed_id;
} quring_done;

/*
 * Takes up to `capacity` completions, oldest first; does no I/O.
 * Returns    how many, 0 when none waits; EINVAL; EFORKED
 * Valid      what `done` points to: until quring_release() of its query
 */
int quring_reap_sized(quring_engine *engine, quring_done *done, size_t done_bytes, uint32_t capacity);
static inline int quring_reap(quring_engine *engine, quring_done *done, uint32_t capacity) {
    return quring_reap_sized(engine, done, sizeof(quring_done), capacity);
}

/* Gives a reaped query's slot, rows and error back. Returns 0; ESTALE; ENOTREADY. */
int quring_release(quring_engine *engine, quring_id id);

/*
 * Gives the slots, rows and errors of many back, as quring_reap() filled them in.
 * Returns    how many: fewer than `count` where the next one is refused; if that is the first, ESTALE or ENOTREADY
 */
int quring_release_batch_sized(quring_engine *engine, const quring_done *done, size_t done_bytes, uint32_t count);
static inline int quring_release_batch(quring_engine *engine, const quring_done *done, uint32_t count) {
    return quring_release_batch_sized(engine, done, sizeof(quring_done), count);
}

/* ---- Transactions ------------------------------------------------------------------------------------------------ */

typedef enum quring_isolation {
    QURING_ISOLATION_DEFAULT = 0, /* what the server, the role or the database has */
    QURING_ISOLATION_READ_COMMITTED,
    QURING_ISOLATION_REPEATABLE_READ,
    QURING_ISOLATION_SERIALIZABLE
} quring_isolation;

/* PostgreSQL: what becomes of the state of a connection that a transaction has held: roles, settings, locks, … */
typedef enum quring_lease_reset {
    /* SELECT, VALUES, TABLE, WITH, INSERT, UPDATE, DELETE, MERGE and savepoints leave none, unless their text names
       set_config, pg_settings, pg_advisory_…, pg_try_advisory_…, pg_temp, pg_logical_…, replication slots or origins, or any
       name (U&'…', U&"…"), or makes a table. After all else DISCARD ALL is sent behind the transaction. */
    QURING_LEASE_RESET_DEFAULT = 0,
    QURING_LEASE_RESET_ALWAYS /* for functions and triggers that do such things out of sight */
} quring_lease_reset;

/*
 * What becomes of COMMIT when its connection is lost before the answer came. TOKEN makes its outcome certain: the transaction
 * writes a row with a random token of its own into a table of yours, in the same flight as COMMIT and right before it. When the
 * answer is lost, COMMIT's completion is held while the token is asked for over another connection of the handle.
 *
 *      create table public.quring_commits (
 *          token uuid primary key,
 *          committed boolean not null,
 *          at timestamptz not null default now());
 *
 *      delete from public.quring_commits where at < now() - interval '1 day';
 *
 * `token` may be text as well, and has to be unique by a constraint that is not deferrable; other columns need defaults. The user
 * needs INSERT and SELECT there. Who asks writes a row as well, with `committed` false, if there is none: the unique key makes
 * this wait while the server is still at work on COMMIT, and has COMMIT fail if it comes later, so that the answer is final.
 * Prune only what is much older than the longest transaction and resolve_timeout_ns together: a row that is gone too early
 * reads as if its transaction had failed.
 *
 * COMMIT then ends
 *
 *      OK             if it took effect. Queries of the transaction that were out with it end IN_DOUBT, because what they
 *                     returned is lost; their effects are there
 *      SERVER_ERROR   with the reason of the loss (08006, 57P01, …) if it did not: nothing of the transaction took or will take
 *                     effect. So end the queries that were out with it
 *      IN_DOUBT       if no answer came within resolve_timeout_ns, or the table is not as above: error->detail says why
 *
 * A failure to write the token (42P01: no such table) makes the transaction fail with that error. It works behind poolers, after
 * a failover, and on servers that speak PostgreSQL's protocol and know ON CONFLICT. A transaction with read_only has no token.
 * SQLite tells what became of COMMIT, but for IN_DOUBT where the disk fails, and asks for nothing; it writes the token all the
 * same (into a table with `at` default current_timestamp), for a program that was killed and looks it up: quring_tx_token().
 *
 * XID needs no table. When all queries of the transaction have been sent, its ID is read in it, and which server that is; COMMIT
 * is sent once the answer has come. That is one more round trip, and the transaction holds a connection, also if it was submitted
 * whole. When COMMIT's answer is lost, pg_xact_status() is asked over another connection, again and again while it says "in
 * progress". COMMIT ends OK and SERVER_ERROR as above, and IN_DOUBT, with the reason in error->detail,
 *
 *   - if the server is another one, or its timeline has changed, as it does where a standby is promoted
 *   - if the server crashed, unless the answer is that the transaction was aborted: a transaction after the crash may have the
 *     same ID. pg_stat_reset_shared('bgwriter') looks like a crash
 *   - if no answer came within resolve_timeout_ns, or the server has forgotten so old a transaction
 *   - if the transaction had no ID before COMMIT. It had written nothing then, but COMMIT may: NOTIFY, cursors WITH HOLD; and a
 *     serializable one may fail there. Then nobody is asked
 *
 * Where crashes and failovers are to be survived TOKEN is the one to take. Any user may ask. It works behind poolers, as long as
 * they lead to one server. Servers that don't have the functions make the transaction fail (42883). A transaction with read_only
 * is not asked for; SQLite: EUNSUPPORTED.
 */
typedef enum quring_resolve {
    QURING_RESOLVE_NONE = 0, /* COMMIT ends IN_DOUBT */
    QURING_RESOLVE_TOKEN,
    QURING_RESOLVE_XID /* PostgreSQL 13 or later */
} quring_resolve;

typedef struct quring_tx_options {
    /* SQLite has SERIALIZABLE, which is at least as strong, whatever is asked for. */
    quring_isolation isolation;
    bool read_only;
    /* PostgreSQL, with SERIALIZABLE and read_only: it waits until it can't conflict. Without one of these, and on SQLite, it is
       accepted and changes nothing, as in SQL. */
    bool deferrable;
    /* From its first query on: when it has passed the transaction is rolled back. What runs ends with QURING_TIMEOUT, queries
       after it with QURING_SKIPPED and 25P04, COMMIT with QURING_SERVER_ERROR (0: none). One that was sent may take effect:
       on PostgreSQL it ends with QURING_TIMEOUT, and no resolver asks; SQLite tells what became of it. */
    uint64_t timeout_ns;
    /* How long it may hold its connection with no query out (10 s; QURING_FOREVER: without limit). Then it is rolled back,
       and what is submitted ends with QURING_SKIPPED and 25P03, COMMIT with QURING_SERVER_ERROR. SQLite: so long, at most, an idle
       one holds up other writers; one that only reads keeps the log from starting over: see quring_db_options.snapshot_ns. */
    uint64_t idle_timeout_ns;
    quring_lease_reset lease_reset;
    quring_resolve resolve;
    /* With TOKEN: the table's name as SQL has it: app.commits, "App"."Commits"; 255 bytes at most. On PostgreSQL with its schema,
       not pg_temp (EINVAL): what a bare name means changes with search_path, role and temporary tables. */
    const char *token_table;
    /* With TOKEN and XID: how long COMMIT is held at most after the loss (30 s). */
    uint64_t resolve_timeout_ns;
} quring_tx_options;

/*
 * Makes a transaction; does no I/O. Queries name it in quring_query.tx. They run in order, on one connection that it holds
 * from its first query to its end, while other queries go on beside it on the others. BEGIN goes with the first query, and
 * COMMIT with the last if it is submitted by then: what is submitted together takes one round trip, and a transaction that
 * is submitted whole, up to its COMMIT, holds no connection, but goes between other queries, unless it has to be cleaned up
 * after (lease_reset), has more queries than options.depth with BEGIN and COMMIT, or waits while others take each place that
 * becomes free. Those that have to wait for a connection are served in order.
 *
 *      quring_tx_open(db, NULL, &tx);
 *      quring_submit(engine, &(quring_query){.tx = tx, .sql = "update …", …}, NULL);
 *      quring_submit(engine, &(quring_query){.tx = tx, .sql = "update …", …}, NULL);
 *      quring_commit(tx, user_data, NULL);
 *      quring_tx_release(tx);
 *
 * A query of it that ends, and not with OK (an error, a limit, a timeout, a cancel), makes it fail:
 *
 *   - what stands behind that query, and what is submitted later, ends SKIPPED, naming it (quring_done.failed_id); in an
 *     outage and a shutdown what waits ends NOT_SENT and SHUTDOWN
 *   - COMMIT rolls back, and ends with that query's error, never with OK
 *   - ROLLBACK TO a savepoint from before it lets the transaction go on from there. Not on PostgreSQL, where a limit, a timeout
 *     or a cancel ended that query or one behind it, and SAVEPOINT, RELEASE or ROLLBACK TO is among these or had been sent behind
 *     them: the server may have carried that out, and would go back to another one. Nor where two queries ended with a ROLLBACK
 *     TO between them that was still to be carried out, or was given up while an earlier one was: then nothing more of the
 *     transaction is run, wherever it stands, and a hint says why (quring_error.hint)
 *
 * Once COMMIT was sent it reports what the server says, whatever ends on this side: a query that goes over a limit, or that
 * is given up and can't be stopped any more, does not keep a COMMIT that was submitted with it from taking effect; SQLite has
 * not begun with it by then, and rolls back. If the connection is lost after COMMIT was sent, COMMIT and the queries that were
 * out with it end IN_DOUBT, unless options.resolve says otherwise. Before that it is certain that nothing took effect: what
 * was out ends with SERVER_ERROR (PROTOCOL where the server broke that) and the reason, the rest SKIPPED. Of a transaction that
 * the server has left by itself nobody knows what became: its end is PROTOCOL as well.
 *
 * SQLite: a transaction that writes has the file's write lock from its first query on (BEGIN IMMEDIATE), so no query of it
 * waits for a lock, and all others that write wait until it ends; those that hold the lock and shared writes take turns. One
 * that is submitted whole holds up others for as long as it runs. One with read_only has a snapshot, from its first read to its
 * end, beside all others. SQLite itself would go on after an error: the rule above holds all the same. After an error that
 * ends SQLite's whole transaction (ON CONFLICT ROLLBACK, a full disk, a write that was interrupted) no savepoint is left; nor
 * after a query that was given up and that its lane did not stop at once (quring_cancel()). It refuses PRAGMAs that set what
 * would outlive it, ATTACH, and temporary tables. While one is open, a database in memory has nothing else run.
 *
 * SAVEPOINT x, ROLLBACK TO x and RELEASE x are queries, as COMMIT and ROLLBACK may be. BEGIN, AND CHAIN and PREPARE
 * TRANSACTION are EUNSUPPORTED, and so is another statement behind COMMIT or ROLLBACK in one text. quring_query.commit is for
 * other queries: GROUP is EINVAL here, and the other modes mean nothing.
 * options    NULL: all defaults
 * Returns    0; EFULL: each open transaction keeps one of query_count and 16 of inflight_bytes in reserve for its end; EINVAL;
 *            ENOMEM; ESHUTDOWN; EFORKED; EUNSUPPORTED: an exclusive handle; QURING_RESOLVE_XID on SQLite; ESYSTEM: no
 *            random bytes for a token
 * Valid      until quring_tx_release()
 */
int quring_tx_open_sized(quring_db *db, const quring_tx_options *options, size_t options_bytes, quring_tx **tx);
static inline int quring_tx_open(quring_db *db, const quring_tx_options *options, quring_tx **tx) {
    return quring_tx_open_sized(db, options, sizeof(quring_tx_options), tx);
}

/*
 * Ends the transaction. Both queue a query like any other, with a completion of its own, after which the handle takes no
 * more queries: EINVAL. The end of a transaction without queries is OK, and does no I/O.
 * id         NULL is allowed
 * Returns    0, and never EFULL or ENOMEM; EINVAL: it was ended before; ESHUTDOWN; EFORKED
 */
int quring_commit(quring_tx *tx, uint64_t user_data, quring_id *id);
int quring_rollback(quring_tx *tx, uint64_t user_data, quring_id *id);

/*
 * Returns the token that COMMIT writes, a UUID as text; "" where there is none: without QURING_RESOLVE_TOKEN, with read_only. A
 * program that is killed before it hears of COMMIT finds out later whether it took effect, if it has kept this:
 *
 *      insert into public.quring_commits (token, committed) values ($1, false) on conflict (token) do nothing
 *      select committed from public.quring_commits where token = $1
 *
 * as two queries, each with its own commit: true it did, false it did not and never will. SQLite: without "public.".
 * Valid      until quring_tx_release()
 */
const char *quring_tx_token(const quring_tx *tx);

/*
 * Gives the handle back, at any time, also right after its COMMIT or ROLLBACK was submitted. A transaction that neither was
 * submitted for is rolled back: queries of it that have not ended end SKIPPED, and the database is told to stop what it is at
 * (quring_cancel()). Also after its database handle was closed, but before quring_engine_close(), which frees all.
 * tx         NULL is allowed
 */
void quring_tx_release(quring_tx *tx);

/* ---- Queries of other threads ----------------------------------------------------------------------------------- */

/*
 * An inbox lets a thread that has no engine submit queries to the engine of another one, and reap them where it is:
 *
 *      a thread of a pool                                  the engine's thread
 *      quring_inbox_submit()  ---- without locks ---->     quring_run()
 *      quring_inbox_reap()    <---- and in batches ---
 *
 * It belongs to the thread that opened it, which may have one for each of several engines. The engine's thread does nothing
 * for inboxes but to be in quring_run(), or to call it as quring_fd() says: it sleeps in quring_run(engine, 1,
 * QURING_FOREVER) if all queries come from other threads. Either side wakes the other once for many queries, and only when
 * it sleeps.
 *
 * An inbox has limits of its own. Of the engine's, inflight_bytes holds here too: SQL that is longer ends LIMIT with 54000,
 * and bytes that were given up and that no server has read count there. The engine's completions and counts (quring_reap(),
 * quring_pending(), what quring_run() waits for and returns) leave its queries out; quring_stats and quring_trace() have them.
 * Ids are the inbox's: those of another inbox, or of the engine, name nothing here.
 *
 * Queries that one thread submits reach the queue of their handle in that order: see Order above. Those of two have none.
 */
typedef struct quring_inbox quring_inbox;

typedef struct quring_inbox_options {
    /* Queries submitted and not yet released, at most (1024; up to 65536). It takes 1,100 to 1,600 bytes each from open
       on. A transaction that is sent step by step needs room beside those of the same inbox that wait for its end. */
    uint32_t query_count;
    /* SQL and parameters of queries not yet released, at most (16 MiB). A statement's own text does not count. */
    uint64_t bytes;
} quring_inbox_options;

/*
 * Opens an inbox on an engine, which may have 1023. It may be opened while the engine's thread is in quring_run().
 * options    NULL: all defaults
 * Returns    0; EFULL: no more inboxes; EINVAL; ENOMEM; EFILES; ESYSTEM; EFORKED in a child process
 * Failed     quring_errmsg(NULL) says why
 * Thread     any, while the engine is open; the inbox then belongs to it
 */
int quring_inbox_open_sized(quring_engine *engine, const quring_inbox_options *options, size_t options_bytes,
                            quring_inbox **inbox);
static inline int quring_inbox_open(quring_engine *engine, const quring_inbox_options *options, quring_inbox **inbox) {
    return quring_inbox_open_sized(engine, options, sizeof(quring_inbox_options), inbox);
}

/*
 * Gives the inbox up: what is out is cancelled, and nobody hears how it ends. Waits for nothing. The engine and its inboxes
 * may be closed in any order, and at the same time: quring_engine_close() waits for no thread that has an inbox.
 * inbox      NULL is allowed
 */
void quring_inbox_close(quring_inbox *inbox);

/*
 * Queues a query as quring_submit() does.
 *
 * db and statement are those of the engine's thread. A handle may be closed there while queries that name it are out: they
 * end SHUTDOWN, as do all of a transaction of it, whenever they are submitted. A handle that is opened later may have its
 * address, so by then no thread may name the closed one in a call any more. A statement must be kept by its owner until the
 * queries that name it have been reaped.
 *
 * What only the engine's thread can tell is an outcome, with done.sent false, instead of an error: SERVER_ERROR with 0A000
 * for what quring_submit() refuses with EUNSUPPORTED, with 26000 for a statement of another handle, with 53200 where memory
 * ran out; SHUTDOWN for a handle that is closed or another engine's. timeout_ns counts from when the engine's thread has
 * taken the query, in its next turn.
 * Returns    0
 *            EFULL: a limit of quring_inbox_options is reached. Reap and release, then submit again; with nothing to reap or
 *            release, after a while: SQLite's lanes are still at work on queries that were given up
 *            EINVAL, also for a transaction that this inbox has not opened; ETOOBIG; ENOMEM
 *            ESHUTDOWN: quring_shutdown() or quring_engine_close() was called; what is out can still be reaped
 * Failed     nothing is queued
 */
int quring_inbox_submit_sized(quring_inbox *inbox, const quring_query *query, size_t query_bytes, quring_id *id);
static inline int quring_inbox_submit(quring_inbox *inbox, const quring_query *query, quring_id *id) {
    return quring_inbox_submit_sized(inbox, query, sizeof(quring_query), id);
}

/*
 * Queues many queries in one call, as quring_submit_batch() does: the engine's thread is woken once, and comes to see all of
 * them at the same time.
 *
 * What only the engine's thread can refuse of an ATOMIC batch is an outcome, too: the query at fault ends as it says above,
 * and all others end SKIPPED and name it.
 * ids        NULL is allowed; ids[i] names queries[i] until its release
 * Returns    how many were queued. INDEPENDENT: the first ones, fewer than `count` where the next one was refused, of which
 *            quring_inbox_errmsg() tells; if that is the first, its error. ATOMIC: all or none
 *            As quring_inbox_submit(); of an ATOMIC batch also ETOOBIG: more queries or bytes than quring_inbox_options;
 *            EINVAL: several databases, an order_key, a query of a transaction
 */
int quring_inbox_submit_batch_sized(quring_inbox *inbox, const quring_query *queries, size_t query_bytes,
                                    uint32_t count, quring_batch_mode mode, quring_id *ids);
static inline int quring_inbox_submit_batch(quring_inbox *inbox, const quring_query *queries, uint32_t count,
                                            quring_batch_mode mode, quring_id *ids) {
    return quring_inbox_submit_batch_sized(inbox, queries, sizeof(quring_query), count, mode, ids);
}

/*
 * Makes a transaction of this thread, which quring_tx_open() describes. Its queries go to quring_inbox_submit(), and their
 * completions, with that of its end, come back to the inbox. quring_commit(), quring_rollback() and quring_tx_release() take
 * it on this thread, and never return EFULL or ENOMEM.
 *
 *      quring_inbox_tx_open(inbox, db, NULL, &tx);
 *      quring_inbox_submit(inbox, &(quring_query){.tx = tx, .sql = "update …", …}, NULL);
 *      quring_inbox_submit(inbox, &(quring_query){.tx = tx, .sql = "update …", …}, NULL);
 *      quring_commit(tx, user_data, NULL);
 *      quring_tx_release(tx);
 *
 * options.resolve works as it does there. The token is drawn by this call, on this thread, where quring_tx_token() tells it.
 *
 * All that was submitted when the engine's thread looks goes in one flight. It may look between two calls: an INDEPENDENT
 * quring_inbox_submit_batch() shows it many queries at once, and the COMMIT among them, as an SQL text, ends the
 * transaction as quring_commit() does.
 *
 * What only the engine's thread can refuse of a query is its outcome, and makes the transaction fail as any other that is not
 * OK. A query that comes behind a COMMIT or ROLLBACK as SQL ends with 25000. If the engine refuses the transaction itself, all
 * of its queries and its end say why: SHUTDOWN for a handle that is closed, 0A000 for an exclusive one, and for
 * QURING_RESOLVE_XID on SQLite.
 * options    NULL: all defaults
 * Returns    0; EFULL: each open transaction keeps one of query_count in reserve for its end; EINVAL; ENOMEM; ESHUTDOWN;
 *            EFORKED; ESYSTEM: no random bytes for a token
 * Failed     quring_inbox_errmsg() says why, also of the calls that end or release it
 * Valid      until quring_tx_release(), or quring_inbox_close(), which rolls back what is open
 */
int quring_inbox_tx_open_sized(quring_inbox *inbox, quring_db *db, const quring_tx_options *options,
                               size_t options_bytes, quring_tx **tx);
static inline int quring_inbox_tx_open(quring_inbox *inbox, quring_db *db, const quring_tx_options *options,
                                       quring_tx **tx) {
    return quring_inbox_tx_open_sized(inbox, db, options, sizeof(quring_tx_options), tx);
}

/* As quring_cancel(). Does no I/O: the query ends in the engine's next turn. Returns 0; ESTALE. */
int quring_inbox_cancel(quring_inbox *inbox, quring_id id);

/*
 * Takes up to `capacity` completions, oldest first; never blocks.
 * Returns    how many, 0 when none waits; EINVAL; ESHUTDOWN: none will come, because the engine was closed and all were reaped
 * Valid      what `done` points to: until quring_inbox_release() of its query, also once the engine was closed
 */
int quring_inbox_reap_sized(quring_inbox *inbox, quring_done *done, size_t done_bytes, uint32_t capacity);
static inline int quring_inbox_reap(quring_inbox *inbox, quring_done *done, uint32_t capacity) {
    return quring_inbox_reap_sized(inbox, done, sizeof(quring_done), capacity);
}

/* Gives a reaped query's slot, rows and error back. Returns 0; ESTALE; ENOTREADY. */
int quring_inbox_release(quring_inbox *inbox, quring_id id);

/* As quring_release_batch(), of what quring_inbox_reap() filled in. */
int quring_inbox_release_batch_sized(quring_inbox *inbox, const quring_done *done, size_t done_bytes, uint32_t count);
static inline int quring_inbox_release_batch(quring_inbox *inbox, const quring_done *done, uint32_t count) {
    return quring_inbox_release_batch_sized(inbox, done, sizeof(quring_done), count);
}

/*
 * Sleeps until
 *   - at least `min_count` completions wait to be reaped,
 *   - or all that is pending is done,
 *   - or `timeout_ns` has passed, or a signal was handled.
 * With nothing pending it returns at once. On the engine's own thread it would wait for itself.
 * min_count, timeout_ns    0 in either never blocks
 * Returns    how many completions wait to be reaped; ESHUTDOWN as of quring_inbox_reap()
 */
int quring_inbox_wait(quring_inbox *inbox, uint32_t min_count, uint64_t timeout_ns);

/*
 * For a thread that waits for other things, too: a descriptor that polls readable while completions wait to be reaped (and at
 * times once more, so that a reap finds none), and for good once the engine was closed. Level triggered polling works as it is;
 * with edge triggered polling, reap until fewer come than were asked for. The inbox's: do not read it or close it.
 * Returns    the descriptor; EINVAL for NULL; EFORKED
 * Valid      until quring_inbox_close()
 */
int quring_inbox_fd(quring_inbox *inbox);

/* Returns how many queries are submitted and not yet reaped; 0 also where any other call returns EFORKED. */
uint32_t quring_inbox_pending(const quring_inbox *inbox);

/* As quring_errmsg(), of the last call on this inbox that failed. */
const char *quring_inbox_errmsg(const quring_inbox *inbox);

/* ---- Results ---------------------------------------------------------------------------------------------------- */

/* Return how many rows and columns there are. */
uint64_t quring_row_count(const quring_result *result);
uint32_t quring_column_count(const quring_result *result);

/* Returns how many rows INSERT, UPDATE, DELETE or MERGE changed; 0 for other statements. */
uint64_t quring_affected_count(const quring_result *result);

/* Returns the command tag's words, "INSERT", "CREATE TABLE", "SELECT"; on SQLite the statement's first words. Never NULL. */
const char *quring_command(const quring_result *result);

/* Name and type of a column; "" and QURING_NULL out of range. On SQLite every value has its own type: QURING_OTHER. */
const char *quring_column_name(const quring_result *result, uint32_t column);
quring_type quring_column_type(const quring_result *result, uint32_t column);

/* Returns PostgreSQL's type OID (pg_type.h); 0 on SQLite. */
uint32_t quring_column_oid(const quring_result *result, uint32_t column);

/* Returns the column of that name, the first of several; ERANGE when there is none. */
int quring_column_index(const quring_result *result, const char *name);

/* The type of one value: QURING_NULL for SQL NULL; on SQLite INT8, FLOAT8, TEXT or BYTES. */
quring_type quring_value_type(const quring_result *result, uint64_t row, uint32_t column);
bool quring_is_null(const quring_result *result, uint64_t row, uint32_t column);

/* Returns "int4", "timestamp with time zone", …; "unknown" for no quring_type. Static. */
const char *quring_type_name(quring_type type);

/*
 * Accessors convert where nothing is lost, from text too ("42" to int64, "t" to bool). A timestamptz is taken in UTC as a
 * timestamp or date; a text without a zone, such as SQLite's CURRENT_TIMESTAMP, is a timestamp and no timestamptz.
 * quring_get_text() takes any type as its text in ISO style, NUL-terminated; quring_get_bytes() bytea and BLOB, or the bytes
 * of a text. Read the columns of a row from left to right: the search goes on from the last value, and a step back begins it
 * anew, which hundreds of columns make slow.
 * size_bytes  of quring_get_text(): NULL is allowed
 * Returns     0; ENULL; ETYPE; ERANGE; ELOSSY; of text and bytes also ENOMEM
 * Failed      `*value` is as it was; quring_result_error() names the column, its type and the value
 * Valid       text and bytes, converted or not: until the release
 */
int quring_get_bool(const quring_result *result, uint64_t row, uint32_t column, bool *value);
int quring_get_int32(const quring_result *result, uint64_t row, uint32_t column, int32_t *value);
int quring_get_int64(const quring_result *result, uint64_t row, uint32_t column, int64_t *value);
int quring_get_float64(const quring_result *result, uint64_t row, uint32_t column, double *value);
int quring_get_uuid(const quring_result *result, uint64_t row, uint32_t column, uint8_t value[16]);
int quring_get_date(const quring_result *result, uint64_t row, uint32_t column, int32_t *days);
int quring_get_timestamp(const quring_result *result, uint64_t row, uint32_t column, int64_t *microseconds);
int quring_get_timestamptz(const quring_result *result, uint64_t row, uint32_t column, int64_t *microseconds);
int quring_get_text(const quring_result *result, uint64_t row, uint32_t column, const char **text, size_t *size_bytes);
int quring_get_bytes(const quring_result *result, uint64_t row, uint32_t column, const void **data, size_t *size_bytes);

/* Returns the text of the last accessor that failed on this result: column, type, value and why. "" when none has. */
const char *quring_result_error(const quring_result *result);

/*
 * Notices and warnings that the server sent while it worked on this query, in order; also of one that failed. Kept are
 * the first 64, and 64 KiB of text; quring_notice_dropped_count() says how many more there were. A query that ran again
 * has those of its last run. Past 16 MiB of them before its reply a query ends with QURING_LIMIT, and its connection is
 * closed. SQLite sends none.
 * Returns    quring_notice(): NULL out of range; `severity` is that of a notice
 * Valid      until the release
 */
uint32_t quring_notice_count(const quring_result *result);
uint64_t quring_notice_dropped_count(const quring_result *result);
const quring_error *quring_notice(const quring_result *result, uint32_t index);

/* ---- Trace ------------------------------------------------------------------------------------------------------ */

/*
 * What happens to a query, in this order; one that is RETRIED, which may come before any SENT, may be SENT and so on again:
 *
 *      SUBMITTED --> SENT --> NOTICE … FIRST_ROW … NOTICE … --> DONE
 *          |           +--> RETRIED --> SENT …                   ^
 *          +-----------------------------------------------------+
 *
 * And to a connection, or to the connection of an SQLite lane:
 *
 *      REFUSED --> RETRYING --> … --> CONNECTED --> LOST or CLOSED
 */
typedef enum quring_event_kind {
    QURING_EVENT_SUBMITTED = 1, /* quring_submit() took it */
    QURING_EVENT_SENT,          /* it was handed to a connection's socket; on SQLite its execution began */
    QURING_EVENT_FIRST_ROW,     /* its first row arrived */
    /* The server's notice or warning for it, or without an id for no query. One over message_bytes makes no event. */
    QURING_EVENT_NOTICE,
    /* It waits to be sent again, because its connection was lost before a byte of it left, its plan was stale, its GROUP or
       its ATOMIC batch was rolled back, or a cancel hit it that was meant for another. */
    QURING_EVENT_RETRIED,
    QURING_EVENT_DONE,      /* it ended, with `status`; a failure's SQLSTATE and message */
    QURING_EVENT_CONNECTED, /* a connection can be given queries */
    QURING_EVENT_LOST,      /* it can't any more, for the reason in sqlstate and message; before its queries end */
    QURING_EVENT_CLOSED,    /* the same, because the handle or the engine is closed, or its pool ends it */
    QURING_EVENT_REFUSED,   /* an attempt to connect failed, or could not begin */
    QURING_EVENT_RETRYING,  /* the next attempt of its pool begins in wait_ns */
    /* SQLite: the log is long, and could not start over, because of a read of this handle or of another. */
    QURING_EVENT_WAL_HELD
} quring_event_kind;

/* Returns "submitted", "first row", …; "unknown" for no quring_event_kind. Static. */
const char *quring_event_name(quring_event_kind kind);

typedef struct quring_event {
    quring_event_kind kind;
    /* DONE. */
    quring_status status;
    /* When it happened, by CLOCK_MONOTONIC. */
    uint64_t at_ns;
    /* Of the query: when these things happened to it, with its last run; 0: they have not, or its lane will not say, because
       the query was given up and the lane is still at work on it. */
    uint64_t submitted_at_ns, sent_at_ns, first_row_at_ns;
    /* The query; it may be released by now. 0: the event is a connection's. */
    quring_id id;
    uint64_t user_data;
    /* The handle, which may be closed by now: for comparing only. */
    const quring_db *db;
    /* Of that handle, from 1; on SQLite the lane, of which the first writes. 0: the query has none. */
    uint32_t connection;
    /* SQLSTATE of `message`; "" when there is none. */
    char sqlstate[6];
    /* The first 64 KiB of sql are here, or nothing: the texts of all events have 16 MiB. */
    bool sql_is_cut;
    /* Of the query; "" in a connection's event. It is never NULL, ends with a NUL, and has what the program wrote into it,
       passwords included; parameters are not traced. */
    const char *sql;
    size_t sql_bytes;
    /* The reason, the server's notice, or the error of a query that failed, up to 1 KiB, or "" where the texts of all events
       have no room for it. Never NULL, untrusted text in UTF-8. */
    const char *message;
    /* DONE. */
    uint64_t row_count;
    /* RETRYING. */
    uint64_t wait_ns;
} quring_event;

/*
 * Takes up to `capacity` events, oldest first; does no I/O. An engine keeps the last options.trace_count of them: when more
 * happen before they are taken the oldest are dropped, and quring_stats.trace_dropped_count counts them. Each event has the
 * times of those before it, so that a query's DONE alone tells how long it took.
 *
 * Events stand in the order in which they became known. SENT, FIRST_ROW and RETRIED of an SQLite query become known with
 * its DONE, and what happened to a lane's connection with the lane's next news: their at_ns are earlier than those of other
 * events before them.
 * Returns    how many, 0 when there are none or no trace is kept; EINVAL; EFORKED
 * Valid      what `events` point to: until the next quring_trace() or quring_engine_close()
 */
int quring_trace_sized(quring_engine *engine, quring_event *events, size_t event_bytes, uint32_t capacity);
static inline int quring_trace(quring_engine *engine, quring_event *events, uint32_t capacity) {
    return quring_trace_sized(engine, events, sizeof(quring_event), capacity);
}

/* ---- Statistics ------------------------------------------------------------------------------------------------- */

typedef struct quring_stats {
    uint64_t submitted_count;
    uint64_t done_count[QURING_SHUTDOWN + 1]; /* by quring_status */
    uint64_t row_count;
    uint64_t sent_bytes, received_bytes; /* on sockets */
    uint64_t enter_count;                /* io_uring_enter calls; on epoll, waits, sends and receives */
    uint64_t completion_count;           /* operations of the kernel that have ended */
    uint64_t send_count, receive_count;  /* operations given to the kernel */
    uint64_t connect_count, connect_failure_count, connection_lost_count;
    uint64_t prepare_count;     /* statements parsed by a server or compiled by SQLite */
    uint64_t offload_job_count; /* blocking jobs given to worker threads */
    uint32_t waiting_count;     /* now: submitted, not yet given to a connection or lane */
    uint32_t inflight_count;    /* now: given to one, outcome unknown */
    uint32_t connection_count;  /* now: connected */
    uint64_t stale_count;       /* completions of the kernel for what was already gone; 0 unless it has a bug */
    uint64_t notice_count;      /* notices and warnings of PostgreSQL, whether a query was there to have them or not */
    uint64_t trace_dropped_count; /* events that quring_trace() never gave, because newer ones took their place */
    uint64_t cancel_count;        /* of quring_db_stats */
    uint64_t cancel_stopped_count;
} quring_stats;

/* Fills `stats` with what the engine has counted since it was opened. */
void quring_stats_get_sized(const quring_engine *engine, quring_stats *stats, size_t stats_bytes);
static inline void quring_stats_get(const quring_engine *engine, quring_stats *stats) {
    quring_stats_get_sized(engine, stats, sizeof(quring_stats));
}

/*
 * How finely waits are told: class 0 has those of queries that were given to a connection in the first turn of
 * quring_run() after their submission, and waits of less than 1 us; class i those from 2^(i - 1) us on that are shorter
 * than 2^i us; the last one all others, which are longer than three days. These edges stay.
 */
#define QURING_WAIT_BUCKETS 40

typedef struct quring_db_stats {
    uint64_t submitted_count;
    uint64_t done_count[QURING_SHUTDOWN + 1]; /* by quring_status */
    uint64_t row_count;
    /* Queries that went back to be sent again: their connection was lost before a byte of them left, their plan was stale,
       their GROUP or their ATOMIC batch was rolled back, or a cancel hit them that was meant for another. */
    uint64_t retry_count;
    uint64_t connect_count, connect_failure_count, connection_lost_count;
    uint64_t prepare_count;
    uint64_t notice_count;
    uint32_t waiting_count;  /* now: submitted, not yet given to a connection or lane */
    uint32_t inflight_count; /* now: given to one, outcome unknown */
    /* The most that a turn of quring_run() left waiting. On SQLite a turn gives all of them to the lanes. */
    uint32_t waiting_peak_count;
    /* Queries by how long they waited until they were given to a connection, or until the lane began that took them with
       others. It counts from the first turn of quring_run() after the submission: what the program does before that turn
       is no wait. A query that ended unsent is in none, and one that was put back is counted for each time that it was
       given to a connection. */
    uint64_t wait_count[QURING_WAIT_BUCKETS];
    /* PostgreSQL: requests to cancel that servers took, for queries that were given up (quring_cancel(), timeout_ns), and
       queries that a server ended for one of them. */
    uint64_t cancel_count, cancel_stopped_count;
    /* SQLite: how often a checkpoint could not let a log of 16000 pages or more start over, because a read of this handle
       or of another program needs it. It is tried again every 1000 pages, in full each time that the log has grown by a
       quarter. */
    uint64_t wal_held_count;
    /* SQLite, now: the age of the oldest snapshot that a transaction which only reads has; 0: none has one. */
    uint64_t snapshot_ns;
    /* SQLite: pages in the log behind the last commit that the handle has heard of. */
    uint32_t wal_page_count;
    /* SQLite: transactions that only read and that waited, before they began, for a long log to start over: see
       quring_db_options.snapshot_ns. */
    uint64_t wal_wait_count;
} quring_db_stats;

/*
 * Fills `stats` with what the handle has counted since it was opened. Differences of two calls tell of the time between
 * them. Those of all handles, closed ones included, add up to quring_stats.
 */
void quring_db_stats_get_sized(const quring_db *db, quring_db_stats *stats, size_t stats_bytes);
static inline void quring_db_stats_get(const quring_db *db, quring_db_stats *stats) {
    quring_db_stats_get_sized(db, stats, sizeof(quring_db_stats));
}

/*
 * Tells how long the quantile of the waits took at most: of 0.99, what 99 of 100 waits did not reach.
 * wait_count  that of quring_db_stats, or the differences of two: QURING_WAIT_BUCKETS of them
 * Returns    the upper edge of the class that it falls into, so up to twice the wait itself; 0 for class 0 and where there
 *            are no waits; QURING_FOREVER for the last class
 * Thread     any
 */
uint64_t quring_wait_quantile_ns(const uint64_t *wait_count, double quantile);

typedef struct quring_ring_info {
    uint32_t sq_entry_count, cq_entry_count;
    uint32_t setup_flags;  /* IORING_SETUP_* in use */
    uint32_t feature_bits; /* IORING_FEAT_* of this kernel */
    const char *setup;     /* the rung of the set-up ladder in words: "SINGLE_ISSUER|DEFER_TASKRUN|…"; "" on epoll */
    quring_port port;      /* QURING_PORT_URING or QURING_PORT_EPOLL */
    int uring_error;       /* why QURING_PORT_AUTO took epoll: EFORBIDDEN, ENORING or EMEMLOCK; else 0 */
} quring_ring_info;

/* Fills `info` with what the kernel offers and what the engine's ring uses. */
void quring_ring_info_get_sized(const quring_engine *engine, quring_ring_info *info, size_t info_bytes);
static inline void quring_ring_info_get(const quring_engine *engine, quring_ring_info *info) {
    quring_ring_info_get_sized(engine, info, sizeof(quring_ring_info));
}

#ifdef __cplusplus
}
#endif

#endif
