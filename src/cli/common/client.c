/* SPDX-License-Identifier: MIT */
#include "cli/common/client.h"

#include "cli/cli.h"
#include "cli/common/failure.h"
#include "cli/common/say.h"
#include "cli/common/stop.h"

#include <string.h>
#include <strings.h>

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

bool cli_client_url_is_sqlite(const char *url) {
    return strncasecmp(url, "sqlite:", 7) == 0;
}

/* The library speaks of URLs alone, and most who come here have mistyped the name of a file. */
static int client_open_failed(const struct cli_client *client, const char *command, int error) {
    const char *said = cli_refusal_text(client->engine, error);
    bool word = !strpbrk(client->url, ":=");
    if (error == QURING_EURL && word)
        return cli_wrong(command, "%s: there is no such file, and %s", client->url, said);
    if (error == QURING_EURL || error == QURING_EINVAL)
        return cli_wrong(command, "%s", said);
    cli_error("%s", said);
    return CLI_EXIT_FAILED;
}

/* Without this line a user would blame the database for what the container costs. */
static void client_tell_port(const struct cli_client *client) {
    quring_ring_info ring;
    quring_ring_info_get(client->engine, &ring);
    if (ring.uring_error)
        cli_say("quring: ",
                "io_uring is refused here, so this runs on epoll, with more system calls: `quring probe` says why");
}

int cli_client_open(struct cli_client *client, const char *command, const char *url, const quring_options *options,
                    const quring_db_options *db_options) {
    *client = (struct cli_client){.url = url};
    int error = quring_engine_open(options, &client->engine);
    if (error < 0) {
        client->engine = NULL;
        if (error == QURING_EINVAL)
            return cli_wrong(command, "%s", quring_errmsg(NULL));
        cli_error("%s\n`quring probe` says more", quring_strerror(error));
        return CLI_EXIT_FAILED;
    }
    client_tell_port(client);
    error = quring_db_open(client->engine, url, db_options, &client->db);
    if (error < 0) {
        int status = client_open_failed(client, command, error);
        client->db = NULL;
        cli_client_close(client);
        return status;
    }
    cli_stop_wakes(client->engine);
    return CLI_EXIT_OK;
}

void cli_client_close(struct cli_client *client) {
    cli_stop_wakes(NULL); /* first: a signal must not wake an engine that is being freed */
    cli_cancel_close(&client->cancel);
    quring_db_close(client->db);
    quring_engine_close(client->engine);
    *client = (struct cli_client){0};
}

/* ---- One statement ----------------------------------------------------------------------------------------------- */

/* Returns whether the statement that is out will end by what the server does. */
static bool client_cancel_at_server(struct cli_client *client) {
    quring_stats stats;
    switch ((enum cli_cancel_state)client->cancel.state) {
    case CLI_CANCEL_ASKED: /* the answer is on its way; without a connection there is none, and nothing to cancel */
        quring_stats_get(client->engine, &stats);
        return stats.connection_count > 0;
    case CLI_CANCEL_KNOWN:
        cli_cancel_send(&client->cancel, client->engine, client->url);
        return client->cancel.state == CLI_CANCEL_SENT;
    case CLI_CANCEL_SENT:
    case CLI_CANCEL_DELIVERED:
        return true;
    case CLI_CANCEL_OFF:
    case CLI_CANCEL_FAILED:
        break;
    }
    return false;
}

int cli_client_query(struct cli_client *client, const quring_query *query, quring_done *done) {
    quring_id id;
    if (cli_stop_wanted())
        return QURING_ESHUTDOWN;
    int error = quring_submit(client->engine, query, &id);
    while (error >= 0) {
        error = quring_run(client->engine, 1, QURING_FOREVER);
        while (quring_reap(client->engine, done, 1) == 1) {
            if (done->id == id)
                return 0;
            cli_cancel_take(&client->cancel, client->db, done);
            quring_release(client->engine, done->id);
        }
        if (cli_stop_wanted() && !client_cancel_at_server(client))
            quring_cancel(client->engine, id);
    }
    return error;
}

/*
 * Runs a statement without parameters. Returns true with *done, which is to be released; or false with the exit status
 * of a statement that did not begin, after a message.
 */
static bool client_run(struct cli_client *client, const char *sql, quring_done *done, int *status) {
    int error = cli_client_query(client, &(quring_query){.db = client->db, .sql = sql}, done);
    *status = error == QURING_ESHUTDOWN ? cli_stop_status() : CLI_EXIT_FAILED;
    if (error < 0 && error != QURING_ESHUTDOWN)
        cli_refusal_show(NULL, client->engine, error, NULL);
    return error >= 0;
}

/* Releases what client_run() brought to an end. `status` is the caller's, for all that was not cancelled. */
static int client_release(struct cli_client *client, const quring_done *done, int status) {
    if (done->status == QURING_CANCELLED)
        status = cli_stop_status();
    quring_release(client->engine, done->id);
    return status;
}

int cli_client_execute(struct cli_client *client, const char *sql) {
    quring_done done;
    int status;
    if (!client_run(client, sql, &done, &status))
        return status;
    status = done.status == QURING_OK ? CLI_EXIT_OK : CLI_EXIT_FAILED;
    if (done.status != QURING_OK && done.status != QURING_CANCELLED)
        cli_failure_say(NULL, &done);
    return client_release(client, &done, status);
}

int cli_client_number(struct cli_client *client, const char *sql, int64_t *number, char sqlstate[6]) {
    quring_done done;
    int status;
    sqlstate[0] = 0;
    if (!client_run(client, sql, &done, &status))
        return status;
    status = CLI_EXIT_OK;
    if (done.status != QURING_OK) {
        memcpy(sqlstate, done.error->sqlstate, 6);
        if (strcmp(sqlstate, "42P01") != 0 && done.status != QURING_CANCELLED)
            cli_failure_say(NULL, &done);
        status = CLI_EXIT_FAILED;
    } else if (quring_get_int64(done.result, 0, 0, number) < 0) {
        cli_error("%s: %s", sql, quring_result_error(done.result));
        status = CLI_EXIT_FAILED;
    }
    return client_release(client, &done, status);
}
