/* SPDX-License-Identifier: MIT */
/* What users name a database by, made into a URL of the library. */
#ifndef QURING_CLI_COMMON_URL_H
#define QURING_CLI_COMMON_URL_H

/*
 * Returns the library's URL for `given`, for the caller to free; NULL when memory ran out. Besides URLs it knows
 *   - names of files: what exists and is no directory, or ends in .db, .sqlite or .sqlite3; with ?mode=… or ?immutable=1
 *     behind it, too
 *   - SQLAlchemy's URLs, which name a driver: postgresql+asyncpg://…, sqlite+aiosqlite://…. Their paths mean the same as
 *     the library's; of asyncpg's parameters, ssl=… is libpq's sslmode=…
 * Everything else is returned as it is, for the library to take or to refuse.
 */
char *cli_url_resolve(const char *given);

#endif
