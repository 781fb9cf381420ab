/* SPDX-License-Identifier: MIT */
#include "lib/alike.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char directory[40];

void alike_make_tables(struct live *live) {
    live_script(live, "drop table if exists alike_child;\n"
                      "drop table if exists alike_many;\n"
                      "drop table if exists alike;\n"
                      "create table alike (id integer primary key, n integer not null check (n < 100));\n"
                      "create table alike_child (id integer references alike (id) deferrable initially deferred);\n"
                      "create table alike_many (id integer);\n"
                      "insert into alike_many values (1), (2), (3), (4), (5), (6)");
}

void alike_drop_tables(struct live *live) {
    live_script(live, "drop table alike_child;\ndrop table alike_many;\ndrop table alike");
}

void alike_open_lite(struct live *live, const quring_db_options *options) {
    char url[100];
    snprintf(directory, sizeof directory, "/tmp/quring-alike-XXXXXX");
    cr_assert(mkdtemp(directory));
    snprintf(url, sizeof url, "sqlite:///%s/a.db?mode=rwc", directory);
    live_open_url(live, url, NULL, options);
    live_exec(live, "pragma foreign_keys=on");
}

void alike_close_lite(struct live *live) {
    char path[100];
    live_close(live);
    snprintf(path, sizeof path, "%s/a.db", directory);
    unlink(path);
    rmdir(directory);
}

void alike_describe(char line[ALIKE_LINE], const quring_done *done, int reason) {
    int64_t value = -1;
    if (done->status != QURING_OK)
        snprintf(line, ALIKE_LINE, "%s %s, reason %d, %s", quring_status_name(done->status), done->error->sqlstate,
                 reason, done->sent ? "sent" : "not sent");
    else if (quring_row_count(done->result) && quring_get_int64(done->result, 0, 0, &value) == 0)
        snprintf(line, ALIKE_LINE, "OK %s, %d", quring_command(done->result), (int)value);
    else
        snprintf(line, ALIKE_LINE, "OK %s, %d rows changed", quring_command(done->result),
                 (int)quring_affected_count(done->result));
}

void alike_describe_tables(char line[ALIKE_LINE], struct live *live) {
    snprintf(line, ALIKE_LINE, "%d rows, %d of its sums, %d children",
             (int)live_int(live, "select count(*) from alike"),
             (int)live_int(live, "select coalesce(sum(id * 100 + n), 0) from alike"),
             (int)live_int(live, "select count(*) from alike_child"));
    live_exec(live, "delete from alike_child");
    live_exec(live, "delete from alike");
}
