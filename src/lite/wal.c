/* SPDX-License-Identifier: MIT */
/*
 * WAL mode stands in the file's header, for all programs and for good, so a file must not be left in it where it can't be
 * used. SQLite itself writes the header first, and maps the memory that WAL needs with the next read: this program may be killed
 * between the two, and others that read meanwhile keep it from going back. So the memory is asked for first.
 */
#include "lite/conn.h"

#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* For each state the set of states that may follow it, as bits. */
static const uint8_t wal_moves[LITE_WAL_LATER + 1] = {
    [LITE_WAL_NOT_WANTED] = 1 << LITE_WAL_NOT_WANTED | 1 << LITE_WAL_WANTED,
    [LITE_WAL_WANTED] = 1 << LITE_WAL_NOT_WANTED | 1 << LITE_WAL_LATER,
    [LITE_WAL_LATER] = 1 << LITE_WAL_NOT_WANTED | 1 << LITE_WAL_WANTED,
};

void lite_wal_move(struct lite_conn *conn, enum lite_wal to) {
    PRE(wal_moves[conn->wal] >> to & 1);
    conn->wal = to;
}

/* Memory that is mapped there is not shared between machines: each would see a log of its own. */
static bool wal_on_network(const char *path) {
    static const uint32_t kinds[] = {NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC,
                                     V9FS_MAGIC,      AFS_SUPER_MAGIC, CEPH_SUPER_MAGIC};
    struct statfs status;
    if (statfs(path, &status) != 0)
        return false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if ((uint32_t)status.f_type == kinds[i])
            return true;
    return false;
}

static int wal_note_mode(void *is_wal, int count, char **values, char **names) {
    (void)names;
    *(bool *)is_wal = count == 1 && values[0] && strcmp(values[0], "wal") == 0;
    return 0;
}

/* "pragma journal_mode" answers with the mode that holds then. */
static int wal_mode_after(sqlite3 *handle, const char *pragma, bool *is_wal) {
    *is_wal = false;
    return sqlite3_exec(handle, pragma, wal_note_mode, is_wal, NULL);
}

int lite_wal_look(struct lite_conn *conn) {
    PRE(conn->handle && conn->config->path);
    bool is_wal;
    int code = wal_mode_after(conn->handle, "pragma journal_mode", &is_wal);
    if (code != SQLITE_OK)
        return code;
    bool can =
        conn->role != LITE_READER && !sqlite3_db_readonly(conn->handle, "main") && !wal_on_network(conn->config->path);
    lite_wal_move(conn, can && !is_wal ? LITE_WAL_WANTED : LITE_WAL_NOT_WANTED);
    return SQLITE_OK;
}

void lite_wal_spare(sqlite3 *handle, bool spared) {
    (void)sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, spared, NULL);
}

