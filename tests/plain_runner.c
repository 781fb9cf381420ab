/* SPDX-License-Identifier: MIT */
/*
 * Runs the tests of a Criterion program without Criterion's runner: each in a plain fork() of this
 * process, one after the other, ended by exit() so that the sanitizers have their last word.
 *
 * Linked into every test of a sanitizer build, where it takes the place of what libcriterion
 * exports under the same names. Needed because Criterion's own sandbox maps memory where
 * ThreadSanitizer forbids it (it crashes before the first test), and counts a test in which
 * LeakSanitizer found leaks as passed.
 *
 * usage: PROGRAM [PATTERN]    PATTERN as in fnmatch(3), matched against "suite/test"
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_FAILED = 97, EXIT_SKIPPED = 98 };

extern struct criterion_test *__start_cr_tst[] __attribute__((weak));
extern struct criterion_test *__stop_cr_tst[] __attribute__((weak));
extern struct criterion_suite *__start_cr_sts[] __attribute__((weak));
extern struct criterion_suite *__stop_cr_sts[] __attribute__((weak));

static struct criterion_test_extra_data none;
static struct criterion_test_extra_data *test_data = &none, *suite_data = &none;
static void *test_param;
static bool failed;

/* ---- What the macros of <criterion/criterion.h> call ---- */

void criterion_send_assert(struct criterion_assert_stats *stats) {
    if (stats->passed)
        return;
    failed = true;
    fprintf(stderr, "%s:%u: assertion failed: %s\n", stats->file, stats->line, stats->message);
}

void cri_asserts_passed_incr(void) {
}

void criterion_continue_test(void) {
}

void criterion_abort_test(void) {
    fflush(NULL);
    _exit(EXIT_FAILED);
}

void criterion_skip_test(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    fflush(NULL);
    _exit(EXIT_SKIPPED);
}

void criterion_test_die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    criterion_abort_test();
}

void criterion_internal_test_setup(void) {
    if (suite_data->init)
        suite_data->init();
    if (test_data->init)
        test_data->init();
}

void criterion_internal_test_main(void (*body)(void)) {
    if (test_data->kind_ == CR_TEST_PARAMETERIZED)
        ((void (*)(void *))body)(test_param);
    else
        body();
}

void criterion_internal_test_teardown(void) {
    if (test_data->fini)
        test_data->fini();
    if (suite_data->fini)
        suite_data->fini();
}

/* ---- The runner ---- */

static struct criterion_test_extra_data *find_suite(const char *name) {
    for (struct criterion_suite **s = __start_cr_sts; s < __stop_cr_sts; s++)
        if (*s && (*s)->data && strcmp((*s)->name, name) == 0)
            return (*s)->data;
    return &none;
}

static bool ended_as_wanted(int status) {
    int signal = test_data->signal ? test_data->signal : suite_data->signal;
    int code = test_data->exit_code ? test_data->exit_code : suite_data->exit_code;

    if (signal && WIFEXITED(status)) /* the sanitizers turn some signals into an exit */
        return WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != EXIT_FAILED;
    if (signal)
        return WTERMSIG(status) == signal;
    return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

/* Returns 0 when it passed, 1 when it failed, 2 when it was skipped. */
static int run_one(const struct criterion_test *test) {
    int status;

    fprintf(stderr, "[RUN ] %s::%s\n", test->category, test->name);

    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        test->test();
        exit(failed ? EXIT_FAILED : 0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        perror("plain_runner");
        return 1;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED)
        return 2;
    if (ended_as_wanted(status))
        return 0;
    fprintf(stderr, "[FAIL] %s::%s (%s %d)\n", test->category, test->name, WIFEXITED(status) ? "exit" : "signal",
            WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    return 1;
}

static void run(const struct criterion_test *test, int counts[3]) {
    test_data = test->data ? test->data : &none;
    suite_data = find_suite(test->category);
    if (test_data->disabled || suite_data->disabled) {
        counts[2]++;
        return;
    }
    if (test_data->kind_ != CR_TEST_PARAMETERIZED) {
        counts[run_one(test)]++;
        return;
    }
    struct criterion_test_params params = test_data->param_();
    for (size_t i = 0; i < params.length; i++) {
        test_param = (char *)params.params + i * params.size;
        counts[run_one(test)]++;
    }
    if (params.cleanup)
        params.cleanup(&params);
}

int main(int argc, char **argv) {
    const char *pattern = argc > 1 && argv[1][0] != '-' ? argv[1] : "*";
    int counts[3] = {0};
    char name[256];

    for (struct criterion_test **t = __start_cr_tst; t < __stop_cr_tst; t++) {
        if (!*t)
            continue;
        snprintf(name, sizeof name, "%s/%s", (*t)->category, (*t)->name);
        if (fnmatch(pattern, name, 0) == 0)
            run(*t, counts);
    }
    fprintf(stderr, "[====] Tested: %d | Passing: %d | Failing: %d | Skipped: %d\n", counts[0] + counts[1], counts[0],
            counts[1], counts[2]);
    return counts[1] ? 1 : 0;
}
