/* SPDX-License-Identifier: MIT */
#include "lib/seeds.h"

#include "ring/port_sim.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
void __sanitizer_set_death_callback(void (*callback)(void));
#define watch_sanitizer() __sanitizer_set_death_callback(print_seed)
#define DEADLY SIGABRT, SIGALRM
#define OWN_COUNT(count) (((count) + 4) / 5)
#else
#define OWN_COUNT(count) (count)
#define watch_sanitizer() ((void)0)
#define DEADLY SIGABRT, SIGALRM, SIGSEGV, SIGBUS
#endif

static uint64_t present_seed;
static struct sim *watched;
static void (*watched_trace)(void);

void seeds_watch(struct sim *sim) {
    watched = sim;
}

void seeds_watch_trace(void (*print)(void)) {
    watched_trace = print;
}

static void print_seed(void) {
    if (watched && getenv("QURING_SIM_TRACE"))
        sim_print_trace(watched);
    if (watched_trace && getenv("QURING_SIM_TRACE"))
        watched_trace();
    fprintf(stderr, "seed 0x%llx: replay with QURING_SIM_SEED=0x%llx QURING_SIM_TRACE=1\n",
            (unsigned long long)present_seed, (unsigned long long)present_seed);
}

/* stdio in a signal handler: the process is lost anyway, and it was not inside stdio. */
static void dying(int signal_number) {
    signal(signal_number, SIG_DFL);
    print_seed();
    raise(signal_number);
}

void seeds_broken(const char *file, int line, const char *condition, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: %s: ", file, line, condition);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

static uint64_t env_number(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

void seeds_begin(void) {
    static const int deadly[] = {DEADLY};
    watch_sanitizer();
    for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
        signal(deadly[i], dying);
}

static void run_seeds(uint64_t first, uint64_t end, void (*body)(uint64_t seed)) {
    seeds_begin();
    for (present_seed = first; present_seed < end; present_seed++)
        body(present_seed);
    watched = NULL;
    watched_trace = NULL;
}

void seeds_run(uint32_t count, void (*body)(uint64_t seed)) {
    bool one = getenv("QURING_SIM_SEED") != NULL;
    uint64_t first = env_number("QURING_SIM_SEED", 1);
    run_seeds(first, first + (one ? 1 : env_number("QURING_SIM_SEEDS", OWN_COUNT(count))), body);
}

void seeds_replay(uint64_t seed, void (*body)(uint64_t seed)) {
    run_seeds(seed, seed + 1, body);
}
