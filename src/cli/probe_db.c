/* SPDX-License-Identifier: MIT */
#include "cli/probe_db.h"

#include "cli/cli.h"
#include "cli/common/client.h"
#include "cli/common/failure.h"
#include "cli/common/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* A server or pooler that takes connections and never answers is as good as none. */
static const uint64_t ANSWER_NS = 15000000000;

static uint64_t probe_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The handle's own reason tells more than the query's end, which may be that it waited for too long. */
static void probe_take_failure(struct cli_probe_db *probe, const struct cli_client *client, const quring_done *done) {
    quring_db_info info = {.message = ""};
    quring_db_status(client->db, &info);
    bool said = *info.message != 0;
    snprintf(probe->why, sizeof probe->why, "%s", said ? info.message : done->error->message);
    snprintf(probe->sqlstate, sizeof probe->sqlstate, "%s", said ? info.sqlstate : done->error->sqlstate);
    snprintf(probe->hint, sizeof probe->hint, "%s", done->error->hint);
    probe->state = info.state == QURING_DB_UP ? QURING_DB_TRYING : info.state;
    if (!*probe->why)
        snprintf(probe->why, sizeof probe->why, "%s", quring_status_name(done->status));
}

int cli_probe_db_look(struct cli_probe_db *probe, const char *url) {
    struct cli_client client;
    quring_done done;
    uint64_t from_ns = probe_now_ns();
    int status = cli_client_open(&client, "probe", url, NULL, &(quring_db_options){.connection_count = 1});
    if (status != CLI_EXIT_OK)
        return status;
    bool sqlite = cli_client_url_is_sqlite(url);
    quring_query query = {
        .db = client.db,
        /* The schema is read, so that a file that is no database shows. */
        .sql = sqlite ? "select sqlite_version() from (select count(*) from sqlite_schema)"
                      : "select current_setting('server_version')",
        .timeout_ns = ANSWER_NS,
    };
    const char *version;
    int error = cli_client_query(&client, &query, &done);
    if (error < 0) {
        cli_refusal_show(NULL, client.engine, error, NULL);
        status = CLI_EXIT_FAILED;
    } else if (done.status == QURING_OK && quring_get_text(done.result, 0, 0, &version, NULL) == 0) {
        probe->state = QURING_DB_UP;
        probe->took_ns = probe_now_ns() - from_ns;
        snprintf(probe->server, sizeof probe->server, "%s %.40s", sqlite ? "SQLite" : "PostgreSQL", version);
    } else {
        probe_take_failure(probe, &client, &done);
    }
    cli_client_close(&client);
    return status;
}

void cli_probe_db_put(struct cli_out *out, const struct cli_probe_db *probe) {
    if (!*probe->why) {
        cli_out_text(out, "database     up: ");
        cli_text_safe(out, probe->server, strlen(probe->server), 0);
        cli_out_format(out, ", answered after %.1f ms\n", (double)probe->took_ns / 1e6);
        return;
    }
    cli_out_format(out, "database     can't be reached%s: ",
                   probe->state == QURING_DB_REFUSED ? ", and the server refuses for good" : "");
    cli_text_safe(out, probe->why, strlen(probe->why), CLI_TEXT_KEEP_LINES);
    if (*probe->sqlstate)
        cli_out_format(out, " (SQLSTATE %s)", probe->sqlstate);
    cli_out_char(out, '\n');
    if (!*probe->hint)
        return;
    cli_out_text(out, "             hint: ");
    cli_text_safe(out, probe->hint, strlen(probe->hint), 0);
    cli_out_char(out, '\n');
}

void cli_probe_db_put_json(struct cli_out *out, const struct cli_probe_db *probe) {
    cli_out_format(out, "{\"state\": \"%s\"", quring_db_state_name(probe->state));
    if (*probe->why) {
        cli_out_text(out, ", \"server\": null, \"answered_ms\": null, \"sqlstate\": ");
        cli_text_json(out, probe->sqlstate, strlen(probe->sqlstate));
        cli_out_text(out, ", \"why\": ");
        cli_text_json(out, probe->why, strlen(probe->why));
        cli_out_text(out, ", \"hint\": ");
        cli_text_json(out, probe->hint, strlen(probe->hint));
    } else {
        cli_out_text(out, ", \"server\": ");
        cli_text_json(out, probe->server, strlen(probe->server));
        cli_out_format(out, ", \"answered_ms\": %.3f, \"sqlstate\": null, \"why\": null, \"hint\": null",
                       (double)probe->took_ns / 1e6);
    }
    cli_out_char(out, '}');
}
