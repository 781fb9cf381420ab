/* SPDX-License-Identifier: MIT */
/*
 * A connection is opened and closed here, above all files that have a part in it (harden.c, watch.c, wal.c, rules.c,
 * stmt.c), so that each of them can use conn.c without being used by it.
 */
#include "lite/conn.h"

#include "lite/lite_error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { OPEN_TRIES = 10 }; /* each finds that the name has just gone to another file */
enum { NAP_COUNT = 100 }; /* behind which a lock counts as taken for long */

static const long NAP_NS = 1000000; /* from one try, to be admitted or to write, to the next */

static const char *const open_control_sql[LITE_CONTROL_COUNT] = {
    [LITE_BEGIN] = "begin",
    [LITE_BEGIN_IMMEDIATE] = "begin immediate",
    [LITE_COMMIT] = "commit",
    [LITE_ROLLBACK] = "rollback",
};

/*
 * None of these settings changes the file. Corrupt pages are found as they are read (cell_size_check). Pages are not mapped
 * into memory, because an I/O error on a mapped page is a signal that ends the program (sqlite.org/mmap.html). SQLite's
 * cache is kept between statements as long as no other connection writes; its default of 2 MB is small for a server:
 * point reads on a table of 11 MB are 2.2 times as fast with 16 MB. A log that grew beyond 64 MiB, about where checkpoint.c has
 * it start over, is cut to that then.
 */
static int open_configure(struct lite_conn *conn) {
    static const char *const synchronous[] = {
        [QURING_DURABILITY_DEFAULT] = "pragma synchronous=full",  [QURING_DURABILITY_OFF] = "pragma synchronous=off",
        [QURING_DURABILITY_NORMAL] = "pragma synchronous=normal", [QURING_DURABILITY_FULL] = "pragma synchronous=full",
        [QURING_DURABILITY_EXTRA] = "pragma synchronous=extra",
    };
    sqlite3 *handle = conn->handle;
    int code = lite_execute(handle, "pragma cell_size_check=on; pragma mmap_size=0; pragma cache_size=-16384");
    if (code == SQLITE_OK)
        code = lite_execute(handle, synchronous[conn->config->durability]);
    if (code != SQLITE_OK || !conn->config->path)
        return code;
    code = lite_execute(handle, "pragma schema_version"); /* the first look at the file: is it a database at all? */
    if (code != SQLITE_OK)
        return code;
    if (conn->role == LITE_READER)
        return lite_execute(handle, "pragma wal_autocheckpoint=0; pragma query_only=on");
    code = lite_execute(handle, "pragma journal_size_limit=67108864");
    return code == SQLITE_OK ? lite_wal_look(conn) : code;
}

/* SQLite's commit hook: 0 lets the commit go on. */
static int open_note_commit(void *argument) {
    struct lite_conn *conn = argument;
    conn->commit_begun = true;
    return 0;
}

/* SQLite calls this after each commit. An error from here would be reported as the statement's, which took effect. */
static int open_count_wal_frames(void *argument, sqlite3 *handle, const char *database, int frame_count) {
    (void)handle;
    (void)database;
    struct lite_conn *conn = argument;
    conn->wal_frame_count = (uint32_t)frame_count;
    return SQLITE_OK;
}

static int open_prepare_controls(struct lite_conn *conn) {
    int code = SQLITE_OK;
    for (int i = 0; i < LITE_CONTROL_COUNT && code == SQLITE_OK; i++)
        code = sqlite3_prepare_v3(conn->handle, open_control_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &conn->control[i],
                                  NULL);
    return code;
}

static int open_name(struct lite_conn *conn, int flags) {
    if (!conn->config->immutable)
        return sqlite3_open_v2(conn->config->path ? conn->config->path : ":memory:", &conn->handle, flags, NULL);
    char *uri = lite_url_immutable(conn->config->path);
    if (!uri)
        return SQLITE_NOMEM;
    int code = sqlite3_open_v2(uri, &conn->handle, flags | SQLITE_OPEN_URI, NULL);
    free(uri);
    return code;
}

