/* SPDX-License-Identifier: MIT */
/*
 * Servers, poolers and links that fall silent while their kernel goes on, or that vanish: what was out ends, and capacity
 * comes back. What is stopped here is let go again before the server is asked to end.
 */
#include "lib/live.h"
#include "lib/relay.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STOPPED_MAX = 256 };

static const uint64_t SILENCE_NS = 200 * LIVE_MS, TIMEOUT_NS = 100 * LIVE_MS;

static struct live live;

/* ---- Processes ---- */

static struct {
    pid_t pids[STOPPED_MAX];
    int count;
} stopped;

static void let_go(void) {
    while (stopped.count)
        kill(stopped.pids[--stopped.count], SIGCONT);
}

static void stop(pid_t pid) {
    cr_assert_lt(stopped.count, STOPPED_MAX);
    cr_assert_eq(kill(pid, SIGSTOP), 0, "process %d", pid);
    stopped.pids[stopped.count++] = pid;
}

/* A test that fails leaves no process stopped, or the server could not be shut down. */
TestSuite(pg_silence, .fini = let_go);

static pid_t pid_in(const char *file) {
    char path[600];
    int pid = 0;
    snprintf(path, sizeof path, "%s/%s", live_env("QURING_TEST_PG_DATA"), file);
    FILE *in = fopen(path, "r");
    cr_assert(in && fscanf(in, "%d", &pid) == 1 && pid > 1, "%s", path);
    fclose(in);
    return pid;
}

static pid_t parent_of(const char *pid) {
    char path[300], stat[512] = "";
    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    FILE *in = fopen(path, "r");
    if (!in)
        return 0;
    char *end = fgets(stat, sizeof stat, in) ? strrchr(stat, ')') : NULL;
    int parent = 0;
    if (end && sscanf(end + 1, " %*c %d", &parent) != 1)
        parent = 0;
    fclose(in);
    return parent;
}

/* The postmaster first, so that it starts no process more. */
static void stop_server(void) {
    pid_t postmaster = pid_in("postmaster.pid");
    stop(postmaster);
    DIR *processes = opendir("/proc");
    for (struct dirent *process; processes && (process = readdir(processes));)
        if (parent_of(process->d_name) == postmaster)
            stop(atoi(process->d_name));
    closedir(processes);
    cr_assert_gt(stopped.count, 1);
}

/* ---- Load ---- */

static uint64_t lost_count(void) {
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    return stats.connection_lost_count;
}

static uint32_t connected_count(void) {
    quring_stats stats;
    quring_stats_get(live.engine, &stats);
    return stats.connection_count;
}

static void open_silent(const char *url, uint32_t connections) {
    quring_db_options options = {.connection_count = connections, .silence_ns = SILENCE_NS};
    live_open_url(&live, url, NULL, &options);
    live_connect(&live, connections);
}

/* Queries that are given up, until so many connections are left. */
static void ask_until_connected(uint32_t count) {
    uint64_t until = live_now_ns() + LIVE_STALL_NS;
    while (connected_count() > count) {
        cr_assert_lt(live_now_ns(), until, "%u connections are left", connected_count());
        for (int i = 0; i < 32; i++)
            live_submit(&live, &(quring_query){.sql = "select 1", .timeout_ns = TIMEOUT_NS});
        live_drain(&live, NULL, NULL);
    }
}

static void note_status(struct live *from, const quring_done *done, void *ok_count) {
    (void)from;
    *(uint32_t *)ok_count += done->status == QURING_OK;
}

/* All is well again when as many queries as there are connections are served at the same time. */
static void check_capacity(uint32_t connections) {
    uint64_t until = live_now_ns() + LIVE_STALL_NS, timeout_ns = LIVE_SECOND;
    uint32_t ok_count = 0;
    for (; ok_count < connections || connected_count() < connections; timeout_ns += LIVE_SECOND) {
        cr_assert_lt(live_now_ns(), until, "%u of %u", ok_count, connections);
        ok_count = 0;
        for (uint32_t i = 0; i < connections; i++)
            live_submit(&live, &(quring_query){.sql = "select pg_sleep(0.005)", .timeout_ns = timeout_ns});
        live_drain(&live, note_status, &ok_count);
    }
}

/* ---- Processes that are stopped ---- */

/* Two queries for it, of which the first is given up once it was sent; on a slow machine not at the first try. */
static void give_up_on(pid_t back_end) {
    bool sent = false;
    for (uint64_t timeout_ns = TIMEOUT_NS; !sent; timeout_ns *= 2) {
        stop(back_end);
        live_submit(&live, &(quring_query){.sql = "select 1", .timeout_ns = timeout_ns});
        live_submit(&live, &(quring_query){.sql = "select 2"});
        quring_done done = live_wait(&live);
        live_check_error(&done, QURING_TIMEOUT, "57014", "timeout");
        sent = done.sent;
        live_release(&live, &done);
        if (sent)
            return;
        let_go();
        done = live_wait(&live);
        live_check_ok(&done, "the one behind it");
        live_release(&live, &done);
    }
}

