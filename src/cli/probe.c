/* SPDX-License-Identifier: MIT */
/* `quring probe`: what this kernel offers, what is used of it, and what stands in the way. */
#include "cli/cli.h"
#include "cli/common/options.h"
#include "cli/common/out.h"
#include "cli/common/say.h"
#include "cli/common/text.h"
#include "cli/common/url.h"
#include "cli/probe_db.h"
#include "quring/quring.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

static const char HELP[] =
    "usage: quring probe [URL] [--json]\n"
    "\n"
    "Sets up an io_uring as an engine does, and tells what it got. With a URL, or the name of an SQLite\n"
    "file, also whether that database answers, and if not, why. Exit status: 0; 1 when no ring can be\n"
    "had, so that engines use epoll instead, with the reason and the remedy, or when the database\n"
    "can't be reached; 2 for wrong usage.\n";

/* The names of IORING_FEAT_*, by bit. <linux/io_uring.h> has no names to print, and may be older than the kernel. */
static const char *const FEATURES[] = {
    "SINGLE_MMAP", "NODROP",          "SUBMIT_STABLE",   "RW_CUR_POS",     "CUR_PERSONALITY", "FAST_POLL",
    "POLL_32BITS", "SQPOLL_NONFIXED", "EXT_ARG",         "NATIVE_WORKERS", "RSRC_TAGS",       "CQE_SKIP",
    "LINKED_FILE", "REG_REG_RING",    "RECVSEND_BUNDLE", "MIN_TIMEOUT",    "RW_ATTR",         "NO_IOWAIT",
};
enum { FEATURE_COUNT = sizeof FEATURES / sizeof *FEATURES };

struct probe {
    struct utsname system;
    struct rlimit memlock, files;
    int disabled; /* the sysctl kernel.io_uring_disabled; -1: this kernel has none */
    int seccomp;  /* of this process, as in proc(5): 0 none, 2 a filter; -1 unknown */
    int error;    /* of opening an engine on io_uring */
    quring_ring_info ring;
    int usual_error; /* of opening an engine as programs do */
    quring_port usual_port;
    struct cli_probe_db *db; /* NULL: none was asked for */
};

/* Returns the number that follows `key` at the start of a line of a file in /proc; -1 when there is none. */
static int read_number(const char *path, const char *key) {
    char line[256];
    int number = -1;
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0 && sscanf(line + strlen(key), "%d", &number) == 1)
            break;
    if (file)
        fclose(file);
    return number;
}

static int probe_open(quring_port port, quring_ring_info *info) {
    quring_engine *engine = NULL;
    int error = quring_engine_open(&(quring_options){.port = port}, &engine);
    if (error >= 0) {
        quring_ring_info_get(engine, info);
        quring_engine_close(engine);
    }
    return error;
}

/*
 * Opens a real engine, because neither the kernel's version nor its settings tell whether a ring can be had: distributions
 * port features back, and the policy of a container shows only in what io_uring_setup(2) returns.
 */
static void probe_look(struct probe *probe) {
    uname(&probe->system);
    getrlimit(RLIMIT_MEMLOCK, &probe->memlock);
    getrlimit(RLIMIT_NOFILE, &probe->files);
    probe->disabled = read_number("/proc/sys/kernel/io_uring_disabled", "");
    probe->seccomp = read_number("/proc/self/status", "Seccomp:");
    probe->error = probe_open(QURING_PORT_URING, &probe->ring);
    quring_ring_info usual = {0};
    probe->usual_error = probe_open(QURING_PORT_AUTO, &usual);
    probe->usual_port = usual.port;
}

/* ---- For people -------------------------------------------------------------------------------------------------- */

static void put_limit(struct cli_out *out, const char *name, struct rlimit limit, const char *unit) {
    cli_out_text(out, name);
    if (limit.rlim_cur == RLIM_INFINITY)
        cli_out_text(out, "unlimited\n");
    else if (limit.rlim_cur == limit.rlim_max)
        cli_out_format(out, "%" PRIu64 "%s\n", (uint64_t)limit.rlim_cur, unit);
    else if (limit.rlim_max == RLIM_INFINITY)
        cli_out_format(out, "%" PRIu64 "%s, could be raised without limit\n", (uint64_t)limit.rlim_cur, unit);
    else
        cli_out_format(out, "%" PRIu64 "%s, could be raised to %" PRIu64 "\n", (uint64_t)limit.rlim_cur, unit,
                       (uint64_t)limit.rlim_max);
}

