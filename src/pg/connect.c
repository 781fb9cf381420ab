/* SPDX-License-Identifier: MIT */
/*
 * libpq connects: URIs, service and password files, SCRAM. It does so on a thread, because name look-up and key derivation
 * can block for seconds, and to one address at a time, because libpq goes on to the next only when the one before has
 * failed. Then the socket is taken from it: a duplicate of the descriptor becomes ours, /dev/null
 * takes the place of libpq's own, and PQfinish() frees its 37 KB while the connection lives on.
 */
#include "pg/connect.h"
#include "base/bytes.h"
#include "base/cursor.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "pg/tls.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Nothing wakes poll(2) here when the handle is closed, so `abort` is looked at this often. */
enum { ABORT_CHECK_MS = 50 };

enum { LOOK_BYTES = 8192 };

enum {
    CANCEL_REQUEST_BYTES = 16,
    CANCEL_REQUEST_CODE = 80877102,
    CANCEL_S = 30 /* until its thread ends, of which nobody expects anything by then: see cancel.c */
};

static _Thread_local pg_connector connector_in_use, look_up_in_use;

void pg_use_connector(pg_connector connector, pg_connector look_up) {
    connector_in_use = connector;
    look_up_in_use = look_up;
}

pg_connector pg_current_connector(void) {
    return connector_in_use ? connector_in_use : pg_connect_run;
}

pg_connector pg_current_look_up(void) {
    return connector_in_use ? look_up_in_use : pg_connect_look_up;
}

static uint64_t connect_clock_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void connect_fail(struct pg_connect *connect, const char *sqlstate, const char *message) {
    memcpy(connect->sqlstate, sqlstate, 5);
    connect->sqlstate[5] = 0;
    snprintf(connect->message, sizeof connect->message, "%s", message);
    utf8_tidy(connect->message);
    size_t length = strlen(connect->message);
    while (length && isspace((unsigned char)connect->message[length - 1]))
        connect->message[--length] = 0;
}

/*
 * libpq has no call for the SQLSTATE of a failed connection, but PQERRORS_VERBOSE puts it into the text: "FATAL:  28P01:
 * password …". This takes it out of there, and cuts the LOCATION line.
 */