Test(pg_silence, a_back_end_that_is_stopped_is_replaced) {
    open_silent(live_url(), 1);
    pid_t before = (pid_t)live_int(&live, "select pg_backend_pid()");
    give_up_on(before);
    quring_done done = live_wait(&live);
    live_check_error(&done, QURING_IN_DOUBT, "08006",
                     "nothing came from the server for 0.200 s after a query was given up (silence_ns)");
    live_release(&live, &done);
    cr_assert_neq(live_int(&live, "select pg_backend_pid()"), before, "with the old one still stopped");
    cr_assert_eq(lost_count(), 1);
    let_go();
    live_close(&live);
}

/* A query for its process is silent, too, where the machine is slow: then another connection is asked. */
static pid_t find_back_end(void) {
    for (;;) {
        int32_t pid = 0;
        quring_done done = live_run(&live, &(quring_query){.sql = "select pg_backend_pid()"});
        if (done.status == QURING_OK)
            cr_assert_eq(quring_get_int32(done.result, 0, 0, &pid), 0);
        live_release(&live, &done);
        if (pid)
            return pid;
    }
}

/* No query was given up, and none has a timeout. */
Test(pg_silence, query_silence_bounds_any_query) {
    live_open(&live, &(quring_db_options){.connection_count = 1, .query_silence_ns = SILENCE_NS});
    stop(find_back_end());
    quring_done done = live_run(&live, &(quring_query){.sql = "select 1"});
    live_check_error(&done, QURING_IN_DOUBT, "08006",
                     "nothing came from the server for 0.200 s while a query was out (query_silence_ns)");
    live_release(&live, &done);
    let_go();
    check_capacity(1);
    live_close(&live);
}

Test(pg_silence, a_server_that_is_stopped_comes_back) {
    open_silent(live_url(), 4);
    stop_server();
    ask_until_connected(0);
    quring_done done = live_run(&live, &(quring_query){.sql = "select 1", .timeout_ns = TIMEOUT_NS});
    cr_assert_not(done.sent, "%s", quring_status_name(done.status));
    live_release(&live, &done);
    let_go();
    check_capacity(4);
    live_close(&live);
}

Test(pg_silence, a_pooler_that_is_stopped_comes_back) {
    if (!getenv("QURING_TEST_PGBOUNCER_URL"))
        cr_skip_test("there is no PgBouncer");
    open_silent(live_env("QURING_TEST_PGBOUNCER_URL"), 4);
    stop(pid_in("../pool/pid"));
    ask_until_connected(0);
    let_go();
    check_capacity(4);
    live_close(&live);
}

Test(pg_silence, a_pooler_that_passes_nothing_on_is_left) {
    struct relay *relay = relay_open(live_port());
    open_silent(live_url_by_port(relay_port(relay)), 4);
    relay_hold(relay, true);
    ask_until_connected(0);
    relay_hold(relay, false);
    check_capacity(4);
    live_close(&live);
    relay_close(relay);
}

/* ---- The kernel's own watch ---- */

/* The descriptor of the only connection over TCP to this port. */
static int find_socket(unsigned port) {
    for (int fd = 3; fd < 4096; fd++) {
        struct sockaddr_in peer;
        socklen_t size = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0 && peer.sin_family == AF_INET &&
            ntohs(peer.sin_port) == port)
            return fd;
    }
    cr_assert_fail("there is no connection to port %u", port);
    return -1;
}

static int option_of(int fd, int level, int option) {
    int value = -1;
    socklen_t size = sizeof value;
    cr_assert_eq(getsockopt(fd, level, option, &value, &size), 0);
    return value;
}

static void check_socket(const char *url, int keepalive, int idle, int interval, int count, int user_timeout) {
    live_open_url(&live, url, NULL, &(quring_db_options){.connection_count = 1});
    live_exec(&live, "select 1");
    int fd = find_socket(live_port());
    cr_assert_eq(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), keepalive, "%s", url);
    cr_assert_eq(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), idle, "%s", url);
    cr_assert_eq(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), interval, "%s", url);
    cr_assert_eq(option_of(fd, IPPROTO_TCP, TCP_KEEPCNT), count, "%s", url);
    cr_assert_eq(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), user_timeout, "%s", url);
    live_close(&live);
}

Test(pg_silence, keepalive_is_set_where_nothing_else_is) {
    check_socket(live_url(), 1, 30, 10, 3, 30000);
    check_socket(live_url_with("keepalives_idle=77&tcp_user_timeout=1234"), 1, 77, 10, 3, 1234);
    check_socket(live_url_with("keepalives_count=9&keepalives_interval=8"), 1, 30, 8, 9, 30000);
    check_socket(live_url_with("keepalives=0&tcp_user_timeout=0"), 0, 30, 10, 3, 0);
    char path[] = "/tmp/quring-service-XXXXXX";
    FILE *file = fdopen(mkstemp(path), "w");
    cr_assert(file && fputs("[patient]\nkeepalives_idle=99\ntcp_user_timeout=0\n", file) > 0);
    fclose(file);
    setenv("PGSERVICEFILE", path, 1);
    check_socket(live_url_with("service=patient"), 1, 99, 10, 3, 0);
    unlink(path);
}