enum { INDENT = 13, WIDTH = 98 }; /* where texts begin and end */

/* Writes words in lines of WIDTH, each after the first indented to stand under it. */
static void put_wrapped(struct cli_out *out, const char *text) {
    size_t column = INDENT;
    while (*text) {
        size_t size = strcspn(text, " ");
        if (column + 1 + size > WIDTH) {
            cli_out_char(out, '\n');
            cli_out_repeat(out, " ", INDENT);
            column = INDENT;
        } else if (column > INDENT) {
            cli_out_char(out, ' ');
            column++;
        }
        cli_out_bytes(out, text, size);
        column += size;
        text += size;
        text += strspn(text, " ");
    }
    cli_out_char(out, '\n');
}

static void put_features(struct cli_out *out, uint32_t bits) {
    struct cli_out names;
    cli_out_init(&names, CLI_OUT_MEMORY);
    for (uint32_t i = 0; i < 32; i++) {
        if (!(bits & (uint32_t)1 << i))
            continue;
        if (i < FEATURE_COUNT)
            cli_out_format(&names, "%s ", FEATURES[i]);
        else
            cli_out_format(&names, "BIT_%u ", i);
    }
    cli_out_char(&names, 0);
    put_wrapped(out, names.data ? names.data : "");
    cli_out_free(&names);
}

/* The setting came with Linux 6.6 (Documentation/admin-guide/sysctl/kernel.rst). */
static const char *explain_sysctl(int disabled) {
    switch (disabled) {
    case -1:
        return "is not there: this kernel allows io_uring to all, or has none";
    case 0:
        return "= 0: allowed to all";
    case 1:
        return "= 1: allowed to root, and to members of the group in kernel.io_uring_group";
    default:
        return "= 2: forbidden to all";
    }
}

/* quring_strerror() names every obstacle that there can be; the settings of this machine tell which of them it is. */
static const char *explain_obstacle(const struct probe *probe) {
    if (probe->error == QURING_EFORBIDDEN && probe->disabled > 0)
        return "The setting below forbids it. As root: sysctl -w kernel.io_uring_disabled=0, and to keep it so: a file "
               "in /etc/sysctl.d.";
    if ((probe->error == QURING_EFORBIDDEN || probe->error == QURING_ENORING) && probe->seccomp == 2)
        return "A seccomp filter is on this process, as on containers: the default profiles of Docker and Kubernetes "
               "forbid io_uring. Give the container a profile that allows io_uring_setup, io_uring_enter and "
               "io_uring_register: docker run --security-opt seccomp=profile.json.";
    if (probe->error == QURING_EFORBIDDEN)
        return "Neither the setting below nor a seccomp filter forbids it: look at SELinux or AppArmor.";
    return NULL;
}

static const char *port_name(quring_port port) {
    return port == QURING_PORT_EPOLL ? "epoll" : "io_uring";
}

static void put_text(struct cli_out *out, const struct probe *probe) {
    cli_out_format(out, "quring       %s\n", quring_version());
    cli_out_format(out, "kernel       %s %s %s\n", probe->system.sysname, probe->system.release, probe->system.machine);
    cli_out_format(out, "io_uring     %s\n", probe->error < 0 ? "no ring can be had" : "available");
    if (probe->error < 0) {
        const char *obstacle = explain_obstacle(probe);
        cli_out_repeat(out, " ", INDENT);
        put_wrapped(out, quring_strerror(probe->error));
        if (obstacle) {
            cli_out_repeat(out, " ", INDENT);
            put_wrapped(out, obstacle);
        }
    }
    if (probe->usual_error < 0)
        cli_out_format(out, "engines use  nothing: %s\n",
                       probe->usual_error == QURING_EINVAL ? "QURING_PORT is neither uring nor epoll"
                                                           : quring_strerror(probe->usual_error));
    else
        cli_out_format(out, "engines use  %s\n", port_name(probe->usual_port));
    cli_out_format(out, "setting      kernel.io_uring_disabled %s\n", explain_sysctl(probe->disabled));
    if (probe->error >= 0) {
        cli_out_format(out, "ring         %" PRIu32 " submission entries, %" PRIu32 " completion entries\n",
                       probe->ring.sq_entry_count, probe->ring.cq_entry_count);
        cli_out_format(out, "set up with  %s (0x%" PRIx32 ")\n", probe->ring.setup, probe->ring.setup_flags);
        cli_out_text(out, "features     ");
        put_features(out, probe->ring.feature_bits);
    }
    put_limit(out, "memlock      ", probe->memlock, " bytes");
    put_limit(out, "open files   ", probe->files, "");
    if (probe->db)
        cli_probe_db_put(out, probe->db);
}

