/* SPDX-License-Identifier: MIT */
#include "pg/batch.h"

#include "core/batch.h"
#include "pg/request.h"

/* Takes what was encoded back, and puts the queries into a list. */
static void batch_undo(struct pg_conn *conn, uint64_t first, size_t mark, struct list *members) {
    for (uint64_t r = conn->session.next; r-- > first;) {
        struct pg_request *request = pg_conn_request(conn, r);
        list_push_front(members, &request->query->link);
        pg_request_undo(conn, request);
    }
    wire_session_undo(&conn->session, pg_conn_out(conn), first, mark);
    conn->group_open = false;
}

/* One of them could not be sent, and has ended, so none is: those that were encoded, and those that still wait. */
static void batch_refuse(struct pg_conn *conn, struct queue *queue, const struct query *query, uint64_t first,
                         size_t mark, uint32_t waiting_count) {
    struct batch_failure why = {(uint32_t)(conn->session.next - first) + 1, query->error.view.sqlstate,
                                query->error.view.message};
    struct list members, *node;
    list_init(&members);
    batch_undo(conn, first, mark, &members);
    while (waiting_count--)
        list_push_back(&members, &queue_take(queue)->link);
    while ((node = list_first(&members)))
        batch_skip(list_entry(node, struct query, link), &why);
}

void pg_batch_send(struct pg_conn *conn, struct queue *queue, uint32_t count) {
    PRE(count > 0 && count == queue_unit_count(queue));
    if (!pg_conn_sync(conn))
        return;
    uint64_t first = conn->session.next;
    size_t mark = buf_mark(pg_conn_out(conn));
    for (uint32_t i = 0; i < count; i++) {
        struct query *query = queue_take(queue);
        pg_conn_send(conn, query);
        if (query->state == QUERY_DONE) {
            batch_refuse(conn, queue, query, first, mark, count - 1 - i);
            return;
        }
        struct pg_request *request = pg_conn_request(conn, first + i);
        request->unit_index = (uint16_t)i;
        request->atomic = true;
    }
    (void)pg_conn_sync(conn);
}
