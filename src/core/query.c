/* SPDX-License-Identifier: MIT */
#include "core/query.h"

const uint8_t query_moves[QUERY_REAPED + 1] = {
    [QUERY_FREE] = 1 << QUERY_WAITING,
    [QUERY_WAITING] = 1 << QUERY_RUNNING | 1 << QUERY_DONE,
    [QUERY_RUNNING] = 1 << QUERY_WAITING | 1 << QUERY_DONE,
    [QUERY_DONE] = 1 << QUERY_REAPED,
    [QUERY_REAPED] = 1 << QUERY_FREE,
};
