/* SPDX-License-Identifier: MIT */
/* `quring run`: statements from an argument, a file or a pipe, one after the other on one connection. */
#include "cli/cli.h"
#include "cli/common/client.h"
#include "cli/common/failure.h"
#include "cli/common/options.h"
#include "cli/common/out.h"
#include "cli/common/say.h"
#include "cli/common/splitter.h"
#include "cli/common/stop.h"
#include "cli/common/text.h"
#include "cli/common/trace.h"
#include "cli/common/url.h"
#include "cli/run/result.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 16, PARAM_MAX = 65535, TRACE_EVENTS = 256 };

/* The user_data of the user's own statements. */
enum { ECHOED = 1 };

static const char HELP[] =
    "usage: quring run [URL] [-c SQL | -f FILE]… [--param V]… [--format FORMAT]\n"
    "\n"
    "Runs SQL statements one after the other on one connection and prints their rows. Stops at the\n"
    "first that fails. Without -c and -f it reads standard input.\n"
    "\n"
    "  -c, --command SQL     these statements\n"
    "  -f, --file FILE       the statements in FILE; - is standard input\n"
    "                        Several -c and -f are run in the order in which they stand.\n"
    "      --param V         the value of $1, of $2 the second time, …: each statement takes as many\n"
    "                        as it has placeholders; the database reads the text as the type it wants\n"
    "  -x, --expanded[=WHEN] a table with each value on a line of its own, for wide rows: on, off, or\n"
    "                        auto, as with psql's \\x auto: where several columns are wider than the\n"
    "                        terminal (or COLUMNS). -x is on; the default is auto\n"
    "      --format FORMAT   table  aligned columns; the default on a terminal\n"
    "                        csv    RFC 4180 with a header: NULL is empty, an empty string is \"\";\n"
    "                               the default elsewhere; an empty line between results\n"
    "                        json   for each statement that has columns one array, which is a JSON\n"
    "                               document of its own, with each row as an object on a line of\n"
    "                               its own; statements without columns print nothing\n"
    "                        ndjson    each row as an object on a line, of all statements alike\n"
    "                        document  one JSON document: an array with an object a statement, which\n"
    "                               has its command, affected (rows changed) and rows, where it has any\n"
    "      --timing          how long each statement took, on standard error: from when it was sent to\n"
    "                        when all of its rows were here. It connects, or opens the file, before\n"
    "                        the first one, so that this is in no statement's time\n"
    "      --echo            on standard error, each statement as it is sent; and at its end its outcome,\n"
    "                        connection, and when it was sent, had its first row, and was done, counted\n"
    "                        from when it was handed over; also connections that fail. One line each\n"
    "  -h, --help\n";

/* Compilers need not take longer texts than 4095 bytes. */
static const char HELP_MORE[] =
    "\n"
    "In the output\n"
    "  documents   of JSON stand one after the other, as jq and other readers of streams take them;\n"
    "              a statement that fails prints none. --format document is one for all of them\n"
    "  columns     of one name are name, name_2, name_3 … in JSON\n"
    "  numbers     keep all their digits; SQLite's floating-point numbers have a point or an exponent,\n"
    "              as in 1.0, its integers have none; NaN and Infinity are strings in JSON\n"
    "  arrays      of PostgreSQL's own types are arrays in JSON, without their lower bounds; of other\n"
    "              types, such as enums, they are strings\n"
    "  bytes       (bytea, BLOB) are \\x00ff, in JSON \"\\\\x00ff\"\n"
    "  controls    that could move a terminal are escaped: \\x1b \\u{202e}, in JSON \\u001b; so are\n"
    "              bytes that are no UTF-8, which JSON gives as U+FFFD. CSV that goes to a file or a\n"
    "              pipe has the very bytes of the values\n"
    "\n"
    "URL: postgresql://user@host:port/db, \"host=… dbname=…\", sqlite:///relative.db,\n"
    "     sqlite:////absolute.db, sqlite:// (in memory); 'sqlite:///new.db?mode=rwc' makes the file.\n"
    "     The name of a file will do: app.db, if it exists or ends in .db, .sqlite or .sqlite3. So do\n"
    "     SQLAlchemy's postgresql+asyncpg:// (psycopg, psycopg2, pg8000, aiopg) and sqlite+aiosqlite://\n"
    "     (pysqlite), whose relative and absolute paths are the same; but a file must exist here,\n"
    "     without ?mode=rwc. Without a URL: that in DATABASE_URL.\n"
    "     Passwords are better in ~/.pgpass or PGPASSWORD than in a URL, where `ps` shows them.\n"
    "\n"
    "BEGIN, COMMIT, SET and temporary tables work as on any connection. Notices and warnings go to\n"
    "standard error. Exit status: 0; 1 when a statement or the output failed; 2 for wrong usage, and\n"
    "nothing was run; 130 after Ctrl-C.\n"
    "\n"
    "Ctrl-C cancels the statement, at a PostgreSQL server too, and nothing after it is run; a second\n"
    "one ends at once. Through a pooler, which shares the server's processes out, the server is not\n"
    "asked, for it could be at somebody else's statement: it may go on with this one.\n";

