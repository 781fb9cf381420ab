/* SPDX-License-Identifier: MIT */
#include "cli/client.h"

#include "cli/cli.h"
#include "cli/options.h"
#include "cli/stop.h"

#include <stdlib.h>
#include <string.h>

/* ---- Passwords in URLs ------------------------------------------------------------------------------------------- */

static void mask(char *message, const char *secret, size_t size) {
    size_t keep = size < 3 ? size : 3;
    if (size == 0)
        return;
    for (char *at = message; (at = memmem(at, strlen(at), secret, size)); at += keep) {
        memset(at, '*', keep);
        memmove(at + keep, at + size, strlen(at + size) + 1);
    }
}

/* What a message may quote of a URL that could not be read must not hold its password. */
static void mask_passwords(char *message, const char *url) {
    const char *user = strstr(url, "://");
    if (user) {
        user += 3;
        const char *colon = strchr(user, ':'), *at = strrchr(user, '@');
        if (colon && at && colon < at)
            mask(message, colon + 1, (size_t)(at - colon) - 1);
    }
    for (const char *key = url; (key = strstr(key, "password")); key++) { /* sslpassword, too */
        const char *value = key + strlen("password");
        value += strspn(value, " =");
        mask(message, value, strcspn(value, "& "));
    }
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

bool cli_client_url_is_sqlite(const char *url) {
    return strncmp(url, "sqlite:", 7) == 0;
}

static int open_failed(const struct cli_client *client, const char *command, const char *url, int error) {
    const char *said = quring_errmsg(client->engine);
    char *message = strdup(*said ? said : quring_strerror(error));
    if (message)
        mask_passwords(message, url);
    int status = CLI_EXIT_FAILED;
    if (error == QURING_EURL || error == QURING_EINVAL)
        status = cli_wrong(command, "%s", message ? message : quring_strerror(error));
    else
        cli_error("%s", message ? message : quring_strerror(error));
    free(message);
    return status;
}

int cli_client_open(struct cli_client *client, const char *command, const char *url, const quring_options *options,
                    const quring_db_options *db_options) {
    *client = (struct cli_client){0};
    int error = quring_engine_open(options, &client->engine);
    if (error < 0) {
        cli_error("%s\n`quring probe` says more", quring_strerror(error));
        client->engine = NULL;
        return CLI_EXIT_FAILED;
    }
    error = quring_db_open(client->engine, url, db_options, &client->db);
    if (error < 0) {
        int status = open_failed(client, command, url, error);
        client->db = NULL;
        cli_client_close(client);
        return status;
    }
    cli_stop_wakes(client->engine);
    return CLI_EXIT_OK;
}

void cli_client_close(struct cli_client *client) {
    cli_stop_wakes(NULL);
    quring_db_close(client->db);
    quring_engine_close(client->engine);
    *client = (struct cli_client){0};
}

/* ---- One statement ----------------------------------------------------------------------------------------------- */

int cli_client_query(struct cli_client *client, const quring_query *query, quring_done *done) {
    quring_id id;
    int error = quring_submit(client->engine, query, &id);
    while (error >= 0) {
        error = quring_run(client->engine, 1, QURING_FOREVER);
        if (quring_reap(client->engine, done, 1) == 1)
            return 0;
        if (cli_stop_wanted()) {
            quring_cancel(client->engine, id);
            return QURING_ESHUTDOWN;
        }
    }
    return error;
}

int cli_client_execute(struct cli_client *client, const char *sql) {
    quring_done done;
    int error = cli_client_query(client, &(quring_query){.db = client->db, .sql = sql}, &done);
    if (error == QURING_ESHUTDOWN)
        return cli_stop_status();
    if (error < 0) {
        cli_refusal_show(NULL, client->engine, error, NULL);
        return CLI_EXIT_FAILED;
    }
    int status = done.status == QURING_OK ? CLI_EXIT_OK : CLI_EXIT_FAILED;
    if (status != CLI_EXIT_OK)
        cli_failure_say(NULL, &done);
    quring_release(client->engine, done.id);
    return status;
}

int cli_client_number(struct cli_client *client, const char *sql, int64_t *number, char sqlstate[6]) {
    quring_done done;
    sqlstate[0] = 0;
    int error = cli_client_query(client, &(quring_query){.db = client->db, .sql = sql}, &done);
    if (error == QURING_ESHUTDOWN)
        return cli_stop_status();
    if (error < 0) {
        cli_refusal_show(NULL, client->engine, error, NULL);
        return CLI_EXIT_FAILED;
    }
    int status = CLI_EXIT_OK;
    if (done.status != QURING_OK) {
        memcpy(sqlstate, done.error->sqlstate, 6);
        if (strcmp(sqlstate, "42P01") != 0)
            cli_failure_say(NULL, &done);
        status = CLI_EXIT_FAILED;
    } else if (quring_get_int64(done.result, 0, 0, number) < 0) {
        cli_error("%s: %s", sql, quring_result_error(done.result));
        status = CLI_EXIT_FAILED;
    }
    quring_release(client->engine, done.id);
    return status;
}
