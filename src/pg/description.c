/* SPDX-License-Identifier: MIT */
#include "pg/description.h"

#include "base/utf8.h"
#include "value/value.h"

#include <stdlib.h>
#include <string.h>

struct pg_description *pg_description_new(const struct wire_parameters *parameters) {
    struct pg_description *description =
        calloc(1, sizeof *description + parameters->count * sizeof description->param_oids[0]);
    if (!description)
        return NULL;
    description->references = 1;
    description->bytes = sizeof *description + parameters->count * sizeof description->param_oids[0];
    description->column_count = WIRE_NO_ROWS;
    description->param_count = parameters->count;
    for (uint16_t i = 0; i < parameters->count; i++)
        description->param_oids[i] = wire_parameter_oid(parameters, i);
    return description;
}

/* Bind's short forms: no code when every column is text, one when every column is binary. */
static bool description_choose_formats(struct pg_description *description) {
    uint32_t count = description->columns->count, binary = 0;
    for (uint32_t i = 0; i < count; i++)
        binary += value_has_binary((quring_type)description->columns->column[i].type);
    description->format_count = (uint16_t)(binary == 0 ? 0 : binary == count ? 1 : count);
    if (description->format_count == 0)
        return true;
    description->formats = calloc(description->format_count, sizeof *description->formats);
    if (!description->formats)
        return false;
    for (uint32_t i = 0; i < description->format_count; i++)
        description->formats[i] = value_has_binary((quring_type)description->columns->column[i].type);
    return true;
}

bool pg_description_set_columns(struct pg_description *description, const struct wire_columns *described) {
    PRE(!description->columns);
    if (!described)
        return true;
    struct wire_columns walk = *described;
    struct columns *columns = columns_new(walk.count, walk.names_bytes);
    if (!columns)
        return false;
    description->columns = columns;
    description->bytes +=
        sizeof *columns + walk.count * (sizeof columns->column[0] + sizeof *description->formats) + walk.names_bytes;
    description->column_count = walk.count;
    char *names = columns->names;
    struct wire_column column;
    for (uint32_t i = 0; wire_column_next(&walk, &column); i++) {
        memcpy(names, column.name, column.name_length + 1);
        columns->column[i] = (struct column){.name = names,
                                             .oid = column.type_oid,
                                             .modifier = column.type_modifier,
                                             .type = (uint8_t)value_type_of_oid(column.type_oid)};
        names += column.name_length + 1;
    }
    utf8_mend(columns->names, described->names_bytes);
    return description_choose_formats(description);
}

struct pg_description *pg_description_hold(struct pg_description *description) {
    PRE(description->references > 0);
    description->references++;
    return description;
}

void pg_description_drop(struct pg_description *description) {
    if (!description)
        return;
    PRE(description->references > 0);
    if (--description->references)
        return;
    if (description->kept_bytes)
        *description->kept_bytes -= description->bytes;
    columns_drop(description->columns);
    free(description->formats);
    free(description);
}

bool pg_description_keep(struct pg_description *description, uint64_t *kept_bytes) {
    PRE(!description->kept_bytes);
    if (description->bytes > PG_DESCRIPTION_BYTES || *kept_bytes + description->bytes > PG_DESCRIPTION_KEPT_BYTES)
        return false;
    description->kept_bytes = kept_bytes;
    *kept_bytes += description->bytes;
    return true;
}

bool pg_description_equal(const struct pg_description *a, const struct pg_description *b) {
    if (a->param_count != b->param_count || a->column_count != b->column_count)
        return false;
    if (memcmp(a->param_oids, b->param_oids, a->param_count * sizeof a->param_oids[0]) != 0)
        return false;
    return !a->columns || columns_equal(a->columns, b->columns);
}
