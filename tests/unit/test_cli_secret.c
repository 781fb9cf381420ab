/* SPDX-License-Identifier: MIT */
/* What messages show of the command's arguments. */
#include "cli/common/secret.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void expect(const char *argument, const char *message, const char *wanted) {
    char copy[256];
    struct cli_out out;

    strcpy(copy, argument);
    cli_secret_learn(2, (char *[]){"quring", copy});
    cli_out_init(&out, CLI_OUT_MEMORY);
    cli_out_text(&out, message);
    cli_secret_hide(&out);
    cli_out_char(&out, 0);
    cr_assert_str_eq(out.data, wanted);
    cli_out_free(&out);
}

/* The argument, whole, in the middle of a message. */
static void expect_shown(const char *argument, const char *wanted) {
    char message[300], all[300];
    snprintf(message, sizeof message, "<%s>, <%s>", argument, argument);
    snprintf(all, sizeof all, "<%s>, <%s>", wanted, wanted);
    expect(argument, message, all);
}

Test(secret, cli_secret_hide_hides_passwords_of_urls) {
    expect_shown("postgresql://u:pw@h/d", "postgresql://u:***@h/d");
    expect_shown("postgresql://u:p/w@x?y@h:5432/d", "postgresql://u:***@h:5432/d");
    expect_shown("u:pw@h", "u:***@h");
    expect_shown("postgresql://u:pw@h/d?sslpassword=pw2&user=u", "postgresql://u:***@h/d?sslpassword=***&user=u");
    expect_shown("postgresql://h/d?password=a&b&user=u", "postgresql://h/d?password=***&user=u");
    expect("postgresql://u:pw@h/d", "the part u:pw@h of it", "the part u:***@h of it");
}

Test(secret, cli_secret_hide_hides_passwords_of_conninfo_strings) {
    expect_shown("host=h password=pw", "host=h password=***");
    expect_shown("password=p w user=u", "password=*** user=u");
    expect_shown("password= user=u", "password= ***"); /* libpq takes it so */
    expect_shown("PASSWORD = 'p\\'w x' user = u", "PASSWORD = ***' user = u");
    expect_shown("password='p w", "password=***");
    expect_shown("password='p\\", "password=***");
}

Test(secret, cli_secret_hide_hides_nothing_else) {
    expect_shown("postgresql://u@h:5432/d", "postgresql://u@h:5432/d");
    expect_shown("postgresql://u:@h/d", "postgresql://u:@h/d");
    expect_shown("password", "password");
    expect_shown("host=h password=", "host=h password=");
    expect("postgresql://postgres:postgres@h/d", "the role postgres, or a host named postgres",
           "the role postgres, or a host named postgres");
    expect("", "", "");
}
