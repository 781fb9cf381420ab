/* SPDX-License-Identifier: MIT */
#include "pg/hosts.h"

#include "base/assert.h"
#include "base/hash.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t LAST_NS = 30000000000u; /* how long a host that cost an attempt its share is tried after others */

/* ---- Parameters ---- */

struct hosts_params {
    const char *host, *address, *port; /* lists; "" where there is none */
    const char *default_port;
    const char *connect_timeout, *session, *balance;
};

static void hosts_param(struct hosts_params *params, const PQconninfoOption *option) {
    const struct {
        const char *keyword, **value;
    } wanted[] = {
        {"host", &params->host},
        {"hostaddr", &params->address},
        {"port", &params->port},
        {"connect_timeout", &params->connect_timeout},
        {"target_session_attrs", &params->session},
        {"load_balance_hosts", &params->balance}, /* libpq knows it from version 16 on */
    };
    if (strcmp(option->keyword, "port") == 0 && option->compiled)
        params->default_port = option->compiled;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (option->val && strcmp(option->keyword, wanted[i].keyword) == 0)
            *wanted[i].value = option->val;
}

/*
 * libpq tells the values in effect, those of the service file and the environment included, of a connection object only. A
 * gssencmode that does not exist makes it stop before it does anything else with them. With a user and a password at hand it
 * does not ask the system for the user's name, and reads no password file. NULL: no memory.
 */
static PQconninfoOption *hosts_options(const char *conninfo) {
    static const char *const keywords[] = {"dbname", "user", "password", "gssencmode", NULL};
    const char *const values[] = {conninfo, "x", "x", "none such", NULL};
    PGconn *conn = PQconnectStartParams(keywords, values, 1);
    bool has_memory = conn && strncmp(PQerrorMessage(conn), "out of memory", 13) != 0;
    PQconninfoOption *options = has_memory ? PQconninfo(conn) : NULL;
    PQfinish(conn);
    return options;
}

/* ---- Lists ---- */

static uint32_t list_count(const char *list) {
    uint32_t count = 1;
    for (; *list; list++)
        count += *list == ',';
    return count;
}

/* A copy of an element of the list, or of the only one. NULL: no memory. */
static char *list_element(const char *list, uint32_t index) {
    for (; index && (list = strchr(list, ',')); index--)
        list++;
    return list ? strndup(list, strcspn(list, ",")) : strdup("");
}

/* "x,x": a list of two for libpq, which cannot be told that a parameter is empty, but that an element of a list is. */
static bool list_double(char **element) {
    char *twice;
    if (asprintf(&twice, "%s,%s", *element, *element) < 0)
        return false;
    free(*element);
    *element = twice;
    return true;
}

static bool host_is_name(const char *host) {
    struct in6_addr address;
    return *host && *host != '/' && *host != '@' && !strchr(host, ':') && inet_pton(AF_INET, host, &address) != 1;
}

/* An element of several. Without a name and an address it is a directory of sockets, or libpq's default. False: no memory. */
static bool host_init(struct pg_host *host, const struct hosts_params *params, uint32_t index) {
    host->host = list_element(params->host, index);
    host->address = list_element(params->address, index);
    host->port = list_element(params->port, list_count(params->port) == 1 ? 0 : index);
    if (!host->host || !host->address || !host->port)
        return false;
    if (!*host->port && *params->port) {
        free(host->port);
        host->port = strdup(params->default_port);
    }
    if (!*host->host && *host->address) {
        free(host->host);
        host->host = strdup(*params->host ? host->address : "");
    }
    if (!host->host || !host->port)
        return false;
    host->is_name = !*host->address && host_is_name(host->host);
    if (*host->address || host->is_name || (*host->host && !*params->address))
        return true;
    return list_double(&host->host) && (!*params->address || list_double(&host->address));
}

/* The only host: libpq takes it from the connection string, except that a name is looked up before. False: no memory. */
static bool host_init_only(struct pg_host *host, const struct hosts_params *params) {
    host->is_name = list_count(params->host) == 1 && !*params->address && host_is_name(params->host);
    host->host = strdup(host->is_name ? params->host : "");
    host->address = strdup("");
    host->port = strdup("");
    return host->host && host->address && host->port;
}

/* Lists whose lengths do not fit count as one host, so that libpq is asked, and says what is wrong. */
static uint32_t hosts_count(const struct hosts_params *params) {
    uint32_t hosts = list_count(params->host), addresses = list_count(params->address),
             ports = list_count(params->port);
    uint32_t count = *params->address ? addresses : hosts;
    bool fit = (!*params->address || !*params->host || hosts == addresses) && (ports == 1 || ports == count);
    return fit ? count : 1;
}

