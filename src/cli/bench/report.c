/* SPDX-License-Identifier: MIT */
#include "cli/bench/report.h"

#include "cli/common/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

/*
 * Writes "1.23 ms": three digits and a unit. The bounds are those at which printf() rounds up, so that 999.6 ns are
 * "1.00 us" and not "1000 ns".
 */
static void put_time(struct cli_out *out, double ns, bool utf8) {
    static const struct {
        double ns;
        const char *unit, *ascii;
    } units[] = {{1, "ns", "ns"}, {1e3, "µs", "us"}, {1e6, "ms", "ms"}, {1e9, "s", "s"}};
    size_t i = 0;
    while (i < 3 && ns >= 0.9995 * units[i + 1].ns)
        i++;
    double value = ns / units[i].ns;
    int digits = i == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    cli_out_format(out, "%.*f %s", digits, value, utf8 ? units[i].unit : units[i].ascii);
}

/* Writes "1,234,567". */
static void put_count(struct cli_out *out, double count) {
    char digits[32];
    int size = snprintf(digits, sizeof digits, "%.0f", count);
    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0)
            cli_out_char(out, ',');
        cli_out_char(out, digits[i]);
    }
}

static double report_per(double amount, double count) {
    return count > 0 ? amount / count : 0;
}

/* ---- While it runs ----------------------------------------------------------------------------------------------- */

enum { BAR_SIZE = 14, BAR_COLUMNS = BAR_SIZE + 10 };

static void put_bar(struct cli_out *out, double share) {
    bool utf8 = cli_text_is_utf8();
    size_t full = (size_t)(share * BAR_SIZE);
    cli_out_text(out, utf8 ? "   ▕" : "   [");
    cli_out_repeat(out, utf8 ? "█" : "#", full);
    cli_out_repeat(out, " ", BAR_SIZE - full);
    cli_out_format(out, utf8 ? "▏%3.0f %%" : "]%3.0f %%", share * 100);
}

static double share_done(const struct cli_report *report, double queries, double seconds) {
    double share = report->total_queries ? queries / (double)report->total_queries : 0;
    if (report->total_seconds > 0)
        share = seconds / report->total_seconds;
    return fmin(share, 1);
}

void cli_report_progress(void *arg, const struct cli_load *load, const struct cli_histogram *interval, double seconds) {
    struct cli_report *report = arg;
    bool utf8 = cli_text_is_utf8();
    struct winsize window = {0};
    struct cli_out line, out;

    cli_out_init(&line, CLI_OUT_MEMORY);
    cli_out_format(&line, "%6.1f s  ", seconds);
    put_count(&line, report_per((double)interval->count, seconds - report->last_seconds));
    cli_out_text(&line, " queries/s");
    size_t short_size = line.size;
    cli_out_text(&line, "   p50 ");
    put_time(&line, cli_histogram_quantile(interval, 0.5), utf8);
    cli_out_text(&line, "  p99 ");
    put_time(&line, cli_histogram_quantile(interval, 0.99), utf8);
    if (load->figures.error_count > 0)
        cli_out_format(&line, "   %" PRIu64 " failed", load->figures.error_count);
    double queries = (double)(load->figures.latency.count + interval->count + load->figures.error_count);
    report->last_seconds = seconds;

    ioctl(STDERR_FILENO, TIOCGWINSZ, &window);
    /* The kernel only keeps what it was told, and has 0 columns for a terminal whose width nobody set. */
    size_t room = !report->live ? SIZE_MAX : window.ws_col ? window.ws_col : 80;
    size_t columns = line.data ? cli_text_safe(NULL, line.data, line.size, 0) : 0;
    if (columns >= room)
        line.size = short_size; /* a line that wraps could not be wiped */
    cli_out_init(&out, STDERR_FILENO);
    if (report->live)
        cli_out_text(&out, "\r\033[K");
    cli_out_bytes(&out, line.data ? line.data : "", line.size);
    if (report->live && columns + BAR_COLUMNS < room && (report->total_seconds > 0 || report->total_queries > 0))
        put_bar(&out, share_done(report, queries, seconds));
    if (!report->live)
        cli_out_char(&out, '\n');
    cli_out_flush(&out);
    cli_out_free(&out);
    cli_out_free(&line);
}

