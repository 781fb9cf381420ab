/* SPDX-License-Identifier: MIT */
#include "cli/common/secret.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int argument_count;
static char **arguments;

void cli_secret_learn(int argc, char **argv) {
    argument_count = argc;
    arguments = argv;
}

/*
 * A piece of an argument that holds a password, text[secret..end). The bytes before and behind it are there to find: the
 * password alone may be a word that occurs elsewhere in a message.
 */
struct piece {
    const char *text;
    size_t secret, end, size;
};

static void hide_piece(struct cli_out *message, const struct piece *piece) {
    struct cli_out masked;
    const char *at = message->data, *end = message->data + message->size, *found;

    if (piece->end == piece->secret || message->size == 0 ||
        !memmem(message->data, message->size, piece->text, piece->size))
        return;
    cli_out_init(&masked, CLI_OUT_MEMORY);
    while ((found = memmem(at, (size_t)(end - at), piece->text, piece->size))) {
        cli_out_bytes(&masked, at, (size_t)(found - at) + piece->secret);
        cli_out_text(&masked, "***");
        cli_out_bytes(&masked, piece->text + piece->end, piece->size - piece->end);
        at = found + piece->size;
    }
    cli_out_bytes(&masked, at, (size_t)(end - at));
    if (masked.error) /* rather no message than one with a password */
        masked.size = 0;
    cli_out_free(message);
    *message = masked;
}

static void hide_user(struct cli_out *message, const char *argument) {
    const char *scheme = strstr(argument, "://"), *user = scheme ? scheme + 3 : argument;
    const char *colon = strchr(user, ':'), *at = strrchr(user, '@');
    if (!colon || !at || at < colon)
        return;
    struct piece piece = {user, (size_t)(colon - user) + 1, (size_t)(at - user), (size_t)(at - user) + 1};
    hide_piece(message, &piece);
}

/*
 * Returns the end of the value at `text`: its closing quote, or the next "name=". A password with spaces that was not
 * quoted is a mistake that libpq reports with the rest of it as a word of its own, so all of that counts as password.
 */
static const char *value_end(const char *text) {
    if (*text == '\'') {
        for (text++; *text && *text != '\''; text++)
            text += text[0] == '\\' && text[1];
        return text;
    }
    for (; *text; text++) {
        size_t gap = strspn(text, "& \t\n\r");
        size_t name = gap ? strspn(text + gap, "abcdefghijklmnopqrstuvwxyz_") : 0;
        if (name > 0 && text[gap + name + strspn(text + gap + name, " \t\n\r")] == '=')
            break;
    }
    return text;
}

static void hide_keyword(struct cli_out *message, const char *argument) {
    static const char keyword[] = "password"; /* sslpassword, too */
    for (const char *at = argument; (at = strcasestr(at, keyword)); at += strlen(keyword)) {
        const char *value = at + strlen(keyword);
        value += strspn(value, " \t\n\r");
        if (*value++ != '=')
            continue;
        value += strspn(value, " \t\n\r");
        size_t end = (size_t)(value_end(value) - at);
        struct piece piece = {at, (size_t)(value - at), end, end};
        hide_piece(message, &piece);
    }
}

void cli_secret_hide(struct cli_out *message) {
    for (int i = 0; i < argument_count; i++) {
        hide_user(message, arguments[i]);
        hide_keyword(message, arguments[i]);
    }
    const char *environment = getenv("DATABASE_URL");
    if (environment) {
        hide_user(message, environment);
        hide_keyword(message, environment);
    }
}
