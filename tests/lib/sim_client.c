/* SPDX-License-Identifier: MIT */
#include "lib/sim_client.h"

#include "base/assert.h"
#include "lib/seeds.h"
#include "wire/frame.h"

#include <errno.h>
#include <stdio.h>

static struct list clients = {&clients, &clients};

static struct port *port_of(const struct sim_client *client) {
    return sim_port(client->server->sim);
}

/* ---- Messages ---- */

static size_t message_begin(struct buf *out, char type) {
    size_t mark = buf_mark(out);
    buf_put_u8(out, (uint8_t)type);
    buf_put_u32(out, 0);
    return mark;
}

static void message_end(struct buf *out, size_t mark) {
    PRE(!buf_failed(out));
    bytes_store_u32(buf_head(out) + mark + 1, (uint32_t)(buf_mark(out) - mark - 1));
}

static void put_string(struct buf *out, const char *text) {
    buf_put(out, text, strlen(text) + 1);
}

void sim_client_parse(struct sim_client *client, const char *name, const char *sql) {
    size_t mark = message_begin(&client->out, 'P');
    put_string(&client->out, name);
    put_string(&client->out, sql);
    buf_put_u16(&client->out, 0);
    message_end(&client->out, mark);
}

void sim_client_bind(struct sim_client *client, const char *portal, const char *statement, int64_t index) {
    char identity[24];
    int length =
        snprintf(identity, sizeof identity, "%lld", (long long)sim_server_identity(client->server, (uint32_t)index));
    size_t mark = message_begin(&client->out, 'B');
    put_string(&client->out, portal);
    put_string(&client->out, statement);
    buf_put_u16(&client->out, 0);
    buf_put_u16(&client->out, index >= 0);
    if (index >= 0) {
        buf_put_u32(&client->out, (uint32_t)length);
        buf_put(&client->out, identity, (size_t)length);
    }
    buf_put_u16(&client->out, 0);
    message_end(&client->out, mark);
}

void sim_client_execute(struct sim_client *client, const char *portal, uint32_t row_limit) {
    size_t mark = message_begin(&client->out, 'E');
    put_string(&client->out, portal);
    buf_put_u32(&client->out, row_limit);
    message_end(&client->out, mark);
}

static void put_named(struct sim_client *client, char type, char kind, const char *name) {
    size_t mark = message_begin(&client->out, type);
    buf_put_u8(&client->out, (uint8_t)kind);
    put_string(&client->out, name);
    message_end(&client->out, mark);
}

void sim_client_describe(struct sim_client *client, char kind, const char *name) {
    put_named(client, 'D', kind, name);
}

void sim_client_drop(struct sim_client *client, char kind, const char *name) {
    put_named(client, 'C', kind, name);
}

void sim_client_flush(struct sim_client *client) {
    message_end(&client->out, message_begin(&client->out, 'H'));
}

void sim_client_sync(struct sim_client *client) {
    message_end(&client->out, message_begin(&client->out, 'S'));
}

void sim_client_cancel(struct sim_client *client, uint32_t pid, uint32_t key) {
    buf_put_u32(&client->out, 16);
    buf_put_u32(&client->out, 80877102);
    buf_put_u32(&client->out, pid);
    buf_put_u32(&client->out, key);
}

void sim_client_ask(struct sim_client *client, const char *sql, int64_t index) {
    sim_client_parse(client, "", sql);
    sim_client_bind(client, "", "", index);
    sim_client_execute(client, "", 0);
}

/* ---- The port ---- */

static struct sim_client *client_of(uint64_t token) {
    list_for_each(node, &clients) {
        struct sim_client *client = list_entry(node, struct sim_client, link);
        if ((uint64_t)client->fd == token / 2)
            return client;
    }
    return NULL;
}

static void push(struct sim_client *client, enum port_kind kind, void *bytes, size_t size) {
    struct port_op op = {.token = 2 * (uint64_t)client->fd + (kind == PORT_SEND),
                         .bytes = bytes,
                         .size = (uint32_t)size,
                         .fd = client->fd,
                         .kind = (uint8_t)kind};
    LAW(port_of(client)->methods->push(port_of(client), &op) == 0, "push");
}

static void push_what_can_be(struct sim_client *client) {
    if (!client->receives && !client->over) {
        client->receives = true;
        push(client, PORT_RECV, client->chunk, sizeof client->chunk);
    }
    if (!client->sends && buf_size(&client->out)) {
        struct buf sent = client->sent;
        client->sent = client->out;
        client->out = sent;
        client->sends = true;
        push(client, PORT_SEND, buf_head(&client->sent), buf_size(&client->sent));
    }
}

