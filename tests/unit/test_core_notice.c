/* SPDX-License-Identifier: MIT */
#include "core/notice.h"

#include "core/error.h"
#include "core/result.h"

#include <criterion/criterion.h>
#include <string.h>

static struct quring_result result;

static void setup(void) {
    result_init(&result);
    result_begin(&result, 1 << 20, UINT64_MAX);
}

static void teardown(void) {
    result_free(&result);
}

TestSuite(notice, .init = setup, .fini = teardown);

static void add(const char *message) {
    notices_add(
        &result.notices,
        &(quring_error){
            .sqlstate = "01000", .position = 3, .message = message, .detail = "d", .hint = "", .severity = "WARNING"});
}

Test(notice, none_at_first) {
    cr_assert_eq(quring_notice_count(&result), 0u);
    cr_assert_eq(quring_notice_dropped_count(&result), 0u);
    cr_assert_null(quring_notice(&result, 0));
}

Test(notice, are_copied_and_stay_where_they_are) {
    char text[] = "first";
    add(text);
    const quring_error *first = quring_notice(&result, 0);
    memset(text, 'x', sizeof text - 1);
    for (int i = 1; i < NOTICE_COUNT_MAX; i++)
        add("more");
    cr_assert_eq(quring_notice_count(&result), NOTICE_COUNT_MAX);
    cr_assert_eq(quring_notice(&result, 0), first);
    cr_assert_str_eq(first->message, "first");
    cr_assert_str_eq(first->detail, "d");
    cr_assert_str_eq(first->hint, "");
    cr_assert_str_eq(first->severity, "WARNING");
    cr_assert_str_eq(first->sqlstate, "01000");
    cr_assert_eq(first->position, 3u);
    add("one too many");
    cr_assert_eq(quring_notice_count(&result), NOTICE_COUNT_MAX);
    cr_assert_eq(quring_notice_dropped_count(&result), 1u);
}

Test(notice, have_a_bound_in_bytes_and_no_gaps) {
    static char text[ERROR_TEXT_BYTES_MAX + 100];
    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < 4; i++)
        add(text);
    add("short");
    cr_assert_eq(quring_notice_count(&result), 2u);
    cr_assert_eq(quring_notice_dropped_count(&result), 3u);
    cr_assert_eq(strlen(quring_notice(&result, 1)->message), (size_t)ERROR_TEXT_BYTES_MAX);
}

Test(notice, outlive_a_failure_but_not_the_query) {
    add("one");
    result_discard(&result);
    cr_assert_eq(quring_notice_count(&result), 1u);
    result_drop_notices(&result); /* runs again */
    result_begin(&result, 1 << 20, UINT64_MAX);
    cr_assert_eq(quring_notice_count(&result), 0u);
    add("two");
    result_end(&result);
    cr_assert_eq(quring_notice_count(&result), 0u);
}
