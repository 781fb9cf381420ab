/* SPDX-License-Identifier: MIT */
/*
 * The `quring` command. It uses the library through its public header and nothing else.
 *
 *   main.c       dispatch, --help, --version, exit status
 *   probe.c      `quring probe`
 *   probe_db.c   the database that it was given
 *
 *   run/         `quring run`
 *     run.c        options; one statement after the other
 *     result.c     a statement's rows or tag, in the format that was asked for
 *     rows.h       what a printer of rows is given: table.c csv.c json.c
 *     array.c      PostgreSQL's text of arrays, token by token
 *
 *   bench/       `quring bench`
 *     bench.c      options, and the steps of a measurement
 *     target.c     a database that is measured: opening, filling, preparing
 *     workload.c   what to run: built-in scripts, or files by script.c, with expr.c expr_parse.c random.c for \set, and
 *                  control.c for transactions
 *     init.c       makes and fills pgbench's tables
 *     load.c       keeps the queries coming
 *     report.c     how it went, report_json.c as JSON; histogram.c has the latencies
 *
 *   common/      what both use, and main.c and probe.c
 *     out.c        buffered output that notices a full disk and a closed pipe
 *     text.c       UTF-8, display width, and untrusted text made harmless for a terminal
 *     secret.c     passwords in arguments, which no message repeats
 *     say.c        messages on standard error
 *     options.c    getopt_long with messages that say what to do; numbers
 *     url.c        names of files and SQLAlchemy's URLs, made into URLs of the library
 *     stop.c       Ctrl-C, SIGTERM and SIGHUP; the temporary database's files
 *     client.c     engine and database: opening, one statement at a time
 *     cancel.c     cancelling that statement at the server
 *     failure.c    why a query failed, and what the server said besides
 *     trace.c      what became of queries and connections, for --echo and --slow
 *     splitter.c   cuts SQL text into statements, by the tokens of lexer.c
 *
 * run/ and bench/ include common/ and never each other.
 */
#ifndef QURING_CLI_CLI_H
#define QURING_CLI_CLI_H

enum cli_exit {
    CLI_EXIT_OK = 0,
    CLI_EXIT_FAILED = 1, /* a query failed, the database or the output did */
    CLI_EXIT_USAGE = 2,  /* wrong usage: nothing was done */
    /* and cli_stop_status(), where a signal came before there was a result */
};

/* The commands. argv[0] is the command's own name; each returns an enum cli_exit. */
int cli_run(int argc, char **argv);
int cli_bench(int argc, char **argv);
int cli_probe(int argc, char **argv);

#endif