Test(pg_silence, a_unix_socket_needs_no_keepalive) {
    live_open_url(&live, live_socket_url(), NULL, &(quring_db_options){.connection_count = 1});
    cr_assert_eq(live_int(&live, "select 7"), 7);
    live_close(&live);
}

/* ---- A link that goes down ---- */

/*
 * Both ends of the link are in network namespaces of their own, so the machine's own is left alone. The relay listens in
 * the far one, and its threads live at home, where the server is; this thread moves to the near one, and so do those that
 * it starts to connect. All of it ends with the process.
 */
#define FAR "10.77.77.1"
#define NEAR "10.77.77.2"

enum { FAR_PORT = 5432 };

static int home, near, far;

static bool ip(const char *arguments) {
    char command[300];
    snprintf(command, sizeof command, "ip %s >/dev/null 2>&1", arguments);
    return system(command) == 0;
}

static bool move(int namespace) {
    return setns(namespace, CLONE_NEWNET) == 0;
}

static int this_namespace(void) {
    return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

static bool make_link(void) {
    char command[200];
    home = this_namespace();
    if (home < 0 || unshare(CLONE_NEWNET))
        return false;
    far = this_namespace();
    if (far < 0 || unshare(CLONE_NEWNET))
        return false;
    near = this_namespace();
    snprintf(command, sizeof command, "link add near type veth peer name far netns /proc/%d/fd/%d", getpid(), far);
    return near >= 0 && ip(command) && ip("addr add " NEAR "/30 dev near") && ip("link set near up") && move(far) &&
           ip("addr add " FAR "/30 dev far") && ip("link set far up");
}

static int listen_far(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(FAR_PORT)};
    cr_assert_eq(inet_pton(AF_INET, FAR, &address.sin_addr), 1);
    cr_assert(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 128) == 0);
    return fd;
}

static void set_link(const char *state) {
    char command[64];
    snprintf(command, sizeof command, "link set far %s", state);
    cr_assert(move(far) && ip(command) && move(near));
}

static const char *far_url(const char *query) {
    static char url[1024];
    const char *base = live_url_by_port(FAR_PORT), *at = strstr(base, "127.0.0.1");
    cr_assert(at);
    snprintf(url, sizeof url, "%.*s%s%s%c%s", (int)(at - base), base, FAR, at + strlen("127.0.0.1"),
             strchr(base, '?') ? '&' : '?', query);
    return url;
}

static struct relay *open_beyond_link(void) {
    if (!make_link()) {
        (void)move(home);
        cr_skip_test("no network namespaces can be made");
    }
    int listener = listen_far();
    cr_assert(move(home));
    struct relay *relay = relay_open_on(listener, FAR_PORT, live_port());
    cr_assert(move(near));
    return relay;
}

static void close_beyond_link(struct relay *relay) {
    live_close(&live);
    cr_assert(move(home));
    relay_close(relay);
}

/* Nobody acknowledges what is sent. */
Test(pg_silence, a_link_that_goes_down_ends_what_is_sent) {
    struct relay *relay = open_beyond_link();
    live_open_url(&live, far_url("tcp_user_timeout=1000"), NULL,
                  &(quring_db_options){.connection_count = 1, .silence_ns = QURING_FOREVER});
    live_connect(&live, 1);
    set_link("down");
    quring_done done = live_run(&live, &(quring_query){.sql = "select 1"});
    live_check_error(&done, QURING_IN_DOUBT, "08006", "timed out");
    live_release(&live, &done);
    set_link("up");
    check_capacity(1);
    close_beyond_link(relay);
}

/* All that was sent is acknowledged; the probes are not. */
Test(pg_silence, a_link_that_goes_down_ends_what_waits) {
    struct relay *relay = open_beyond_link();
    live_open_url(&live, far_url("keepalives_idle=1&keepalives_interval=1&tcp_user_timeout=1000"), NULL,
                  &(quring_db_options){.connection_count = 1, .silence_ns = QURING_FOREVER});
    live_connect(&live, 1);
    live_submit(&live, &(quring_query){.sql = "select pg_sleep(600)"});
    cr_assert_eq(quring_run(live.engine, 1, 100 * LIVE_MS), 0);
    set_link("down");
    quring_done done = live_wait(&live);
    live_check_error(&done, QURING_IN_DOUBT, "08006", "timed out");
    live_release(&live, &done);
    set_link("up");
    check_capacity(1);
    /* The server knows nothing of it, and who makes an index concurrently would wait for what goes on there. */
    cr_assert_eq(live_int(&live, "select count(pg_terminate_backend(pid, 600000)) from pg_stat_activity where query = "
                                 "'select pg_sleep(600)' and state = 'active'"),
                 1);
    close_beyond_link(relay);
}

/* The kernel is patient, the bound is not. */
Test(pg_silence, a_link_that_goes_down_holds_no_connection) {
    struct relay *relay = open_beyond_link();
    open_silent(far_url("connect_timeout=2"), 4);
    set_link("down");
    ask_until_connected(0);
    set_link("up");
    check_capacity(4);
    close_beyond_link(relay);
}
