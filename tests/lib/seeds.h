/* SPDX-License-Identifier: MIT */
/*
 * Runs a body once for each of many seeds. However the process dies in one (LAW, a broken contract, a sanitizer), the
 * seed is printed.
 *
 *      QURING_SIM_SEED=0x…    runs that seed alone
 *      QURING_SIM_SEEDS=N     runs N of them instead of the test's own number (a fifth of it under a sanitizer)
 *      QURING_SIM_TRACE=1     prints the last operations of a failing one
 */
#ifndef QURING_TESTS_SEEDS_H
#define QURING_TESTS_SEEDS_H

#include <stdint.h>

struct sim;

/*
 * How far tests go on that try a conversation at each of its bytes. A simulated conversation is in one thread, where
 * ThreadSanitizer has nothing to find that the other builds do not, and takes twenty times as long as the plain one.
 */
#if defined(__SANITIZE_THREAD__)
enum { SEEDS_BYTE_STEP = 7 };
#else
enum { SEEDS_BYTE_STEP = 1 };
#endif

/* What seeds_run() does first; for tests that have no seeds. */
void seeds_begin(void);

void seeds_run(uint32_t count, void (*body)(uint64_t seed));

/* Runs it for one that has found a fault, whatever the environment asks for. */
void seeds_replay(uint64_t seed, void (*body)(uint64_t seed));

/* The simulation whose trace is printed should the process die; NULL: none. */
void seeds_watch(struct sim *sim);
/* The same for what is no struct sim: prints its trace. */
void seeds_watch_trace(void (*print)(void));

/* What must hold; else the process dies. */
#define LAW(condition, ...) ((void)((condition) || (seeds_broken(__FILE__, __LINE__, #condition, __VA_ARGS__), 0)))

__attribute__((format(printf, 4, 5))) _Noreturn void seeds_broken(const char *file, int line, const char *condition,
                                                                  const char *format, ...);

#endif