static void open_evict(struct lite_member *member) {
    lite_conn_close(base_container_of(member, struct lite_conn, member));
}

/*
 * False: the name has gone to another file since it was opened. It is SQLite's name, with links resolved, since that is what
 * the files beside it are called after. There is no such file where a program's own VFS keeps it elsewhere.
 */
static bool open_try_admission(struct lite_conn *conn, enum lite_admission *admission) {
    struct stat status = {0};
    const char *name = sqlite3_db_filename(conn->handle, "main");
    (void)stat(name, &status);
    if (lite_conn_file_is_gone(conn))
        return false;
    *admission = lite_file_admit(&conn->member, name, status.st_dev, status.st_ino);
    return true;
}

/* What is at work on the file that had the name before may take long; callers can give up the queries that wait for it. */
static int open_admit(struct lite_conn *conn, bool *replaced) {
    enum lite_admission admission;
    conn->member.close = open_evict;
    while (!(*replaced = !open_try_admission(conn, &admission)) && admission == LITE_NOT_YET) {
        if (lite_watch_interrupted(&conn->watch))
            return SQLITE_INTERRUPT;
        if (conn->watch.pause)
            conn->watch.pause(&conn->watch);
        nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    }
    return !*replaced && admission == LITE_NO_MEMORY ? SQLITE_NOMEM : SQLITE_OK;
}

/* The file, and those beside it that are there. SQLite gives the latter the name of the file with these ends. */
static bool open_may_be_written(struct lite_conn *conn) {
    static const char *const ends[] = {"", "-wal", "-shm"};
    const char *name = sqlite3_db_filename(conn->handle, "main");
    char path[PATH_MAX];
    bool may = true;
    for (size_t i = 0; i < sizeof ends / sizeof *ends && may; i++) {
        snprintf(path, sizeof path, "%s%s", name, ends[i]);
        may = faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0 || (errno == ENOENT && i > 0);
    }
    return may;
}

/* faccessat() knows nothing of Landlock, AppArmor and FUSE servers. */
static bool open_is_forbidden(const struct lite_conn *conn) {
    return conn->open_errno == EACCES || conn->open_errno == EPERM || conn->open_errno == EROFS;
}

/* SQLite's busy handler, for the n-th time in one wait: 0 gives up. */
static int open_nap(void *argument, int n) {
    (void)argument;
    (void)nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    return n < NAP_COUNT;
}

static int open_try_write(struct lite_conn *conn, int (*busy)(void *, int)) {
    sqlite3_busy_handler(conn->handle, busy, NULL);
    int code = lite_execute(conn->handle, "begin immediate; rollback");
    lite_watch_install(&conn->watch, conn->handle);
    return code;
}

/*
 * A file that was opened for writing, and is only read, is of a version of the format that this SQLite can't write. A new file
 * is left alone, because the program may still say how it is to be made. BEGIN IMMEDIATE tells of the files beside the database's
 * before it looks whether the lock is free, so it need not wait.
 */
static bool open_only_reads(struct lite_conn *conn, int *code) {
    struct stat status;
    if (sqlite3_db_readonly(conn->handle, "main") == 1)
        return conn->open_errno != 0;
    if (stat(conn->config->path, &status) != 0 || status.st_size == 0)
        return false;
    int tried = open_try_write(conn, NULL);
    *code = lite_conn_in_transaction(conn) ? tried : SQLITE_OK;
    return tried == SQLITE_READONLY;
}

/*
 * Where SQLite can't open a file for writing, or one of those beside it, it opens that for reading, and no write works as long
 * as the connection is open. Where it may be written, as when there was no descriptor for a moment, it is to be opened anew: by
 * this connection, or by all of the process if it is the shared memory, which SQLite opens once for all of them.
 */
