/* SPDX-License-Identifier: MIT */
/*
 * sqlite:///relative.db, sqlite:////absolute.db, sqlite:// and sqlite:///:memory:, as SQLAlchemy writes them. The path is
 * percent-decoded. One parameter: ?mode=rwc (the default: create what is missing), rw (it must exist), ro (read only).
 */
#ifndef QURING_LITE_URL_H
#define QURING_LITE_URL_H

#include <stdbool.h>
#include <stddef.h>

enum lite_mode { LITE_CREATE, LITE_READ_WRITE, LITE_READ_ONLY };

struct lite_url {
    char *path; /* absolute, malloc'd; NULL: in memory */
    enum lite_mode mode;
};

/* Whether it is meant for SQLite at all. */
bool lite_url_accepts(const char *url);

/*
 * 0; or QURING_EURL, QURING_ENOMEM or QURING_ESYSTEM with the reason in `message`. A relative path is resolved against
 * the directory of the moment, because lanes open the file later.
 */
int lite_url_parse(const char *url, struct lite_url *parsed, char *message, size_t message_bytes);

#endif
