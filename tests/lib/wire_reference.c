/* SPDX-License-Identifier: MIT */
#include "lib/wire_reference.h"

#include "wire/session.h"

#include <string.h>

static bool one_of(int type, const char *letters) {
    return type != 0 && strchr(letters, type);
}

bool reference_lawful(int type, uint32_t length) {
    static const char *const least_bodies[] = {"d", "CEN", "DTtS", "GHW", "RV", "", "A", "", "v"};
    if (!one_of(type, "RK23CdcGHWDIEVvnNAtS1sZT"))
        return false;
    if (one_of(type, "23cIn1s"))
        return length == 4;
    if (type == 'Z')
        return length == 5;
    if (type == 'K')
        return length == 12;
    uint32_t most = one_of(type, "TDdVENA") ? 0x7fffffff : type == 't' ? 4 + 2 + 4 * 65535 : 30000;
    for (uint32_t body = 0; body < 9; body++)
        if (one_of(type, least_bodies[body]))
            return length >= 4 + body && length <= most;
    return false;
}

struct reader {
    const uint8_t *body;
    long long size, at;
    bool short_of;
};

static long long number(struct reader *r, int width) {
    long long value = 0;
    for (int i = 0; i < width; i++) {
        if (r->at >= r->size) {
            r->short_of = true;
            return 0;
        }
        value = value * 256 + r->body[r->at++];
    }
    return value;
}

static void text(struct reader *r) {
    while (number(r, 1) != 0)
        ;
}

static bool row_is_good(struct reader *r, int columns) {
    long long count = number(r, 2);
    if (count != columns)
        return false;
    while (count-- > 0 && !r->short_of) {
        long long length = number(r, 4);
        if (length == 0xffffffffLL)
            continue;
        if (length > 0x7fffffff || length > r->size - r->at)
            return false;
        r->at += length;
    }
    return true;
}

static void columns(struct reader *r) {
    for (long long count = number(r, 2); count > 0 && !r->short_of; count--) {
        static const int widths[] = {4, 2, 4, 2, 4, 2};
        text(r);
        for (int i = 0; i < 6; i++)
            (void)number(r, widths[i]);
    }
}

/* Whether it is FATAL: 1, or 0. */
static int report(struct reader *r) {
    bool fatal_by_v = false, fatal_by_s = false, has_v = false;
    for (long long field; (field = number(r, 1)) != 0;) {
        const char *at = (const char *)r->body + r->at;
        text(r);
        if (r->short_of)
            break;
        bool fatal = !strcmp(at, "FATAL") || !strcmp(at, "PANIC");
        if (field == 'V') {
            fatal_by_v = fatal;
            has_v = *at;
        } else if (field == 'S') {
            fatal_by_s = fatal;
        }
    }
    return has_v ? fatal_by_v : fatal_by_s;
}

static int kind_of(const struct reference_place *place, int type, struct reader *r) {
    switch (type) {
    case '1':
    case '2':
    case '3':
        return REFERENCE_SILENT;
    case 't':
        for (long long count = number(r, 2); count > 0; count--)
            (void)number(r, 4);
        return WIRE_PARAMETERS;
    case 'T':
        columns(r);
        return WIRE_COLUMNS;
    case 'n':
        return WIRE_COLUMNS;
    case 'D':
        return row_is_good(r, place->columns) ? WIRE_ROW : WIRE_VIOLATION;
    case 'C':
        text(r);
        return WIRE_COMPLETE;
    case 'I':
        return place->columns == -1 ? WIRE_COMPLETE : WIRE_VIOLATION;
    case 'Z':
        return one_of((int)number(r, 1), "ITE") ? WIRE_READY : WIRE_VIOLATION;
    case 'N':
        (void)report(r);
        return WIRE_NOTICE;
    case 'E':
        return report(r) ? WIRE_FATAL : place->error_is_due ? WIRE_ERROR : WIRE_VIOLATION;
    case 'A':
        (void)number(r, 4);
        text(r);
        text(r);
        return WIRE_NOTIFICATION;
    case 'S':
        text(r);
        text(r);
        return WIRE_PARAMETER_STATUS;
    case 'G':
    case 'H':
    case 'W':
        (void)number(r, 1);
        for (long long count = number(r, 2); count > 0; count--)
            (void)number(r, 2);
        return WIRE_COPY;
    default:
        return WIRE_VIOLATION;
    }
}

int reference_answer(const struct reference_place *place, int type, uint32_t length, size_t limit, const uint8_t *body,
                     size_t given) {
    if (!reference_lawful(type, length) || (!one_of(type, place->may) && !one_of(type, "ENSA")))
        return WIRE_VIOLATION;
    if ((size_t)length + 1 > limit) {
        bool skipped =
            one_of(type, "NSA") || (type == 'D' && place->columns != -1) || (type == 'E' && place->error_is_due);
        return skipped ? WIRE_SKIPPED : WIRE_VIOLATION;
    }
    if (given < length - 4)
        return WIRE_NEED_MORE;
    struct reader r = {.body = body, .size = (long long)length - 4};
    int kind = kind_of(place, type, &r);
    return r.short_of || r.at != r.size ? WIRE_VIOLATION : kind;
}
