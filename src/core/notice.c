/* SPDX-License-Identifier: MIT */
#include "core/notice.h"

#include "base/assert.h"
#include "core/error.h"

#include <stdlib.h>

struct notice {
    quring_error view;
    char texts[];
};

struct notices {
    uint32_t count;
    uint64_t dropped_count;
    size_t bytes; /* of all texts */
    struct notice *notice[NOTICE_COUNT_MAX];
};

/* Copies a notice and its texts into one allocation. NULL: they take more than `room`, or there is no memory. */
static struct notice *notice_copy(const quring_error *from, size_t room, size_t *size) {
    const char *texts[] = {from->severity, from->message, from->detail, from->hint};
    size_t lengths[4];
    *size = 0;
    for (int i = 0; i < 4; i++)
        *size += 1 + (lengths[i] = error_text_length(texts[i]));
    struct notice *notice = *size <= room ? malloc(sizeof *notice + *size) : NULL;
    if (!notice)
        return NULL;
    notice->view = *from;
    const char **views[] = {&notice->view.severity, &notice->view.message, &notice->view.detail, &notice->view.hint};
    char *at = notice->texts;
    for (int i = 0; i < 4; i++) {
        *views[i] = at;
        at = error_text_copy(at, texts[i], lengths[i]);
    }
    return notice;
}

static struct notices *notices_at(struct notices **at) {
    if (!*at)
        *at = calloc(1, sizeof **at);
    return *at;
}

void notices_omit(struct notices **at) {
    struct notices *notices = notices_at(at);
    if (notices)
        notices->dropped_count++;
}

void notices_add(struct notices **at, const quring_error *view) {
    PRE(view->severity && view->message && view->detail && view->hint);
    struct notices *notices = notices_at(at);
    if (!notices)
        return;
    size_t size;
    /* Once a notice was dropped none is kept, so that those that are kept are the first ones, without a gap. */
    bool closed = notices->count == NOTICE_COUNT_MAX || notices->dropped_count;
    struct notice *notice = closed ? NULL : notice_copy(view, NOTICE_BYTES_MAX - notices->bytes, &size);
    if (!notice) {
        notices->dropped_count++;
        return;
    }
    notices->bytes += size;
    notices->notice[notices->count++] = notice;
}

void notices_free(struct notices *notices) {
    for (uint32_t i = 0; notices && i < notices->count; i++)
        free(notices->notice[i]);
    free(notices);
}

uint32_t notices_count(const struct notices *notices) {
    return notices ? notices->count : 0;
}

uint64_t notices_dropped_count(const struct notices *notices) {
    return notices ? notices->dropped_count : 0;
}

const quring_error *notices_view(const struct notices *notices, uint32_t index) {
    return index < notices_count(notices) ? &notices->notice[index]->view : NULL;
}
