/* SPDX-License-Identifier: MIT */
#include "lite/line.h"

#include <time.h>

static const uint64_t PATIENCE_NS = 1000000;

void lite_line_init(struct lite_line *line) {
    *line = (struct lite_line){0};
    list_init(&line->places);
    pthread_mutex_init(&line->lock, NULL);
}

void lite_line_free(struct lite_line *line) {
    PRE(lite_line_is_empty(line));
    pthread_mutex_destroy(&line->lock);
}

bool lite_line_is_due(struct lite_line *line, uint64_t now_ns) {
    pthread_mutex_lock(&line->lock);
    struct list *node = list_first(&line->places);
    uint64_t since_ns = node ? list_entry(node, struct lite_place, link)->since_ns : now_ns;
    pthread_mutex_unlock(&line->lock);
    return now_ns >= since_ns + PATIENCE_NS;
}

static void line_init_turn(struct lite_place *place) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&place->turn, &attributes);
    pthread_condattr_destroy(&attributes);
}

void lite_line_join(struct lite_line *line, struct lite_place *place, uint64_t now_ns) {
    if (place->stands)
        return;
    pthread_mutex_lock(&line->lock);
    line_init_turn(place);
    place->stands = true;
    place->since_ns = now_ns;
    place->seen_count = line->move_count;
    list_push_back(&line->places, &place->link);
    atomic_fetch_add_explicit(&line->count, 1, memory_order_relaxed);
    pthread_mutex_unlock(&line->lock);
}

static struct timespec line_time_in(uint64_t wait_ns) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    uint64_t ns = (uint64_t)time.tv_nsec + wait_ns;
    time.tv_sec += (time_t)(ns / 1000000000);
    time.tv_nsec = (long)(ns % 1000000000);
    return time;
}

static bool line_is_first(const struct lite_line *line, const struct lite_place *place) {
    return list_first(&line->places) == &place->link;
}

static bool line_has_turn(const struct lite_line *line, const struct lite_place *place) {
    return line_is_first(line, place) && place->seen_count != line->move_count;
}

bool lite_line_wait(struct lite_line *line, struct lite_place *place, uint64_t wait_ns) {
    PRE(place->stands);
    struct timespec until = line_time_in(wait_ns);
    pthread_mutex_lock(&line->lock);
    while (!line_has_turn(line, place) && pthread_cond_timedwait(&place->turn, &line->lock, &until) == 0)
        continue;
    place->seen_count = line->move_count;
    bool first = line_is_first(line, place);
    pthread_mutex_unlock(&line->lock);
    return first;
}

void lite_line_leave(struct lite_line *line, struct lite_place *place) {
    pthread_mutex_lock(&line->lock);
    if (place->stands) {
        place->stands = false;
        list_remove(&place->link);
        pthread_cond_destroy(&place->turn);
        atomic_fetch_sub_explicit(&line->count, 1, memory_order_relaxed);
    }
    line->move_count++;
    struct list *first = list_first(&line->places);
    if (first)
        pthread_cond_signal(&list_entry(first, struct lite_place, link)->turn);
    pthread_mutex_unlock(&line->lock);
}
