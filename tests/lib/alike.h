/* SPDX-License-Identifier: MIT */
/*
 * One program on both databases: its tables, and in words what became of each query, and of all of them.
 */
#ifndef QURING_TESTS_LIB_ALIKE_H
#define QURING_TESTS_LIB_ALIKE_H

#include "lib/live.h"

enum { ALIKE_LINE = 120 };

#define ALIKE_INSERT(id) "insert into alike values (" #id ", 0)"

/*
 * alike (id, n), where n is less than 100; alike_child, whose constraint on alike is judged at the commit; and alike_many of six
 * rows, which are too many for a result_row_count of 5.
 */
void alike_make_tables(struct live *live);
void alike_drop_tables(struct live *live);

/* Opens a new file, where foreign keys are checked; and closes and removes it. */
void alike_open_lite(struct live *live, const quring_db_options *options);
void alike_close_lite(struct live *live);

/* "OK INSERT, 1 rows changed", "OK SELECT, 7" (its first value), "SKIPPED 23505, reason 2, not sent". `reason`: a number. */
void alike_describe(char line[ALIKE_LINE], const quring_done *done, int reason);

/* Tells what is in the tables, and empties them. */
void alike_describe_tables(char line[ALIKE_LINE], struct live *live);

#endif
