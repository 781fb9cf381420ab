/* SPDX-License-Identifier: MIT */
/*
 * Random walks of a session against a model of it that could not be simpler: the queue of all replies that are still
 * to come, one letter each, in which X stands for rows and the end of a command and R for either answer to a
 * Describe.
 */
#include "base/rng.h"
#include "lib/replies.h"
#include "lib/wire_feed.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { ROOM = 4096, REQUESTS = 400, OUTSTANDING_MAX = 6 };

struct model {
    struct {
        char letter;
        int request;
    } queue[7 * REQUESTS];
    int head, count;       /* of the queue */
    int told;              /* requests */
    int group;             /* the first request since the last sync point */
    int columns[REQUESTS]; /* -1: no rows */
    bool bound[REQUESTS];
    bool failed; /* what is in the queue before the next Z will not come */
    bool over;
};

static void model_expect(struct model *m, uint8_t steps, int columns) {
    static const char *const replies[] = {"3", "1", "tR", "2", "X", "Z"};
    for (int step = 0; step < 6; step++) {
        for (const char *letter = replies[step]; steps >> step & 1 && *letter; letter++) {
            m->queue[m->count].letter = *letter;
            m->queue[m->count++].request = m->told;
        }
    }
    m->columns[m->told++] = columns;
}

static int model_request(const struct model *m) {
    return m->head < m->count ? m->queue[m->head].request : m->told;
}

static char model_front(const struct model *m) {
    return m->head < m->count ? m->queue[m->head].letter : 0;
}

static const char *model_error(struct model *m, char letter, char *line) {
    if (letter == 'E' && (m->failed || !model_front(m)))
        return NULL;
    int request = model_request(m);
    bool bound = request < m->told && m->bound[request];
    sprintf(line, letter == 'F' ? "fatal %d:" : bound ? "error %d bound:" : "error %d:", request);
    m->failed = true;
    m->over = letter == 'F';
    return line;
}

static const char *model_ready(struct model *m, char *line) {
    int at = m->head;
    while (m->failed && at < m->count && m->queue[at].letter != 'Z')
        at++;
    if (at == m->count || m->queue[at].letter != 'Z')
        return NULL;
    sprintf(line, "ready %d..%d I\n", m->group, m->queue[at].request);
    m->group = m->queue[at].request + 1;
    m->head = at + 1;
    m->failed = false;
    return line;
}

static const char *model_rows(struct model *m, char letter, char *line) {
    int request = model_request(m), columns = m->columns[request];
    if (letter == 'D' && columns == 2) {
        sprintf(line, "row %d: '1' NULL\n", request);
    } else if (letter == 'C' || (letter == 'I' && columns == -1)) {
        sprintf(line, "complete %d: %s\n", request, letter == 'C' ? "SELECT 1" : "");
        m->head++;
    } else if (strchr("GHW", letter)) {
        sprintf(line, "copy %d\n", request);
        m->over = true;
    } else {
        return NULL;
    }
    return line;
}

/* The beginning of what the log gets for this message, "" for nothing, NULL for a violation. */
static const char *model_reply(struct model *m, char letter, char *line) {
    int request = model_request(m);
    char front = model_front(m);
    *line = 0;
    if (strchr("NSA", letter)) {
        sprintf(line, "%s %d:", letter == 'N' ? "notice" : letter == 'S' ? "status" : "notification", request);
        return line;
    }
    if (letter == 'E' || letter == 'F')
        return model_error(m, letter, line);
    if (letter == 'Z')
        return model_ready(m, line);
    if (m->failed || !front)
        return NULL;
    if (front == 'X')
        return model_rows(m, letter, line);
    if (front == 'R' ? letter != 'T' && letter != 'n' : letter != front)
        return NULL;
    m->head++;
    if (letter == '2')
        m->bound[request] = true;
    if (letter == 't')
        sprintf(line, "parameters %d: 23\n", request);
    if (front == 'R') {
        sprintf(line, "columns %d: %s\n", request, letter == 'T' ? "id/23/-1 name/25/-1" : "no rows");
        m->columns[request] = letter == 'T' ? 2 : -1;
    }
    return line;
}