void cli_report_progress_end(const struct cli_report *report) {
    static const char wipe[] = "\r\033[K";
    if (report->live && write(STDERR_FILENO, wipe, sizeof wipe - 1) < 0)
        return; /* a terminal that is gone shows no line either */
}

/* ---- The drawing ------------------------------------------------------------------------------------------------- */

enum { ROWS_MAX = 12, BAR_CELLS = 40 };

/*
 * Chooses bounds in equal steps of the logarithm, because latencies spread over decades, at round numbers; the finest steps
 * that take ROWS_MAX rows at most. Returns how many rows there are.
 */
static unsigned choose_bounds(double low, double high, double bounds[ROWS_MAX + 1]) {
    static const double steps[][10] = {
        {1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.4, 8}, {1, 1.6, 2.5, 4, 6.4}, {1, 2, 5}, {1}, {0.1},
    };
    static const unsigned counts[] = {10, 5, 3, 1, 1};
    for (size_t s = 0; s < sizeof counts / sizeof *counts; s++) {
        unsigned n = 0;
        int decade = (int)floor(log10(low)) - 1, i = 0;
        double bound = 0;
        for (; n <= ROWS_MAX && bound <= high; i++) {
            int power = decade + i / (int)counts[s];
            bound = steps[s][i % (int)counts[s]] * pow(10, power);
            if (bound <= low)
                n = 0; /* the last one that is not above `low` is the first bound */
            bounds[n++] = bound;
        }
        if (bound > high)
            return n - 1;
    }
    return ROWS_MAX;
}

static void put_drawing_bar(struct cli_out *out, double share, bool utf8) {
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    unsigned parts = (unsigned)ceil(share * BAR_CELLS * 8 - 1e-9); /* up: what is not empty shows */
    cli_out_repeat(out, utf8 ? "█" : "#", utf8 ? parts / 8 : (parts + 7) / 8);
    if (utf8)
        cli_out_text(out, eighths[parts % 8]);
}

static void put_drawing(struct cli_out *out, const struct cli_histogram *latency, bool utf8) {
    double bounds[ROWS_MAX + 1] = {0};
    uint64_t counts[ROWS_MAX] = {0}, greatest = 1;
    if (latency->count == 0)
        return;
    /* A single outlier would stretch the drawing over empty rows, so 2 in 1000 may lie beyond at either end. */
    double low = fmax(cli_histogram_quantile(latency, 0.002), 1), high = cli_histogram_quantile(latency, 0.998);
    unsigned rows = choose_bounds(low, high, bounds);

    for (unsigned i = 0; i < rows; i++) { /* the first and the last row count what lies beyond them, too */
        counts[i] = cli_histogram_between(latency, i == 0 ? 0 : bounds[i], i + 1 == rows ? INFINITY : bounds[i + 1]);
        greatest = counts[i] > greatest ? counts[i] : greatest;
    }
    for (unsigned i = 0; i < rows; i++) {
        struct cli_out label;
        cli_out_init(&label, CLI_OUT_MEMORY);
        put_time(&label, bounds[i], utf8);
        size_t width = cli_text_safe(NULL, label.data ? label.data : "", label.size, 0);
        cli_out_repeat(out, " ", width < 14 ? 14 - width : 0);
        cli_out_bytes(out, label.data, label.size);
        cli_out_format(out, " %s%5.1f %% ", utf8 ? "│" : "|",
                       100 * report_per((double)counts[i], (double)latency->count));
        put_drawing_bar(out, (double)counts[i] / (double)greatest, utf8);
        cli_out_char(out, '\n');
        cli_out_free(&label);
    }
}

/* ---- The end ----------------------------------------------------------------------------------------------------- */

static void put_failures(struct cli_out *out, const struct cli_load_figures *figures) {
    cli_out_text(out, "failed with  ");
    for (size_t i = 0; i < CLI_FAILURE_KINDS && figures->failures[i].count > 0; i++) {
        cli_out_format(out, "%s%s: ", i > 0 ? ", " : "", figures->failures[i].name);
        put_count(out, (double)figures->failures[i].count);
    }
    cli_out_char(out, '\n');
}

static void put_latency(struct cli_out *out, const struct cli_load_figures *figures, bool utf8) {
    static const struct {
        const char *name;
        double q;
    } columns[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};
    const struct cli_histogram *latency = &figures->latency;

    cli_out_text(out, "latency      mean ");
    put_time(out, cli_histogram_mean(latency), utf8);
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        cli_out_format(out, "   %s ", columns[i].name);
        put_time(out, cli_histogram_quantile(latency, columns[i].q), utf8);
    }
    cli_out_text(out, "   max ");
    put_time(out, (double)latency->max, utf8);
    cli_out_char(out, '\n');
}