static int open_check_writes(struct lite_conn *conn) {
    int code = SQLITE_OK;
    if (conn->role == LITE_READER || conn->config->mode == LITE_READ_ONLY || !conn->config->path)
        return SQLITE_OK;
    if (!open_only_reads(conn, &code) || open_is_forbidden(conn) || !open_may_be_written(conn))
        return code;
    if (!conn->open_errno && lite_wal_only_reads_memory(conn))
        lite_file_condemn(&conn->member);
    return SQLITE_READONLY;
}

/*
 * SQLite opens a file without reading it, so until it is admitted it disturbs no other. Where it was opened for reading
 * because open() for writing failed, no call has failed since, so that errno still tells why.
 */
static int open_file(struct lite_conn *conn, int flags) {
    bool replaced = true;
    int code = SQLITE_OK;
    for (int i = 0; replaced && i < OPEN_TRIES; i++) {
        sqlite3_close(conn->handle);
        conn->handle = NULL;
        errno = 0;
        code = open_name(conn, flags);
        int why = errno;
        if (code != SQLITE_OK || !conn->config->path)
            return code;
        conn->open_errno = sqlite3_db_readonly(conn->handle, "main") == 1 ? why : 0;
        code = open_admit(conn, &replaced);
    }
    return replaced ? SQLITE_CANTOPEN : code;
}

/*
 * Without mutexes, since a connection stays on its lane's thread; with a cache of its own, also in a program that has
 * enabled SQLite's shared cache, whose table locks would make reads wait for writes. Readers open for writing, too,
 * because WAL keeps its readers' marks in shared memory; only the writer creates a file.
 */
static int open_handle(struct lite_conn *conn) {
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_PRIVATECACHE;
    if (conn->config->mode == LITE_READ_ONLY)
        flags |= SQLITE_OPEN_READONLY;
    else if ((conn->config->mode == LITE_CREATE || !conn->config->path) && conn->role != LITE_READER)
        flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    else
        flags |= SQLITE_OPEN_READWRITE;
    conn->watch.abandoned = NULL;
    int code = open_file(conn, flags);
    if (code != SQLITE_OK)
        return code;
    lite_wal_spare(conn->handle, true);
    code = lite_harden(conn->handle, conn->role);
    if (code != SQLITE_OK)
        return code;
    uint64_t from_ns = conn->config->open_from_ns ? atomic_load(conn->config->open_from_ns) : 0;
    conn->watch.taken_ns = from_ns ? from_ns : lite_now_ns();
    conn->watch.locked_since_ns = from_ns;
    lite_watch_install(&conn->watch, conn->handle);
    code = open_configure(conn);
    if (code == SQLITE_OK)
        code = open_check_writes(conn);
    if (code == SQLITE_OK)
        code = lite_rules_install(conn); /* what was prepared before is prepared anew for it */
    if (code == SQLITE_OK)
        code = open_prepare_controls(conn);
    if (code == SQLITE_OK && conn->role == LITE_WRITER) /* in place of SQLite's own automatic checkpoints */
        sqlite3_wal_hook(conn->handle, open_count_wal_frames, conn);
    sqlite3_commit_hook(conn->handle, open_note_commit, conn);
    return code;
}

/* The same codes have other causes, and remedies, before a file is open. NULL: the code's usual hint. */
static const char *open_hint(const struct lite_conn *conn, int code, const char *sqlstate) {
    if ((code & 0xff) == SQLITE_CORRUPT)
        return strcmp(sqlstate, "XX001") == 0 ? "restore the file from a backup" : NULL;
    static const char beside[] =
        "a file in WAL mode needs files beside it, and they can't be made there: on read-only media "
        "add ?immutable=1 to the URL";
    if (code == SQLITE_READONLY_DIRECTORY || code == SQLITE_READONLY_CANTINIT)
        return beside;
    if (code == SQLITE_READONLY)
        return "it could not be opened for writing, as where the process has too many files open; submit it again";
    if ((code & 0xff) != SQLITE_CANTOPEN)
        return NULL;
    struct stat status;
    if (stat(conn->config->path, &status) == 0 && S_ISDIR(status.st_mode))
        return "this is a directory: name a file in it";
    if (access(conn->config->path, F_OK) != 0 && errno == ENOENT && conn->config->mode == LITE_READ_WRITE)
        return "there is no such file: check the path, or add ?mode=rwc to the URL to create it";
    if (access(conn->config->path, R_OK) == 0 && !conn->config->immutable)
        return beside;
    return NULL;
}

