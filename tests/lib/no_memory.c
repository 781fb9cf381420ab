/* SPDX-License-Identifier: MIT */
/* Linked into tests that ask for more memory than there is: it gives NULL under the sanitizers too. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void) {
    return "allocator_may_return_null=1";
}
