/* SPDX-License-Identifier: MIT */
/* What lanes tell the reactor, on its thread. */
#ifndef QURING_LITE_NEWS_H
#define QURING_LITE_NEWS_H

#include "lite/lane.h"

/* Counts what a post tells, and ends or moves the queries that it brings. The post stays the caller's. */
void lite_take_news(struct lite_post *post);

#endif
