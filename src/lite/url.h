/* SPDX-License-Identifier: MIT */
/*
 * sqlite:///relative.db, sqlite:////absolute.db, sqlite:// and sqlite:///:memory:, as SQLAlchemy writes them. The path is
 * percent-decoded. Parameters, each once: ?mode=rw (the default: the file must exist), rwc (it is created), ro (read only);
 * immutable=1 (read only, and nobody else writes: no locks, and no file is made beside it).
 */
#ifndef QURING_LITE_URL_H
#define QURING_LITE_URL_H

#include <stdbool.h>
#include <stddef.h>

enum lite_mode { LITE_READ_WRITE, LITE_CREATE, LITE_READ_ONLY };

struct lite_url {
    char *path; /* absolute, malloc'd; NULL: in memory */
    enum lite_mode mode;
    bool immutable; /* then mode is LITE_READ_ONLY */
};

/* True for a URL that is SQLite's to parse, if only to refuse it. */
bool lite_url_accepts(const char *url);

/*
 * 0; or QURING_EURL, QURING_ENOMEM or QURING_ESYSTEM with the reason in `message`. A relative path is resolved against
 * the directory of the moment, because lanes open the file later.
 */
int lite_url_parse(const char *url, struct lite_url *parsed, char *message, size_t message_bytes);

/* The file as SQLite's own URI, which alone can say that it is immutable; malloc'd. NULL: out of memory. */
char *lite_url_immutable(const char *path);

#endif