static bool model_has_sync(const struct model *m) {
    for (int i = m->head; i < m->count; i++)
        if (m->queue[i].letter == 'Z')
            return true;
    return false;
}

/* Mostly what may come now, sometimes what is always possible, now and then anything. */
static char pick_letter(const struct model *m, struct rng *rng) {
    static const char any[] = "RK23CdcGHWDIEVvnNAtS1sZTFx";
    char front = model_front(m);
    uint64_t dice = rng_below(rng, 1000);
    if (dice == 0)
        return any[rng_below(rng, sizeof any - 1)];
    if (dice == 1)
        return 'F';
    if (dice < 60)
        return "NSA"[dice % 3];
    if (m->failed)
        return model_has_sync(m) ? 'Z' : 'N';
    if (front && dice < 120)
        return 'E';
    if (front == 'X')
        return m->columns[model_request(m)] == 2 ? "DDC"[rng_below(rng, 3)] : "CCCCI"[rng_below(rng, 5)];
    if (front == 'R')
        return "Tn"[rng_below(rng, 2)];
    return front ? front : 'N';
}

struct walk {
    struct wire_feed feed;
    struct model model;
    struct rng rng;
    size_t lines;
};

static void walk_expect(struct walk *w) {
    uint8_t steps = (uint8_t)(1 + rng_below(&w->rng, WIRE_STEPS_END - 1));
    if (rng_below(&w->rng, 3))
        steps |= WIRE_SYNC;
    int columns = rng_below(&w->rng, 2) ? 2 : -1;
    bool told = wire_expect(&w->feed.session, steps, columns);
    cr_assert_eq(told, w->model.told - model_request(&w->model) < OUTSTANDING_MAX);
    if (told)
        model_expect(&w->model, steps, columns);
}

/* False when the walk has come to its end. */
static bool walk_step(struct walk *w) {
    struct buf bytes;
    char line[64], letter = pick_letter(&w->model, &w->rng);
    buf_init(&bytes, ROOM);
    reply_script(&bytes, (const char[]){letter, 0});
    const char *wanted = model_reply(&w->model, letter, line);
    buf_reset(&w->feed.log, ROOM);
    size_t cut = rng_below(&w->rng, buf_size(&bytes) + 1);
    wire_feed_bytes(&w->feed, buf_head(&bytes), cut);
    wire_feed_bytes(&w->feed, buf_head(&bytes) + cut, buf_size(&bytes) - cut);
    const char *log = wire_feed_log(&w->feed);
    if (wanted)
        cr_assert(*wanted ? !strncmp(log, wanted, strlen(wanted)) : !*log, "%c: '%s', not '%s'", letter, log, wanted);
    else
        cr_assert_eq(strncmp(log, "violation ", 10), 0, "%c: '%s', not a violation", letter, log);
    cr_assert_eq(w->feed.last == WIRE_VIOLATION, !wanted);
    if (wanted)
        cr_assert_eq((int)wire_session_outstanding(&w->feed.session), w->model.told - model_request(&w->model));
    buf_free(&bytes);
    w->lines += wanted && *wanted;
    return wanted && !w->model.over;
}

Test(model, random_walks_agree) {
    static struct walk w;
    int violations = 0, long_ones = 0;
    for (uint64_t seed = 1; seed <= 1500; seed++) {
        w.model = (struct model){0};
        w.rng.state = seed;
        wire_feed_open(&w.feed, OUTSTANDING_MAX, ROOM, 2 * ROOM);
        int steps = 0;
        bool goes_on = true;
        while (goes_on && steps++ < 400 && w.model.told < REQUESTS - 1) {
            if (rng_below(&w.rng, 3) == 0)
                walk_expect(&w);
            goes_on = walk_step(&w);
        }
        violations += w.feed.last == WIRE_VIOLATION;
        long_ones += goes_on;
        wire_feed_close(&w.feed);
    }
    cr_assert(violations > 100 && long_ones > 100 && w.lines > 100000, "%d violations, %d long, %zu events", violations,
              long_ones, w.lines);
}
