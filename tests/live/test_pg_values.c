/* SPDX-License-Identifier: MIT */
/*
 * Values under settings that change a server's texts, arrays, types without a codec, and conversions that are refused:
 * by the accessors, with column and type named, or by the server. First executions (text) and later ones (binary) agree.
 */
#include "lib/live.h"
#include "lib/seen.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct live live;

static void open_with(const char *query) {
    live_open_url(&live, query ? live_url_with(query) : live_url(), NULL, &(quring_db_options){.connection_count = 1});
}

/* ---- Settings of the server -------------------------------------------------------------------------------------- */

static const char *const moments[] = {
    "timestamptz '2024-02-29 12:34:56.123456+00'",
    "timestamptz '2024-07-01 00:00:00+00'",
    "timestamptz '1900-01-01 00:00:00+00'", /* local mean times have seconds in their offsets */
    "timestamptz '1883-11-18 12:00:00.5+00'",
    "timestamptz '0001-01-01 00:00:00+00'",
    "timestamptz '0044-03-15 10:00:00+00 BC'",
    "timestamptz '4713-01-01 00:00:00+00 BC'",
    "timestamptz '2000-01-01 00:00:00+00'",
    "timestamptz '1969-12-31 23:59:59.999999+00'",
    "timestamptz '294247-01-10 04:00:54.775806+00'", /* the last microsecond that fits int64 from 1970 */
    "timestamptz '294276-12-30 00:00:00+00'",        /* PostgreSQL's go further */
    "timestamptz 'infinity'",
    "timestamptz '-infinity'",
    "timestamp '2024-02-29 12:34:56.1'",
    "timestamp '294276-12-31 23:59:59.999999'",
    "timestamp '4713-01-01 00:00:00 BC'",
    "date '2024-02-29'",
    "date '5874897-12-31'",
    "date '4713-01-01 BC'",
    "date 'infinity'",
    "'\\x00ff5c27'::bytea",
    "'\\x'::bytea",
    "1.1::float4",
    "0.1::float8",
    "true",
};

enum { MOMENTS = sizeof moments / sizeof *moments };

static void see_all(char (*seen)[SEEN_BYTES], int run) {
    for (int i = 0; i < MOMENTS; i++) {
        char sql[256];
        snprintf(sql, sizeof sql, "select %s as v", moments[i]);
        quring_done done = live_run(&live, &(quring_query){.sql = sql});
        live_check_ok(&done, sql);
        char now[SEEN_BYTES];
        seen_value(now, done.result, 0, 0);
        *strstr(now, " error=") = 0; /* an error may quote the server's text as it is */
        if (run == 0)
            memcpy(seen[i], now, SEEN_BYTES);
        cr_expect_str_eq(now, seen[i], "run %d:\n%s\n%s", run, now, seen[i]);
        live_release(&live, &done);
    }
}

/* A caller sees the same whatever the role's or the database's settings are. */
Test(pg_values, settings_of_the_server_do_not_show) {
    static const char *const settings[] = {"TimeZone%3DUTC",
                                           "TimeZone%3DAsia/Kolkata",
                                           "TimeZone%3DAmerica/St_Johns",
                                           "TimeZone%3DEurope/Amsterdam",
                                           "TimeZone%3DPacific/Kiritimati",
                                           "TimeZone%3DAmerica/New_York",
                                           "TimeZone%3D-7:30",
                                           "DateStyle%3DGerman%20-c%20TimeZone%3DAsia/Tokyo",
                                           "DateStyle%3DSQL,DMY",
                                           "bytea_output%3Descape",
                                           "IntervalStyle%3Diso_8601"};
    static char seen[MOMENTS][SEEN_BYTES];
    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
        char query[256];
        snprintf(query, sizeof query, "options=-c%%20%s", settings[s]);
        open_with(query);
        for (int run = 0; run < 3; run++)
            see_all(seen, s ? 1 : run);
        live_close(&live);
    }
    cr_assert(strstr(seen[0], "timestamptz=0:1709210096123456"), "%s", seen[0]);
    cr_assert(strstr(seen[0], "text=[2024-02-29 12:34:56.123456+00]"), "%s", seen[0]);
    cr_assert(strstr(seen[9], "timestamptz=0:9223372036854775806"), "%s", seen[9]);
    cr_assert(strstr(seen[10], "timestamptz=-12:77"), "%s", seen[10]);
    cr_assert(strstr(seen[11], "timestamptz=0:9223372036854775807"), "%s", seen[11]);
}

/* ---- Arrays ------------------------------------------------------------------------------------------------------ */

