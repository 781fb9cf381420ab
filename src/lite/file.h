/* SPDX-License-Identifier: MIT */
/*
 * The database files that this process has open, each by the name under which SQLite opened it, and their connections.
 *
 * Beside a file in WAL mode SQLite maps NAME-shm. A connection that finds no lock on that takes itself for the first one, and
 * truncates it; but the locks are POSIX locks, which a process does not see of itself, and SQLite keeps its own account by
 * the file's inode. Once another file has the name, by rename(), the first connection to it would therefore take the
 * memory away under the statements on the old one, whose thread ends with SIGBUS; and the last connection to the old one
 * would drop the locks of the new ones with its end (sqlite.org/howtocorrupt.html, 2.2). So only connections to one and the
 * same file are open under a name at any time:
 *
 *      (none) --the first is admitted--> CURRENT --it lost its name--> LEAVING --the last is closed--> (none)
 *                                           \------the last is closed---------------------------------->
 *
 *   CURRENT   admits connections to the same file
 *   LEAVING   admits none. A connection at work is closed by its lane, when that has ended its run of queries; an idle one by
 *             whichever thread waits for the name, since its lane may have nothing to do for long
 */
#ifndef QURING_LITE_FILE_H
#define QURING_LITE_FILE_H

#include "base/assert.h"
#include "base/list.h"
#include "lite/line.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

enum lite_file_state { LITE_FILE_CURRENT, LITE_FILE_LEAVING };

/* Its list and its end are under a lock that file.c has for all files. */
struct lite_file {
    struct list link;
    struct list members;
    _Atomic(enum lite_file_state) state; /* moved by file_move() alone; read without the lock, too */
    struct lite_line line;               /* of those that want to write it */
    dev_t device;
    ino_t inode;
    char name[];
};

/* A connection's part. Whoever touches the connection holds `in_use`: its lane for the length of a job. */
struct lite_member {
    struct list link;
    struct lite_file *file; /* NULL: admitted to none */
    pthread_mutex_t in_use;
    bool evicted;                              /* closed by another thread, and its lane has not noticed yet */
    void (*close)(struct lite_member *member); /* ends with lite_file_part(); set before it is admitted */
};

void lite_member_init(struct lite_member *member);
void lite_member_free(struct lite_member *member);

/* Around all work on the connection, its closing included. Waits for another thread that closes it, and for nothing else. */
static inline void lite_member_enter(struct lite_member *member) {
    pthread_mutex_lock(&member->in_use);
}

static inline void lite_member_leave(struct lite_member *member) {
    pthread_mutex_unlock(&member->in_use);
}

enum lite_admission { LITE_ADMITTED, LITE_NOT_YET, LITE_NO_MEMORY };

/*
 * Admits a connection that has `name` open as that inode, but has not read it yet. Where connections to another file are open
 * under the name, closes those that are idle. NOT_YET: others are at work; to be asked again in a while.
 */
enum lite_admission lite_file_admit(struct lite_member *member, const char *name, dev_t device, ino_t inode);

/*
 * The member's file lost its name, or the memory that all connections to it share can't be written: so its lanes open what has
 * the name then, each before its next run.
 */
void lite_file_condemn(struct lite_member *member);

/* The member's connection is closed. Nothing happens to one that was not admitted. */
void lite_file_part(struct lite_member *member);

static inline bool lite_file_is_leaving(const struct lite_member *member) {
    return member->file && atomic_load_explicit(&member->file->state, memory_order_relaxed) == LITE_FILE_LEAVING;
}

#endif
