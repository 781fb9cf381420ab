/* SPDX-License-Identifier: MIT */
#include "pg/info.h"

#include "base/utf8.h"
#include "value/value.h"

#include <stdlib.h>
#include <string.h>

struct pg_info *pg_info_new(const struct wire_parameters *parameters) {
    struct pg_info *info = calloc(1, sizeof *info + parameters->count * sizeof info->param_oids[0]);
    if (!info)
        return NULL;
    info->references = 1;
    info->bytes = sizeof *info + parameters->count * sizeof info->param_oids[0];
    info->column_count = WIRE_NO_ROWS;
    info->param_count = parameters->count;
    for (uint16_t i = 0; i < parameters->count; i++)
        info->param_oids[i] = wire_parameter_oid(parameters, i);
    return info;
}

/* Bind's short forms: no code when every column is text, one when every column is binary. */
static bool choose_formats(struct pg_info *info) {
    uint32_t count = info->columns->count, binary = 0;
    for (uint32_t i = 0; i < count; i++)
        binary += value_has_binary((quring_type)info->columns->column[i].type);
    info->format_count = (uint16_t)(binary == 0 ? 0 : binary == count ? 1 : count);
    if (info->format_count == 0)
        return true;
    info->formats = calloc(info->format_count, sizeof *info->formats);
    if (!info->formats)
        return false;
    for (uint32_t i = 0; i < info->format_count; i++)
        info->formats[i] = value_has_binary((quring_type)info->columns->column[i].type);
    return true;
}

bool pg_info_set_columns(struct pg_info *info, const struct wire_columns *described) {
    if (!described)
        return true;
    struct wire_columns walk = *described;
    struct columns *columns = columns_new(walk.count, walk.names_bytes);
    if (!columns)
        return false;
    info->columns = columns;
    info->bytes +=
        sizeof *columns + walk.count * (sizeof columns->column[0] + sizeof *info->formats) + walk.names_bytes;
    info->column_count = walk.count;
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
    return choose_formats(info);
}

struct pg_info *pg_info_hold(struct pg_info *info) {
    info->references++;
    return info;
}

void pg_info_drop(struct pg_info *info) {
    if (!info || --info->references)
        return;
    if (info->kept_bytes)
        *info->kept_bytes -= info->bytes;
    columns_drop(info->columns);
    free(info->formats);
    free(info);
}

bool pg_info_keep(struct pg_info *info, uint64_t *kept_bytes) {
    PRE(!info->kept_bytes);
    if (info->bytes > PG_INFO_BYTES || *kept_bytes + info->bytes > PG_INFO_KEPT_BYTES)
        return false;
    info->kept_bytes = kept_bytes;
    *kept_bytes += info->bytes;
    return true;
}

bool pg_info_equal(const struct pg_info *a, const struct pg_info *b) {
    if (a->param_count != b->param_count || a->column_count != b->column_count)
        return false;
    if (memcmp(a->param_oids, b->param_oids, a->param_count * sizeof a->param_oids[0]) != 0)
        return false;
    return !a->columns || columns_equal(a->columns, b->columns);
}