/* ---- For programs ------------------------------------------------------------------------------------------------ */

/* A limit that does not limit is null, since JSON has no infinity. */
static void put_json_limit(struct cli_out *out, const char *name, struct rlimit limit) {
    cli_out_format(out, ", \"%s\": ", name);
    if (limit.rlim_cur == RLIM_INFINITY)
        cli_out_text(out, "null");
    else
        cli_out_format(out, "%" PRIu64, (uint64_t)limit.rlim_cur);
}

static void put_json(struct cli_out *out, const struct probe *probe) {
    cli_out_format(out, "{\"version\": \"%s\", \"kernel\": ", quring_version());
    cli_text_json(out, probe->system.release, strlen(probe->system.release));
    cli_out_text(out, ", \"machine\": ");
    cli_text_json(out, probe->system.machine, strlen(probe->system.machine));
    cli_out_format(out, ", \"available\": %s, \"error\": ", probe->error < 0 ? "false" : "true");
    if (probe->error < 0)
        cli_text_json(out, quring_strerror(probe->error), strlen(quring_strerror(probe->error)));
    else
        cli_out_text(out, "null");
    if (probe->usual_error < 0)
        cli_out_text(out, ", \"port\": null");
    else
        cli_out_format(out, ", \"port\": \"%s\"", port_name(probe->usual_port));
    if (probe->disabled < 0)
        cli_out_text(out, ", \"io_uring_disabled\": null");
    else
        cli_out_format(out, ", \"io_uring_disabled\": %d", probe->disabled);
    put_json_limit(out, "memlock_bytes", probe->memlock);
    put_json_limit(out, "open_files", probe->files);
    if (probe->error >= 0) {
        cli_out_format(out, ", \"sq_entries\": %" PRIu32 ", \"cq_entries\": %" PRIu32, probe->ring.sq_entry_count,
                       probe->ring.cq_entry_count);
        cli_out_format(out, ", \"setup_flags\": %" PRIu32 ", \"feature_bits\": %" PRIu32 ", \"setup\": ",
                       probe->ring.setup_flags, probe->ring.feature_bits);
        cli_text_json(out, probe->ring.setup, strlen(probe->ring.setup));
    }
    cli_out_text(out, ", \"database\": ");
    if (probe->db)
        cli_probe_db_put_json(out, probe->db);
    else
        cli_out_text(out, "null");
    cli_out_text(out, "}\n");
}

/* Returns an exit status other than CLI_EXIT_OK after a message. */
static int probe_look_at(struct cli_probe_db *db, const char *name) {
    char *url = cli_url_resolve(name);
    int status = url ? cli_probe_db_look(db, url) : cli_no_memory();
    free(url);
    return status;
}

int cli_probe(int argc, char **argv) {
    static const struct option table[] = {{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
    struct probe probe = {0};
    struct cli_probe_db db = {0};
    struct cli_out out;
    bool json = false;
    int option;

    while ((option = cli_option_next(argc, argv, ":h", table)) != -1) {
        if (option == '?')
            return CLI_EXIT_USAGE;
        json |= option == 'j';
        if (option == 'h') {
            cli_out_init(&out, STDOUT_FILENO);
            cli_out_text(&out, HELP);
            return cli_finish(&out, CLI_EXIT_OK);
        }
    }
    if (optind + 1 < argc)
        return cli_wrong("probe", "%s: one URL only", argv[optind + 1]);
    probe_look(&probe);
    if (optind < argc) {
        int status = probe_look_at(&db, argv[optind]);
        if (status != CLI_EXIT_OK)
            return status;
        probe.db = &db;
    }
    cli_out_init(&out, STDOUT_FILENO);
    if (json)
        put_json(&out, &probe);
    else
        put_text(&out, &probe);
    return cli_finish(&out, probe.error < 0 || *db.why ? CLI_EXIT_FAILED : CLI_EXIT_OK);
}
