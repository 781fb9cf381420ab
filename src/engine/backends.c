/* SPDX-License-Identifier: MIT */
#include "engine/engine.h"

#include "lite/backend.h"
#include "pg/backend.h"

/* A URL goes to the first backend that accepts it. */
static const struct backend *const backends[] = {&pg_backend, &lite_backend};

const struct backend *engine_backend_of(const char *url) {
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (backends[i]->accepts(url))
            return backends[i];
    return NULL;
}
