/* SPDX-License-Identifier: MIT */
/* The descriptor of an inbox: when it is readable, and who makes it so. */
#include "base/eventfd.h"
#include "lib/inbox_fixture.h"

#include <poll.h>

TestSuite(engine_descriptor, .init = inbox_setup, .fini = inbox_teardown);

static bool readable(int fd) {
    struct pollfd one = {.fd = fd, .events = POLLIN};
    return poll(&one, 1, 0) == 1;
}

Test(engine_descriptor, the_descriptor_is_readable_while_there_are_completions) {
    int fd = inbox_fd(inbox);
    quring_done done;
    cr_assert_not(readable(fd));
    ask(a, 0);
    ask(a, 1);
    engine_turn();
    engine_turn();
    cr_assert_not(readable(fd));
    fake_end(a, 0, QURING_OK);
    engine_turn();
    cr_assert(readable(fd));
    fake_end(a, 1, QURING_OK);
    engine_turn();
    cr_assert_eq(inbox_reap(inbox, &done, 1), 1);
    cr_assert(readable(fd), "one is left");
    cr_assert_eq(inbox_reap(inbox, &done, 1), 1);
    cr_assert_not(readable(fd));
    ask(a, 2);
    engine_turn();
    engine_turn();
    fake_end(a, 2, QURING_OK);
    engine_turn();
    cr_assert_eq(inbox_wait(inbox, 1, QURING_FOREVER), 1);
    cr_assert(readable(fd), "to wait takes nothing away");
    cr_assert_eq(inbox_reap(inbox, &done, 9), 1);
    close_engine();
    cr_assert(readable(fd));
    cr_assert_eq(inbox_reap(inbox, &done, 1), QURING_ESHUTDOWN);
    cr_assert(readable(fd), "for good");
}

/* The thread finds completions by itself, while the turn that is to wake it for them is still to come. */
Test(engine_descriptor, the_descriptor_may_be_raised_late) {
    int fd = inbox_fd(inbox);
    quring_done done;
    ask(a, 0);
    engine_turn();
    engine_turn();
    fake_end(a, 0, QURING_OK);
    engine_turn();
    cr_assert_eq(inbox_reap(inbox, &done, 1), 1);
    cr_assert_not(readable(fd));
    eventfd_raise(fd);
    cr_assert_eq(inbox_reap(inbox, &done, 1), 0);
    cr_assert_not(readable(fd), "a loop that polls it would not sleep");
    ask(a, 1);
    engine_turn();
    engine_turn();
    fake_end(a, 1, QURING_OK);
    engine_turn();
    cr_assert(readable(fd));
}

/* A program that goes elsewhere when its run returns lets nobody sleep: the last thing that a turn does is to read commands. */
Test(engine_descriptor, a_run_leaves_no_thread_to_the_next_one_to_be_woken) {
    int fd = inbox_fd(inbox);
    ask(a, 0);
    engine_turn();
    engine_turn();
    cr_assert_eq(inbox_cancel(inbox, inbox_ids[0]), 0);
    engine_turn();
    cr_assert(readable(fd));
    fake_assert_text(reaped(), "0 CANCELLED", "by the turn that read the command");
}
