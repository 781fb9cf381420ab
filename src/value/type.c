/* SPDX-License-Identifier: MIT */
/* Types. The map of all files of this layer stands in value.h. */
#include "value/value.h"

#include "value/oids.h"

/* The OIDs of built-in types are the same in every server; an extension's are not, so its types are QURING_OTHER. */
quring_type value_type_of_oid(uint32_t oid) {
    switch (oid) {
    case OID_BOOL:
        return QURING_BOOL;
    case OID_INT2:
        return QURING_INT2;
    case OID_INT4:
        return QURING_INT4;
    case OID_INT8:
        return QURING_INT8;
    case OID_FLOAT4:
        return QURING_FLOAT4;
    case OID_FLOAT8:
        return QURING_FLOAT8;
    case OID_NUMERIC:
        return QURING_NUMERIC;
    case OID_TEXT:
    case OID_VARCHAR:
    case OID_BPCHAR:
    case OID_NAME:
        return QURING_TEXT;
    case OID_BYTEA:
        return QURING_BYTES;
    case OID_UUID:
        return QURING_UUID;
    case OID_JSON:
        return QURING_JSON;
    case OID_JSONB:
        return QURING_JSONB;
    case OID_DATE:
        return QURING_DATE;
    case OID_TIMESTAMP:
        return QURING_TIMESTAMP;
    case OID_TIMESTAMPTZ:
        return QURING_TIMESTAMPTZ;
    case OID_INT4_ARRAY:
        return QURING_INT4_ARRAY;
    case OID_INT8_ARRAY:
        return QURING_INT8_ARRAY;
    case OID_TEXT_ARRAY:
    case OID_VARCHAR_ARRAY:
        return QURING_TEXT_ARRAY;
    case OID_UUID_ARRAY:
        return QURING_UUID_ARRAY;
    default:
        return QURING_OTHER;
    }
}
