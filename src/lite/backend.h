/* SPDX-License-Identifier: MIT */
#ifndef QURING_LITE_BACKEND_H
#define QURING_LITE_BACKEND_H

#include "core/backend.h"

extern const struct backend lite_backend;

#endif