/* A place where statements come from. */
struct input {
    const char *command; /* -c */
    const char *file;    /* -f; both NULL: standard input, because nothing else was given */
    int fd;              /* of file or standard input; -1 with -c */
    uint32_t number;     /* of -c: which */
};

struct run {
    char *url;             /* of the library; must stay until the client is closed */
    bool from_environment; /* the URL */
    struct cli_client client;
    struct cli_splitter splitter;
    struct cli_out out;
    struct input *inputs;
    uint32_t input_count;
    uint32_t command_count; /* of them -c */
    struct input *input;    /* that is run */
    bool sqlite;
    struct cli_printer printer;
    quring_param *params;
    uint32_t param_count;
    bool timing, echo;
    char where[256];
};

/* ---- Statements -------------------------------------------------------------------------------------------------- */

/* Lines are counted from the start of each -c and -f, so of several -c the message says which. */
static const char *run_where(struct run *run, uint64_t line) {
    const struct input *input = run->input;
    if (input->file && input->fd != STDIN_FILENO)
        snprintf(run->where, sizeof run->where, "%.200s:%" PRIu64, input->file, line);
    else if (input->command && run->command_count > 1)
        snprintf(run->where, sizeof run->where, "-c %" PRIu32 ", line %" PRIu64, input->number, line);
    else
        snprintf(run->where, sizeof run->where, "line %" PRIu64, line);
    return run->where;
}

/* A statement that was sent may have taken effect, and the exit status cannot tell: the message must. */
static int run_say_stopped(struct run *run, const struct cli_statement *statement, bool sent) {
    const char *why = run->client.cancel.why;
    if (!sent)
        cli_error("%s: stopped; this statement was not sent", run_where(run, statement->line));
    else
        cli_error("%s: stopped; whether this statement took effect is not known%s%s", run_where(run, statement->line),
                  why ? ": the server may go on with it, since " : "", why ? why : "");
    return cli_stop_status();
}

/* Shows the notices of a statement, and its rows or why it has none. Returns the exit status that it asks for. */
static int run_show_outcome(struct run *run, const struct cli_statement *statement, const quring_done *done) {
    if (quring_notice_count(done->result) > 0 || done->status != QURING_OK)
        cli_out_flush(&run->out); /* on a terminal, what came before stands before */
    cli_notices_show(done->result);
    if (done->status == QURING_OK) {
        cli_result_print(&run->printer, done->result);
        return CLI_EXIT_OK;
    }
    if (done->status == QURING_CANCELLED)
        return run_say_stopped(run, statement, done->sent);
    cli_failure_show(run_where(run, cli_failure_line(done, statement)), done, statement);
    /* 57014 is query_canceled: the server's own answer to the cancel that Ctrl-C asked for. */
    return cli_stop_wanted() && strcmp(done->error->sqlstate, "57014") == 0 ? cli_stop_status() : CLI_EXIT_FAILED;
}

static uint64_t run_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The trace has no parameters, and of a long text a part: this is what is sent, before the wait for its end begins. */
static void run_echo(const char *where, const char *text, const quring_query *query) {
    struct cli_out line;
    cli_out_init(&line, CLI_OUT_MEMORY);
    cli_out_format(&line, "%s: ", where);
    cli_text_safe(&line, text, strlen(text), 0);
    for (uint32_t i = 0; i < query->param_count; i++) {
        const char *value = query->params[i].value.bytes.data;
        cli_out_format(&line, "%s$%" PRIu32 " = ", i ? ", " : "  -- ", i + 1);
        cli_text_safe(&line, value, strlen(value), 0);
    }
    cli_say_out(&line);
}