/* Their classes are powers of two, so that a quantile is known by the edge that it lies under. */
static void put_waits(struct cli_out *out, const struct cli_load_figures *figures, bool utf8) {
    static const struct {
        const char *name;
        double q;
    } columns[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};
    if (quring_wait_quantile_ns(figures->wait_count, 1) == 0)
        return;
    cli_out_text(out, "waits        ");
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        uint64_t ns = quring_wait_quantile_ns(figures->wait_count, columns[i].q);
        cli_out_format(out, "%s%s %s", i > 0 ? "   " : "", columns[i].name, ns ? "< " : "none");
        if (ns)
            put_time(out, (double)ns, utf8);
    }
    cli_out_char(out, '\n');
}

static void put_costs(struct cli_out *out, const struct cli_load_figures *figures, quring_port port, bool utf8) {
    double count = (double)figures->latency.count, user = figures->cpu_user_seconds,
           system = figures->cpu_system_seconds;
    cli_out_text(out, "client CPU   ");
    put_time(out, report_per(1e9 * (user + system), count), utf8);
    cli_out_text(out, " a query: ");
    put_time(out, report_per(1e9 * user, count), utf8);
    cli_out_text(out, " user, ");
    put_time(out, report_per(1e9 * system, count), utf8);
    cli_out_text(out, " system\n");
    cli_out_format(out,
                   port == QURING_PORT_EPOLL ? "epoll        %.4f system calls a query\n"
                                             : "io_uring     %.4f enters a query\n",
                   report_per((double)figures->enter_count, count));
    if (figures->sent_bytes > 0)
        cli_out_format(out, "network      %.0f bytes sent, %.0f received a query\n",
                       report_per((double)figures->sent_bytes, count),
                       report_per((double)figures->received_bytes, count));
}

static void put_scripts(struct cli_out *out, const struct cli_report *report, const struct cli_load_figures *figures,
                        bool utf8) {
    const struct cli_workload *workload = report->workload;
    for (uint32_t i = 0; i < workload->count; i++) {
        const struct cli_script_figures *script = &figures->scripts[i];
        const struct cli_histogram *latency = cli_load_run_latency(figures, workload, i);
        cli_out_text(out, "script       ");
        cli_text_safe(out, workload->sources[i].spec, strlen(workload->sources[i].spec), 0);
        cli_out_text(out, ": ");
        put_count(out, report_per((double)script->run_count, figures->seconds));
        cli_out_text(out, " runs/s (");
        put_count(out, (double)script->run_count);
        cli_out_text(out, ", ");
        put_count(out, (double)script->error_count);
        cli_out_text(out, " failed)   p50 ");
        put_time(out, cli_histogram_quantile(latency, 0.5), utf8);
        cli_out_text(out, "   p99 ");
        put_time(out, cli_histogram_quantile(latency, 0.99), utf8);
        cli_out_char(out, '\n');
    }
}

