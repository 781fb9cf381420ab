/* SPDX-License-Identifier: MIT */
#include "lib/lite_fixture.h"

struct lite_bed bed;

void lite_setup(void) {
    bed_begin(&bed);
}

void lite_teardown(void) {
    bed_end(&bed);
}

void open_file(const quring_db_options *options) {
    bed_open(&bed, bed_url(&bed, "a.db"), options);
}

struct lite_db *lite(void) {
    return base_container_of(bed.db, struct lite_db, base);
}

struct lite_lane *lane(uint32_t index) {
    return &lite()->lanes[index];
}

struct query *submit(const char *sql) {
    return bed_submit(&bed, bed_query(&bed, sql, NULL, 0));
}

struct query *submit_group(const char *sql) {
    struct query *query = bed_query(&bed, sql, NULL, 0);
    query->commit = QURING_COMMIT_GROUP;
    return bed_submit(&bed, query);
}

struct query *exec(const char *sql) {
    struct query *query = submit(sql);
    bed_drain(&bed);
    return query;
}

void must(const char *sql) {
    bed_check(exec(sql), QURING_OK, "", "");
}

int64_t number(const char *sql) {
    return bed_int(exec(sql), 0, 0);
}