static void run_echo_event(void *arg, const quring_event *event) {
    const struct run *run = arg;
    struct cli_out line;
    cli_out_init(&line, CLI_OUT_MEMORY);
    if (event->kind == QURING_EVENT_REFUSED || event->kind == QURING_EVENT_RETRYING ||
        event->kind == QURING_EVENT_LOST) {
        cli_trace_put_connection(&line, event);
    } else if (event->user_data == ECHOED && event->kind == QURING_EVENT_RETRIED) {
        cli_out_format(&line, "%s: to be sent again", run->where);
    } else if (event->user_data == ECHOED && event->kind == QURING_EVENT_DONE) {
        cli_out_format(&line, "%s: ", run->where);
        cli_trace_put_done(&line, event);
    } else {
        return;
    }
    cli_say_out(&line);
}

/* Runs one statement as cli_client_query() does, and says so where the user asked for it. */
static int run_query(struct run *run, const struct cli_statement *statement, const quring_query *query,
                     quring_done *done, uint64_t *took_ns) {
    if (run->echo) {
        cli_out_flush(&run->out); /* on a terminal, what came before stands before */
        run_echo(run_where(run, statement->line), statement->text, query);
    }
    uint64_t sent_ns = run_now_ns();
    int error = cli_client_query(&run->client, query, done);
    *took_ns = run_now_ns() - sent_ns;
    if (run->echo)
        cli_trace_drain(run->client.engine, run_echo_event, run);
    return error;
}

static void run_show_timing(struct run *run, uint64_t took_ns) {
    cli_out_flush(&run->out);
    cli_say("", "Time: %.3f ms", (double)took_ns / 1e6);
}

/* Once is enough: a run ends at the first failure, so the first statement's connection is that of all. */
static void run_ask_process(struct run *run) {
    if (!run->sqlite && run->client.cancel.state == CLI_CANCEL_OFF)
        cli_cancel_ask(&run->client.cancel, run->client.engine, run->client.db);
}

/* Connects, or opens the file, before anything is timed: what that takes is no statement's time. */
static int run_connect(struct run *run) {
    run_ask_process(run);
    int status = cli_client_execute(&run->client, "select 1");
    if (run->echo && status == CLI_EXIT_OK) /* else the reason is said already */
        cli_trace_drain(run->client.engine, run_echo_event, run);
    return status;
}

/*
 * Runs one statement to its end. All values of --param go along as far as the statement has placeholders; the splitter has
 * counted these, because the message of a database for a wrong count names neither file nor option.
 */
static int run_execute(struct run *run, const struct cli_statement *statement) {
    quring_done done;
    quring_query query = {
        .db = run->client.db,
        .sql = statement->text,
        .params = run->params,
        .param_count = statement->param_max,
        .user_data = ECHOED,
    };
    if (statement->param_max > run->param_count) {
        cli_error("%s: the statement uses $%" PRIu32 ", and %" PRIu32 " --param %s given",
                  run_where(run, statement->line), statement->param_max, run->param_count,
                  run->param_count == 1 ? "was" : "were");
        return CLI_EXIT_FAILED;
    }
    run_ask_process(run);
    uint64_t took_ns;
    int error = run_query(run, statement, &query, &done, &took_ns);
    if (error == QURING_ESHUTDOWN && cli_stop_wanted())
        return run_say_stopped(run, statement, false);
    if (error < 0) {
        cli_refusal_show(run_where(run, statement->line), run->client.engine, error, statement);
        return CLI_EXIT_FAILED;
    }
    int status = run_show_outcome(run, statement, &done);
    if (run->timing)
        run_show_timing(run, took_ns);
    quring_release(run->client.engine, done.id);
    if (run->out.error)
        return run->out.error == EINTR ? cli_stop_status() : CLI_EXIT_FAILED;
    return status;
}