static void open_note_error(struct lite_conn *conn, int code) {
    bool has_words = conn->handle && sqlite3_extended_errcode(conn->handle) == code;
    const char *message = has_words ? sqlite3_errmsg(conn->handle) : sqlite3_errstr(code);
    const char *sqlstate = lite_sqlstate(code, message);
    const char *hint = conn->config->path ? open_hint(conn, code, sqlstate) : NULL;
    if (!hint) {
        lite_conn_error(conn, code, NULL, &conn->open_error);
        return;
    }
    error_set(&conn->open_error, sqlstate, message, NULL, hint, 0);
    conn->open_error.view.backend_code = code;
}

static void open_end(struct lite_conn *conn) {
    for (uint32_t i = 0; i < conn->config->statement_count; i++)
        lite_stmt_close(&conn->cache[i]);
    lite_stmt_close(&conn->once);
    for (int i = 0; i < LITE_CONTROL_COUNT; i++) {
        sqlite3_finalize(conn->control[i]);
        conn->control[i] = NULL;
    }
    int code = sqlite3_close(conn->handle);
    PRE(code == SQLITE_OK); /* else a statement was not finalized, and the handle would leak with its locks */
    conn->handle = NULL;
    lite_file_part(&conn->member);
    conn->unsettled = conn->rolled_back = false;
    lite_wal_move(conn, LITE_WAL_NOT_WANTED);
    conn->wal_frame_count = 0;
}

/* SQLite gives a handle for a file that it could not open, too: it holds the message, and has to be closed. */
bool lite_conn_open(struct lite_conn *conn) {
    PRE(!conn->handle);
    conn->verdict = (struct lite_verdict){0};
    int code = open_handle(conn);
    if (code == SQLITE_OK)
        return true;
    open_note_error(conn, code);
    open_end(conn);
    return false;
}

/*
 * The last connection to a file in WAL mode copies the log into the file as it is closed, and deletes the log. Where the memory
 * beside it can only be opened for reading, as when there was no descriptor for a moment, SQLite copies nothing and deletes the
 * log all the same, and what was in it is lost. So a connection may end a log only if it shows, right before, that it can write
 * all its files: their memory is mapped from then on. Of two that are closed at once one may find the lock taken by the other,
 * which goes first, so it waits a moment. A log that is left is found by whoever opens the file next.
 */
static void open_judge_end(struct lite_conn *conn) {
    bool can = sqlite3_db_readonly(conn->handle, "main") == 0 && !lite_handle_is_gone(conn->handle);
    lite_wal_spare(conn->handle, !can || open_try_write(conn, open_nap) != SQLITE_OK);
}

/* BEGIN IMMEDIATE would settle the page size of a new file, which the program may still choose. */
static bool open_has_new_file(sqlite3 *handle) {
    struct stat status;
    const char *schema;
    for (int i = 0; (schema = sqlite3_db_name(handle, i)); i++) {
        const char *name = sqlite3_db_filename(handle, schema);
        if (name && stat(name, &status) == 0 && status.st_size == 0)
            return true;
    }
    return false;
}

void lite_conn_judge_detach(struct lite_conn *conn) {
    PRE(conn->handle);
    if (lite_conn_in_transaction(conn) || open_has_new_file(conn->handle))
        return;
    open_judge_end(conn);
    lite_conn_roll_back(conn); /* BEGIN stands alone where memory ran out behind it */
}

void lite_conn_close(struct lite_conn *conn) {
    if (conn->handle && conn->role != LITE_READER) {
        if (lite_conn_in_transaction(conn))
            (void)lite_execute(conn->handle, "rollback");
        open_judge_end(conn);
    }
    open_end(conn);
}
