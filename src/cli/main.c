/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"
#include "cli/common/out.h"
#include "cli/common/say.h"
#include "cli/common/secret.h"
#include "cli/common/text.h"
#include "quring/quring.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static const char HELP[] =
    "usage: quring COMMAND …\n"
    "\n"
    "  quring run [URL] [-c SQL | -f FILE]…   run SQL statements and print their rows\n"
    "  quring bench [URL…] [options]          measure throughput and latency\n"
    "  quring probe [URL]                     what this kernel offers, and whether a database answers\n"
    "\n"
    "  quring COMMAND --help                  all about one of them\n"
    "  quring --version\n"
    "\n"
    "URL: postgresql://user@host/db, sqlite:///file.db, or a file: app.db. Exit status: 0; 1 when a query\n"
    "failed; 2 for wrong usage.\n";

static int main_print(const char *format, const char *text) {
    struct cli_out out;
    cli_out_init(&out, STDOUT_FILENO);
    cli_out_format(&out, format, text);
    return cli_finish(&out, CLI_EXIT_OK);
}

/*
 * The kernel gives the lowest free descriptor to whatever is opened next: with standard output closed, that could be a
 * database file, and the tool would print into it. /dev/null is opened in the place of each that is closed, in the
 * direction in which the tool never uses it, so that reading and writing fail as they would have.
 */
static bool main_fill_descriptors(void) {
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            return false;
    return true;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {{"run", cli_run}, {"bench", cli_bench}, {"probe", cli_probe}};

    if (!main_fill_descriptors())
        return CLI_EXIT_FAILED;
    /* Before any message: one decides what is escaped in it, the other keeps passwords out of it. */
    cli_text_locale();
    cli_secret_learn(argc, argv);
    const char *command = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(command, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0 || strcmp(command, "help") == 0)
        return main_print("%s", HELP);
    if (strcmp(command, "--version") == 0 || strcmp(command, "-V") == 0)
        return main_print("quring %s\n", quring_version());
    if (!*command)
        cli_error("give a command: run, bench or probe; quring --help explains them");
    else
        cli_error("%s: there is no such command; give run, bench or probe", command);
    return CLI_EXIT_USAGE;
}
