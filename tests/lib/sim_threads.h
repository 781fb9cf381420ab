/* SPDX-License-Identifier: MIT */
/*
 * Threads and time from a seed. What the program under test asks of POSIX (threads, mutexes, conditions, naps, the clock)
 * is answered here, by the linker's --wrap (see tests/sim/CMakeLists.txt): its own code is what runs, on real threads, but only one of
 * them at a time, and the seed says which.
 *
 *      a point (every call that is answered here) --by chance--> any thread that can go on
 *      a wait                                     ------------->        - " -
 *
 * Threads are not alike: each has a weight, drawn from the seed, by which it is chosen. So some seeds have a reactor that is
 * always behind, or one lane that hardly moves.
 *
 * Time is virtual. It passes by the work that threads say they do, and when none can go on before a time to come. When none
 * can go on at all the process ends, with the seed: so does a lost wake-up show.
 *
 * Threads that take no part (a test's runner) get POSIX itself.
 */
#ifndef QURING_TESTS_SIM_THREADS_H
#define QURING_TESTS_SIM_THREADS_H

#include <stdbool.h>
#include <stdint.h>

struct threads_options {
    uint64_t seed;
    uint64_t start_ns;        /* of the clock */
    uint16_t switch_chance;   /* in thousandths: a point changes the thread */
    uint64_t point_count_max; /* more points than this are a livelock                             (20 million) */
};

/* The calling thread and all that it and they start from now on take part, up to threads_end(), when only it may be left. */
void threads_begin(const struct threads_options *options);
void threads_end(void);

/* Whether the calling thread takes part. */
bool threads_simulated(void);

uint64_t threads_now_ns(void);

/* Draws from the seed; below `bound`. */
uint64_t threads_draw(uint64_t bound);

/* A point. `what`, which is static, and `a` are for the trace. */
void threads_point(const char *what, int64_t a);

/* The same, after some work that takes so long. */
void threads_work(const char *what, uint64_t ns);

/* Waits until `ready` says so, or up to a time. False: it came to the latter, and it is not ready. */
bool threads_wait(const char *what, bool (*ready)(const void *state), const void *state, uint64_t until_ns);

/* Of all that happened so far: equal for two runs that were the same. */
uint64_t threads_digest(void);

/* The last points, to stderr. */
void threads_print_trace(void);

#endif
