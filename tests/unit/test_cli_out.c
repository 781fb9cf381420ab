/* SPDX-License-Identifier: MIT */
/* Buffered output. */
#include "cli/common/out.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(cli_out, cli_out_remembers_the_first_failure) {
    struct cli_out out;
    cli_out_init(&out, 12345); /* no such descriptor */
    cli_out_text(&out, "text");
    cr_assert_eq(out.error, 0);
    cr_assert_eq(cli_out_flush(&out), -1);
    cr_assert_eq(out.error, EBADF);
    cli_out_repeat(&out, "x", 1000000);
    cr_assert_eq(out.size, 0);
    cr_assert_eq(cli_out_flush(&out), -1);
    cli_out_free(&out);
}
