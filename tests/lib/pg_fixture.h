/* SPDX-License-Identifier: MIT */
/* The bed that each test of a suite begins with and ends: TestSuite(…, .init = pg_setup, .fini = pg_teardown). */
#ifndef QURING_TESTS_PG_FIXTURE_H
#define QURING_TESTS_PG_FIXTURE_H

#include "lib/pg_bed.h"

extern struct pg_bed bed;

void pg_setup(void);
void pg_teardown(void);

/* Ends the bed and begins one with these options, as for each row of a table of cases. */
void pg_again(const quring_db_options *options);

#endif
