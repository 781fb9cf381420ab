/* SPDX-License-Identifier: MIT */
/* Which connections may be open under a name (lite/file.h), with members that have no connection. */
#include "lite/file.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MEMBERS = 4, OLD = 1, NEW = 2 };

static struct lite_member members[MEMBERS];
static uint32_t close_count;

static void close_member(struct lite_member *member) {
    close_count++;
    lite_file_part(member);
}

static void setup(void) {
    for (int i = 0; i < MEMBERS; i++) {
        lite_member_init(&members[i]);
        members[i].close = close_member;
    }
}

static void teardown(void) {
    for (int i = 0; i < MEMBERS; i++) {
        lite_file_part(&members[i]);
        lite_member_free(&members[i]);
    }
}

TestSuite(admission, .init = setup, .fini = teardown);

static enum lite_admission admit(int member, ino_t inode) {
    return lite_file_admit(&members[member], "/a.db", 7, inode);
}

Test(admission, connections_to_one_file_do_not_wait) {
    lite_member_enter(&members[0]);
    cr_assert_eq(admit(0, OLD), LITE_ADMITTED);
    cr_assert_eq(admit(1, OLD), LITE_ADMITTED);
    cr_assert_eq(members[0].file, members[1].file);
    cr_assert_eq(lite_file_admit(&members[2], "/b.db", 7, NEW), LITE_ADMITTED);
    cr_assert_neq(members[0].file, members[2].file);
    cr_assert_eq(close_count, 0);
    lite_member_leave(&members[0]);
}

Test(admission, an_idle_connection_to_another_file_is_closed) {
    cr_assert_eq(admit(0, OLD), LITE_ADMITTED);
    cr_assert_eq(admit(1, OLD), LITE_ADMITTED);
    cr_assert_eq(admit(2, NEW), LITE_ADMITTED);
    cr_assert_eq(close_count, 2);
    for (int i = 0; i < 2; i++)
        cr_assert(!members[i].file && members[i].evicted);
    lite_member_enter(&members[0]); /* nobody has it any more */
    lite_member_leave(&members[0]);
    cr_assert(!members[2].evicted && !lite_file_is_leaving(&members[2]));
}

Test(admission, one_at_work_is_waited_for) {
    cr_assert_eq(admit(0, OLD), LITE_ADMITTED);
    cr_assert_eq(admit(1, OLD), LITE_ADMITTED);
    lite_member_enter(&members[0]);
    cr_assert_eq(admit(2, NEW), LITE_NOT_YET);
    cr_assert_eq(close_count, 1);
    cr_assert(lite_file_is_leaving(&members[0]));
    cr_assert_eq(admit(3, OLD), LITE_NOT_YET, "nor does its own file take one more");
    close_member(&members[0]);
    lite_member_leave(&members[0]);
    cr_assert_eq(admit(2, NEW), LITE_ADMITTED);
    cr_assert_eq(admit(3, NEW), LITE_ADMITTED);
    cr_assert_eq(close_count, 2);
}

/* The same inode number is another file on another device. */
Test(admission, the_device_counts) {
    cr_assert_eq(admit(0, OLD), LITE_ADMITTED);
    cr_assert_eq(lite_file_admit(&members[1], "/a.db", 8, OLD), LITE_ADMITTED);
    cr_assert(members[0].evicted);
}

Test(admission, all_members_hear_that_the_file_lost_its_name) {
    cr_assert_eq(admit(0, OLD), LITE_ADMITTED);
    cr_assert_eq(admit(1, OLD), LITE_ADMITTED);
    lite_file_condemn(&members[0]);
    lite_file_condemn(&members[1]);
    cr_assert(lite_file_is_leaving(&members[0]) && lite_file_is_leaving(&members[1]));
    cr_assert_eq(close_count, 0);
    close_member(&members[0]);
    cr_assert_eq(admit(0, NEW), LITE_ADMITTED);
    cr_assert(members[1].evicted);
}

/* A child has none of its parent's connections, and nobody in it would ever end their work. */
Test(admission, a_child_begins_with_none) {
    int status;
    cr_assert_eq(admit(0, OLD), LITE_ADMITTED);
    lite_member_enter(&members[0]);
    pid_t child = fork();
    if (child == 0)
        _exit(admit(1, NEW) == LITE_ADMITTED ? 42 : 1);
    cr_assert(waitpid(child, &status, 0) == child && WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 42);
    cr_assert_eq(admit(1, NEW), LITE_NOT_YET);
    lite_member_leave(&members[0]);
}