static void check_count(const char *sql, quring_param param, int64_t expected) {
    for (int run = 0; run < 3; run++) {
        quring_done done = live_query(&live, sql, param);
        live_check_ok(&done, sql);
        int64_t count = -1;
        cr_assert_eq(quring_get_int64(done.result, 0, 0, &count), 0);
        cr_assert_eq(count, expected, "run %d: %s: %lld", run, sql, (long long)count);
        live_release(&live, &done);
    }
}

Test(pg_values, arrays_with_any) {
    open_with(NULL);
    static int32_t small[40000];
    static int64_t big[40000];
    for (int i = 0; i < 40000; i++) {
        small[i] = i * 2;
        big[i] = i * 3 - INT64_C(4000000000);
    }
    check_count("select count(*) from generate_series(1, 1000) g where g = any($1)", quring_int32_array(small, 100),
                99);
    check_count("select count(*) from generate_series(1, 1000) g where g = any($1)", quring_int32_array(NULL, 0), 0);
    check_count("select count(*) from unnest($1::int4[])", quring_int32_array(small, 40000), 40000);
    check_count("select count(*) from generate_series(1, 10) g where g::int8 - 4000000001 = any($1)",
                quring_int64_array(big, 40000), 4);
    check_count("select sum(v) from unnest($1::int8[]) v", quring_int64_array(big, 2), -7999999997);

    static const char *const words[] = {"a", "", "q\"uo'te", "back\\slash", "{br,ace}", NULL, "NULL", " x ", "é☃"};
    check_count("select count(*) from unnest($1::text[]) w where w is null", quring_text_array(words, 9), 1);
    check_count("select sum(octet_length(w)) from unnest($1::text[]) w", quring_text_array(words, 9),
                1 + 0 + 7 + 10 + 8 + 4 + 3 + 5);
    check_count("select count(*) from (values ('a'), ('NULL'), ('back\\slash'), ('b')) v(w) where w = any($1)",
                quring_text_array(words, 9), 3);

    uint8_t uuids[3][16] = {{1}, {2}, {0xff}};
    check_count("select count(*) from (values ('01000000-0000-0000-0000-000000000000'::uuid), "
                "('03000000-0000-0000-0000-000000000000')) v(u) where u = any($1)",
                quring_uuid_array(uuids, 3), 1);
    live_close(&live);
}

/* ---- Types without a codec: their text --------------------------------------------------------------------------- */