/* Returns CLI_EXIT_OK when there is something new to look at, be it the end. */
static int run_read_more(struct run *run) {
    char bytes[READ_BYTES];
    if (run->input->fd < 0) {
        cli_splitter_end(&run->splitter);
        return CLI_EXIT_OK;
    }
    if (cli_out_flush(&run->out) < 0) /* whoever writes the input may wait for the rows of what it wrote before */
        return CLI_EXIT_FAILED;
    while (!cli_stop_wanted()) {
        ssize_t size = read(run->input->fd, bytes, sizeof bytes);
        if (size > 0)
            cli_splitter_feed(&run->splitter, bytes, (size_t)size);
        if (size == 0)
            cli_splitter_end(&run->splitter);
        if (size >= 0)
            return CLI_EXIT_OK;
        if (errno != EINTR) {
            cli_error("%s: %s", run->input->file ? run->input->file : "standard input", strerror(errno));
            return CLI_EXIT_FAILED;
        }
    }
    return cli_stop_status();
}

/* Stops at the first statement that fails, because those after it were written for what it should have done. */
static int run_statements(struct run *run) {
    struct cli_statement statement;
    int status = CLI_EXIT_OK;
    while (status == CLI_EXIT_OK) {
        switch (cli_splitter_next(&run->splitter, &statement)) {
        case CLI_SPLIT_MORE:
            status = run_read_more(run);
            break;
        case CLI_SPLIT_STATEMENT:
            status = run_execute(run, &statement);
            break;
        case CLI_SPLIT_COMMAND:
            cli_error("%s: %.*s: backslash commands are psql's own; quring run takes SQL only",
                      run_where(run, statement.line), (int)strcspn(statement.text, " \t"), statement.text);
            return CLI_EXIT_FAILED;
        case CLI_SPLIT_ERROR:
            cli_error("%s: %s", run_where(run, run->splitter.line), run->splitter.error);
            return CLI_EXIT_FAILED;
        case CLI_SPLIT_END:
            return CLI_EXIT_OK;
        }
    }
    return status;
}

static int run_all(struct run *run) {
    int status = run->timing || run->echo ? run_connect(run) : CLI_EXIT_OK;
    for (uint32_t i = 0; i < run->input_count && status == CLI_EXIT_OK; i++) {
        run->input = &run->inputs[i];
        cli_splitter_init(&run->splitter, run->sqlite, 0);
        if (run->input->command)
            cli_splitter_feed(&run->splitter, run->input->command, strlen(run->input->command));
        status = run_statements(run);
        cli_splitter_free(&run->splitter);
    }
    return status;
}

/* Returns the most placeholders that a statement of a -c has, which are not looked for beyond what was given. */
static uint32_t run_count_placeholders(const struct run *run, const struct input *input, uint64_t *line) {
    struct cli_splitter splitter;
    struct cli_statement statement;
    uint32_t used = 0;

    cli_splitter_init(&splitter, run->sqlite, 0);
    cli_splitter_feed(&splitter, input->command, strlen(input->command));
    cli_splitter_end(&splitter);
    while (used <= run->param_count && cli_splitter_next(&splitter, &statement) == CLI_SPLIT_STATEMENT) {
        used = statement.param_max > used ? statement.param_max : used;
        *line = statement.line;
    }
    cli_splitter_free(&splitter);
    return used;
}

/*
 * Checks the values against the placeholders of all statements. With -c these are known before anything runs, so too few
 * values, or some that no statement takes, are wrong usage; with input that is read as it comes they fail when met.
 */
static int run_check_params(struct run *run) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < run->input_count; i++) {
        uint64_t line = 0;
        run->input = &run->inputs[i];
        if (!run->input->command)
            continue;
        uint32_t used = run_count_placeholders(run, run->input, &line);
        if (used > PARAM_MAX)
            return cli_wrong("run", "%s: placeholders go from $1 to $%d", run_where(run, line), PARAM_MAX);
        if (used > run->param_count)
            return cli_wrong("run", "%s: the statement uses $%" PRIu32 ", and %" PRIu32 " --param %s given",
                             run_where(run, line), used, run->param_count, run->param_count == 1 ? "was" : "were");
        most = used > most ? used : most;
    }
    if (run->command_count == run->input_count && most < run->param_count)
        return cli_wrong("run", "%" PRIu32 " --param given, and the SQL uses %" PRIu32 " ($1, $2, …)", run->param_count,
                         most);
    return CLI_EXIT_OK;
}

/* ---- Options ----------------------------------------------------------------------------------------------------- */

enum { OPTION_PARAM = 256, OPTION_FORMAT, OPTION_TIMING, OPTION_ECHO };

