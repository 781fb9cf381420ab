/* SPDX-License-Identifier: MIT */
/* What users name a database by. */
#include "cli/common/url.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void expect(const char *given, const char *wanted) {
    char *url = cli_url_resolve(given);
    cr_assert_str_eq(url, wanted, "%s gives %s, not %s", given, url, wanted);
    free(url);
}

Test(cli_url, cli_url_resolve_leaves_what_the_library_takes_or_refuses) {
    static const char *const same[] = {
        "postgresql://u:p@h:1/d?sslmode=require",
        "postgres://h/d",
        "host=/tmp dbname=x.db",
        "dbname=app.sqlite3",
        "sqlite://",
        "sqlite:///app.db",
        "sqlite:////srv/app.db?mode=rwc",
        "sqlite:app.db",
        "SQLITE:///app.db",
        "mysql://h/app.db",
        "nosuchfile",
        "u:p@h/d",
        ".db",
        "",
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        expect(same[i], same[i]);
}

Test(cli_url, cli_url_resolve_takes_names_of_files) {
    expect("nosuch.db", "sqlite:///nosuch.db");
    expect("./a/nosuch.sqlite", "sqlite:///./a/nosuch.sqlite");
    expect("/srv/nosuch.sqlite3", "sqlite:////srv/nosuch.sqlite3");
    expect("nosuch.db?mode=rwc", "sqlite:///nosuch.db?mode=rwc");
    expect("nosuch.db?immutable=1", "sqlite:///nosuch.db?immutable=1");
    expect("100%.db", "sqlite:///100%25.db");
    expect("what?.db", "sqlite:///what%3F.db");
    expect("what?.db?mode=ro", "sqlite:///what%3F.db?mode=ro");
    expect("nosuch.txt?mode=rwc", "nosuch.txt?mode=rwc");
}

Test(cli_url, cli_url_resolve_takes_what_exists_and_is_no_directory) {
    char folder[] = "/tmp/quring-url.XXXXXX", wanted[128];
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    close(open("plain", O_CREAT | O_WRONLY, 0600));
    close(open("a=b", O_CREAT | O_WRONLY, 0600));
    cr_assert_eq(mkdir("folder", 0700), 0);
    expect("plain", "sqlite:///plain");
    expect("plain?mode=ro", "sqlite:///plain?mode=ro");
    expect("a=b", "sqlite:///a=b");
    expect("folder", "folder");
    snprintf(wanted, sizeof wanted, "sqlite:///%s/plain", folder);
    expect(wanted + strlen("sqlite:///"), wanted);
    unlink("plain");
    unlink("a=b");
    rmdir("folder");
    rmdir(folder);
}

Test(cli_url, cli_url_resolve_takes_the_drivers_of_sqlalchemy) {
    static const char *const drivers[] = {"asyncpg", "psycopg", "psycopg_async", "psycopg2", "psycopg2cffi", "pg8000"};
    char given[128];
    for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++) {
        snprintf(given, sizeof given, "postgresql+%s://u:p+x@h:1/d?application_name=a", drivers[i]);
        expect(given, "postgresql://u:p+x@h:1/d?application_name=a");
    }
    expect("sqlite+aiosqlite://", "sqlite://");
    expect("sqlite+aiosqlite:///app.db", "sqlite:///app.db");
    expect("sqlite+pysqlite:////srv/app.db", "sqlite:////srv/app.db");
    expect("sqlite+pysqlite:///:memory:", "sqlite:///:memory:");
    expect("sqlite+pysqlcipher://:key@/app.db", "sqlite+pysqlcipher://:key@/app.db");
    expect("postgresql+nosuch://h/d", "postgresql+nosuch://h/d");
    expect("mysql+asyncpg://h/d", "mysql+asyncpg://h/d");
    expect("postgresql://u+asyncpg://h/d", "postgresql://u+asyncpg://h/d");
}

Test(cli_url, cli_url_resolve_knows_the_ssl_parameter_of_asyncpg_alone) {
    expect("postgresql+asyncpg://h/d?ssl=require", "postgresql://h/d?sslmode=require");
    expect("postgresql+asyncpg://h/d?a=1&ssl=disable&b=ssl=", "postgresql://h/d?a=1&sslmode=disable&b=ssl=");
    expect("postgresql+asyncpg://h/d?xssl=1&sslmode=allow", "postgresql://h/d?xssl=1&sslmode=allow");
    expect("postgresql+psycopg2://h/d?ssl=require", "postgresql://h/d?ssl=require");
}
