/* SPDX-License-Identifier: MIT */
#ifndef QURING_PG_BACKEND_H
#define QURING_PG_BACKEND_H

#include "core/backend.h"

extern const struct backend pg_backend;

#endif