/* Options that count together, once all of them are known; -1: not given. */
struct choices {
    int format, expanded;
};

static void run_add_input(struct run *run, const char *command, const char *file) {
    if (command)
        run->command_count++;
    run->inputs[run->input_count++] =
        (struct input){.command = command, .file = file, .fd = -1, .number = run->command_count};
}

static int run_take_option(struct run *run, int option, struct choices *choices) {
    static const char *const whens[] = {"auto", "on", "off", NULL};
    static const char *const formats[] = {"table", "csv", "json", "ndjson", "document", NULL};
    switch (option) {
    case 'c':
    case 'f':
        run_add_input(run, option == 'c' ? optarg : NULL, option == 'f' ? optarg : NULL);
        return CLI_EXIT_OK;
    case OPTION_PARAM:
        if (run->param_count == PARAM_MAX)
            return cli_wrong("run", "more than %d --param", PARAM_MAX);
        run->params[run->param_count++] = quring_text(optarg);
        return CLI_EXIT_OK;
    case OPTION_FORMAT:
        return cli_option_word("run", "--format", optarg, formats, &choices->format) ? CLI_EXIT_OK : CLI_EXIT_USAGE;
    case OPTION_TIMING:
        run->timing = true;
        return CLI_EXIT_OK;
    case OPTION_ECHO:
        run->echo = true;
        return CLI_EXIT_OK;
    case 'x':
        choices->expanded = CLI_EXPANDED_ON;
        if (!optarg)
            return CLI_EXIT_OK;
        return cli_option_word("run", "--expanded", optarg, whens, &choices->expanded) ? CLI_EXIT_OK : CLI_EXIT_USAGE;
    case 'h':
        cli_out_text(&run->out, HELP);
        cli_out_text(&run->out, HELP_MORE);
        return -1;
    default:
        return CLI_EXIT_USAGE;
    }
}

/* The environment comes first, so that a script can tell; the kernel has 0 for a terminal whose width nobody set. */
static uint32_t run_screen_columns(void) {
    const char *environment = getenv("COLUMNS");
    struct winsize window = {0};
    long columns = environment ? strtol(environment, NULL, 10) : 0;
    if (columns > 0 && columns < INT32_MAX)
        return (uint32_t)columns;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 ? window.ws_col : 0;
}

static int run_choose_format(struct run *run, const struct choices *choices) {
    struct cli_printer *printer = &run->printer;
    const char *kind = getenv("TERM");
    printer->out = &run->out;
    printer->terminal = isatty(STDOUT_FILENO);
    printer->format = printer->terminal || choices->expanded >= 0 ? CLI_FORMAT_TABLE : CLI_FORMAT_CSV;
    if (choices->format >= 0)
        printer->format = (enum cli_format)choices->format;
    if (choices->expanded == CLI_EXPANDED_ON && printer->format != CLI_FORMAT_TABLE)
        return cli_wrong("run", "-x goes with --format table: only a table is expanded");
    printer->style.expanded = choices->expanded >= 0 ? (uint8_t)choices->expanded : CLI_EXPANDED_AUTO;
    printer->style.screen_columns = run_screen_columns();
    printer->style.utf8 = cli_text_is_utf8();
    /* NO_COLOR: https://no-color.org. */
    printer->style.color = printer->terminal && kind && strcmp(kind, "dumb") != 0 && !getenv("NO_COLOR");
    return CLI_EXIT_OK;
}