/* NULL: WAL mode is not for this file, or SQLite does not say. */
static sqlite3_file *wal_file(sqlite3 *handle) {
    sqlite3_file *file = NULL;
    (void)sqlite3_file_control(handle, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    return file && file->pMethods && file->pMethods->iVersion >= 2 && file->pMethods->xShmMap ? file : NULL;
}

/*
 * Maps the first block of the memory that WAL mode shares, as SQLite itself does; `makes`: also where there is none yet, with the
 * file's SHARED lock held. A connection has it until it is closed or leaves WAL mode; on one that is in another mode, wal_unmap()
 * has to undo it.
 */
static int wal_map(sqlite3 *handle, bool makes) {
    enum { BLOCK_BYTES = 32768 }; /* by the format of the memory */
    sqlite3_file *file = wal_file(handle);
    void volatile *block;
    return file ? file->pMethods->xShmMap(file, 0, BLOCK_BYTES, makes, &block) : SQLITE_CANTOPEN;
}

/* The file of that memory stays, also where the mode can't be changed after all: others may have it by now. */
static void wal_unmap(sqlite3 *handle) {
    sqlite3_file *file = wal_file(handle);
    if (file)
        (void)file->pMethods->xShmUnmap(file, 0);
}

/* SQLite puts the question in the same way, and since no memory is asked for beyond what is there, nothing is changed. */
bool lite_wal_only_reads_memory(const struct lite_conn *conn) {
    PRE(conn->handle);
    return (wal_map(conn->handle, false) & 0xff) == SQLITE_READONLY;
}

/*
 * Another connection to the file, which waits for locks as this one does. NULL: it can't be opened. One to a file that has
 * got the name meanwhile may not be read: it is not admitted (file.h). The log is left to the connection at work.
 */
static sqlite3 *wal_open_another(struct lite_conn *conn) {
    sqlite3 *handle;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_PRIVATECACHE;
    if (sqlite3_open_v2(conn->config->path, &handle, flags, NULL) == SQLITE_OK && !lite_handle_is_gone(handle) &&
        !lite_handle_is_gone(conn->handle)) {
        lite_wal_spare(handle, true);
        lite_watch_install(&conn->watch, handle);
        return handle;
    }
    sqlite3_close(handle);
    return NULL;
}

/* With the lock for itself, a connection needs no shared memory: it can read such a file, and change it back. */
static void wal_leave(struct lite_conn *conn) {
    bool is_wal;
    sqlite3 *handle = wal_open_another(conn);
    if (handle && lite_execute(handle, "pragma locking_mode=exclusive; pragma schema_version") == SQLITE_OK)
        (void)wal_mode_after(handle, "pragma journal_mode=delete", &is_wal);
    sqlite3_close(handle);
}

/*
 * Under the file's SHARED lock, as SQLite maps it: meanwhile nobody changes the mode, or is the last one in WAL mode and deletes
 * that memory's file. A connection that finds the file in WAL mode has mapped it for itself.
 */
static int wal_try_memory(sqlite3 *handle) {
    bool is_wal = false;
    int code = lite_execute(handle, "begin; pragma schema_version");
    if (code == SQLITE_OK)
        code = wal_mode_after(handle, "pragma journal_mode", &is_wal);
    if (code == SQLITE_OK && !is_wal) {
        code = wal_map(handle, true);
        wal_unmap(handle);
    }
    int ended = lite_execute(handle, "rollback");
    return code == SQLITE_OK ? ended : code;
}

/* The change, and the first read after it, which is to be neither cut short nor felt by the connection at work. */
static int wal_enter(struct lite_conn *conn) {
    bool is_wal = false, works = true;
    sqlite3 *handle = wal_open_another(conn);
    int code = handle ? wal_try_memory(handle) : SQLITE_CANTOPEN;
    if (code == SQLITE_OK)
        code = wal_mode_after(handle, "pragma journal_mode=wal", &is_wal);
    const atomic_uchar *abandoned = conn->watch.abandoned;
    conn->watch.abandoned = NULL;
    if (code == SQLITE_OK && is_wal) {
        int seen = lite_execute(handle, "pragma schema_version");
        works = seen == SQLITE_OK || (seen & 0xff) == SQLITE_BUSY;
    }
    sqlite3_close(handle);
    if (!works)
        wal_leave(conn);
    conn->watch.abandoned = abandoned;
    return code;
}

/* A new file gets its page size, encoding and the like with its first write, from the connection that was told them. */
static bool wal_is_empty(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && status.st_size == 0;
}

/* The connection at work reads, to know the file's mode. */
static void wal_notice(struct lite_conn *conn) {
    bool is_wal;
    (void)lite_execute(conn->handle, "pragma schema_version");
    if (wal_mode_after(conn->handle, "pragma journal_mode", &is_wal) == SQLITE_OK && is_wal &&
        lite_wal_only_reads_memory(conn))
        lite_file_condemn(&conn->member);
}

void lite_wal_enter(struct lite_conn *conn) {
    PRE(conn->wal == LITE_WAL_WANTED);
    if (lite_conn_in_transaction(conn) || wal_is_empty(conn->config->path))
        return;
    if (conn->hold_reads)
        conn->hold_reads(conn, true);
    int code = wal_enter(conn) & 0xff;
    if (conn->hold_reads)
        conn->hold_reads(conn, false);
    lite_wal_move(conn, code == SQLITE_BUSY || code == SQLITE_INTERRUPT ? LITE_WAL_LATER : LITE_WAL_NOT_WANTED);
    wal_notice(conn);
}
