/* SPDX-License-Identifier: MIT */
/* Connection strings that are refused, and that nothing of a password comes out with the refusal. */
#include "pg/url.h"

#include <criterion/criterion.h>
#include <string.h>

static char message[512];
static const char *libpq_says; /* instead of reading the string; NULL: it reads it */

void *__real_PQconninfoParse(const char *conninfo, char **why);
void *__wrap_PQconninfoParse(const char *conninfo, char **why);

void *__wrap_PQconninfoParse(const char *conninfo, char **why) {
    if (!libpq_says)
        return __real_PQconninfoParse(conninfo, why);
    *why = *libpq_says ? strdup(libpq_says) : NULL; /* PQfreemem() is free() */
    return NULL;
}

static int check(const char *url) {
    message[0] = 0;
    return pg_url_check(url, message, sizeof message);
}

/* Each has the password "s3cret", or a part of it, where libpq does not look for one. */
Test(pg_url, pg_url_check_lets_no_password_out) {
    static const char *const urls[] = {
        "postgresql://user:s3cret/x@host/db",
        "postgresql://user:s3cr%65t/x@host/db",
        "postgresql://user:12/s3cret@127.0.0.1:5432/db",
        "postgresql://user:p@s3cret@host/db",
        "postgresql://user:p@s3cret/x@host/db",
        "postgresql://user:p/s3cret",
        "postgresql://user:s3cret",
        "postgresql://user:s3cret?x/y@host/db",
        "postgresql://user:%zzs3cret@host/db",
        "postgresql://user:s3cret%@host/db",
        "postgresql://user@host/db?pasword=s3cret&s3cret",
        "postgresql://user@host/db?passw%6Frd=a&s3cret=b",
        "postgresql://user@host:s3cret/db",
        "postgresql://a:5432,b:s3cret/db",
        "postgresql://user@[::1:s3cret/db",
        "postgresql://user@[::1]s3cret/db",
        "host=h port=s3cret",
        "host=h port=5432,s3cret",
        "user=u password=a s3cret",
        "user=u password=a s3cret=b",
        "user=u password=a \"s3cret b",
        "user=u password=a b\"s3cret\"c",
        "user=u password='s3cret",
        "user=u passwd=a s3cret",
        "host=h;user=u;password=s3cret",
        "host=h,user=u,password=s3cret",
        "Server=h;Database=x;Uid=u;Pwd=s3cret",
        "host=h;Uid=u;Pwd=s3cret",
        "hostaddr=127.0.0.1;Password=s3cret",
        "host=h user=u;password=s3cret dbname=x",
        "host=h port=5432 dbname='user=u password=s3cret'",
        "postgresql://h/db&password=s3cret",
        "postgresql:///db?host=h;password=s3cret",
    };
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        cr_expect_eq(check(urls[i]), QURING_EURL, "%s", urls[i]);
        cr_expect(message[0], "%s", urls[i]);
        cr_expect(!strstr(message, "s3cret") && !strstr(message, "s3cr") && !strstr(message, "3cret"), "%s: %s",
                  urls[i], message);
    }
}

Test(pg_url, pg_url_check_takes_what_libpq_reads) {
    static const char *const urls[] = {
        "postgresql://user:s3cret@host/db",
        "postgresql://user:p%40ss%2F%3A@host/db",
        "postgresql://user:s3?cret@host/db",
        "postgres://host",
        "postgresql://",
        "postgresql:///db?host=/tmp&user=a@b",
        "postgresql://a:5432,b,c:1/db?target_session_attrs=any",
        "postgresql://u@[::1]:5432/db",
        "host=a,b port=5432,",
        "host=a,b port=,65535",
        "dbname=x password='a b'",
        "postgresql://u@h/db?replication=false",
        "host=h replication=0",
        "host=h replication=Off",
        "host=h replication=no",
        "host=h password='password=x;pwd=y'",
        "host=h options='-c app.password=x'",
    };
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++)
        cr_expect_eq(check(urls[i]), 0, "%s: %s", urls[i], message);
}

Test(pg_url, pg_url_check_refuses_what_can_not_be_had) {
    cr_expect_eq(check("host=h replication=database"), QURING_EUNSUPPORTED);
    cr_expect_eq(check("host=h replication=true"), QURING_EUNSUPPORTED);
    cr_expect_eq(check("host=h gssencmode=require"), QURING_EUNSUPPORTED);
    cr_expect_eq(check("host=h port=0"), QURING_EURL);
    cr_expect_eq(check("host=h port=65536"), QURING_EURL);
    cr_expect_eq(check("host=h port=-1"), QURING_EURL);
}

Test(pg_url, pg_url_check_tells_want_of_memory_from_a_string_that_libpq_cannot_read) {
    libpq_says = "out of memory\n";
    cr_expect_eq(check("host=h"), QURING_ENOMEM);
    libpq_says = "";
    cr_expect_eq(check("host=h"), QURING_ENOMEM);
    libpq_says = "invalid connection option \"out of memory\"\n";
    cr_expect_eq(check("host=h"), QURING_EURL);
    cr_expect_str_eq(message, "libpq can't read this connection string: invalid connection option ...");
}