/* Returns CLI_EXIT_OK, or another exit status after a message; or -1 after --help, when nothing is left to do. */
static int run_parse(struct run *run, int argc, char **argv) {
    static const struct option table[] = {
        {"command", required_argument, NULL, 'c'},
        {"file", required_argument, NULL, 'f'},
        {"param", required_argument, NULL, OPTION_PARAM},
        {"expanded", optional_argument, NULL, 'x'},
        {"format", required_argument, NULL, OPTION_FORMAT},
        {"timing", no_argument, NULL, OPTION_TIMING},
        {"echo", no_argument, NULL, OPTION_ECHO},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct choices choices = {-1, -1};
    int option, status = CLI_EXIT_OK;
    while (status == CLI_EXIT_OK && (option = cli_option_next(argc, argv, ":c:f:xh", table)) != -1)
        status = run_take_option(run, option, &choices);
    if (status == CLI_EXIT_OK)
        status = run_choose_format(run, &choices);
    if (status != CLI_EXIT_OK)
        return status;
    if (optind + 1 < argc)
        return cli_wrong("run", "%s: one URL only; SQL goes after -c, in quotes", argv[optind + 1]);
    const char *environment = getenv("DATABASE_URL"), *url = argv[optind];
    run->from_environment = optind == argc && environment && *environment;
    if (run->from_environment)
        url = environment;
    if (!url)
        return cli_wrong("run", "which database? Give a file or a URL, or set DATABASE_URL: "
                                "quring run app.db -c 'select 1'");
    run->url = cli_url_resolve(url);
    if (!run->url)
        return cli_no_memory();
    return CLI_EXIT_OK;
}

/* A directory is refused here, since open(2) takes it: read(2) would fail, and by then the database would be open. */
static int run_open_input(struct input *input) {
    if (input->command)
        return CLI_EXIT_OK;
    input->fd = STDIN_FILENO;
    if (input->file && strcmp(input->file, "-") != 0) {
        input->fd = open(input->file, O_RDONLY | O_CLOEXEC);
        struct stat file;
        if (input->fd >= 0 && fstat(input->fd, &file) == 0 && S_ISDIR(file.st_mode)) {
            close(input->fd);
            input->fd = -1;
            errno = EISDIR;
        }
        if (input->fd < 0)
            return cli_wrong("run", "-f %s: %s", input->file, strerror(errno));
    }
    if (input->fd == STDIN_FILENO && isatty(STDIN_FILENO))
        cli_error("reading SQL from the terminal: end statements with ; and the session with Ctrl-D");
    return CLI_EXIT_OK;
}

/* All are opened before anything runs: half of a run would be worse than none. */
static int run_open_inputs(struct run *run) {
    int status = CLI_EXIT_OK;
    if (run->input_count == 0)
        run_add_input(run, NULL, NULL);
    for (uint32_t i = 0; i < run->input_count && status == CLI_EXIT_OK; i++)
        status = run_open_input(&run->inputs[i]);
    return status;
}

static void run_close_inputs(struct run *run) {
    for (uint32_t i = 0; i < run->input_count; i++)
        if (run->inputs[i].fd > STDIN_FILENO)
            close(run->inputs[i].fd);
    free(run->inputs);
}

static int run_on(struct run *run) {
    quring_options options = {.inflight_bytes = 2u * CLI_STATEMENT_BYTES_MAX};
    quring_db_options db_options = {
        .exclusive = true,
        .result_bytes = (uint64_t)1 << 34, /* rows are held until they are printed: as much as the memory takes */
        .message_bytes = 0x3fffffff,       /* MaxAllocSize: PostgreSQL builds no larger message */
    };
    int status = run_open_inputs(run);
    if (status != CLI_EXIT_OK)
        return status;
    cli_stop_catch();
    options.trace_count = run->echo ? TRACE_EVENTS : 0;
    status = cli_client_open(&run->client, "run", run->url, &options, &db_options);
    if (status != CLI_EXIT_OK) {
        if (run->from_environment)
            cli_error("this URL is DATABASE_URL's, since the command has none");
        return status;
    }
    run->sqlite = strcmp(quring_db_backend(run->client.db), "sqlite") == 0;
    status = run_check_params(run);
    if (status == CLI_EXIT_OK) {
        status = run_all(run);
        cli_result_end(&run->printer);
    }
    cli_client_close(&run->client);
    return status;
}

int cli_run(int argc, char **argv) {
    struct run run = {0};
    int status = CLI_EXIT_OK;

    cli_out_init(&run.out, STDOUT_FILENO);
    run.out.stopped = cli_stop_wanted;
    /* There are fewer --param, and fewer -c and -f, than words. */
    run.params = calloc((size_t)argc, sizeof *run.params);
    run.inputs = calloc((size_t)argc, sizeof *run.inputs);
    if (!run.params || !run.inputs)
        status = cli_no_memory();
    if (status == CLI_EXIT_OK)
        status = run_parse(&run, argc, argv);
    if (status == CLI_EXIT_OK)
        status = run_on(&run);
    run_close_inputs(&run);
    free(run.params);
    free(run.url);
    return cli_finish(&run.out, status < 0 ? CLI_EXIT_OK : status);
}
