/* SPDX-License-Identifier: MIT */
/*
 * The bed that each test of a suite begins with and ends, and a database on it: TestSuite(…, .init = lite_setup,
 * .fini = lite_teardown). The names are short, because such a test is a list of what is asked and found.
 */
#ifndef QURING_TESTS_LITE_FIXTURE_H
#define QURING_TESTS_LITE_FIXTURE_H

#include "lib/lite_bed.h"

extern struct lite_bed bed;

void lite_setup(void);
void lite_teardown(void);

void open_file(const quring_db_options *options);
struct lite_db *lite(void);
struct lite_lane *lane(uint32_t index);

struct query *submit(const char *sql);
struct query *submit_group(const char *sql);

/* Submits, and has the lanes work until nothing is left; it must end OK; it has one value. */
struct query *exec(const char *sql);
void must(const char *sql);
int64_t number(const char *sql);

#endif
