/* SPDX-License-Identifier: MIT */
/*
 * The transaction ID by which a transaction whose COMMIT was lost is asked for: QURING_RESOLVE_XID. Before its COMMIT the
 * transaction reads its *note*, one text,
 *
 *      ID  system identifier  timeline  when the statistics were reset
 *
 * or NULL, if it has no ID, because it has written nothing yet. Who asks gives the note back, and gets one letter.
 *
 * An ID means the same transaction as long as the server is the same and has the same history. The timeline is the one that is
 * written to: that of the control file's checkpoint lags behind a promotion. On a standby nothing is written: both fail there
 * with 55000. A server that crashed gives the IDs out again that had not reached its disk, on the same timeline. Crash recovery
 * drops the statistics, and sets the time of their reset, which anybody may read. So "committed" holds only if that time has
 * stayed, and "aborted" always, because an ID that was committed is on the disk, and is not given out again.
 */
#ifndef QURING_CORE_XID_H
#define QURING_CORE_XID_H

enum { XID_NOTE_BYTES = 80 };

enum xid_answer {
    XID_COMMITTED = 'c',
    XID_ABORTED = 'a',
    XID_IN_PROGRESS = 'p',
    XID_OTHER_SERVER = 'o', /* another system identifier or timeline */
    XID_CRASHED = 'r',      /* an ID was committed that may be another transaction's by now */
    XID_UNKNOWN = 'u'       /* the server knows nothing any more of a transaction that old */
};

#define XID_SYSTEM_SQL "(select s.system_identifier::pg_catalog.text from pg_catalog.pg_control_system() s)"
#define XID_TIMELINE_SQL "pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8)"
#define XID_RESET_SQL                                                                                                  \
    "coalesce((extract(epoch from pg_catalog.pg_stat_get_bgwriter_stat_reset_time()) * 1000000)::pg_catalog.int8, 0)"  \
    "::pg_catalog.text"

#define XID_NOTE_SQL                                                                                                   \
    "select case when pg_catalog.pg_current_xact_id_if_assigned() is not null then "                                   \
    "pg_catalog.concat_ws(' ', pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text, " XID_SYSTEM_SQL          \
    ", " XID_TIMELINE_SQL ", " XID_RESET_SQL ") end"

#define XID_ASK_SQL                                                                                                    \
    "select case when n.note[2] <> " XID_SYSTEM_SQL " or n.note[3] <> " XID_TIMELINE_SQL " then 'o' else "             \
    "case pg_catalog.pg_xact_status(n.note[1]::pg_catalog.xid8) when 'aborted' then 'a' "                              \
    "when 'in progress' then 'p' when 'committed' then case when n.note[4] = " XID_RESET_SQL " then 'c' else 'r' "     \
    "end else 'u' end end from (select pg_catalog.string_to_array($1::pg_catalog.text, ' ') as note) n"

#endif
