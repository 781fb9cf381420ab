/* SPDX-License-Identifier: MIT */
/* The hosts of connection strings, of the environment and of service files; and the memory for those that lost time. */
#include "pg/hosts.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)

static void setup(void) {
    static const char *const names[] = {"PGHOST",    "PGHOSTADDR",           "PGPORT",       "PGCONNECT_TIMEOUT",
                                        "PGSERVICE", "PGTARGETSESSIONATTRS", "PGSERVICEFILE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

TestSuite(pg_hosts, .init = setup);

/* "host|address|port" of each, with a ? behind names that are looked up; static. */
static const char *hosts_of(const char *conninfo) {
    static char text[1000];
    struct pg_hosts *hosts = pg_hosts_new(conninfo);
    cr_assert(hosts);
    cr_assert_str_eq(hosts->conninfo, conninfo);
    text[0] = 0;
    for (uint32_t i = 0; i < hosts->count; i++) {
        const struct pg_host *host = &hosts->hosts[i];
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s%s|%s|%s", i ? "  " : "", host->host, host->is_name ? "?" : "",
                 host->address, host->port);
    }
    pg_hosts_drop(hosts);
    return text;
}

static uint64_t timeout_of(const char *conninfo) {
    struct pg_hosts *hosts = pg_hosts_new(conninfo);
    uint64_t timeout_ns = hosts->timeout_ns;
    pg_hosts_drop(hosts);
    return timeout_ns;
}

Test(pg_hosts, pg_hosts_new_reads_lists_as_libpq_does) {
    static const char *const rows[][2] = {
        /* one host is left to the connection string, unless it is a name */
        {"dbname=x", "||"},
        {"host=a", "a?||"},
        {"host=a port=1", "a?||"},
        {"postgresql://u:p@a:5433/x", "a?||"},
        {"postgresql://127.0.0.1/x", "||"},
        {"postgresql://[::1]:5433/x", "||"},
        {"host=/tmp", "||"},
        {"host=@abstract", "||"},
        {"host=a hostaddr=127.0.0.1", "||"},
        /* several */
        {"host=a,b", "a?||5432  b?||5432"},
        {"host=a,b port=1", "a?||1  b?||1"},
        {"host=a,b port=1,2", "a?||1  b?||2"},
        {"host=a,b port=,2", "a?||5432  b?||2"},
        {"postgresql://a:1,b,c:3/x", "a?||1  b?||5432  c?||3"},
        {"host=/tmp,127.0.0.1,::1,a", "/tmp||5432  127.0.0.1||5432  ::1||5432  a?||5432"},
        {"hostaddr=127.0.0.1,::1", "|127.0.0.1|5432  |::1|5432"},
        {"host=a,b hostaddr=127.0.0.1,127.0.0.2", "a|127.0.0.1|5432  b|127.0.0.2|5432"},
        {"host=a,b hostaddr=127.0.0.1,", "a|127.0.0.1|5432  b?||5432"},
        {"host=,b hostaddr=127.0.0.1,127.0.0.2", "127.0.0.1|127.0.0.1|5432  b|127.0.0.2|5432"},
        /* what is empty can be said to libpq in lists only */
        {"host=,b", ",||5432  b?||5432"},
        {"host=,b port=1,2", ",||1  b?||2"},
        {"host=/tmp,b hostaddr=,127.0.0.1", "/tmp,/tmp|,|5432  b|127.0.0.1|5432"},
        /* what libpq refuses is left to it */
        {"host=a,b port=1,2,3", "||"},
        {"host=a,b hostaddr=127.0.0.1", "||"},
        {"host=a,b sslmode=none-such", "a?||5432  b?||5432"},
        {"service=none-such", "||"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect_str_eq(hosts_of(rows[i][0]), rows[i][1], "%s: %s", rows[i][0], hosts_of(rows[i][0]));
}

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

Test(pg_hosts, pg_hosts_new_follows_the_environment_and_service_files) {
    char path[] = "/tmp/quring-service-XXXXXX";
    close(mkstemp(path));
    write_file(path, "[one]\nhost=s1,s2\nport=7,8\nconnect_timeout=4\n[two]\nhost=s3\n");
    cr_expect_eq(timeout_of("host=a"), 0);
    cr_expect_eq(timeout_of("host=a connect_timeout=3"), 3 * SECOND);
    cr_expect_eq(timeout_of("host=a connect_timeout=0"), 0);
    cr_expect_eq(timeout_of("host=a connect_timeout=-1"), 0);
    setenv("PGCONNECT_TIMEOUT", "5", 1);
    setenv("PGHOST", "e1,e2", 1);
    cr_expect_eq(timeout_of("dbname=x"), 5 * SECOND);
    cr_expect_eq(timeout_of("dbname=x connect_timeout=3"), 3 * SECOND);
    cr_expect_str_eq(hosts_of("dbname=x"), "e1?||5432  e2?||5432");
    cr_expect_str_eq(hosts_of("host=a,b"), "a?||5432  b?||5432");
    setenv("PGSERVICEFILE", path, 1);
    cr_expect_str_eq(hosts_of("service=one"), "s1?||7  s2?||8");
    cr_expect_str_eq(hosts_of("postgresql:///x?service=one&port=9"), "s1?||9  s2?||9");
    cr_expect_eq(timeout_of("service=one"), 4 * SECOND);
    cr_expect_eq(timeout_of("service=two"), 5 * SECOND);
    cr_expect_eq(timeout_of("service=one connect_timeout=3"), 3 * SECOND);
    setenv("PGSERVICE", "one", 1);
    cr_expect_str_eq(hosts_of("dbname=x"), "s1?||7  s2?||8");
    cr_expect_eq(timeout_of("dbname=x"), 4 * SECOND);
    unlink(path);
}

/* It asks for no user's name, reads no password file, and opens no socket. */
Test(pg_hosts, pg_hosts_new_touches_nothing) {
    int before = open("/dev/null", O_RDONLY | O_CLOEXEC), after;
    char path[] = "/tmp/quring-pass-XXXXXX";
    int file = mkstemp(path);
    cr_assert(file >= 0 && close(file) == 0 && unlink(path) == 0 && mkfifo(path, 0600) == 0);
    setenv("PGPASSFILE", path, 1); /* whoever opens it waits for a writer */
    cr_expect_str_eq(hosts_of("host=127.0.0.1,localhost"), "127.0.0.1||5432  localhost?||5432");
    close(before);
    after = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cr_expect_eq(after, before);
    close(after);
    unlink(path);
}

/* ---- Trouble ---- */

static struct pg_hosts *some(void) {
    struct pg_hosts *hosts = pg_hosts_new("host=a,b");
    cr_assert(hosts);
    return hosts;
}

Test(pg_hosts, pg_hosts_key_tells_hosts_and_addresses_apart) {
    struct pg_hosts *hosts = some();
    uint64_t keys[] = {pg_hosts_key(&hosts->hosts[0], ""),    pg_hosts_key(&hosts->hosts[0], NULL),
                       pg_hosts_key(&hosts->hosts[0], "::1"), pg_hosts_key(&hosts->hosts[0], "::2"),
                       pg_hosts_key(&hosts->hosts[1], ""),    pg_hosts_key(&hosts->hosts[1], "::1")};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        for (size_t j = 0; j < i; j++)
            cr_expect_neq(keys[i], keys[j]);
    pg_hosts_drop(hosts);
}

Test(pg_hosts, pg_hosts_put_last_holds_for_a_while) {
    struct pg_hosts *hosts = some();
    pg_hosts_put_last(hosts, 1, 100 * SECOND);
    cr_expect(pg_hosts_is_last(hosts, 1, 100 * SECOND));
    cr_expect(pg_hosts_is_last(hosts, 1, 129 * SECOND));
    cr_expect_not(pg_hosts_is_last(hosts, 2, 100 * SECOND));
    cr_expect_not(pg_hosts_is_last(hosts, 1, 130 * SECOND), "the first that asks tries it");
    cr_expect(pg_hosts_is_last(hosts, 1, 130 * SECOND), "and the next does not");
    pg_hosts_clear(hosts, 1);
    cr_expect_not(pg_hosts_is_last(hosts, 1, 130 * SECOND));
    pg_hosts_drop(hosts);
}

Test(pg_hosts, pg_hosts_stuck_counts_for_each_key) {
    struct pg_hosts *hosts = some();
    struct pg_trouble *trouble = NULL;
    for (int i = 0; i < PG_DETACHED_MAX; i++) {
        cr_expect_not(pg_hosts_is_stuck(hosts, 1));
        trouble = pg_hosts_stuck(hosts, 1);
    }
    cr_expect(pg_hosts_is_stuck(hosts, 1));
    cr_expect_not(pg_hosts_is_stuck(hosts, 2));
    pg_hosts_put_last(hosts, 1, SECOND);
    pg_hosts_clear(hosts, 1);
    cr_expect(pg_hosts_is_stuck(hosts, 1), "threads do not end because of that");
    atomic_fetch_sub(&trouble->stuck_count, 1);
    cr_expect_not(pg_hosts_is_stuck(hosts, 1));
    pg_hosts_drop(hosts);
}

/* With threads stuck at more than it has places for, nothing at all is tried until one of these ends. */
Test(pg_hosts, pg_hosts_stuck_is_bounded) {
    struct pg_hosts *hosts = some();
    struct pg_trouble *troubles[PG_TROUBLES + 1];
    for (uint64_t key = 0; key < PG_TROUBLES; key++)
        pg_hosts_put_last(hosts, 1000 + key, SECOND);
    for (uint64_t key = 0; key < PG_TROUBLES; key++) {
        troubles[key] = pg_hosts_stuck(hosts, key); /* takes the place of one that only was late */
        cr_expect_not(pg_hosts_is_stuck(hosts, 999));
    }
    troubles[PG_TROUBLES] = pg_hosts_stuck(hosts, PG_TROUBLES);
    cr_expect(pg_hosts_is_stuck(hosts, 999));
    atomic_fetch_sub(&troubles[PG_TROUBLES]->stuck_count, 1);
    cr_expect_not(pg_hosts_is_stuck(hosts, 999));
    for (uint64_t key = 0; key < PG_TROUBLES; key++)
        atomic_fetch_sub(&troubles[key]->stuck_count, 1);
    pg_hosts_put_last(hosts, 5000, SECOND);
    cr_expect(pg_hosts_is_last(hosts, 5000, SECOND), "their places are free again");
    pg_hosts_drop(hosts);
}