static void on_event(const struct port_event *event) {
    struct sim_client *client = client_of(event->token);
    LAW(client != NULL, "an event of nobody");
    if (event->token & 1) {
        client->sends = false;
        LAW(client->over || event->result == (int32_t)buf_size(&client->sent), "send: %d", event->result);
        buf_reset(&client->sent, SIZE_MAX);
        return;
    }
    client->receives = false;
    client->over = event->result <= 0;
    if (event->result > 0)
        buf_put(&client->in, client->chunk, (size_t)event->result);
}

/* Lets `ns` pass, or what is under way end. */
static void client_pass(struct sim_client *client, uint64_t ns, bool to_end) {
    struct port *port = port_of(client);
    uint64_t end = sim_now_ns(client->server->sim) + ns, now;
    struct port_event event;
    while ((now = sim_now_ns(client->server->sim)) < end && (!to_end || client->sends || client->receives)) {
        list_for_each(node, &clients)
            if (!to_end)
                push_what_can_be(list_entry(node, struct sim_client, link));
        int error = port->methods->enter(port, 1, end - now);
        LAW(error == 0 || error == -ETIME || error == -EINTR, "enter: %d", error);
        while (port->methods->collect(port, &event, 1))
            on_event(&event);
    }
}

/* ---- Life ---- */

void sim_client_open(struct sim_client *client, struct sim_server *server) {
    *client = (struct sim_client){.server = server, .fd = sim_server_connect(server)};
    buf_init(&client->out, SIZE_MAX);
    buf_init(&client->sent, SIZE_MAX);
    buf_init(&client->in, SIZE_MAX);
    list_init(&client->link);
    list_push_back(&clients, &client->link);
}

void sim_client_start(struct sim_client *client, struct sim_server *server) {
    static const char parameters[] = "user\0sim\0";
    sim_client_open(client, server);
    buf_put_u32(&client->out, 8 + (uint32_t)sizeof parameters);
    buf_put_u32(&client->out, 196608);
    buf_put(&client->out, parameters, sizeof parameters);
    const char *heard = sim_client_talk(client, 1000000);
    LAW(strcmp(heard, "R K ZI") == 0, "start-up: %s", heard);
}

void sim_client_close(struct sim_client *client) {
    struct port *port = port_of(client);
    port->methods->shutdown(port, client->fd);
    client->over = true;
    client_pass(client, UINT64_MAX / 2, true);
    port->methods->close(port, client->fd);
    list_remove(&client->link);
    buf_free(&client->out);
    buf_free(&client->sent);
    buf_free(&client->in);
}

/* ---- Words ---- */

static const char *sqlstate_of(struct cursor body) {
    for (char field; (field = (char)cursor_u8(&body));) {
        const char *text = cursor_string(&body, NULL);
        if (field == 'C')
            return text;
    }
    return "";
}

/* The second column of three, as text. */
static void say_row(struct buf *words, struct cursor body) {
    uint16_t count = cursor_u16(&body);
    if (count != 3)
        return;
    (void)cursor_take(&body, cursor_u32(&body));
    uint32_t size = cursor_u32(&body);
    buf_put(words, cursor_take(&body, size), size);
}

static void say(struct sim_client *client, struct buf *words, const struct wire_frame *frame) {
    struct cursor body = frame->body;
    buf_printf(words, "%s%c", buf_size(words) ? " " : "", frame->type);
    if (frame->type == 'D')
        say_row(words, body);
    else if (frame->type == 'C')
        buf_printf(words, ":%s", cursor_string(&body, NULL));
    else if (frame->type == 'E' || frame->type == 'N')
        buf_printf(words, "%s", sqlstate_of(body));
    else if (frame->type == 'Z')
        buf_put_u8(words, cursor_u8(&body));
    if (frame->type != 'K')
        return;
    client->pid = cursor_u32(&body);
    client->key = cursor_u32(&body);
}

void sim_client_wait(struct sim_client *client, uint64_t ns) {
    client_pass(client, ns, false);
}

const char *sim_client_talk(struct sim_client *client, uint64_t ns) {
    struct wire_frame frame = {0};
    struct buf words;
    uint8_t before = 0;
    client_pass(client, ns, false);
    LAW(!client->sends && !buf_size(&client->out), "the server does not read");
    buf_init(&words, sizeof client->heard - 1);
    while (wire_frame_look(cursor_over(buf_head(&client->in), buf_size(&client->in)), SIZE_MAX, &frame) ==
           WIRE_FRAME_WHOLE) {
        if (frame.type != 'N' || before != 'N')
            say(client, &words, &frame);
        before = frame.type;
        buf_consume(&client->in, frame.size);
    }
    LAW(!buf_size(&client->in), "a message that is not whole, or none");
    if (client->over)
        buf_put_u8(&words, '.');
    LAW(!buf_failed(&words), "more words than there is room for");
    memset(client->heard, 0, sizeof client->heard);
    if (buf_size(&words))
        memcpy(client->heard, buf_head(&words), buf_size(&words));
    buf_free(&words);
    return client->heard;
}
