/* SPDX-License-Identifier: MIT */
#include "cli/common/say.h"

#include "cli/cli.h"
#include "cli/common/secret.h"
#include "cli/common/text.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static bool wipes_line;

void cli_error_wipes_line(bool wipes) {
    wipes_line = wipes;
}

/* The arguments may come from a server, so they are formatted first and escaped afterwards. */
__attribute__((format(printf, 2, 0))) static void say_safely(const char *prefix, const char *format, va_list args) {
    struct cli_out message, line;

    cli_out_init(&message, CLI_OUT_MEMORY);
    cli_out_init(&line, STDERR_FILENO);
    cli_out_vformat(&message, format, args);
    cli_secret_hide(&message);
    while (message.size > 0 && message.data[message.size - 1] == '\n') /* libpq's messages end with one */
        message.size--;
    if (wipes_line)
        cli_out_text(&line, "\r\033[K");
    cli_out_text(&line, prefix);
    cli_text_safe(&line, message.data, message.size, CLI_TEXT_KEEP_LINES);
    cli_out_char(&line, '\n');
    cli_out_flush(&line);
    cli_out_free(&message);
    cli_out_free(&line);
}

void cli_say(const char *prefix, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say_safely(prefix, format, args);
    va_end(args);
}

void cli_error(const char *format, ...) {
    va_list args;
    va_start(args, format);
    say_safely("quring: ", format, args);
    va_end(args);
}

void cli_say_out(struct cli_out *text) {
    struct cli_out line;
    cli_out_init(&line, STDERR_FILENO);
    if (wipes_line)
        cli_out_text(&line, "\r\033[K");
    cli_out_bytes(&line, text->data ? text->data : "", text->size);
    cli_out_char(&line, '\n');
    cli_out_flush(&line);
    cli_out_free(&line);
    cli_out_free(text);
}

int cli_no_memory(void) {
    cli_error("memory ran out");
    return CLI_EXIT_FAILED;
}

int cli_wrong(const char *command, const char *format, ...) {
    struct cli_out prefix;
    va_list args;

    cli_out_init(&prefix, CLI_OUT_MEMORY);
    cli_out_format(&prefix, "quring %s: ", command);
    cli_out_char(&prefix, '\0');
    va_start(args, format);
    say_safely(prefix.data ? prefix.data : "quring: ", format, args);
    va_end(args);
    cli_out_free(&prefix);
    return CLI_EXIT_USAGE;
}

int cli_finish(struct cli_out *out, int status) {
    if (cli_out_flush(out) == 0 && out->fd != CLI_OUT_MEMORY && close(out->fd) != 0 && errno != EINTR)
        out->error = errno; /* NFS may report only now that a write has failed: see close(2) */
    /* A command that never ignored SIGPIPE would have ended by it, and the shell sees the same end of this one. */
    if (out->error == EPIPE) {
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    if (out->error && out->error != EINTR) {
        cli_error("cannot write the output: %s", strerror(out->error));
        status = CLI_EXIT_FAILED;
    }
    cli_out_free(out);
    return status;
}
