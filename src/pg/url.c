/* SPDX-License-Identifier: MIT */
/*
 * Checks of connection strings, which libpq reads. Text that libpq quotes from a string that it can't read, or that it
 * reads otherwise than was meant, may be a part of a password, so no message repeats any of it.
 */
#include "pg/url.h"

#include "base/assert.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool url_is_uri(const char *url) {
    return strncmp(url, "postgresql://", 13) == 0 || strncmp(url, "postgres://", 11) == 0;
}

bool pg_url_accepts(const char *url) {
    if (url_is_uri(url))
        return true;
    const char *equals = strchr(url, '=');
    return equals && !memmem(url, (size_t)(equals - url), "://", 3);
}

/* An @, / or : of a password that is not written as %40, %2F, %3A makes libpq take the rest of it for host or database. */
static bool url_is_ambiguous(const char *url) {
    if (!url_is_uri(url))
        return false;
    const char *at = strstr(url, "://") + 3;
    size_t authority = strcspn(at, "/?"), all = strcspn(at, "?");
    const char *first = memchr(at, '@', authority);
    if (!first) /* libpq looks for the @ beyond a ? too */
        return memchr(at, '@', all) != NULL;
    return memchr(first + 1, '@', all - (size_t)(first + 1 - at)) != NULL;
}

/* A list of numbers, or of nothing for the default. */
static bool url_is_port_list(const char *ports) {
    for (const char *at = ports;; at++) {
        char *end;
        size_t digits = strspn(at, "0123456789");
        unsigned long port = digits && digits <= 5 ? strtoul(at, &end, 10) : 0;
        if (digits && (port < 1 || port > 65535))
            return false;
        at += digits;
        if (*at != ',')
            return *at == 0;
    }
}

static bool url_is_off(const char *value) {
    static const char *const offs[] = {"0", "false", "off", "no"};
    for (size_t i = 0; i < sizeof offs / sizeof *offs; i++)
        if (strcasecmp(value, offs[i]) == 0)
            return true;
    return *value == 0;
}

static int url_refuse(char *message, size_t size, int error, const char *why) {
    snprintf(message, size, "%s", why);
    return error;
}

/* Keeps libpq's words except those from the first quotation mark to the last: a password may hold quotation marks itself. */
static int url_unreadable(char *message, size_t size, const char *why) {
    const char *first = strchr(why, '"'), *last = strrchr(why, '"');
    const char *rest = last ? last + 1 : "";
    snprintf(message, size, "libpq can't read this connection string: %.*s%s%.*s", (int)strcspn(why, "\"\n"), why,
             first ? "..." : "", (int)strcspn(rest, "\n"), rest);
    return QURING_EURL;
}

/* libpq has no code for it, only these words; all else that it says of a connection string begins otherwise. */
static bool url_is_no_memory(const char *why) {
    return strncmp(why, "out of memory", 13) == 0;
}

/*
 * True where a setting has swallowed others, because they were parted by ; or , or by & without a ?. libpq and servers
 * repeat values in their messages, and would repeat a password among them.
 */
static bool url_holds_password(const PQconninfoOption *option) {
    bool may = strstr(option->keyword, "password") || strcmp(option->keyword, "options") == 0;
    return !may && (strcasestr(option->val, "password=") || strcasestr(option->val, "pwd="));
}

static int url_check_option(const PQconninfoOption *option, char *message, size_t size) {
    const char *value = option->val;
    if (url_holds_password(option))
        return url_refuse(
            message, size, QURING_EURL,
            "a setting other than the password has a password in it: between settings stands a space, in a URL ? "
            "before the first and & before others");
    if (strcmp(option->keyword, "port") == 0 && !url_is_port_list(value))
        return url_refuse(
            message, size, QURING_EURL,
            "the port is no number from 1 to 65535 (in a password, write @ / : ? # % as %40 %2F %3A %3F %23 %25)");
    if (strcmp(option->keyword, "gssencmode") == 0 && strcmp(value, "require") == 0)
        return url_refuse(message, size, QURING_EUNSUPPORTED, "gssencmode=require: GSS encryption does not work here");
    if (strcmp(option->keyword, "replication") == 0 && !url_is_off(value))
        return url_refuse(message, size, QURING_EUNSUPPORTED, "replication connections do not work here");
    return 0;
}

int pg_url_check(const char *url, char *message, size_t size) {
    PRE(size);
    char *why = NULL;
    if (url_is_ambiguous(url))
        return url_refuse(
            message, size, QURING_EURL,
            "this URL has more than one @, or one behind a /: in a user name, a password or a database name "
            "write @ / : ? # % as %40 %2F %3A %3F %23 %25");
    PQconninfoOption *options = PQconninfoParse(url, &why);
    int error = options ? 0 : !why || url_is_no_memory(why) ? QURING_ENOMEM : url_unreadable(message, size, why);
    for (const PQconninfoOption *option = options; option && option->keyword && !error; option++)
        if (option->val)
            error = url_check_option(option, message, size);
    PQconninfoFree(options);
    PQfreemem(why);
    return error;
}