static void connect_fail_with_libpq(struct pg_connect *connect, PGconn *conn) {
    char text[PG_MESSAGE_BYTES];
    snprintf(text, sizeof text, "%s", PQerrorMessage(conn));
    char *location = strstr(text, "\nLOCATION:");
    if (location)
        *location = 0;
    char sqlstate[6] = "08001";
    for (char *at = text; (at = strstr(at, ":  ")); at++) {
        char *code = at + 3;
        if (strspn(code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 5 || code[5] != ':' || code[6] != ' ')
            continue;
        memcpy(sqlstate, code, 5);
        memmove(code, code + 7, strlen(code + 7) + 1);
        break; /* five such letters further on may be words of the server's message */
    }
    connect_fail(connect, sqlstate, text);
}

static void connect_ignore_notice(void *arg, const PGresult *notice) {
    (void)arg;
    (void)notice;
}

/* Waits until the socket is ready for what libpq wants. False: the deadline passed, or the engine is closing. */
static bool connect_wait_socket(struct pg_connect *connect, PGconn *conn, PostgresPollingStatusType wants,
                                uint64_t until) {
    for (;;) {
        uint64_t now = connect_clock_ns();
        if (now >= until || atomic_load(&connect->abort))
            return false;
        uint64_t left_ms = (until - now) / 1000000 + 1;
        struct pollfd fd = {.fd = PQsocket(conn), .events = wants == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        int ready = poll(&fd, 1, left_ms < ABORT_CHECK_MS ? (int)left_ms : ABORT_CHECK_MS);
        if (ready > 0 || (ready < 0 && errno != EINTR))
            return true;
    }
}

/* Waits as above, and sets the error on failure. An attempt whose handle was closed has no reader for it. */
static bool connect_wait(struct pg_connect *connect, PGconn *conn, PostgresPollingStatusType wants, uint64_t until) {
    if (connect_wait_socket(connect, conn, wants, until))
        return true;
    connect->missed = true;
    connect_fail(connect, "08001", "timeout expired while connecting (connect_timeout_ns)");
    return false;
}

/* dbname is expanded to all that the URL says; of two equal keywords the later one wins, unless its value is empty. */
static PGconn *connect_start(const struct pg_connect *connect) {
    static const char *const keywords[] = {
        "fallback_application_name", "dbname",          "host",       "hostaddr", "port",
        "target_session_attrs",      "client_encoding", "gssencmode", NULL};
    const struct pg_host *host = connect->host;
    const char *address = *connect->address ? connect->address : host->address;
    const char *const values[] = {
        "quring", connect->hosts->conninfo, host->host, address, host->port, connect->session, "UTF8", "disable", NULL};
    return PQconnectStartParams(keywords, values, 1);
}

/*
 * libpq does not tell the key of the session. So it is looked for among what libpq is about to read, which begins with a
 * message, because libpq takes all that has come each time. Where it comes in parts it is not found.
 */
static void connect_look_for_key(struct pg_connect *connect, PGconn *conn) {
    uint8_t bytes[LOOK_BYTES];
    ssize_t size = recv(PQsocket(conn), bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    struct cursor left = cursor_over(bytes, size > 0 ? (size_t)size : 0);
    while (cursor_left(&left) && !left.failed) {
        uint8_t type = cursor_u8(&left);
        uint32_t length = cursor_u32(&left);
        const uint8_t *body = length < 4 ? NULL : cursor_take(&left, length - 4);
        if (!body)
            return;
        if (type == 'K' && length == 12)
            connect->backend = (struct pg_backend_key){bytes_load_u32(body), bytes_load_u32(body + 4)};
    }
}

static bool connect_until(struct pg_connect *connect, PGconn *conn, uint64_t until) {
    PostgresPollingStatusType wants = PGRES_POLLING_WRITING;
    while (PQstatus(conn) != CONNECTION_BAD && wants != PGRES_POLLING_OK && wants != PGRES_POLLING_FAILED) {
        if (!connect_wait(connect, conn, wants, until))
            return false;
        if (wants == PGRES_POLLING_READING && !PQsslInUse(conn))
            connect_look_for_key(connect, conn);
        wants = PQconnectPoll(conn);
    }
    if (wants == PGRES_POLLING_OK)
        return true;
    connect_fail_with_libpq(connect, conn);
    return false;
}

/* The codecs rely on these settings. A round trip is spent only if the server reports another value. */
static bool connect_set_datestyle(struct pg_connect *connect, PGconn *conn, uint64_t until) {
    const char *datestyle = PQparameterStatus(conn, "DateStyle");
    const char *integer = PQparameterStatus(conn, "integer_datetimes");
    if (integer && strcmp(integer, "on") != 0) {
        connect_fail(connect, "0A000", "the server was built without integer_datetimes");
        return false;
    }
    if (!datestyle || strncmp(datestyle, "ISO", 3) == 0)
        return true;
    bool ok = PQsendQuery(conn, "set datestyle to iso");
    for (PGresult *result = NULL; ok; PQclear(result)) {
        while (ok && PQisBusy(conn))
            ok = connect_wait(connect, conn, PGRES_POLLING_READING, until) && PQconsumeInput(conn);
        if (!ok || !(result = PQgetResult(conn)))
            break;
        ok = PQresultStatus(result) == PGRES_COMMAND_OK;
    }
    if (!ok && !connect->message[0])
        connect_fail_with_libpq(connect, conn);
    return ok;
}

/*
 * What libpq leaves to the kernel's defaults: two hours until the first probe of an idle connection, and a quarter of an hour
 * for bytes that nobody acknowledges. With these a host or a link that is gone ends the connection within some 40 s; a
 * shorter break of the link does not. A probe each 30 s also keeps address translators from forgetting the connection. They
 * are set once libpq is done, because only then it is known what the connection string and the service file leave open.
 */
static const struct {
    const char *keyword;
    int option, value;
} connect_defaults[] = {
    {"keepalives_idle", TCP_KEEPIDLE, 30},
    {"keepalives_interval", TCP_KEEPINTVL, 10},
    {"keepalives_count", TCP_KEEPCNT, 3},
    {"tcp_user_timeout", TCP_USER_TIMEOUT, 30000},
};

/* A socket that is none of TCP refuses the options, and needs none. */
static void connect_set_defaults(PGconn *conn) {
    PQconninfoOption *options = PQconninfo(conn);
    for (const PQconninfoOption *option = options; option && option->keyword; option++)
        for (size_t i = 0; i < sizeof connect_defaults / sizeof *connect_defaults; i++)
            if (!option->val && strcmp(option->keyword, connect_defaults[i].keyword) == 0)
                (void)setsockopt(PQsocket(conn), IPPROTO_TCP, connect_defaults[i].option, &connect_defaults[i].value,
                                 sizeof connect_defaults[i].value);
    PQconninfoFree(options);
}

static bool connect_take_socket(struct pg_connect *connect, PGconn *conn) {
    PQconsumeInput(conn);
    if (PQtransactionStatus(conn) != PQTRANS_IDLE || PQstatus(conn) != CONNECTION_OK) {
        connect_fail(connect, "08006", "the new connection was not idle");
        return false;
    }
    connect_set_defaults(conn);
    int fd = fcntl(PQsocket(conn), F_DUPFD_CLOEXEC, 0);
    int null = fd < 0 ? -1 : open("/dev/null", O_RDWR | O_CLOEXEC);
    bool taken = null >= 0 && dup3(null, PQsocket(conn), O_CLOEXEC) >= 0;
    /* On a non-blocking socket an operation that io_uring hands to its own workers could end with EAGAIN. */
    taken = taken && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) == 0;
    if (null >= 0)
        close(null);
    if (taken) {
        connect->fd = fd;
        return true;
    }
    char text[64];
    snprintf(text, sizeof text, "taking over the socket: %s", strerror(errno));
    connect_fail(connect, "08001", text);
    if (fd >= 0)
        close(fd);
    return false;
}

static bool connect_take_tls(struct pg_connect *connect, PGconn *conn) {
    if (!PQsslInUse(conn))
        return true;
    const char *why;
    connect->tls = pg_tls_open(conn, &why);
    if (connect->tls)
        return true;
    close(connect->fd);
    connect->fd = -1;
    connect_fail(connect, "08001", why);
    return false;
}

/* ---- What cancels need ---- */

struct connect_cancel_key {
    struct pg_cancel_key base;
    struct sockaddr_storage server;
    socklen_t server_bytes;
    struct pg_backend_key backend;
    PGcancel *cancel; /* libpq's; NULL: the request is ours */
};

/*
 * The server ends the connection once it has sent its signal. libpq says the same of a connection that was reset. A server that
 * could start no process for the request says so, and has forgotten it.
 */
static enum pg_cancel_fate connect_await_end(int fd) {
    uint8_t byte;
    ssize_t size;
    do
        size = recv(fd, &byte, sizeof byte, 0);
    while (size < 0 && errno == EINTR); /* no handler runs here, but the process was stopped, and goes on */
    return size < 0 ? PG_CANCEL_CUT : size == 0 ? PG_CANCEL_TAKEN : PG_CANCEL_UNHEARD;
}

static enum pg_cancel_fate connect_request_cancel(const struct connect_cancel_key *key, int fd) {
    const struct timeval bound = {.tv_sec = CANCEL_S};
    uint8_t request[CANCEL_REQUEST_BYTES];
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
    bytes_store_u32(request, sizeof request);
    bytes_store_u32(request + 4, CANCEL_REQUEST_CODE);
    bytes_store_u32(request + 8, key->backend.pid);
    bytes_store_u32(request + 12, key->backend.secret);
    if (connect(fd, (const struct sockaddr *)&key->server, key->server_bytes))
        return PG_CANCEL_UNHEARD;
    ssize_t sent = send(fd, request, sizeof request, MSG_NOSIGNAL);
    if (sent <= 0)
        return PG_CANCEL_UNHEARD;
    return sent == (ssize_t)sizeof request ? connect_await_end(fd) : PG_CANCEL_CUT;
}

static enum pg_cancel_fate connect_cancel_ask(struct pg_cancel_key *base, struct task *task) {
    struct connect_cancel_key *key = base_container_of(base, struct connect_cancel_key, base);
    char message[PG_MESSAGE_BYTES];
    (void)task;
    if (key->cancel)
        return PQcancel(key->cancel, message, sizeof message) == 1 ? PG_CANCEL_TAKEN : PG_CANCEL_UNHEARD;
    int fd = socket(key->server.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return PG_CANCEL_UNHEARD;
    enum pg_cancel_fate fate = connect_request_cancel(key, fd);
    close(fd);
    return fate;
}

static void connect_cancel_drop(struct pg_cancel_key *base) {
    struct connect_cancel_key *key = base_container_of(base, struct connect_cancel_key, base);
    PQfreeCancel(key->cancel);
    free(key);
}

/* A server names its unix socket by a path of its own, which need not be ours. */
static bool connect_may_ask_itself(const struct connect_cancel_key *key, int server_pid) {
    bool inet = key->server.ss_family == AF_INET || key->server.ss_family == AF_INET6;
    return inet && server_pid > 0 && key->backend.pid == (uint32_t)server_pid;
}

static struct pg_cancel_key *connect_cancel_key(const struct pg_connect *connect, PGconn *conn) {
    struct connect_cancel_key *key = calloc(1, sizeof *key);
    if (!key)
        return NULL;
    key->base = (struct pg_cancel_key){connect_cancel_ask, connect_cancel_drop};
    key->backend = connect->backend;
    key->server_bytes = sizeof key->server;
    bool known = getpeername(connect->fd, (struct sockaddr *)&key->server, &key->server_bytes) == 0;
    if (known && connect_may_ask_itself(key, connect->server_pid))
        return &key->base;
    key->cancel = PQgetCancel(conn);
    if (key->cancel)
        return &key->base;
    free(key);
    return NULL;
}

/* On TLS a cancel goes over another connection to the same address, and the server knows a session by its client's port. */
static void connect_note_addresses(struct pg_connect *connect) {
    struct sockaddr_storage server = {0}, client = {0};
    socklen_t server_bytes = sizeof server, client_bytes = sizeof client;
    if (getpeername(connect->fd, (struct sockaddr *)&server, &server_bytes) ||
        getsockname(connect->fd, (struct sockaddr *)&client, &client_bytes))
        return;
    if (client.ss_family == AF_INET)
        connect->client_port = ntohs(((struct sockaddr_in *)&client)->sin_port);
    else if (client.ss_family == AF_INET6)
        connect->client_port = ntohs(((struct sockaddr_in6 *)&client)->sin6_port);
    connect->server = hash_bytes(&server, server_bytes, 0) | 1;
}

/*
 * exit() does not wait for the thread of a detached attempt, which works with OpenSSL. So OpenSSL must not install the
 * atexit() handler that frees it, which its first use in a process does by default.
 */
void pg_connect_prepare(void) {
    (void)OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}

/* A name with several addresses may name each more than once, by way of several entries in the hosts file. */
static void connect_found(struct pg_addresses *found, const struct addrinfo *one) {
    char text[PG_ADDRESS_BYTES];
    bool is_ip = one->ai_family == AF_INET || one->ai_family == AF_INET6;
    if (!is_ip || getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST))
        return;
    for (uint32_t i = 0; i < found->count; i++)
        if (strcmp(found->text[i], text) == 0)
            return;
    if (found->count < PG_ADDRESSES_MAX)
        memcpy(found->text[found->count++], text, sizeof text);
}

/* libpq looks names up itself, but then tries the next address only when the one before has failed. */
void pg_connect_look_up(struct pg_connect *connect) {
    char message[PG_MESSAGE_BYTES];
    struct addrinfo *all = NULL;
    const struct addrinfo wanted = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    int error = getaddrinfo(connect->host->host, NULL, &wanted, &all);
    for (const struct addrinfo *one = error ? NULL : all; one; one = one->ai_next)
        connect_found(&connect->found, one);
    if (!error)
        freeaddrinfo(all);
    if (connect->found.count)
        return;
    snprintf(message, sizeof message, "could not translate host name \"%s\" to address: %s", connect->host->host,
             error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error ? error : EAI_NONAME));
    connect_fail(connect, "08001", message);
}

void pg_connect_run(struct pg_connect *connect) {
    uint64_t until = connect->until_ns;
    connect->fd = -1;
    connect->tls = NULL;
    connect->backend = (struct pg_backend_key){0};
    connect->message[0] = 0;
    PGconn *conn = connect_start(connect);
    if (!conn) {
        connect_fail(connect, "53200", "out of memory");
        return;
    }
    PQsetErrorVerbosity(conn, PQERRORS_VERBOSE);
    PQsetNoticeReceiver(conn, connect_ignore_notice, NULL);
    bool taken = connect_until(connect, conn, until) && connect_set_datestyle(connect, conn, until) &&
                 connect_take_socket(connect, conn) && connect_take_tls(connect, conn);
    connect->server_pid = PQbackendPID(conn);
    if (taken && connect->tls)
        connect_note_addresses(connect);
    else if (taken)
        connect->cancel_key = connect_cancel_key(connect, conn);
    if (!taken || !connect->tls)
        PQfinish(conn);
}
