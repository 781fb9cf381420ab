/* SPDX-License-Identifier: MIT */
#include "quring/quring.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

Test(names, every_error_has_its_own_sentence) {
    for (int a = QURING_EFORKED; a <= QURING_EINVAL; a++) {
        cr_assert_gt(strlen(quring_strerror(a)), 20, "%d", a);
        cr_assert_null(strstr(quring_strerror(a), "unknown"), "%d", a);
        for (int b = QURING_EFORKED; b < a; b++)
            cr_assert_str_neq(quring_strerror(a), quring_strerror(b));
    }
}

Test(names, remedies) {
    cr_assert_not_null(strstr(quring_strerror(QURING_EFORBIDDEN), "kernel.io_uring_disabled=0"));
    cr_assert_not_null(strstr(quring_strerror(QURING_EFORBIDDEN), "seccomp"));
    cr_assert_not_null(strstr(quring_strerror(QURING_EMEMLOCK), "ulimit -l"));
    cr_assert_not_null(strstr(quring_strerror(QURING_EMEMLOCK), "LimitMEMLOCK"));
    cr_assert_not_null(strstr(quring_strerror(QURING_EFILES), "ulimit -n"));
}

Test(names, numbers_that_are_no_error) {
    static const int others[] = {QURING_EFORKED - 1, -1000, INT32_MIN};
    for (int i = 0; i < 3; i++)
        cr_assert_not_null(strstr(quring_strerror(others[i]), "unknown"));
    cr_assert_str_eq(quring_strerror(0), "no error");
    cr_assert_str_eq(quring_strerror(5), "no error");
}

Test(names, statuses) {
    static const char *const names[] = {"OK",        "SERVER_ERROR", "SKIPPED", "NOT_SENT", "IN_DOUBT",
                                        "CANCELLED", "TIMEOUT",      "LIMIT",   "PROTOCOL", "SHUTDOWN"};
    for (int i = 0; i <= QURING_SHUTDOWN; i++)
        cr_assert_str_eq(quring_status_name((quring_status)i), names[i]);
    cr_assert_str_eq(quring_status_name((quring_status)(QURING_SHUTDOWN + 1)), "UNKNOWN");
}

Test(names, states_of_a_handle) {
    static const char *const names[] = {"TRYING", "UP", "OUTAGE", "REFUSED", "LOST", "CLOSING", "UNKNOWN"};
    for (int i = 0; i <= QURING_DB_CLOSING + 1; i++)
        cr_assert_str_eq(quring_db_state_name((quring_db_state)i), names[i]);
}

Test(names, types) {
    cr_assert_str_eq(quring_type_name(QURING_NULL), "null");
    cr_assert_str_eq(quring_type_name(QURING_INT4), "int4");
    cr_assert_str_eq(quring_type_name(QURING_BYTES), "bytea");
    cr_assert_str_eq(quring_type_name(QURING_TIMESTAMPTZ), "timestamp with time zone");
    for (int a = QURING_NULL; a <= QURING_OTHER; a++) {
        cr_assert_str_neq(quring_type_name((quring_type)a), "unknown");
        for (int b = QURING_NULL; b < a; b++)
            cr_assert_str_neq(quring_type_name((quring_type)a), quring_type_name((quring_type)b));
    }
    cr_assert_str_eq(quring_type_name((quring_type)(QURING_OTHER + 1)), "unknown");
}

Test(names, events) {
    static const char *const names[] = {"unknown", "submitted", "sent",      "first row", "notice",
                                        "retried", "done",      "connected", "lost",      "closed",
                                        "refused", "retrying",  "log held",  "unknown"};
    for (int i = 0; i <= QURING_EVENT_WAL_HELD + 1; i++)
        cr_assert_str_eq(quring_event_name((quring_event_kind)i), names[i]);
}

Test(names, version) {
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", QURING_VERSION_MAJOR, QURING_VERSION_MINOR, QURING_VERSION_PATCH);
    cr_assert_str_eq(quring_version(), version);
}
