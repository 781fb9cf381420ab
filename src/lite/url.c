/* SPDX-License-Identifier: MIT */
#include "lite/url.h"

#include "base/assert.h"
#include "quring/quring.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const char scheme[] = "sqlite:";

struct complaint {
    char *text;
    size_t size;
};

__attribute__((format(printf, 3, 4))) static int url_refuse(const struct complaint *why, int error, const char *format,
                                                            ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(why->text, why->size, format, args);
    va_end(args);
    return error;
}

/* The scheme of a URL is written in any case (RFC 3986, 3.1). */
bool lite_url_accepts(const char *url) {
    return strncasecmp(url, scheme, sizeof scheme - 1) == 0;
}

static int url_hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Decodes into `out`, which has room for length + 1 bytes. */
static int url_percent_decode(const char *in, size_t length, char *out, const struct complaint *why) {
    for (size_t i = 0; i < length; i++) {
        if (in[i] != '%') {
            *out++ = in[i];
            continue;
        }
        int high = length - i > 2 ? url_hex_digit(in[i + 1]) : -1;
        int low = length - i > 2 ? url_hex_digit(in[i + 2]) : -1;
        if (high < 0 || low < 0)
            return url_refuse(why, QURING_EURL, "a '%%' in the URL is not followed by two hex digits");
        if (high == 0 && low == 0)
            return url_refuse(why, QURING_EURL, "%%00 can't stand in a file name");
        *out++ = (char)(high << 4 | low);
        i += 2;
    }
    *out = 0;
    return 0;
}

static bool url_span_is(const char *at, size_t length, const char *text) {
    return length == strlen(text) && memcmp(at, text, length) == 0;
}

static int url_parse_mode(const char *at, size_t length, enum lite_mode *mode, const struct complaint *why) {
    if (url_span_is(at, length, "rwc"))
        *mode = LITE_CREATE;
    else if (url_span_is(at, length, "rw"))
        *mode = LITE_READ_WRITE;
    else if (url_span_is(at, length, "ro"))
        *mode = LITE_READ_ONLY;
    else
        return url_refuse(why, QURING_EURL, "mode=%.*s: it is ro, rw or rwc", (int)length, at);
    return 0;
}

static int url_parse_immutable(const char *at, size_t length, bool *immutable, const struct complaint *why) {
    *immutable = url_span_is(at, length, "1");
    if (!*immutable)
        return url_refuse(why, QURING_EURL, "immutable=%.*s: it is 1, or left out", (int)length, at);
    return 0;
}

struct parameters {
    bool has_mode, has_immutable;
};

static int url_parse_parameter(const char *at, size_t length, struct parameters *seen, struct lite_url *parsed,
                               const struct complaint *why) {
    const char *equals = memchr(at, '=', length);
    size_t name = equals ? (size_t)(equals - at) : length, value = length - name - 1;
    bool is_mode = equals && url_span_is(at, name, "mode"), is_immutable = equals && url_span_is(at, name, "immutable");
    if (!is_mode && !is_immutable)
        return url_refuse(why, QURING_EURL,
                          "unknown parameter \"%.*s\" in an sqlite URL: there are mode=ro|rw|rwc and immutable=1",
                          (int)name, at);
    bool *before = is_mode ? &seen->has_mode : &seen->has_immutable;
    if (*before)
        return url_refuse(why, QURING_EURL, "the URL says %.*s twice", (int)name, at);
    *before = true;
    return is_mode ? url_parse_mode(equals + 1, value, &parsed->mode, why)
                   : url_parse_immutable(equals + 1, value, &parsed->immutable, why);
}

static int url_parse_parameters(const char *at, struct lite_url *parsed, const struct complaint *why) {
    struct parameters seen = {0};
    while (*at) {
        size_t length = strcspn(at, "&");
        int error = url_parse_parameter(at, length, &seen, parsed, why);
        if (error)
            return error;
        at += length;
        at += *at == '&';
    }
    if (parsed->immutable && seen.has_mode && parsed->mode != LITE_READ_ONLY)
        return url_refuse(why, QURING_EURL,
                          "a file that is immutable can only be read: leave out mode, or say mode=ro");
    if (parsed->immutable)
        parsed->mode = LITE_READ_ONLY;
    return 0;
}

/* In the path of SQLite's URI (sqlite.org/uri.html), these three characters alone do not stand for themselves. */
char *lite_url_immutable(const char *path) {
    PRE(*path == '/');
    static const char scheme_text[] = "file:", parameter[] = "?immutable=1";
    char *uri = malloc(sizeof scheme_text + 3 * strlen(path) + sizeof parameter);
    if (!uri)
        return NULL;
    char *at = stpcpy(uri, scheme_text);
    for (; *path; path++) {
        if (strchr("%?#", *path))
            at += sprintf(at, "%%%02X", (unsigned)*path);
        else
            *at++ = *path;
    }
    stpcpy(at, parameter);
    return uri;
}

/* A relative path behind the present directory: then it can't look like one of SQLite's own "file:" URIs either. */
static int url_make_absolute(char **path, const struct complaint *why) {
    if (**path == '/')
        return 0;
    char *directory = getcwd(NULL, 0);
    if (!directory)
        return url_refuse(why, QURING_ESYSTEM, "the current directory: %s", strerror(errno));
    char *joined;
    int length = asprintf(&joined, "%s/%s", strcmp(directory, "/") == 0 ? "" : directory, *path);
    free(directory);
    if (length < 0)
        return QURING_ENOMEM;
    free(*path);
    *path = joined;
    return 0;
}

static int url_parse_path(const char *at, size_t length, struct lite_url *parsed, const struct complaint *why) {
    char *path = calloc(1, length + 1);
    if (!path)
        return QURING_ENOMEM;
    int error = url_percent_decode(at, length, path, why);
    if (!error && !*path)
        error = url_refuse(why, QURING_EURL, "the URL names no file: write sqlite:///file.db, or sqlite:// for memory");
    if (!error && strcmp(path, ":memory:") == 0) {
        free(path);
        return 0;
    }
    if (!error)
        error = url_make_absolute(&path, why);
    if (error)
        free(path);
    else
        parsed->path = path;
    return error;
}

int lite_url_parse(const char *url, struct lite_url *parsed, char *message, size_t message_bytes) {
    PRE(message_bytes > 0);
    struct complaint why = {message, message_bytes};
    *parsed = (struct lite_url){.mode = LITE_READ_WRITE};
    const char *at = url + sizeof scheme - 1;
    if (strncmp(at, "//", 2) != 0)
        return url_refuse(&why, QURING_EURL, "write sqlite:///relative.db, sqlite:////absolute.db or sqlite://");
    at += 2;
    size_t length = strcspn(at, "?");
    int error = at[length] ? url_parse_parameters(at + length + 1, parsed, &why) : 0;
    if (error)
        return error;
    if (length && *at != '/')
        return url_refuse(&why, QURING_EURL,
                          "an sqlite URL has no host: write three slashes for a relative path, "
                          "sqlite:///%.*s, and four for an absolute one",
                          (int)length, at);
    error = length ? url_parse_path(at + 1, length - 1, parsed, &why) : 0;
    if (!error && !parsed->path && parsed->mode == LITE_READ_ONLY)
        error = url_refuse(&why, QURING_EURL, "a database in memory that is read only would be empty for ever");
    return error;
}
