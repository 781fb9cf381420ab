/* SPDX-License-Identifier: MIT */
/*
 * The engine with two handles of the fake backend that each test of a suite begins with and ends:
 * TestSuite(…, .init = engine_setup, .fini = engine_teardown).
 */
#ifndef QURING_TESTS_ENGINE_FIXTURE_H
#define QURING_TESTS_ENGINE_FIXTURE_H

#include "lib/fake_backend.h"

extern quring_engine *engine; /* a test that closes it sets it to NULL, and frees fake_sim() */
extern struct fake_db *a, *b; /* "fake:a" and "fake:b" */

void engine_setup(void);
void engine_teardown(void);

/* Ends the engine and begins another, as for each row of a table of cases. */
void engine_again(void);

/* One turn, without waiting. */
void engine_turn(void);

#endif
