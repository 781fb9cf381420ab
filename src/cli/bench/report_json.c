/* SPDX-License-Identifier: MIT */
#include "cli/bench/report.h"

#include "cli/common/text.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static double json_per(double amount, double count) {
    return count > 0 ? amount / count : 0;
}

static void json_string(struct cli_out *out, const char *text) {
    cli_text_json(out, text, strlen(text));
}

static void json_latency(struct cli_out *out, const struct cli_histogram *latency) {
    static const struct {
        const char *name;
        double q;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}};
    cli_out_format(out, "{\"mean\": %.3f", cli_histogram_mean(latency) / 1e3);
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++)
        cli_out_format(out, ", \"%s\": %.3f", quantiles[i].name, cli_histogram_quantile(latency, quantiles[i].q) / 1e3);
    cli_out_format(out, ", \"max\": %.3f}", (double)latency->max / 1e3);
}

/* Upper edges of the classes that the quantiles fall into; 0: none of them waited. */
static void json_waits(struct cli_out *out, const uint64_t *wait_count) {
    static const struct {
        const char *name;
        double q;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1}};
    cli_out_text(out, ", \"waits_us\": {");
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++)
        cli_out_format(out, "%s\"%s\": %.0f", i > 0 ? ", " : "", quantiles[i].name,
                       (double)quring_wait_quantile_ns(wait_count, quantiles[i].q) / 1e3);
    cli_out_char(out, '}');
}

static void json_workload(struct cli_out *out, const struct cli_report *report) {
    struct cli_out name;
    cli_out_init(&name, CLI_OUT_MEMORY);
    cli_workload_put_name(report->workload, &name);
    cli_text_json(out, name.data ? name.data : "", name.size);
    cli_out_free(&name);
}

static void json_failures(struct cli_out *out, const struct cli_load_figures *figures) {
    cli_out_text(out, ", \"failures\": {");
    for (size_t i = 0; i < CLI_FAILURE_KINDS && figures->failures[i].count > 0; i++) {
        cli_out_text(out, i > 0 ? ", " : "");
        json_string(out, figures->failures[i].name);
        cli_out_format(out, ": %" PRIu64, figures->failures[i].count);
    }
    cli_out_format(out, "}, \"unfinished\": %" PRIu64, figures->unfinished_count);
}

static void json_rate(struct cli_out *out, const struct cli_report *report, const struct cli_load_figures *figures) {
    if (report->rate > 0)
        cli_out_format(out, ", \"rate\": {\"wanted\": %.10g, \"lag_us\": {\"mean\": %.3f, \"max\": %.3f}}",
                       report->rate, json_per(figures->lag_sum_ns, (double)figures->lag_count) / 1e3,
                       (double)figures->lag_max_ns / 1e3);
    else
        cli_out_text(out, ", \"rate\": null");
}

/* The edges are the same in every run, whatever was measured: figures of two runs can be laid side by side. */
static void json_histogram(struct cli_out *out, const struct cli_histogram *latency) {
    static const double steps[] = {1, 2, 5};
    enum { DECADES = 7, EDGES = DECADES * 3 + 1 };
    double edges[EDGES];
    cli_out_text(out, ", \"histogram_us\": {\"edges\": [");
    for (int i = 0; i < EDGES; i++) {
        edges[i] = steps[i % 3] * pow(10, i / 3);
        cli_out_format(out, "%s%.0f", i > 0 ? ", " : "", edges[i]);
    }
    cli_out_text(out, "], \"counts\": [");
    for (int i = 0; i <= EDGES; i++)
        cli_out_format(
            out, "%s%" PRIu64, i > 0 ? ", " : "",
            cli_histogram_between(latency, i == 0 ? 0 : edges[i - 1] * 1e3, i == EDGES ? INFINITY : edges[i] * 1e3));
    cli_out_text(out, "]}");
}

static void json_scripts(struct cli_out *out, const struct cli_report *report, const struct cli_load_figures *figures) {
    const struct cli_workload *workload = report->workload;
    cli_out_text(out, ", \"scripts\": [");
    for (uint32_t i = 0; i < workload->count; i++) {
        const struct cli_script_figures *script = &figures->scripts[i];
        const struct cli_histogram *latency = cli_load_latency(figures, workload, i);
        cli_out_text(out, i > 0 ? ", {\"script\": " : "{\"script\": ");
        json_string(out, workload->sources[i].name);
        cli_out_format(
            out, ", \"weight\": %" PRIu64 ", \"runs\": %" PRIu64 ", \"queries\": %" PRIu64 ", \"errors\": %" PRIu64,
            workload->sources[i].weight, script->run_count, latency->count, script->error_count);
        cli_out_format(out, ", \"qps\": %.1f, \"latency_us\": ", json_per((double)latency->count, figures->seconds));
        json_latency(out, latency);
        cli_out_format(out, ", \"runs_per_second\": %.1f, \"run_latency_us\": ",
                       json_per((double)script->run_count, figures->seconds));
        json_latency(out, cli_load_run_latency(figures, workload, i));
        cli_out_char(out, '}');
    }
    cli_out_char(out, ']');
}