Test(pg_values, other_types_are_their_text) {
    open_with(NULL);
    live_script(&live, "drop type if exists live_mood;\n"
                       "create type live_mood as enum ('sad', 'so \"so\"', 'happy');\n"
                       "drop type if exists live_pair;\n"
                       "create type live_pair as (x int4, name text)");
    static const struct {
        const char *expression, *text;
    } cases[] = {
        {"interval '1 year 2 days 03:04:05.6'", "1 year 2 days 03:04:05.6"},
        {"inet '192.168.0.1/24'", "192.168.0.1/24"},
        {"cidr '10.0.0.0/8'", "10.0.0.0/8"},
        {"macaddr '08:00:2b:01:02:03'", "08:00:2b:01:02:03"},
        {"point(1.5, -2)", "(1.5,-2)"},
        {"time '12:34:56.7'", "12:34:56.7"},
        {"timetz '12:34:56+02'", "12:34:56+02"},
        {"'so \"so\"'::live_mood", "so \"so\""},
        {"row(7, 'a,b')::live_pair", "(7,\"a,b\")"},
        {"row(1, null, 'x')", "(1,,x)"},
        {"array[1, null, 3]", "{1,NULL,3}"},
        {"array[array[1, 2], array[3, 4]]::int8[]", "{{1,2},{3,4}}"},
        {"array['a', 'b\"c', null]::text[]", "{a,\"b\\\"c\",NULL}"},
        {"'[0:1]={5,6}'::int4[]", "[0:1]={5,6}"},
        {"array[true, false]", "{t,f}"},
        {"int4range(1, 5)", "[1,5)"},
        {"'101'::bit(3)", "101"},
        {"oid '4294967295'", "4294967295"},
        {"'a & b'::tsquery", "'a' & 'b'"},
        {"'pg_class'::regclass", "pg_class"},
        {"'x'::\"char\"", "x"},
        {"1.5::money::numeric", "1.50"},
        {"pg_lsn '16/B374D848'", "16/B374D848"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char sql[256];
        snprintf(sql, sizeof sql, "select %s as v, 42 as behind", cases[i].expression);
        for (int run = 0; run < 3; run++) {
            quring_done done = live_run(&live, &(quring_query){.sql = sql});
            live_check_ok(&done, sql);
            const char *text = "";
            int32_t behind = 0;
            cr_expect_eq(quring_get_text(done.result, 0, 0, &text, NULL), 0);
            cr_expect_str_eq(text, cases[i].text, "run %d: %s: %s", run, sql, text);
            cr_expect_eq(quring_get_int32(done.result, 0, 1, &behind), 0);
            cr_expect_eq(behind, 42);
            live_release(&live, &done);
        }
    }
    live_script(&live, "drop type live_mood;\ndrop type live_pair");
    live_close(&live);
}

/* ---- Conversions that are refused -------------------------------------------------------------------------------- */

enum getter { BOOL, INT32, INT64, FLOAT64, UUID, DATE, TIMESTAMP, TIMESTAMPTZ, BYTES };

static int get(enum getter getter, const quring_result *result, uint32_t column) {
    bool truth;
    int32_t small;
    int64_t big;
    double real;
    uint8_t uuid[16];
    const void *bytes;
    size_t size;
    switch (getter) {
    case BOOL:
        return quring_get_bool(result, 0, column, &truth);
    case INT32:
        return quring_get_int32(result, 0, column, &small);
    case INT64:
        return quring_get_int64(result, 0, column, &big);
    case FLOAT64:
        return quring_get_float64(result, 0, column, &real);
    case UUID:
        return quring_get_uuid(result, 0, column, uuid);
    case DATE:
        return quring_get_date(result, 0, column, &small);
    case TIMESTAMP:
        return quring_get_timestamp(result, 0, column, &big);
    case TIMESTAMPTZ:
        return quring_get_timestamptz(result, 0, column, &big);
    case BYTES:
        return quring_get_bytes(result, 0, column, &bytes, &size);
    }
    return QURING_EINVAL;
}

static const struct refusal {
    const char *expression, *type;
    enum getter getter;
    int code;
} refusals[] = {
    {"3000000000::int8", "int8", INT32, QURING_ERANGE},
    {"(-2147483649)::int8", "int8", INT32, QURING_ERANGE},
    {"2::int4", "int4", BOOL, QURING_ERANGE},
    {"1.5::float8", "float8", INT64, QURING_ELOSSY},
    {"1e30::float8", "float8", INT64, QURING_ERANGE},
    {"'NaN'::float8", "float8", INT64, QURING_ERANGE},
    {"1.5::float4", "float4", INT32, QURING_ELOSSY},
    {"9007199254740993::int8", "int8", FLOAT64, QURING_ELOSSY},
    {"1.50::numeric", "numeric", INT64, QURING_ELOSSY},
    {"9223372036854775808::numeric", "numeric", INT64, QURING_ERANGE},
    {"0.1234567890123456789::numeric", "numeric", FLOAT64, QURING_ELOSSY},
    {"'NaN'::numeric", "numeric", INT64, QURING_ERANGE},
    {"'abc'::text", "text", INT64, QURING_ETYPE},
    {"''::text", "text", INT64, QURING_ETYPE},
    {"'1 2'::text", "text", INT64, QURING_ETYPE},
    {"'99999999999999999999'::text", "text", INT64, QURING_ERANGE},
    {"'maybe'::text", "text", BOOL, QURING_ETYPE},
    {"'2024-02-30'::text", "text", DATE, QURING_ETYPE},
    {"'2024-02-29 12:00'::text", "text", DATE, QURING_ELOSSY},
    {"'2024-02-29 12:00'::text", "text", TIMESTAMPTZ, QURING_ETYPE},
    {"timestamp '2024-02-29 12:00:00'", "timestamp without time zone", DATE, QURING_ELOSSY},
    {"timestamp '2024-02-29 12:00:00'", "timestamp without time zone", TIMESTAMPTZ, QURING_ETYPE},
    {"timestamp '294276-12-31 00:00:00'", "timestamp without time zone", TIMESTAMP, QURING_ERANGE},
    {"date '2024-02-29'", "date", INT32, QURING_ETYPE},
    {"date '2024-02-29'", "date", TIMESTAMPTZ, QURING_ETYPE},
    {"true", "bool", DATE, QURING_ETYPE},
    {"'\\x41'::bytea", "bytea", INT64, QURING_ETYPE},
    {"'\\x41'::bytea", "bytea", UUID, QURING_ETYPE},
    {"42::int4", "int4", BYTES, QURING_ETYPE},
    {"42::int4", "int4", UUID, QURING_ETYPE},
    {"'00112233-4455-6677-8899-aabbccddeeff'::uuid", "uuid", INT64, QURING_ETYPE},
    {"'{\"a\": 1}'::jsonb", "jsonb", INT64, QURING_ETYPE},
    {"array[1, 2]", "int4[]", INT32, QURING_ETYPE},
    {"null::int4", "int4", INT32, QURING_ENULL},
};

static void check_refusal(const struct refusal *r, int run) {
    char sql[256];
    snprintf(sql, sizeof sql, "select 'before'::text as first, %s as culprit", r->expression);
    quring_done done = live_run(&live, &(quring_query){.sql = sql});
    live_check_ok(&done, sql);
    cr_expect_str_eq(quring_result_error(done.result), "");
    int code = get(r->getter, done.result, 1);
    const char *words = quring_result_error(done.result);
    cr_expect_eq(code, r->code, "run %d: %s: %s (%s)", run, sql, quring_strerror(code), words);
    cr_expect(strstr(words, "\"culprit\""), "no column in: %s", words);
    cr_expect(strstr(words, r->type), "no type %s in: %s", r->type, words);
    live_release(&live, &done);
}

Test(pg_values, conversions_name_column_and_type) {
    open_with(NULL);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        for (int run = 0; run < 3; run++)
            check_refusal(&refusals[i], run);
    live_close(&live);
}

Test(pg_values, rows_and_columns_out_of_range) {
    open_with(NULL);
    quring_done done = live_run(&live, &(quring_query){.sql = "select 7 as a, 8 as b, 9 as a"});
    live_check_ok(&done, "three columns");
    int64_t value = 5;
    cr_assert_eq(quring_get_int64(done.result, 1, 0, &value), QURING_ERANGE);
    cr_assert_eq(quring_get_int64(done.result, 0, 3, &value), QURING_ERANGE);
    cr_assert_eq(quring_get_int64(done.result, UINT64_MAX, UINT32_MAX, &value), QURING_ERANGE);
    cr_assert_eq(value, 5);
    cr_assert(strlen(quring_result_error(done.result)) > 0);
    cr_assert_eq(quring_column_index(done.result, "a"), 0);
    cr_assert_eq(quring_column_index(done.result, "b"), 1);
    cr_assert_eq(quring_column_index(done.result, "c"), QURING_ERANGE);
    cr_assert_str_eq(quring_column_name(done.result, 3), "");
    cr_assert_eq(quring_column_type(done.result, 3), QURING_NULL);
    live_release(&live, &done);
    done = live_run(&live, &(quring_query){.sql = "select 1 as x where false"});
    cr_assert_eq(quring_row_count(done.result), 0);
    cr_assert_eq(quring_column_count(done.result), 1);
    cr_assert_eq(quring_get_int64(done.result, 0, 0, &value), QURING_ERANGE);
    live_release(&live, &done);
    live_close(&live);
}

/* ---- Parameters that the server refuses -------------------------------------------------------------------------- */

Test(pg_values, parameters_that_do_not_fit) {
    open_with(NULL);
    const struct {
        const char *sql;
        quring_param good, bad;
        const char *sqlstate;
    } cases[] = {
        {"select $1::int4", quring_int64(1), quring_int64(INT64_C(3000000000)), "22003"},
        {"select $1::int2", quring_int64(1), quring_int64(40000), "22003"},
        {"select $1::int4 + 0", quring_int32(1), quring_text("abc"), "22P02"},
        {"select $1::int4 + 1", quring_int32(1), quring_float64(1.5), "22P02"},
        {"select $1::uuid", quring_text("00112233-4455-6677-8899-aabbccddeeff"), quring_text("0011"), "22P02"},
        {"select $1::numeric", quring_numeric("1"), quring_numeric("1,5"), "22P02"},
        {"select $1::date", quring_date(0), quring_text("2024-02-30"), "22008"},
        {"select $1::json", quring_json("{}"), quring_json("{"), "22P02"},
        {"select $1::jsonb", quring_json("{}"), quring_json("{"), "22P02"},
        {"select $1::text", quring_text("a"), quring_text_sized("a\0b", 3), "22021"},
        {"select $1::text || ''", quring_text("a"), quring_text("\xc3\x28"), "22021"},
        {"select $1::varchar(2)::text = $2", quring_text("ab"), quring_null(), "08P01"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char other[128];
        snprintf(other, sizeof other, "%s -- again", cases[i].sql);
        const struct {
            const char *sql;
            const quring_param *param;
            const char *sqlstate;
        } runs[] = {{cases[i].sql, &cases[i].bad, cases[i].sqlstate},
                    {cases[i].sql, &cases[i].bad, cases[i].sqlstate},
                    {other, &cases[i].good, ""},
                    {other, &cases[i].bad, cases[i].sqlstate},
                    {other, &cases[i].good, ""}};
        for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
            quring_done done =
                live_run(&live, &(quring_query){.sql = runs[r].sql, .params = runs[r].param, .param_count = 1});
            const char *sqlstate = done.error ? done.error->sqlstate : "";
            if (strcmp(cases[i].sqlstate, "08P01") == 0) /* one parameter for two */
                cr_expect_str_eq(sqlstate, "08P01", "%s: %s", runs[r].sql, sqlstate);
            else
                cr_expect_str_eq(sqlstate, runs[r].sqlstate, "run %zu of %s: %s", r, runs[r].sql, sqlstate);
            live_release(&live, &done);
        }
    }
    live_close(&live);
}
