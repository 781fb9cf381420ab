/* SPDX-License-Identifier: MIT */
/* Errors, statuses, types and events in words: one table each. */
#include "quring/quring.h"

#define ERRORS(X)                                                                                                      \
    X(QURING_EINVAL, "invalid argument: an argument is not what this call takes; see its description in quring.h")     \
    X(QURING_ENOMEM, "out of memory: free some, or lower the limits given at open")                                    \
    X(QURING_EFULL, "a limit set at open is reached: reap and release completions, then try again, or raise it")       \
    X(QURING_ETOOBIG, "too big: this would never be sent; make it smaller, or raise the limit given at open")          \
    X(QURING_EURL, "the URL names no database that can be opened: use postgresql://..., host=... or sqlite:///file")   \
    X(QURING_EUNSUPPORTED,                                                                                             \
      "not supported here: COPY and LISTEN never are; transactions take quring_tx_open(), SET and the like a "         \
      "database handle opened with options.exclusive")                                                                 \
    X(QURING_ESHUTDOWN, "shutting down: the engine or the database handle takes no more queries")                      \
    X(QURING_ESTALE, "stale id: this query was already released, or the id was never given out")                       \
    X(QURING_ENOTREADY, "not ready: this query has not been reaped yet; call quring_run() and quring_reap() first")    \
    X(QURING_ENULL, "the value is SQL NULL: ask quring_is_null() first, or use coalesce() in the statement")           \
    X(QURING_ETYPE, "the value has a type or form that this accessor does not convert: use another, or a cast in SQL") \
    X(QURING_ERANGE, "out of range: there is no such row or column, or the value does not fit the type asked for")     \
    X(QURING_ELOSSY, "the value would lose precision: use a wider accessor, or quring_get_text()")                     \
    X(QURING_EFORBIDDEN, "io_uring is forbidden for this process: set sysctl kernel.io_uring_disabled=0, or allow "    \
                         "io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp profile")    \
    X(QURING_ENORING,                                                                                                  \
      "this kernel has no io_uring, or an older one than Linux 5.11: use a later kernel, built with CONFIG_IO_URING")  \
    X(QURING_EMEMLOCK, "the locked-memory limit is too small for the ring: raise it with ulimit -l, or LimitMEMLOCK= " \
                       "in the systemd unit, or lower query_count and connection_count")                               \
    X(QURING_EFILES, "too many open files: raise the limit with ulimit -n, or LimitNOFILE= in the systemd unit")       \
    X(QURING_ESYSTEM, "the operating system refused: quring_errmsg() has its words")                                   \
    X(QURING_EFORKED, "wrong process or thread: an engine belongs to the one that opened it; open another here")

#define STATUSES(X)                                                                                                    \
    X(OK) X(SERVER_ERROR) X(SKIPPED) X(NOT_SENT) X(IN_DOUBT) X(CANCELLED) X(TIMEOUT) X(LIMIT) X(PROTOCOL) X(SHUTDOWN)

#define DB_STATES(X) X(TRYING) X(UP) X(OUTAGE) X(REFUSED) X(LOST) X(CLOSING)

#define TYPES(X)                                                                                                       \
    X(NULL, "null")                                                                                                    \
    X(BOOL, "bool")                                                                                                    \
    X(INT2, "int2")                                                                                                    \
    X(INT4, "int4")                                                                                                    \
    X(INT8, "int8")                                                                                                    \
    X(FLOAT4, "float4")                                                                                                \
    X(FLOAT8, "float8")                                                                                                \
    X(NUMERIC, "numeric")                                                                                              \
    X(TEXT, "text")                                                                                                    \
    X(BYTES, "bytea")                                                                                                  \
    X(UUID, "uuid")                                                                                                    \
    X(JSON, "json")                                                                                                    \
    X(JSONB, "jsonb")                                                                                                  \
    X(DATE, "date")                                                                                                    \
    X(TIMESTAMP, "timestamp without time zone")                                                                        \
    X(TIMESTAMPTZ, "timestamp with time zone")                                                                         \
    X(INT4_ARRAY, "int4[]")                                                                                            \
    X(INT8_ARRAY, "int8[]")                                                                                            \
    X(TEXT_ARRAY, "text[]")                                                                                            \
    X(UUID_ARRAY, "uuid[]")                                                                                            \
    X(OTHER, "other")

#define EVENTS(X)                                                                                                      \
    X(SUBMITTED, "submitted")                                                                                          \
    X(SENT, "sent")                                                                                                    \
    X(FIRST_ROW, "first row")                                                                                          \
    X(NOTICE, "notice")                                                                                                \
    X(RETRIED, "retried")                                                                                              \
    X(DONE, "done")                                                                                                    \
    X(CONNECTED, "connected")                                                                                          \
    X(LOST, "lost")                                                                                                    \
    X(CLOSED, "closed")                                                                                                \
    X(REFUSED, "refused")                                                                                              \
    X(RETRYING, "retrying")                                                                                            \
    X(WAL_HELD, "log held")

#define NAMES_STRING(x) #x
#define NAMES_VERSION(major, minor, patch) NAMES_STRING(major) "." NAMES_STRING(minor) "." NAMES_STRING(patch)

const char *quring_version(void) {
    return NAMES_VERSION(QURING_VERSION_MAJOR, QURING_VERSION_MINOR, QURING_VERSION_PATCH);
}

const char *quring_strerror(int error) {
    switch (error) {
#define X(code, sentence)                                                                                              \
    case code:                                                                                                         \
        return sentence;
        ERRORS(X)
#undef X
    default:
        return error >= 0 ? "no error" : "unknown error: no QURING_E* has this number";
    }
}

const char *quring_status_name(quring_status status) {
    switch (status) {
#define X(name)                                                                                                        \
    case QURING_##name:                                                                                                \
        return #name;
        STATUSES(X)
#undef X
    }
    return "UNKNOWN";
}

const char *quring_db_state_name(quring_db_state state) {
    switch (state) {
#define X(name)                                                                                                        \
    case QURING_DB_##name:                                                                                             \
        return #name;
        DB_STATES(X)
#undef X
    }
    return "UNKNOWN";
}

const char *quring_event_name(quring_event_kind kind) {
    switch (kind) {
#define X(kind, name)                                                                                                  \
    case QURING_EVENT_##kind:                                                                                          \
        return name;
        EVENTS(X)
#undef X
    }
    return "unknown";
}

const char *quring_type_name(quring_type type) {
    switch (type) {
#define X(type, name)                                                                                                  \
    case QURING_##type:                                                                                                \
        return name;
        TYPES(X)
#undef X
    }
    return "unknown";
}