void cli_report_summary(struct cli_out *out, const struct cli_report *report, const struct cli_load_figures *figures,
                        bool utf8) {
    double count = (double)figures->latency.count;
    struct cli_out name;

    cli_out_init(&name, CLI_OUT_MEMORY);
    cli_workload_put_name(report->workload, &name);
    cli_text_safe(out, name.data ? name.data : "", name.size, 0);
    cli_out_free(&name);
    cli_out_format(out, " on %s, %" PRIu32 " %s", strcmp(report->backend, "sqlite") == 0 ? "SQLite" : "PostgreSQL",
                   report->connections,
                   strcmp(report->backend, "sqlite") == 0 && !report->exclusive ? "readers" : "connections");
    if (report->up_count < report->connections)
        cli_out_format(out, " (%" PRIu32 " up)", report->up_count);
    cli_out_format(out, " x %" PRIu32 " deep, commit %s", report->depth, report->commit);
    if (report->gather_us) {
        cli_out_text(out, ", gathering ");
        put_time(out, 1e3 * (double)report->gather_us, utf8);
    }
    cli_out_text(out, "\n\n");
    cli_out_text(out, "throughput   ");
    put_count(out, report_per(count, figures->seconds));
    cli_out_text(out, " queries/s (");
    put_count(out, count);
    cli_out_format(out, " in %.2f s, %" PRIu64 " failed)\n", figures->seconds, figures->error_count);
    if (figures->error_count > 0)
        put_failures(out, figures);
    if (figures->latency.count == 0)
        return;
    put_latency(out, figures, utf8);
    if (report->rate > 0) {
        cli_out_format(out, "schedule     %g queries/s wanted; started late by ", report->rate);
        put_time(out, report_per(figures->lag_sum_ns, (double)figures->lag_count), utf8);
        cli_out_text(out, " on average, ");
        put_time(out, (double)figures->lag_max_ns, utf8);
        cli_out_text(out, " at most\n");
    }
    put_waits(out, figures, utf8);
    put_costs(out, figures, report->port, utf8);
    if (report->workload->count > 1 || report->workload->sources[0].script.statement_count > 1)
        put_scripts(out, report, figures, utf8);
    if (figures->unfinished_count > 0)
        cli_out_format(out, "unfinished   %" PRIu64 " queries had no answer 10 s after the end\n",
                       figures->unfinished_count);
    cli_out_char(out, '\n');
    put_drawing(out, &figures->latency, utf8);
}

/* ---- Side by side ------------------------------------------------------------------------------------------------ */

/* Writes what is in memory to the right of `width` columns, and empties it. */
static void put_right(struct cli_out *out, struct cli_out *text, size_t width) {
    size_t columns = cli_text_safe(NULL, text->data ? text->data : "", text->size, 0);
    cli_out_repeat(out, " ", columns < width ? width - columns : 0);
    cli_out_bytes(out, text->data ? text->data : "", text->size);
    text->size = 0;
}

/* A line of the table. What there is no figure for is a dash. */
static void put_compared(struct cli_out *out, const struct cli_compared *one, bool utf8) {
    const struct cli_load_figures *figures = one->figures;
    double queries = (double)figures->latency.count;
    struct cli_out cell;
    cli_out_init(&cell, CLI_OUT_MEMORY);
    put_count(&cell, report_per(queries, figures->seconds));
    put_right(out, &cell, 12);
    if (isnan(one->ratio)) {
        cli_out_format(out, "%8s%19s", "-", "-");
    } else {
        cli_out_format(&cell, "%.3f", one->ratio);
        put_right(out, &cell, 8);
        cli_out_format(&cell, "(%.3f, %.3f)", one->least_ratio, one->greatest_ratio);
        put_right(out, &cell, 19);
    }
    if (figures->latency.count == 0) {
        cli_out_format(out, "%10s%10s%11s", "-", "-", "-");
    } else {
        put_time(&cell, cli_histogram_quantile(&figures->latency, 0.5), utf8);
        put_right(out, &cell, 10);
        put_time(&cell, cli_histogram_quantile(&figures->latency, 0.99), utf8);
        put_right(out, &cell, 10);
        put_time(&cell, report_per(1e9 * (figures->cpu_user_seconds + figures->cpu_system_seconds), queries), utf8);
        put_right(out, &cell, 11);
    }
    put_count(&cell, (double)figures->error_count);
    put_right(out, &cell, 8);
    cli_out_text(out, "  ");
    cli_text_safe(out, one->name, strlen(one->name), 0);
    cli_out_format(out, ", %" PRIu32 " x %" PRIu32 "\n", one->report.connections, one->report.depth);
    cli_out_free(&cell);
}

void cli_report_compared(struct cli_out *out, const struct cli_compared *all, uint32_t count, uint32_t round_count,
                         bool utf8) {
    bool failed = false;
    struct cli_out cell;
    cli_out_init(&cell, CLI_OUT_MEMORY);
    cli_workload_put_name(all[0].report.workload, &cell);
    cli_text_safe(out, cell.data ? cell.data : "", cell.size, 0);
    cli_out_free(&cell);
    cli_out_format(out, ", %" PRIu32 " rounds in turns\n\n", round_count);
    cli_out_text(out, "   queries/s   ratio  (least, greatest)       p50       p99  CPU/query  failed\n");
    for (uint32_t i = 0; i < count; i++) {
        put_compared(out, &all[i], utf8);
        failed |= all[i].figures->error_count > 0;
    }
    if (failed)
        cli_out_text(out, "\nThe ratios are those of queries that succeeded.\n");
}
