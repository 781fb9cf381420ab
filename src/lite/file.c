/* SPDX-License-Identifier: MIT */
#include "lite/file.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * All files of the process: POSIX locks, and SQLite's account of them, are the process's, whatever engine a connection
 * belongs to. The lock is none of pthreads: in a child process, a mutex that another thread held at fork() would stay
 * locked. A child begins with no files, for it has no connections that it may use.
 */
static struct {
    atomic_int holder; /* the process whose thread holds the lock; 0: none */
    pid_t process;     /* that the list is of */
    struct list list;
} lite_files;

static const long LOCK_NAP_NS = 50000; /* it is held for a few hundred instructions, by threads that open or close */

static void files_lock(void) {
    int here = getpid(), holder = 0;
    while (!atomic_compare_exchange_strong(&lite_files.holder, &holder, here)) {
        if (holder != here) /* of the parent; it is taken over */
            continue;
        nanosleep(&(struct timespec){.tv_nsec = LOCK_NAP_NS}, NULL);
        holder = 0;
    }
    if (lite_files.process != here)
        list_init(&lite_files.list);
    lite_files.process = here;
}

static void files_unlock(void) {
    atomic_store(&lite_files.holder, 0);
}

/* For each state the set of states that may follow it, as bits. */
static const uint8_t file_moves[LITE_FILE_LEAVING + 1] = {
    [LITE_FILE_CURRENT] = 1 << LITE_FILE_LEAVING,
};

static void file_move(struct lite_file *file, enum lite_file_state to) {
    PRE(file_moves[atomic_load(&file->state)] >> to & 1);
    atomic_store(&file->state, to);
}

/* ---- With the lock ---- */

static struct lite_file *file_find(const char *name) {
    list_for_each(node, &lite_files.list) {
        struct lite_file *file = list_entry(node, struct lite_file, link);
        if (strcmp(file->name, name) == 0)
            return file;
    }
    return NULL;
}

static struct lite_file *file_new(const char *name, dev_t device, ino_t inode) {
    size_t size = strlen(name) + 1;
    struct lite_file *file = calloc(1, sizeof *file + size);
    if (!file)
        return NULL;
    file->device = device;
    file->inode = inode;
    memcpy(file->name, name, size);
    list_init(&file->members);
    lite_line_init(&file->line);
    list_push_back(&lite_files.list, &file->link);
    return file;
}

static void file_leave(struct lite_file *file) {
    if (atomic_load(&file->state) == LITE_FILE_CURRENT)
        file_move(file, LITE_FILE_LEAVING);
}

/* A connection that its lane does not use, held so that the lane does not begin to. NULL: all are at work. */
static struct lite_member *file_hold_idle(struct lite_file *file) {
    list_for_each(node, &file->members) {
        struct lite_member *member = list_entry(node, struct lite_member, link);
        if (pthread_mutex_trylock(&member->in_use) == 0)
            return member;
    }
    return NULL;
}

/* Admits, or sets `idle` to one that is to be closed first. */
static enum lite_admission file_try(struct lite_member *member, const char *name, dev_t device, ino_t inode,
                                    struct lite_member **idle) {
    struct lite_file *file = file_find(name);
    if (file && (file->device != device || file->inode != inode))
        file_leave(file);
    if (file && atomic_load(&file->state) == LITE_FILE_LEAVING) {
        *idle = file_hold_idle(file);
        return LITE_NOT_YET;
    }
    if (!file)
        file = file_new(name, device, inode);
    if (!file)
        return LITE_NO_MEMORY;
    member->file = file;
    list_push_back(&file->members, &member->link);
    return LITE_ADMITTED;
}

/* ---- Members ---- */

void lite_member_init(struct lite_member *member) {
    *member = (struct lite_member){0};
    list_init(&member->link);
    pthread_mutex_init(&member->in_use, NULL);
}

void lite_member_free(struct lite_member *member) {
    PRE(!member->file);
    pthread_mutex_destroy(&member->in_use);
}

static void member_evict(struct lite_member *member) {
    member->close(member);
    member->evicted = true;
    lite_member_leave(member);
}

enum lite_admission lite_file_admit(struct lite_member *member, const char *name, dev_t device, ino_t inode) {
    PRE(!member->file && member->close && name);
    enum lite_admission admission;
    struct lite_member *idle;
    do {
        idle = NULL;
        files_lock();
        admission = file_try(member, name, device, inode, &idle);
        files_unlock();
        if (idle)
            member_evict(idle);
    } while (idle);
    return admission;
}

void lite_file_condemn(struct lite_member *member) {
    PRE(member->file);
    files_lock();
    file_leave(member->file);
    files_unlock();
}

void lite_file_part(struct lite_member *member) {
    struct lite_file *file = member->file;
    if (!file)
        return;
    files_lock();
    list_remove(&member->link);
    bool last = list_empty(&file->members);
    if (last)
        list_remove(&file->link);
    files_unlock();
    member->file = NULL;
    if (!last)
        return;
    lite_line_free(&file->line);
    free(file);
}
