/* SPDX-License-Identifier: MIT */
#include "cli/common/url.h"

#include "cli/common/out.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* ---- Names of files ---------------------------------------------------------------------------------------------- */

static bool url_ends_with(const char *text, size_t size, const char *end) {
    size_t length = strlen(end);
    return size > length && memcmp(text + size - length, end, length) == 0;
}

/* A conninfo string has an = and could end in any of these, so such a name is taken for a file only where it exists. */
static bool url_is_file(const char *name, size_t size) {
    struct stat file;
    char *path = strndup(name, size);
    bool is_file = path && stat(path, &file) == 0 && !S_ISDIR(file.st_mode);
    free(path);
    if (is_file || memchr(name, '=', size))
        return is_file;
    return url_ends_with(name, size, ".db") || url_ends_with(name, size, ".sqlite") ||
           url_ends_with(name, size, ".sqlite3");
}

/* In the path of a URL of the library, % and ? alone do not stand for themselves. */
static char *url_of_file(const char *name, size_t size) {
    struct cli_out out;
    cli_out_init(&out, CLI_OUT_MEMORY);
    cli_out_text(&out, "sqlite:///");
    for (size_t i = 0; i < size; i++) {
        if (name[i] == '%' || name[i] == '?')
            cli_out_format(&out, "%%%02X", (unsigned)name[i]);
        else
            cli_out_char(&out, name[i]);
    }
    cli_out_text(&out, name + size);
    cli_out_char(&out, 0);
    if (out.error)
        cli_out_free(&out);
    return out.data;
}

/* Returns how many bytes of `given` name a file, 0 when it is something else. The rest of it are parameters. */
static size_t url_file_size(const char *given) {
    const char *parameters = strrchr(given, '?');
    size_t all = strlen(given), name = parameters ? (size_t)(parameters - given) : 0;
    if (strncasecmp(given, "sqlite:", 7) == 0 || strstr(given, "://"))
        return 0;
    if (url_is_file(given, all))
        return all;
    if (parameters && (strncmp(parameters, "?mode=", 6) == 0 || strncmp(parameters, "?immutable=", 11) == 0) &&
        url_is_file(given, name))
        return name;
    return 0;
}

/* ---- SQLAlchemy -------------------------------------------------------------------------------------------------- */

static const char *const PG_DRIVERS[] = {"asyncpg",      "psycopg", "psycopg_async", "psycopg2",
                                         "psycopg2cffi", "pg8000",  "aiopg",         NULL};
static const char *const SQLITE_DRIVERS[] = {"aiosqlite", "pysqlite", NULL};

static const struct dialect {
    const char *name;
    const char *const *drivers;
} dialects[] = {{"postgresql", PG_DRIVERS}, {"postgres", PG_DRIVERS}, {"sqlite", SQLITE_DRIVERS}};

static bool url_span_is(const char *text, size_t size, const char *word) {
    return strlen(word) == size && memcmp(text, word, size) == 0;
}

/* Returns the + of a URL whose scheme names a driver that is known; NULL for all others. */
static const char *url_driver(const char *url) {
    size_t scheme = strcspn(url, ":");
    const char *plus = memchr(url, '+', scheme);
    if (!plus || strncmp(url + scheme, "://", 3) != 0)
        return NULL;
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++) {
        if (!url_span_is(url, (size_t)(plus - url), dialects[i].name))
            continue;
        for (const char *const *driver = dialects[i].drivers; *driver; driver++)
            if (url_span_is(plus + 1, (size_t)(url + scheme - plus - 1), *driver))
                return plus;
    }
    return NULL;
}

/* asyncpg names the values of its parameter ssl as libpq names those of sslmode. */
static char *url_without_driver(const char *url, const char *plus) {
    const char *rest = url + strcspn(url, ":"), *parameter = strchr(rest, '?');
    bool asyncpg = url_span_is(plus + 1, (size_t)(rest - plus - 1), "asyncpg");
    struct cli_out out;

    cli_out_init(&out, CLI_OUT_MEMORY);
    cli_out_bytes(&out, url, (size_t)(plus - url));
    while (asyncpg && parameter) {
        if (strncmp(parameter + 1, "ssl=", 4) == 0) {
            cli_out_bytes(&out, rest, (size_t)(parameter + 1 - rest));
            cli_out_text(&out, "sslmode");
            rest = parameter + strlen("?ssl");
        }
        parameter = strchr(parameter + 1, '&');
    }
    cli_out_text(&out, rest);
    cli_out_char(&out, 0);
    if (out.error)
        cli_out_free(&out);
    return out.data;
}

char *cli_url_resolve(const char *given) {
    size_t file = url_file_size(given);
    const char *plus = url_driver(given);
    if (file > 0)
        return url_of_file(given, file);
    return plus ? url_without_driver(given, plus) : strdup(given);
}
