/* SPDX-License-Identifier: MIT */
#include "core/order_key.h"

#include "base/hash.h"

#include <stdlib.h>

enum { BLOCK_KEYS = 64, BUCKETS_MIN = 64 };

const uint8_t order_moves[ORDER_CLOSED + 1] = {
    [ORDER_IDLE] = 1 << ORDER_PLACED,
    [ORDER_PLACED] = 1 << ORDER_IDLE | 1 << ORDER_CLOSED,
    [ORDER_CLOSED] = 1 << ORDER_IDLE,
};

static void order_move(struct order_key *key, enum order_state to) {
    PRE(key->state <= ORDER_CLOSED && (order_moves[key->state] >> to & 1));
    key->state = (uint8_t)to;
}

/* ---- The table ---- */

static struct order_key **order_bucket(const struct order_keys *keys, const void *owner, uint64_t key) {
    uint64_t words[2] = {key, (uint64_t)(uintptr_t)owner};
    return &keys->buckets[hash_bytes(words, sizeof words, keys->seed) & (keys->bucket_count - 1)];
}

static void order_put(struct order_keys *keys, struct order_key *key) {
    struct order_key **bucket = order_bucket(keys, key->owner, key->key);
    key->chain = *bucket;
    *bucket = key;
}

struct order_key *order_keys_at(const struct order_keys *keys, uint32_t number) {
    PRE(number && number <= keys->block_count * BLOCK_KEYS);
    return &keys->blocks[(number - 1) / BLOCK_KEYS][(number - 1) % BLOCK_KEYS];
}

/* False: no memory, and the chains get longer if there are any. */
static bool order_grow_buckets(struct order_keys *keys) {
    uint32_t count = keys->bucket_count ? 2 * keys->bucket_count : BUCKETS_MIN;
    struct order_key **before = keys->buckets, **buckets = calloc(count, sizeof(struct order_key *));
    if (!buckets)
        return before != NULL;
    if (!before)
        keys->seed = hash_seed(keys);
    uint32_t before_count = keys->bucket_count;
    keys->buckets = buckets;
    keys->bucket_count = count;
    for (uint32_t i = 0; i < before_count; i++)
        for (struct order_key *key = before[i], *next; key; key = next) {
            next = key->chain;
            order_put(keys, key);
        }
    free(before);
    return true;
}

static bool order_grow_blocks(struct order_keys *keys) {
    struct order_key **blocks = realloc(keys->blocks, (keys->block_count + 1) * sizeof(struct order_key *));
    if (!blocks)
        return false;
    keys->blocks = blocks;
    struct order_key *block = calloc(BLOCK_KEYS, sizeof *block);
    if (!block)
        return false;
    keys->blocks[keys->block_count++] = block;
    for (uint32_t i = BLOCK_KEYS; i--;) {
        block[i].keys = keys;
        block[i].number = (keys->block_count - 1) * BLOCK_KEYS + i + 1;
        list_init(&block[i].out);
        list_init(&block[i].waiting);
        list_init(&block[i].parked);
        block[i].chain = keys->free;
        keys->free = &block[i];
    }
    return true;
}

static struct order_key *order_find(struct order_keys *keys, const void *owner, uint64_t key) {
    if (!keys->count)
        return NULL;
    struct order_key *found = *order_bucket(keys, owner, key);
    keys->visit_count += found != NULL;
    for (; found && (found->key != key || found->owner != owner); found = found->chain)
        keys->visit_count++;
    return found;
}

static struct order_key *order_add(struct order_keys *keys, const void *owner, uint64_t value) {
    if (keys->count >= keys->bucket_count && !order_grow_buckets(keys))
        return NULL;
    if (!keys->free && !order_grow_blocks(keys))
        return NULL;
    struct order_key *key = keys->free;
    keys->free = key->chain;
    key->owner = owner;
    key->key = value;
    key->query_count = key->read_count = key->write_count = 0;
    order_put(keys, key);
    keys->count++;
    return key;
}

struct order_key *order_key_hold(struct order_keys *keys, const void *owner, uint64_t key) {
    PRE(owner && key);
    struct order_key *found = order_find(keys, owner, key);
    if (!found)
        found = order_add(keys, owner, key);
    if (found)
        found->query_count++;
    return found;
}

