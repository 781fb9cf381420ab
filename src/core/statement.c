/* SPDX-License-Identifier: MIT */
/*
 * The table: buckets of chains by hash, a stack of free indexes, and the list of those entries that may be evicted.
 * statement_class.c tells what kind of statement a text is.
 */
#include "core/statement.h"

#include "base/hash.h"
#include "base/owner.h"

#include <stdlib.h>
#include <string.h>

struct statement_table {
    struct quring_statement **buckets;
    uint32_t bucket_mask;
    uint32_t capacity;
    uint32_t free_count;
    uint32_t *free_stack; /* of indexes */
    struct list idle;     /* cached and unreferenced, least recently used first */
    struct list uncached; /* all of them are referenced */
    size_t text_limit_bytes;
    uint64_t seed;
    uint64_t last_serial;
    uint64_t owner;
    void (*drop_backend)(void *backend);
};

struct statement_table *statement_table_new(uint32_t capacity, size_t text_limit_bytes,
                                            void (*drop_backend)(void *backend)) {
    PRE(capacity < UINT32_MAX / 4);
    struct statement_table *table = calloc(1, sizeof *table);
    if (!table)
        return NULL;
    uint32_t bucket_count = 16;
    while (bucket_count < 2 * capacity)
        bucket_count *= 2;
    list_init(&table->idle);
    list_init(&table->uncached);
    table->buckets = calloc(bucket_count, sizeof(struct quring_statement *));
    table->free_stack = calloc((size_t)capacity + 1, sizeof *table->free_stack);
    table->bucket_mask = bucket_count - 1;
    table->capacity = table->free_count = capacity;
    table->text_limit_bytes = text_limit_bytes;
    table->drop_backend = drop_backend;
    table->owner = owner_claim();
    table->seed = hash_seed(table);
    if (!table->buckets || !table->free_stack) {
        table->capacity = 0;
        statement_table_free(table);
        return NULL;
    }
    for (uint32_t i = 0; i < capacity; i++)
        table->free_stack[i] = capacity - 1 - i;
    return table;
}

static void statement_drop_backend(struct quring_statement *statement) {
    if (statement->backend && statement->table && statement->table->drop_backend)
        statement->table->drop_backend(statement->backend);
    statement->backend = NULL;
}

static void statement_free(struct quring_statement *statement) {
    statement_drop_backend(statement);
    list_remove(&statement->link);
    free(statement);
}

/* Takes a statement out of a table that is being freed: it is freed too, or lives on until its last reference. */
static void statement_leave(struct quring_statement *statement) {
    if (statement->references == 0) {
        statement_free(statement);
        return;
    }
    statement_drop_backend(statement);
    list_remove(&statement->link);
    statement->chain = NULL;
    statement->table = NULL;
}

void statement_table_free(struct statement_table *table) {
    if (!table)
        return;
    for (uint32_t i = 0; table->buckets && i <= table->bucket_mask; i++)
        for (struct quring_statement *s = table->buckets[i], *next; s; s = next) {
            next = s->chain;
            statement_leave(s);
        }
    while (!list_empty(&table->uncached))
        statement_leave(list_entry(list_first(&table->uncached), struct quring_statement, link));
    free(table->buckets);
    free(table->free_stack);
    free(table);
}

static struct quring_statement **statement_bucket(struct statement_table *table, uint64_t hash) {
    return &table->buckets[hash & table->bucket_mask];
}

/* Frees the statement that was unused for longest, and its index with it. */
static void statement_evict(struct statement_table *table) {
    struct list *node = list_first(&table->idle);
    if (!node)
        return; /* all are referenced: the new one stays uncached */
    struct quring_statement *oldest = list_entry(node, struct quring_statement, link);
    struct quring_statement **at = statement_bucket(table, oldest->hash);
    while (*at != oldest)
        at = &(*at)->chain;
    *at = oldest->chain;
    table->free_stack[table->free_count++] = oldest->index;
    statement_free(oldest);
}

static struct quring_statement *statement_new(struct statement_table *table, const char *sql, size_t length,
                                              uint64_t hash) {
    if (length > SIZE_MAX - sizeof(struct quring_statement) - 1)
        return NULL;
    struct quring_statement *statement = malloc(sizeof *statement + length + 1);
    if (!statement)
        return NULL;
    *statement = (struct quring_statement){
        .table = table,
        .hash = hash,
        .owner = table->owner,
        .serial = ++table->last_serial,
        .index = STATEMENT_UNCACHED,
        .references = 1,
        .traits = statement_traits(sql, length),
        .length = length,
    };
    list_init(&statement->link);
    if (length)
        memcpy(statement->sql, sql, length);
    statement->sql[length] = 0;

    if (length <= table->text_limit_bytes && table->free_count == 0)
        statement_evict(table);
    if (length <= table->text_limit_bytes && table->free_count > 0) {
        struct quring_statement **bucket = statement_bucket(table, hash);
        statement->index = table->free_stack[--table->free_count];
        statement->chain = *bucket;
        *bucket = statement;
    } else {
        list_push_back(&table->uncached, &statement->link);
    }
    return statement;
}

struct quring_statement *statement_find(struct statement_table *table, const char *sql, size_t length) {
    if (length > table->text_limit_bytes) /* none such is cached: a megabyte of values is hashed in vain */
        return statement_new(table, sql, length, 0);
    uint64_t hash = hash_bytes(sql, length, table->seed);
    for (struct quring_statement *s = *statement_bucket(table, hash); s; s = s->chain) {
        if (s->hash != hash || s->length != length || memcmp(s->sql, sql, length) != 0)
            continue;
        if (s->references == 0)
            list_remove(&s->link);
        return statement_hold(s);
    }
    return statement_new(table, sql, length, hash);
}

void statement_retire(struct quring_statement *statement) {
    if (statement->table && statement->index != STATEMENT_UNCACHED)
        list_push_back(&statement->table->idle, &statement->link);
    else
        statement_free(statement);
}
