/* SPDX-License-Identifier: MIT */
#include "lite/url.h"

#include "quring/quring.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char message[256];

static void assert_path(const char *url, const char *path, enum lite_mode mode) {
    struct lite_url parsed;
    cr_assert(lite_url_accepts(url));
    int error = lite_url_parse(url, &parsed, message, sizeof message);
    cr_assert_eq(error, 0, "%s: %s", url, message);
    if (path)
        cr_assert_str_eq(parsed.path, path, "%s", url);
    else
        cr_assert_null(parsed.path, "%s", url);
    cr_assert_eq(parsed.mode, mode, "%s", url);
    free(parsed.path);
}

static void assert_relative(const char *url, const char *path) {
    char *directory = getcwd(NULL, 0);
    char absolute[4096];
    snprintf(absolute, sizeof absolute, "%s/%s", directory, path);
    assert_path(url, absolute, LITE_READ_WRITE);
    free(directory);
}

static void assert_refused(const char *url, const char *words) {
    struct lite_url parsed;
    message[0] = 0;
    cr_assert(lite_url_accepts(url));
    cr_assert_eq(lite_url_parse(url, &parsed, message, sizeof message), QURING_EURL, "%s", url);
    cr_assert_null(parsed.path);
    cr_assert(strstr(message, words), "%s: \"%s\" is not in: %s", url, words, message);
}

Test(url, memory) {
    assert_path("sqlite://", NULL, LITE_READ_WRITE);
    assert_path("sqlite:///:memory:", NULL, LITE_READ_WRITE);
    assert_path("sqlite:///%3amemory%3A", NULL, LITE_READ_WRITE);
    assert_path("SQLite://", NULL, LITE_READ_WRITE);
}

Test(url, absolute) {
    assert_path("sqlite:////tmp/a.db", "/tmp/a.db", LITE_READ_WRITE);
    assert_path("sqlite:////a%20b%2fc%25.db", "/a b/c%.db", LITE_READ_WRITE);
    assert_path("sqlite:////caf%C3%a9#1;x=y&z.db", "/caf\xc3\xa9#1;x=y&z.db", LITE_READ_WRITE);
}

Test(url, relative) {
    assert_relative("sqlite:///app.db", "app.db");
    assert_relative("sqlite:///file:app.db", "file:app.db");
    assert_relative("sqlite:///../x/app.db", "../x/app.db");
    cr_assert_eq(chdir("/"), 0);
    assert_path("sqlite:///app.db", "/app.db", LITE_READ_WRITE);
}

Test(url, modes) {
    assert_path("sqlite:////a?mode=ro", "/a", LITE_READ_ONLY);
    assert_path("sqlite:////a?mode=rw", "/a", LITE_READ_WRITE);
    assert_path("sqlite:////a?mode=rwc", "/a", LITE_CREATE);
    assert_path("sqlite:////a?", "/a", LITE_READ_WRITE);
    assert_path("sqlite:////a%3Fmode=ro", "/a?mode=ro", LITE_READ_WRITE);
    assert_refused("sqlite:////a?mode=", "ro, rw or rwc");
    assert_refused("sqlite:////a?mode=memory", "mode=memory");
    assert_refused("sqlite:////a?mode", "unknown parameter \"mode\"");
    assert_refused("sqlite:////a?cache=shared", "unknown parameter \"cache\"");
    assert_refused("sqlite:////a?mode=ro&vfs=x", "unknown parameter \"vfs\"");
    assert_refused("sqlite://?mode=ro", "in memory");
    assert_refused("sqlite:////a?mode=ro&mode=rwc", "says mode twice");
    assert_refused("sqlite:////a?mode=ro&mode=ro", "says mode twice");
}

Test(url, immutable) {
    struct lite_url parsed;
    assert_path("sqlite:////a?immutable=1", "/a", LITE_READ_ONLY);
    assert_path("sqlite:////a?mode=ro&immutable=1", "/a", LITE_READ_ONLY);
    assert_refused("sqlite:////a?immutable=1&mode=rw", "can only be read");
    assert_refused("sqlite:////a?mode=rwc&immutable=1", "can only be read");
    assert_refused("sqlite:////a?immutable=0", "it is 1");
    assert_refused("sqlite:////a?immutable=1&immutable=1", "twice");
    assert_refused("sqlite://?immutable=1", "in memory");
    cr_assert_eq(lite_url_parse("sqlite:////x?immutable=1", &parsed, message, sizeof message), 0);
    cr_assert(parsed.immutable);
    free(parsed.path);
    char *uri = lite_url_immutable("/a b/100%?#.db");
    cr_assert_str_eq(uri, "file:/a b/100%25%3F%23.db?immutable=1");
    free(uri);
}

Test(url, refused) {
    assert_refused("sqlite:", "sqlite:///relative.db");
    assert_refused("sqlite:/a.db", "sqlite:///relative.db");
    assert_refused("sqlite://host/a.db", "no host");
    assert_refused("sqlite://a.db", "sqlite:///a.db");
    assert_refused("sqlite:///", "names no file");
    assert_refused("sqlite:////a%", "two hex digits");
    assert_refused("sqlite:////a%4", "two hex digits");
    assert_refused("sqlite:////a%4g", "two hex digits");
    assert_refused("sqlite:////a%g4", "two hex digits");
    assert_refused("sqlite:////a%00b", "%00");
}

Test(url, others_are_not_ours) {
    cr_assert_not(lite_url_accepts("postgresql://h/d"));
    cr_assert_not(lite_url_accepts("host=h dbname=sqlite:"));
    cr_assert_not(lite_url_accepts("sqlit"));
    cr_assert_not(lite_url_accepts(""));
}

/* Every cut of a text gives an answer, and none leaks. */
Test(url, cuts) {
    static const char whole[] = "sqlite:////tmp/%41%2f%zz?mode=ro&cache=x";
    for (size_t length = strlen("sqlite:"); length < sizeof whole; length++) {
        char *cut = strndup(whole, length);
        struct lite_url parsed;
        (void)lite_url_parse(cut, &parsed, message, sizeof message);
        free(parsed.path);
        free(cut);
    }
}
