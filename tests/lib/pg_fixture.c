/* SPDX-License-Identifier: MIT */
#include "lib/pg_fixture.h"

struct pg_bed bed;

void pg_setup(void) {
    pg_bed_begin(&bed, NULL);
}

void pg_teardown(void) {
    pg_bed_end(&bed);
}

void pg_again(const quring_db_options *options) {
    pg_bed_end(&bed);
    pg_bed_begin(&bed, options);
}
