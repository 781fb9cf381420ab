/* SPDX-License-Identifier: MIT */
/* What happens to the file: reading leaves it as it is, the first write changes it to WAL where that can work. */
#include "lib/lite_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(file, .init = lite_setup, .fini = lite_teardown);

/* As another program leaves it. */
static void make_file(const char *mode) {
    sqlite3 *other;
    char sql[128];
    snprintf(sql, sizeof sql, "pragma journal_mode=%s; create table t(a); insert into t values(7)", mode);
    cr_assert_eq(sqlite3_open(bed_path(&bed, "a.db"), &other), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(other, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
}

enum { FILE_MAX = 1 << 16 };

static size_t read_file(uint8_t bytes[FILE_MAX]) {
    FILE *file = fopen(bed_path(&bed, "a.db"), "r");
    cr_assert(file);
    size_t size = fread(bytes, 1, FILE_MAX, file);
    fclose(file);
    return size;
}

static bool exists(const char *name) {
    return access(bed_path(&bed, name), F_OK) == 0;
}

/* In the header, as the file format says: 1 is a rollback journal, 2 is WAL. */
static int mode_in_header(void) {
    uint8_t bytes[FILE_MAX];
    cr_assert_geq(read_file(bytes), 100);
    cr_assert_eq(bytes[18], bytes[19]);
    return bytes[18];
}

/* ---- Reading ---- */

Test(file, reading_changes_nothing) {
    static const char *const reads[] = {"select a from t",        "explain insert into t values(1)",
                                        "pragma table_info(t)",   "pragma journal_mode",
                                        "pragma integrity_check", "with x as (select 1) select * from x, t"};
    static uint8_t before[FILE_MAX], after[FILE_MAX];
    make_file("delete");
    size_t size = read_file(before);
    for (int exclusive = 0; exclusive < 2; exclusive++) {
        bed_open(&bed, bed_url_with(&bed, "a.db", ""), &(quring_db_options){.exclusive = exclusive});
        for (size_t i = 0; i < sizeof reads / sizeof *reads; i++)
            must(reads[i]);
        if (exclusive) {
            must("begin");
            must("select * from t");
            must("commit");
        }
        cr_assert_not(exists("a.db-wal"));
        bed_close(&bed);
        cr_assert_eq(read_file(after), size);
        cr_assert_eq(memcmp(before, after, size), 0);
        cr_assert_not(exists("a.db-wal") || exists("a.db-shm") || exists("a.db-journal"));
    }
}

static void check_missing(const char *parameters, const char *hint, const char *sql) {
    bed_open(&bed, bed_url_with(&bed, "typo.db", parameters), NULL);
    struct query *query = exec(sql);
    bed_check(query, QURING_NOT_SENT, "08001", "unable to open database file");
    cr_assert(strstr(query->error.view.hint, hint), "%s", query->error.view.hint);
    bed_close(&bed);
    cr_assert_not(exists("typo.db") || exists("typo.db-journal") || exists("typo.db-wal"));
}

Test(file, a_mistyped_name_makes_no_file) {
    static const char *const texts[] = {"select 1", "create table if not exists t(a)", "insert into t values(1)"};
    for (int i = 0; i < 3; i++) {
        check_missing("", "?mode=rwc", texts[i]);
        check_missing("?mode=rw", "?mode=rwc", texts[i]);
        check_missing("?mode=ro", "check the path", texts[i]);
        check_missing("?immutable=1", "check the path", texts[i]);
    }
}

/* ---- The first write ---- */

static void check_first_write(const quring_db_options *options, const char *sql, int mode) {
    make_file("delete");
    bed_open(&bed, bed_url_with(&bed, "a.db", ""), options);
    must("select * from t");
    cr_assert_eq(mode_in_header(), 1);
    must(sql);
    cr_assert_eq(mode_in_header(), mode, "%s", sql);
    must("select * from t");
    must("insert into t values(9)");
    bed_close(&bed);
    unlink(bed_path(&bed, "a.db"));
}

Test(file, the_first_write_enters_wal) {
    check_first_write(NULL, "insert into t values(8)", 2);
    check_first_write(NULL, "with x as (select 1) insert into t select * from x", 2);
    check_first_write(NULL, "create index i on t(a)", 2);
    check_first_write(NULL, "vacuum", 2);
    check_first_write(&(quring_db_options){.exclusive = true}, "insert into t values(8)", 2);
    check_first_write(NULL, "pragma user_version=5", 1);
}

Test(file, groups_enter_it_too) {
    make_file("delete");
    bed_open(&bed, bed_url(&bed, "a.db"), NULL);
    for (int i = 0; i < 20; i++) {
        struct query *query = bed_query(&bed, "insert into t values(8)", NULL, 0);
        query->commit = QURING_COMMIT_GROUP;
        bed_submit(&bed, query);
    }
    bed_drain(&bed);
    cr_assert_eq(mode_in_header(), 2);
    cr_assert_eq(bed_int(exec("select count(*) from t"), 0, 0), 21);
}

Test(file, a_new_file_is_the_caller_s_to_shape) {
    bed_open(&bed, bed_url(&bed, "new.db"), &(quring_db_options){.exclusive = true});
    must("pragma page_size=8192");
    must("create table t(a)");
    cr_assert_eq(bed_int(exec("pragma page_size"), 0, 0), 8192);
    cr_assert_str_eq(bed_text(exec("pragma journal_mode"), 0, 0), "wal");
}

Test(file, a_mode_that_the_caller_chose_stays) {
    make_file("delete");
    bed_open(&bed, bed_url(&bed, "a.db"), &(quring_db_options){.exclusive = true});
    must("pragma journal_mode=truncate");
    must("insert into t values(8)");
    cr_assert_eq(mode_in_header(), 1);
    must("pragma journal_mode=wal");
    must("pragma journal_mode=delete");
    must("insert into t values(8)");
    cr_assert_eq(mode_in_header(), 1);
}

Test(file, a_mode_that_was_refused_changes_nothing) {
    static const char *const refused[] = {"pragma journal_mode=delete", "explain pragma main.journal_mode(truncate)"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        unlink(bed_path(&bed, "a.db"));
        make_file("delete");
        bed_open(&bed, bed_url(&bed, "a.db"), NULL);
        bed_check(exec(refused[i]), QURING_SERVER_ERROR, "0A000", "options.exclusive");
        must("insert into t values(8)");
        bed_close(&bed);
        cr_assert_eq(mode_in_header(), 2, "%s", refused[i]);
    }
}

Test(file, not_within_a_transaction) {
    make_file("delete");
    bed_open(&bed, bed_url(&bed, "a.db"), &(quring_db_options){.exclusive = true});
    must("begin");
    must("insert into t values(8)");
    must("rollback");
    cr_assert_eq(mode_in_header(), 1);
    must("begin immediate");
    must("insert into t values(8)");
    must("commit");
    cr_assert_eq(mode_in_header(), 2);
}

/* ---- Where WAL can't be used ---- */

/* Another program reads at the moment: what can be written in the file's own mode is written, WAL comes when it can. */
Test(file, others_that_read_keep_it_from_wal_for_a_while) {
    sqlite3 *other;
    make_file("delete");
    bed_open(&bed, bed_url(&bed, "a.db"), &(quring_db_options){.busy_timeout_ns = 20000000});
    cr_assert_eq(sqlite3_open(bed_path(&bed, "a.db"), &other), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(other, "begin; select * from t", NULL, NULL, NULL), SQLITE_OK);
    bed_check(exec("insert into t values(8)"), QURING_SERVER_ERROR, "55P03", "locked");
    cr_assert_eq(mode_in_header(), 1);
    cr_assert_eq(bed_int(exec("select count(*) from t"), 0, 0), 1);
    sqlite3_close(other);
    must("insert into t values(8)");
    cr_assert_eq(mode_in_header(), 2);
    cr_assert_eq(bed_int(exec("select count(*) from t"), 0, 0), 2);
}

static sqlite3_vfs *real_vfs;
static const sqlite3_io_methods *real_methods;
static sqlite3_io_methods without_memory;
static int maps_left;        /* that work */
static bool was_in_wal_mode; /* by what was written to the header */

static bool was_locked; /* when the memory was first asked for: nobody could have it for himself */

static void note_lock(void) {
    sqlite3 *other;
    cr_assert_eq(sqlite3_open_v2(bed_path(&bed, "a.db"), &other, SQLITE_OPEN_READWRITE, real_vfs->zName), SQLITE_OK);
    was_locked = sqlite3_exec(other, "begin exclusive", NULL, NULL, NULL) == SQLITE_BUSY;
    sqlite3_close(other);
}

static int no_memory(sqlite3_file *file, int page, int size, int extend, void volatile **out) {
    static bool asked;
    if (!asked)
        note_lock();
    asked = true;
    if (maps_left-- > 0)
        return real_methods->xShmMap(file, page, size, extend, out);
    *out = NULL;
    return SQLITE_IOERR_SHMMAP;
}

static int write_noted(sqlite3_file *file, const void *from, int size, sqlite3_int64 at) {
    was_in_wal_mode |= at == 0 && size > 18 && ((const uint8_t *)from)[18] == 2;
    return real_methods->xWrite(file, from, size, at);
}

static int open_without_memory(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out) {
    (void)vfs;
    int code = real_vfs->xOpen(real_vfs, name, file, flags, out);
    if (code == SQLITE_OK && flags & SQLITE_OPEN_MAIN_DB) {
        real_methods = file->pMethods;
        without_memory = *real_methods;
        without_memory.xShmMap = no_memory;
        without_memory.xWrite = write_noted;
        file->pMethods = &without_memory;
    }
    return code;
}

static void insert_without_memory(int maps) {
    static sqlite3_vfs vfs;
    maps_left = maps;
    make_file("delete");
    real_vfs = sqlite3_vfs_find(NULL);
    vfs = *real_vfs;
    vfs.zName = "without memory";
    vfs.xOpen = open_without_memory;
    vfs.pNext = NULL;
    cr_assert_eq(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
    bed_open(&bed, bed_url(&bed, "a.db"), NULL);
    for (int i = 0; i < 5; i++) {
        must("insert into t values(8)");
        cr_assert_eq(bed_int(exec("select count(*) from t"), 0, 0), i + 2);
        cr_assert_eq(mode_in_header(), 1);
    }
    cr_assert_str_eq(bed_text(exec("pragma journal_mode"), 0, 0), "delete");
    bed_close(&bed);
    cr_assert_not(exists("a.db-wal"));
    cr_assert(was_locked);
}

/* A file system that can't share memory: the file is as usable as before, for us and for others, and at each moment. */
Test(file, without_shared_memory_it_stays_as_it_is) {
    insert_without_memory(0);
    cr_assert_not(was_in_wal_mode);
}

Test(file, without_shared_memory_any_more_it_goes_back) {
    insert_without_memory(1);
    cr_assert(was_in_wal_mode);
}

/* ---- No descriptor for a moment ---- */

static const char *refused_end; /* of the name that is not opened for writing, that many times */
static int refusals_left;
static int opens_before; /* which work */
static int (*real_open)(const char *, int, int);

static int open_at_times_refused(const char *name, int flags, int mode) {
    size_t length = strlen(name), size = strlen(refused_end);
    if (refusals_left > 0 && (flags & O_RDWR) && length >= size && strcmp(name + length - size, refused_end) == 0 &&
        opens_before-- <= 0) {
        refusals_left--;
        errno = EMFILE;
        return -1;
    }
    return real_open(name, flags, mode);
}

static void refuse(const char *end, int count) {
    refused_end = end;
    refusals_left = count;
    opens_before = 0;
}

static void begin_refusing(void) {
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    refuse("", 0);
    real_open = (int (*)(const char *, int, int))vfs->xGetSystemCall(vfs, "open");
    cr_assert_eq(vfs->xSetSystemCall(vfs, "open", (sqlite3_syscall_ptr)open_at_times_refused), SQLITE_OK);
}

static void end_refusing(void) {
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    cr_assert_eq(vfs->xSetSystemCall(vfs, "open", NULL), SQLITE_OK);
}

/* Another program reads the file, and so keeps those beside it there. */
static pid_t begin_reader(void) {
    int told[2];
    char byte;
    cr_assert_eq(pipe(told), 0);
    pid_t reader = fork();
    if (reader == 0) {
        sqlite3 *other;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (sqlite3_open(bed_path(&bed, "a.db"), &other) == SQLITE_OK &&
            sqlite3_exec(other, "begin; select * from t", NULL, NULL, NULL) == SQLITE_OK && write(told[1], "", 1) == 1)
            pause();
        _exit(1);
    }
    cr_assert_eq(read(told[0], &byte, 1), 1);
    close(told[0]);
    close(told[1]);
    return reader;
}

static void check_refused_once(const char *end) {
    bed_open(&bed, bed_url_with(&bed, "a.db", ""), NULL);
    refuse(end, 1);
    bed_check(exec("insert into t values(8)"), QURING_NOT_SENT, "25006", "readonly");
    cr_assert_eq(refusals_left, 0, "%s", end);
    must("insert into t values(8)");
    bed_close(&bed);
}

/* SQLite opens a file that it can't open for writing for reading, and no write would ever work again. */
Test(file, no_descriptor_for_a_moment_is_no_file_that_can_be_read_alone) {
    make_file("wal");
    pid_t reader = begin_reader();
    begin_refusing();
    check_refused_once("a.db");
    check_refused_once("-wal");
    check_refused_once("-shm");
    end_refusing();
    kill(reader, SIGKILL);
    cr_assert_eq(waitpid(reader, NULL, 0), reader);
}

/* WAL mode's memory is opened to see if it can be, by the change, and by the connection that goes on. */
Test(file, no_descriptor_while_it_is_changed_to_wal) {
    static const int modes[] = {1, 2, 2};
    begin_refusing();
    for (int before = 0; before < 3; before++) {
        make_file("delete");
        bed_open(&bed, bed_url_with(&bed, "a.db", ""), NULL);
        refuse("-shm", 1);
        opens_before = before;
        if (before < 2)
            must("insert into t values(8)");
        else
            bed_check(exec("insert into t values(8)"), QURING_SERVER_ERROR, "25006", "readonly");
        cr_assert_eq(refusals_left, 0);
        cr_assert_eq(mode_in_header(), modes[before]);
        must("insert into t values(9)");
        cr_assert_eq(number("select count(*) from t where a = 9"), 1);
        bed_close(&bed);
        unlink(bed_path(&bed, "a.db"));
    }
    end_refusing();
}

/* What was set on its connection is gone with it. */
Test(file, no_descriptor_while_an_exclusive_handle_changes_it_to_wal) {
    make_file("delete");
    bed_open(&bed, bed_url_with(&bed, "a.db", ""), &(quring_db_options){.exclusive = true});
    begin_refusing();
    refuse("-shm", 1);
    opens_before = 2;
    bed_check(exec("insert into t values(8)"), QURING_SERVER_ERROR, "25006", "readonly");
    bed_check(exec("insert into t values(8)"), QURING_NOT_SENT, "58030", "memory");
    bed_close(&bed);
    end_refusing();
    bed_open(&bed, bed_url_with(&bed, "a.db", ""), &(quring_db_options){.exclusive = true});
    must("insert into t values(8)");
    bed_close(&bed);
}

/* It would wait for its own lock until busy_timeout_ns passed, before each write. */
Test(file, an_exclusive_handle_that_keeps_its_locks_does_not_change_it_to_wal) {
    make_file("delete");
    begin_refusing();
    bed_open(&bed, bed_url_with(&bed, "a.db", ""), &(quring_db_options){.exclusive = true});
    must("pragma locking_mode=exclusive");
    refuse("a.db", 1);
    opens_before = 9;
    must("insert into t values(8)");
    must("insert into t values(9)");
    cr_assert_eq(opens_before, 9, "a second connection was opened");
    cr_assert_eq(mode_in_header(), 1);
    bed_close(&bed);
    end_refusing();
}

static struct lite_bed neighbour; /* its handle is another one on the same file */

static void neighbour_must(const char *sql) {
    struct query *query = bed_submit(&neighbour, bed_query(&neighbour, sql, NULL, 0));
    bed_drain(&neighbour);
    bed_check(query, QURING_OK, "", "");
}

/* The file and its log are opened by each connection for itself. */
static void check_refused_beside_a_neighbour(const char *end) {
    refuse(end, 3);
    bed_open(&bed, bed_url_with(&bed, "a.db", ""), NULL);
    for (int i = 0; i < 3; i++)
        bed_check(exec("insert into t values(8)"), QURING_NOT_SENT, "25006", "readonly");
    cr_assert_eq(refusals_left, 0);
    cr_assert_eq(number("select count(*) from t"), 1);
    neighbour_must("insert into t values(8)");
    bed_check(exec("insert into t values(8)"), QURING_SERVER_ERROR, "55P03", "locked");
    bed_close(&bed);
}

Test(file, no_descriptor_for_one_connection_leaves_the_others_open) {
    make_file("wal");
    bed_begin(&neighbour);
    bed_open(&neighbour, bed_url_with(&bed, "a.db", ""), &(quring_db_options){.exclusive = true});
    neighbour_must("begin immediate");
    begin_refusing();
    check_refused_beside_a_neighbour("a.db");
    check_refused_beside_a_neighbour("-wal");
    end_refusing();
    neighbour_must("commit");
    cr_assert_eq(neighbour.db->counters.connect_count, 1);
    bed_end(&neighbour);
}

/* SQLite opens the shared memory once for all connections of the process, and that by whichever is the first. */
Test(file, no_descriptor_for_the_shared_memory_concerns_all_connections) {
    make_file("wal");
    pid_t reader = begin_reader();
    begin_refusing();
    bed_begin(&neighbour);
    bed_open(&neighbour, bed_url_with(&bed, "a.db", "?mode=ro"), NULL);
    refuse("-shm", 1);
    neighbour_must("select a from t");
    cr_assert_eq(refusals_left, 0);
    bed_open(&bed, bed_url_with(&bed, "a.db", ""), NULL);
    bed_check(exec("insert into t values(8)"), QURING_NOT_SENT, "25006", "readonly");
    must("insert into t values(8)");
    neighbour_must("select a from t");
    end_refusing();
    bed_close(&bed);
    bed_end(&neighbour);
    kill(reader, SIGKILL);
    cr_assert_eq(waitpid(reader, NULL, 0), reader);
}

/* ---- Read-only media ---- */

/* As Landlock, AppArmor and FUSE servers do it. */
static int open_never_for_writing(const char *name, int flags, int mode) {
    if ((flags & O_ACCMODE) == O_RDONLY || !strstr(name, "a.db"))
        return real_open(name, flags, mode);
    errno = EACCES;
    return -1;
}

static void check_it_is_read(const quring_db_options *options) {
    bed_open(&bed, bed_url_with(&bed, "a.db", ""), options);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(number("select a from t"), 7);
        bed_check(exec("insert into t values(8)"), QURING_SERVER_ERROR, "25006", "readonly");
    }
    cr_assert_eq(bed.db->counters.connect_failure_count, 0);
    bed_close(&bed);
}

/* faccessat() says that it may be written. */
Test(file, one_that_is_kept_from_writes_by_other_rules_than_its_mode_is_read) {
    pid_t reader;
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    for (int wal = 0; wal < 2; wal++) {
        make_file(wal ? "wal" : "delete");
        reader = wal ? begin_reader() : 0;
        real_open = (int (*)(const char *, int, int))vfs->xGetSystemCall(vfs, "open");
        cr_assert_eq(vfs->xSetSystemCall(vfs, "open", (sqlite3_syscall_ptr)open_never_for_writing), SQLITE_OK);
        check_it_is_read(NULL);
        check_it_is_read(&(quring_db_options){.exclusive = true});
        cr_assert_eq(vfs->xSetSystemCall(vfs, "open", NULL), SQLITE_OK);
        cr_assert(!wal || (kill(reader, SIGKILL) == 0 && waitpid(reader, NULL, 0) == reader));
        unlink(bed_path(&bed, "a.db"));
    }
}

/* Byte 18 is the version that a program must know for writing it, byte 19 that for reading it. */
Test(file, one_of_a_version_that_sqlite_can_only_read_is_read) {
    make_file("delete");
    FILE *file = fopen(bed_path(&bed, "a.db"), "r+");
    cr_assert(file && fseek(file, 18, SEEK_SET) == 0 && fputc(3, file) == 3 && fclose(file) == 0);
    check_it_is_read(NULL);
    check_it_is_read(&(quring_db_options){.exclusive = true});
}

Test(file, immutable) {
    make_file("delete");
    bed_open(&bed, bed_url_with(&bed, "a.db", "?immutable=1"), NULL);
    cr_assert_eq(bed_int(exec("select a from t"), 0, 0), 7);
    bed_check(exec("insert into t values(1)"), QURING_SERVER_ERROR, "25006", "readonly");
    bed_close(&bed);
}

/* Root may write anywhere, and is somebody else for this. */
Test(file, a_wal_file_where_nothing_can_be_made) {
    enum { NOBODY = 65534 };
    bool root = geteuid() == 0;
    make_file("wal");
    cr_assert(!root ||
              (chown(bed.directory, NOBODY, NOBODY) == 0 && chown(bed_path(&bed, "a.db"), NOBODY, NOBODY) == 0));
    cr_assert_eq(chmod(bed.directory, 0500), 0);
    cr_assert(!root || seteuid(NOBODY) == 0);
    bed_open(&bed, bed_url_with(&bed, "a.db", "?mode=ro"), NULL);
    struct query *query = exec("select a from t");
    bed_check(query, QURING_NOT_SENT, "25006", "readonly");
    cr_assert(strstr(query->error.view.hint, "immutable=1"), "%s", query->error.view.hint);
    bed_close(&bed);
    bed_open(&bed, bed_url_with(&bed, "a.db", "?immutable=1"), NULL);
    cr_assert_eq(bed_int(exec("select a from t"), 0, 0), 7);
    bed_close(&bed);
    cr_assert(!root || seteuid(0) == 0);
    cr_assert_eq(chmod(bed.directory, 0700), 0);
}

Test(file, a_directory_is_called_one) {
    cr_assert_eq(mkdir(bed_path(&bed, "a.db"), 0700), 0);
    bed_open(&bed, bed_url(&bed, "a.db"), NULL);
    struct query *query = exec("select 1");
    bed_check(query, QURING_NOT_SENT, "08001", "unable to open");
    cr_assert(strstr(query->error.view.hint, "directory"), "%s", query->error.view.hint);
    bed_close(&bed);
    cr_assert_eq(rmdir(bed_path(&bed, "a.db")), 0);
}

Test(file, a_damaged_one_gets_a_hint_that_can_be_followed) {
    make_file("delete");
    FILE *file = fopen(bed_path(&bed, "a.db"), "r+");
    fseek(file, 100, SEEK_SET);
    for (int i = 0; i < 200; i++)
        fputc(0xff, file);
    fclose(file);
    bed_open(&bed, bed_url(&bed, "a.db"), NULL);
    struct query *query = exec("select * from t");
    bed_check(query, QURING_NOT_SENT, "XX001", "malformed");
    cr_assert_null(strstr(query->error.view.hint, "integrity_check"));
    cr_assert(strstr(query->error.view.hint, "backup"));
    bed_close(&bed);
}

/* ---- Locked, deleted, replaced ---- */

static uint32_t reader_naps;

static void count_nap(struct lite_watch *watch) {
    (void)watch;
    reader_naps++;
}

/* The writer has waited already, and readers need not wait as long again to say so. */
Test(file, a_lock_at_open_is_waited_for_once) {
    sqlite3 *other;
    make_file("delete");
    bed_open(&bed, bed_url_with(&bed, "a.db", ""), &(quring_db_options){.connection_count = 1});
    struct lite_db *lite = base_container_of(bed.db, struct lite_db, base);
    lite->lanes[1].conn.watch.pause = count_nap;
    cr_assert_eq(sqlite3_open(bed_path(&bed, "a.db"), &other), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(other, "begin exclusive", NULL, NULL, NULL), SQLITE_OK);
    bed_check(exec("select a from t"), QURING_NOT_SENT, "55P03", "locked");
    cr_assert_eq(reader_naps, 1, "%u", reader_naps);
    sqlite3_close(other);
    cr_assert_eq(bed_int(exec("select a from t"), 0, 0), 7);
}

Test(file, a_deleted_one_is_not_written) {
    make_file("wal");
    bed_open(&bed, bed_url_with(&bed, "a.db", ""), NULL);
    must("insert into t values(8)");
    cr_assert_eq(bed_int(exec("select count(*) from t"), 0, 0), 2);
    unlink(bed_path(&bed, "a.db"));
    bed_check(exec("insert into t values(9)"), QURING_NOT_SENT, "58P01", "deleted or replaced");
    struct query *query = exec("insert into t values(9)");
    bed_check(query, QURING_NOT_SENT, "08001", "unable to open");
    cr_assert(strstr(query->error.view.hint, "?mode=rwc"));
    unlink(bed_path(&bed, "a.db-wal"));
    unlink(bed_path(&bed, "a.db-shm"));
    make_file("wal");
    must("insert into t values(10)");
    cr_assert_eq(bed_int(exec("select sum(a) from t"), 0, 0), 17, "readers have the new one, too");
}

Test(file, a_replaced_one_is_noticed_by_readers_alone) {
    make_file("wal");
    bed_open(&bed, bed_url_with(&bed, "a.db", ""), &(quring_db_options){.connection_count = 2});
    cr_assert_eq(bed_int(exec("select count(*) from t"), 0, 0), 1);
    unlink(bed_path(&bed, "a.db"));
    unlink(bed_path(&bed, "a.db-wal"));
    unlink(bed_path(&bed, "a.db-shm"));
    make_file("delete");
    sqlite3 *other;
    cr_assert_eq(sqlite3_open(bed_path(&bed, "a.db"), &other), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(other, "insert into t values(8)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    uint32_t kept = bed.query_count;
    while (bed_int(exec("select count(*) from t"), 0, 0) == 1) /* the old one, until a reader looks again */
        bed_reuse(&bed, kept);
    cr_assert_eq(bed_int(exec("select sum(a) from t"), 0, 0), 15);
}

/* A write that its foreign key forbids must not get through because the connection is another. */
Test(file, a_replaced_one_ends_a_handle_with_settings) {
    make_file("wal");
    bed_open(&bed, bed_url_with(&bed, "a.db", ""), NULL);
    must("pragma foreign_keys = on");
    must("create unique index t_a on t(a)");
    must("create table child(a references t(a))");
    bed_check(exec("insert into child values(99)"), QURING_SERVER_ERROR, "23503", "FOREIGN KEY");
    unlink(bed_path(&bed, "a.db"));
    unlink(bed_path(&bed, "a.db-wal"));
    unlink(bed_path(&bed, "a.db-shm"));
    make_file("wal");
    bed_check(exec("insert into t values(9)"), QURING_NOT_SENT, "58P01", "deleted or replaced");
    bed_check(exec("insert into t values(9)"), QURING_NOT_SENT, "58P01", "deleted or replaced");
}

Test(file, a_replaced_one_ends_an_exclusive_handle) {
    make_file("delete");
    bed_open(&bed, bed_url_with(&bed, "a.db", ""), &(quring_db_options){.exclusive = true});
    must("pragma journal_mode=delete");
    must("begin");
    must("insert into t values(8)");
    unlink(bed_path(&bed, "a.db"));
    unlink(bed_path(&bed, "a.db-journal"));
    make_file("delete");
    bed_check(exec("commit"), QURING_NOT_SENT, "58P01", "deleted or replaced");
    bed_check(exec("select 1"), QURING_NOT_SENT, "58P01", "deleted or replaced");
}
