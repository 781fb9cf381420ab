/* SPDX-License-Identifier: MIT */
/*
 * SQLite and the ring among simulated threads (sim_threads.h). SQLite itself is the real one, on real files; the calls that
 * the program makes of it are points, and take virtual time by what they do:
 *
 *   steps        SQLite's machine looks up (the progress handler) every `look_steps` steps, which take a microsecond each:
 *                so a statement of a few thousand steps is a long one
 *   frames       a frame of the WAL counts `frame_factor` times, so that a few hundred writes make the WAL a long one
 *   routes       texts that begin with WITH are taken for reads at first, so those that write move to the writer
 *   the ring     has no events but its own waking: what sleeps there is awake when its descriptor was written to, or in time
 */
#ifndef QURING_TESTS_SIM_LITE_H
#define QURING_TESTS_SIM_LITE_H

#include "lib/sim_threads.h"
#include "ring/port.h"

#include <sqlite3.h>

/* What an sqlite3_step() of the program's did. */
struct sim_lite_step {
    sqlite3_stmt *statement;
    int code;
    uint64_t begun_count; /* of the connection's explicit transactions */
    int64_t *memo;        /* two numbers for whoever looks, of each connection, zero when it is opened */
};

struct sim_lite_options {
    int look_steps;
    int frame_factor;
    uint16_t deaf_steps; /* in thousandths: a call of sqlite3_step() takes up to 60 ms before it looks at anything */
    uint16_t commit_refusals; /* in thousandths: COMMIT of a write finds the file locked, and its transaction goes on */
    void (*stepped)(const struct sim_lite_step *step);
    /* Called when the program has looked up from a statement that runs. */
    void (*looked)(void);
};

/* Before a connection is opened, within threads_begin() … threads_end(). */
void sim_lite_begin(const struct sim_lite_options *options);

/* For engine_use_port(). The engine destroys it. */
struct port *sim_lite_port(void);

/* Whether the reactor sleeps, and nothing has come that will wake it. */
bool sim_lite_asleep(void);

#endif