static void json_environment(struct cli_out *out, const struct cli_report *report) {
    struct utsname system = {0};
    uname(&system);
    cli_out_text(out, ", \"environment\": {\"quring\": ");
    json_string(out, quring_version());
    cli_out_text(out, ", \"server\": ");
    json_string(out, report->server);
    cli_out_text(out, ", \"kernel\": ");
    json_string(out, system.release);
    cli_out_text(out, ", \"machine\": ");
    json_string(out, system.machine);
    cli_out_format(out, ", \"cpus\": %ld, \"port\": \"%s\"}", sysconf(_SC_NPROCESSORS_ONLN),
                   report->port == QURING_PORT_EPOLL ? "epoll" : "io_uring");
}

static void json_object(struct cli_out *out, const struct cli_report *report, const struct cli_load_figures *figures) {
    double count = (double)figures->latency.count;
    cli_out_format(out, "{\"backend\": \"%s\", \"workload\": ", report->backend);
    json_workload(out, report);
    cli_out_format(out, ", \"connections\": %" PRIu32 ", \"connections_up\": %" PRIu32 ", \"why_missing\": ",
                   report->connections, report->up_count);
    if (*report->why_missing)
        json_string(out, report->why_missing);
    else
        cli_out_text(out, "null");
    cli_out_format(out, ", \"depth\": %" PRIu32 ", \"commit\": \"%s\", \"gather_us\": %" PRIu64, report->depth,
                   report->commit, report->gather_us);
    cli_out_format(out, ", \"seconds\": %.6f, \"queries\": %" PRIu64 ", \"errors\": %" PRIu64 ", \"qps\": %.1f",
                   figures->seconds, figures->latency.count, figures->error_count, json_per(count, figures->seconds));
    cli_out_text(out, ", \"latency_us\": ");
    json_latency(out, &figures->latency);
    json_waits(out, figures->wait_count);
    cli_out_format(out, ", \"cpu_us_per_query\": {\"user\": %.4f, \"system\": %.4f}",
                   json_per(1e6 * figures->cpu_user_seconds, count),
                   json_per(1e6 * figures->cpu_system_seconds, count));
    cli_out_format(out, ", \"enters_per_query\": %.6f", json_per((double)figures->enter_count, count));
    cli_out_format(out, ", \"bytes_per_query\": {\"sent\": %.2f, \"received\": %.2f}",
                   json_per((double)figures->sent_bytes, count), json_per((double)figures->received_bytes, count));
    json_failures(out, figures);
    json_rate(out, report, figures);
    cli_out_format(out, ", \"warmup_seconds\": %.6g", report->warmup_seconds);
    json_histogram(out, &figures->latency);
    json_scripts(out, report, figures);
    json_environment(out, report);
    cli_out_char(out, '}');
}

void cli_report_json(struct cli_out *out, const struct cli_report *report, const struct cli_load_figures *figures) {
    json_object(out, report, figures);
    cli_out_char(out, '\n');
}

void cli_report_compared_json(struct cli_out *out, const struct cli_compared *all, uint32_t count,
                              uint32_t round_count) {
    cli_out_format(out, "{\"rounds\": %" PRIu32 ", \"targets\": [", round_count);
    for (uint32_t i = 0; i < count; i++) {
        cli_out_text(out, i > 0 ? ", {\"url\": " : "{\"url\": ");
        json_string(out, all[i].name);
        if (isnan(all[i].ratio))
            cli_out_text(out, ", \"qps_ratio\": null");
        else
            cli_out_format(out, ", \"qps_ratio\": {\"median\": %.4f, \"min\": %.4f, \"max\": %.4f}", all[i].ratio,
                           all[i].least_ratio, all[i].greatest_ratio);
        cli_out_text(out, ", \"figures\": ");
        json_object(out, &all[i].report, all[i].figures);
        cli_out_char(out, '}');
    }
    cli_out_text(out, "]}\n");
}