static void order_take_out(struct order_key *key) {
    struct order_key **at = order_bucket(key->keys, key->owner, key->key);
    while (*at != key)
        at = &(*at)->chain;
    *at = key->chain;
}

/* Gives the entry back if nothing of the key is left. */
static void order_let_go(struct order_key *key) {
    if (key->query_count || key->state != ORDER_IDLE)
        return;
    struct order_keys *keys = key->keys;
    if (key->owner)
        order_take_out(key);
    key->chain = keys->free;
    keys->free = key;
    keys->count--;
}

/* Without queries a key that is PLACED stays for those that are out alone. */
void order_key_drop(struct order_key *key) {
    PRE(key->query_count > 0);
    if (--key->query_count)
        return;
    if (key->state == ORDER_CLOSED)
        order_move(key, ORDER_IDLE);
    if (key->state == ORDER_PLACED && !order_key_is_out(key))
        order_key_leave(key);
    else
        order_let_go(key);
}

void order_keys_forget(struct order_keys *keys, const void *owner) {
    PRE(owner);
    for (uint32_t number = 1; keys->count && number <= keys->block_count * BLOCK_KEYS; number++) {
        struct order_key *key = order_keys_at(keys, number);
        if (key->owner != owner || !key->query_count)
            continue;
        PRE(key->state != ORDER_PLACED);
        order_take_out(key);
        key->owner = NULL;
    }
}

struct order_key *order_keys_next_parked(const struct order_keys *keys, uint32_t *number) {
    while (*number < keys->block_count * BLOCK_KEYS) {
        struct order_key *key = order_keys_at(keys, ++*number);
        if (!list_empty(&key->parked))
            return key;
    }
    return NULL;
}

void order_keys_free(struct order_keys *keys) {
    for (uint32_t i = 0; i < keys->block_count; i++)
        free(keys->blocks[i]);
    free(keys->blocks);
    free(keys->buckets);
    *keys = (struct order_keys){0};
}

/* ---- Places ---- */

void order_place_init(struct order_place *place) {
    list_init(&place->out);
    list_init(&place->waiting);
    list_init(&place->link);
}

void order_key_sent(struct order_key *key, struct order_place *place, uint64_t ordinal, uint64_t group) {
    if (key->state != ORDER_PLACED) {
        order_move(key, ORDER_PLACED);
        key->place = place;
        key->lost = false;
    }
    PRE(key->place == place);
    key->last = ordinal;
    key->group = group;
    list_move_back(&place->out, &key->out);
}

struct order_key *order_place_settled(struct order_place *place, uint64_t settled) {
    struct list *node = list_first(&place->out);
    if (!node)
        return NULL;
    struct order_key *key = list_entry(node, struct order_key, out);
    key->keys->visit_count++;
    if (key->last >= settled)
        return NULL;
    list_remove(&key->out);
    return key;
}

void order_key_ended(struct order_key *key) {
    PRE(order_key_is_out(key));
    list_remove(&key->out);
}

void order_key_wait(struct order_key *key) {
    PRE(key->state == ORDER_PLACED && !list_empty(&key->parked));
    if (list_empty(&key->waiting))
        list_push_back(&key->place->waiting, &key->waiting);
}

struct order_key *order_place_next(struct order_place *place) {
    struct list *node = list_pop_front(&place->waiting);
    if (!node)
        return NULL;
    struct order_key *key = list_entry(node, struct order_key, waiting);
    key->keys->visit_count++;
    return key;
}

struct order_key *order_place_any(const struct order_place *place) {
    struct list *node = list_first(&place->waiting);
    if (node)
        return list_entry(node, struct order_key, waiting);
    node = list_first(&place->out);
    return node ? list_entry(node, struct order_key, out) : NULL;
}

void order_key_leave(struct order_key *key) {
    PRE(key->state == ORDER_PLACED && list_empty(&key->parked));
    list_remove(&key->out);
    list_remove(&key->waiting);
    order_move(key, key->lost && key->query_count ? ORDER_CLOSED : ORDER_IDLE);
    key->place = NULL;
    order_let_go(key);
}