static struct pg_hosts *hosts_make(const char *conninfo, const struct hosts_params *params) {
    uint32_t count = hosts_count(params);
    struct pg_hosts *hosts = calloc(1, sizeof *hosts + count * sizeof hosts->hosts[0]);
    if (!hosts)
        return NULL;
    atomic_init(&hosts->references, 1);
    hosts->conninfo = strdup(conninfo);
    hosts->count = count;
    bool made = hosts->conninfo != NULL;
    if (count == 1)
        made = made && host_init_only(&hosts->hosts[0], params);
    for (uint32_t i = 0; made && count > 1 && i < count; i++)
        made = host_init(&hosts->hosts[i], params, i);
    if (!made) {
        pg_hosts_drop(hosts);
        return NULL;
    }
    int timeout = atoi(params->connect_timeout);
    hosts->timeout_ns = timeout > 0 ? (uint64_t)timeout * 1000000000u : 0;
    hosts->shuffled = strcmp(params->balance, "random") == 0;
    hosts->prefer_standby = strcmp(params->session, "prefer-standby") == 0;
    return hosts;
}

struct pg_hosts *pg_hosts_new(const char *conninfo) {
    struct hosts_params params = {"", "", "", "5432", "", "", ""};
    PQconninfoOption *options = hosts_options(conninfo);
    for (const PQconninfoOption *option = options; option && option->keyword; option++)
        hosts_param(&params, option);
    struct pg_hosts *hosts = options ? hosts_make(conninfo, &params) : NULL;
    PQconninfoFree(options);
    return hosts;
}

struct pg_hosts *pg_hosts_hold(struct pg_hosts *hosts) {
    atomic_fetch_add(&hosts->references, 1);
    return hosts;
}

void pg_hosts_drop(struct pg_hosts *hosts) {
    if (!hosts || atomic_fetch_sub(&hosts->references, 1) != 1)
        return;
    for (uint32_t i = 0; i < hosts->count; i++) {
        free(hosts->hosts[i].host);
        free(hosts->hosts[i].address);
        free(hosts->hosts[i].port);
    }
    free(hosts->conninfo);
    free(hosts);
}

/* ---- Trouble ---- */

uint64_t pg_hosts_key(const struct pg_host *host, const char *address) {
    const char *const parts[] = {host->host, host->address, host->port, address ? address : "?"};
    uint64_t key = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        key = hash_bytes(parts[i], strlen(parts[i]), key);
    return key;
}

static bool trouble_is_free(const struct pg_trouble *trouble) {
    return !trouble->last_until_ns && !atomic_load(&trouble->stuck_count);
}

static struct pg_trouble *trouble_find(struct pg_hosts *hosts, uint64_t key) {
    for (size_t i = 0; i < PG_TROUBLES; i++)
        if (hosts->troubles[i].key == key && !trouble_is_free(&hosts->troubles[i]))
            return &hosts->troubles[i];
    return NULL;
}

/* Its place, or one that is free, or that of the longest ago at which no thread is stuck. */
static struct pg_trouble *trouble_make(struct pg_hosts *hosts, uint64_t key) {
    struct pg_trouble *best = trouble_find(hosts, key);
    if (best)
        return best;
    for (size_t i = 0; i < PG_TROUBLES; i++) {
        struct pg_trouble *trouble = &hosts->troubles[i];
        if (!atomic_load(&trouble->stuck_count) && (!best || trouble->last_until_ns < best->last_until_ns))
            best = trouble;
    }
    if (!best)
        return &hosts->crowd;
    best->key = key;
    best->last_until_ns = 0;
    return best;
}

bool pg_hosts_is_stuck(struct pg_hosts *hosts, uint64_t key) {
    const struct pg_trouble *trouble = trouble_find(hosts, key);
    return atomic_load(&hosts->crowd.stuck_count) || (trouble && atomic_load(&trouble->stuck_count) >= PG_DETACHED_MAX);
}

bool pg_hosts_is_last(struct pg_hosts *hosts, uint64_t key, uint64_t now_ns) {
    struct pg_trouble *trouble = trouble_find(hosts, key);
    if (!trouble || !trouble->last_until_ns)
        return false;
    if (now_ns < trouble->last_until_ns)
        return true;
    trouble->last_until_ns = now_ns + LAST_NS;
    return false;
}

void pg_hosts_put_last(struct pg_hosts *hosts, uint64_t key, uint64_t now_ns) {
    trouble_make(hosts, key)->last_until_ns = now_ns + LAST_NS;
}

void pg_hosts_clear(struct pg_hosts *hosts, uint64_t key) {
    struct pg_trouble *trouble = trouble_find(hosts, key);
    if (trouble)
        trouble->last_until_ns = 0;
}

struct pg_trouble *pg_hosts_stuck(struct pg_hosts *hosts, uint64_t key) {
    struct pg_trouble *trouble = trouble_make(hosts, key);
    atomic_fetch_add(&trouble->stuck_count, 1);
    return trouble;
}

struct pg_trouble *pg_hosts_enter(struct pg_hosts *hosts, uint64_t key) {
    struct pg_trouble *trouble = trouble_find(hosts, key);
    if (!trouble || !trouble->last_until_ns || !atomic_load(&trouble->stuck_count))
        return NULL;
    atomic_fetch_add(&trouble->stuck_count, 1);
    return trouble;
}
