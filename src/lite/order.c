/* SPDX-License-Identifier: MIT */
#include "lite/order.h"

#include "lite/query.h"
#include "lite/text.h"

bool lite_order_may_run(const struct order_key *key, uint8_t *route) {
    if (*route & LITE_TO_READER && key->write_count)
        *route = LITE_TO_WRITER | LITE_READS;
    return *route & LITE_TO_READER || !key->read_count;
}

static uint32_t *order_count_of(struct query *query) {
    struct order_key *key = query->key;
    return lite_query(query)->route & LITE_TO_READER ? &key->read_count : &key->write_count;
}

void lite_order_began(struct lite_db *lite, struct query *query) {
    ++*order_count_of(query);
    order_key_sent(query->key, &lite->order, 0, 0);
}

void lite_order_ended(struct query *query) {
    struct order_key *key = query->key;
    PRE(*order_count_of(query) > 0);
    --*order_count_of(query);
    if (!key->read_count && !key->write_count)
        order_key_ended(key);
    if (!list_empty(&key->parked) && !key->read_count)
        order_key_wait(key);
    else
        lite_order_looked(key);
}

void lite_order_moved(struct query *query) {
    PRE(query->key->read_count > 0);
    query->key->read_count--;
    query->key->write_count++;
    if (!query->key->read_count && !list_empty(&query->key->parked))
        order_key_wait(query->key);
}

void lite_order_looked(struct order_key *key) {
    if (!order_key_is_out(key) && list_empty(&key->parked))
        order_key_leave(key);
}

void lite_order_close(struct lite_db *lite) {
    struct order_key *key;
    while ((key = order_place_any(&lite->order)))
        order_key_leave(key);
}
