/* SPDX-License-Identifier: MIT */
/* Lanes, and what passes between them and the reactor. */
#ifndef QURING_LITE_LANE_H
#define QURING_LITE_LANE_H

#include "core/trace.h"
#include "lite/conn.h"
#include "lite/lane_queue.h"
#include "ring/offload.h"

struct lite_db;
struct lite_lane;

enum {
    LITE_REPORTS = 8,
    LITE_REPORT_EVERY = 64,       /* finished queries are handed back at the latest when there are as many */
    LITE_CHECKPOINT_FRAMES = 1000 /* SQLite's own default */
};

/* Queries handed from a lane to the reactor, chained by lite_query()->next, oldest first. */
struct lite_chain {
    struct query *first;
    struct query **end;
    uint32_t count;
};

static inline void lite_chain_init(struct lite_chain *chain) {
    *chain = (struct lite_chain){.end = &chain->first};
}

static inline void lite_chain_add(struct lite_chain *chain, struct query *query) {
    lite_query(query)->next = NULL;
    *chain->end = query;
    chain->end = &lite_query(query)->next;
    chain->count++;
}

/* An event of a lane's connection on its way to the trace; it and its texts are one allocation. */
struct lite_event {
    struct lite_event *next;
    struct trace_report report;
    char sqlstate[6];
    char message[TRACE_MESSAGE_BYTES_MAX];
};

/* All that a lane has to tell the reactor at one time. */
struct lite_news {
    struct query *finished; /* with query->status as their outcome */
    struct query *moved;    /* by a reader, for the writer */
    uint32_t count;         /* of both */
    uint32_t prepare_count;
    uint32_t retry_count; /* members of groups that were undone */
    uint32_t open_count, open_failure_count, close_count;
    uint64_t tried_at_ns;      /* when the last attempt to open it began; 0: there was none */
    bool lost;                 /* there will be no connection any more */
    uint32_t call_count;       /* others should look after the queue: a statement takes long, or reads were held back */
    uint32_t query_ns;         /* what one query cost, of the last run of them; 0: not known */
    uint32_t wal_seen;         /* pages in the log, and one more; 0: they were not counted */
    uint32_t wal_held_count;   /* of quring_db_stats */
    bool wal_tried;            /* to have the log start over, as the reactor asked */
    struct lite_event *events; /* oldest first; who takes the news frees them */
};

/* News on its way: as a report while the lane works, or with the end of its job. */
struct lite_post {
    struct job job;
    struct lite_lane *lane;
    struct lite_news news;
    atomic_bool in_use;
};

/*
 * The phase of a lane says as much of its work as others have to know:
 *
 *      IDLE --posted--> CALLED --took queries--> WORKING --a statement takes long--> STUCK
 *                         |                       ^   ^                                |
 *                         |                       |   +----it ended, or took queries---+
 *                         +--opening waits--> LATE
 *
 *      CALLED, LATE, WORKING, STUCK --the queue is empty, or barred, or the lane is reserved--> IDLE
 *
 *   IDLE      does not look at its queue: the reactor posts a job once there is something
 *   CALLED    opens its connection if it has none, and will look at the queue
 *   LATE      the same, but a lock keeps it from opening: other lanes should look after the queue
 *   WORKING   has taken queries, and will look at the queue after them
 *   STUCK     the same, but one of them takes long and the others were given back: other lanes should look after the queue
 */
enum lane_phase { LANE_IDLE, LANE_CALLED, LANE_LATE, LANE_WORKING, LANE_STUCK };

/* For each phase the set of phases that may follow it, as bits. */
extern const uint8_t lite_lane_moves[LANE_STUCK + 1];

/*
 * Who has a lane, to the reactor: a transaction, or others.
 *
 *      FREE --a transaction waits for the writer's--> RESERVED --it is IDLE--> HELD --its end came back--> LEAVING
 *       ^ \                                             |                       | \                          ^  |
 *       |  \------------a lane of its own--------------- | -------------------->+  +--nothing can revive it----|  |
 *       |   \--------------------<-none waits any more---+                         --> DOOMED --IDLE, ROLLBACK-+  |
 *       +------------------------------------------------IDLE---------------------------------------------------+
 */
enum lite_hold { LITE_FREE, LITE_RESERVED, LITE_HELD, LITE_DOOMED, LITE_LEAVING };

/* What a job does before it looks at the queue. */
enum lite_chore {
    LITE_ROLLS_BACK = 1,   /* what the lease has left */
    LITE_RESTARTS_LOG = 2, /* since nothing of this handle needs it (log_gate.h) */
    LITE_ASKS_LOG = 4      /* whether it is long, and held by reads, where others write */
};

/*
 * One thread with one connection. Each field stands with who may touch it:
 *
 *   own       the lane's thread alone, from its first job on. A report in use is the reactor's until it has come back.
 *   shared    whoever holds the lock of `queue`. The reactor changes the phase of an idle lane only, so in a job the thread
 *             reads it without the lock.
 *   reactor   the reactor's thread alone. The thread works on the job that was posted to it.
 *   handed    the reactor's thread while the lane is IDLE, and the lane's own from the next job on.
 *
 * While the reactor holds the lane in its query (lite_conn_hold()), and has the lock of the queue, it may put back what else is
 * at hand there (lite_lane_take_back()). So within a query the lane touches that under the lock, too.
 *
 * A lane that finds its queue empty is IDLE in the same moment, so whoever puts a query there afterwards knows that it
 * has to be posted. The reactor touches `conn` only to interrupt it, see watch.c.
 *
 * `queue` changes when a transaction leases the writer's lane, and gives it back (tx.h): while the lane is IDLE, under the
 * lock of the queue that it has for others.
 */
struct lite_lane {
    struct lite_db *db;
    struct lane_queue *queue;
    struct lane_queue leased; /* of the transaction that holds the lane */
    struct worker *thread;

    struct {
        enum lane_phase phase;          /* moved by lite_lane_move() alone */
        atomic_bool may_hold_abandoned; /* set without the lock, too: one of the queries at hand may be abandoned */
        uint32_t
            held_count; /* of those taken, that were not put back: the queue counts them until the next are taken */
        atomic_bool reserved; /* a transaction waits for the lane: nothing is taken; read without the lock, too */
    } shared;

    struct {
        uint32_t lease; /* the number of the lease, from 1 */
        uint8_t chores; /* of the next job, of enum lite_chore */
    } handed;

    struct {
        bool is_open; /* its connection */
        bool tried;   /* an attempt to open it has begun since lite_warm_up(), or it has said that none ever will */
        enum lite_hold hold;  /* moved by hold_move() of tx.c alone */
        struct quring_tx *tx; /* HELD: that holds it */
        struct lite_post jobs[2];
        struct lite_post closer;
    } reactor;

    struct lite_conn conn;

    atomic_uint_least64_t
        wait_count[QURING_WAIT_BUCKETS]; /* written by the thread alone, as `own` is, and read by any */

    struct {
        bool lost; /* its connection is gone, and with it what the caller had set there */
        /* The run of queries at hand: taken[0 … next) were begun, the rest not; NULLs are gone already. */
        struct query **taken;
        uint32_t taken_count;
        uint32_t next;
        /* While a group is open: taken[group_first … next) are its members, whose outcomes wait for its end. */
        uint32_t group_first;
        bool in_group;
        atomic_uchar next_is_gone; /* what is next at hand was handed back since lite_lane_watch_next() */
        uint64_t reported_ns;
        uint64_t checked_ns; /* when a reader last looked whether its file still has the name */
        uint32_t next_checkpoint, next_restart, checkpointed_frames; /* in frames of the WAL */
        struct lite_chain finished, moved;
        struct {
            uint32_t lease;  /* that the rest is of */
            bool runs;       /* its queries are at hand, so that none of them may go to another lane */
            bool begun;      /* BEGIN was carried out, and nothing has ended it */
            bool failed;     /* nothing runs until ROLLBACK TO or the end */
            bool saved;      /* a SAVEPOINT came before any failure: without one ROLLBACK TO is not run either */
            bool lost;       /* the connection was closed since BEGIN */
            uint32_t number; /* of the last query at hand: the next has the next, or one between them has failed */
        } tx;
        struct lite_news news; /* that no post has carried yet, but for the chains */
        struct {
            uint64_t since_ns; /* of the queries that were begun last, and came to the queue together */
            uint32_t count;    /* that `wait_count` does not have yet */
        } wait;
        struct lite_post reports[LITE_REPORTS];
        uint32_t next_report;
    } own;
};

/* Moves a lane along the diagram, under the lock of its queue; any other move is a broken contract. */
static inline void lite_lane_move(struct lite_lane *lane, enum lane_phase to) {
    PRE(lite_lane_moves[lane->shared.phase] >> to & 1);
    lane->shared.phase = to;
}

/* True when the lane will look at its queue soon, so that no other has to. */
static inline bool lite_lane_attends(const struct lite_lane *lane) {
    return lane->shared.phase == LANE_CALLED || lane->shared.phase == LANE_WORKING;
}

/* True when the lane has taken queries that it has not worked off. */
static inline bool lite_lane_holds(const struct lite_lane *lane) {
    return lane->shared.phase == LANE_WORKING || lane->shared.phase == LANE_STUCK;
}

/* The handle's part in a lane's posts, on the reactor's thread; each function gets a struct lite_post's job. */
struct lite_lane_events {
    void (*news)(struct job *job); /* a report, or the end of a job that served the queue */
    void (*shut)(struct job *job); /* the connection is closed, and no job follows */
};

/* `apart`: a reader's that serves transactions alone. False: out of memory. Starts no thread, and opens nothing. (serve.c) */
bool lite_lane_init(struct lite_lane *lane, struct lite_db *db, enum lite_role role, bool apart,
                    const struct lite_lane_events *events);
void lite_lane_free(struct lite_lane *lane);

/*
 * Reactor's thread: has the lane look after its queue, unless it is at work. The first needs the queue's lock, and tells which
 * post the second has to send without it; NULL: none. (serve.c)
 */
struct lite_post *lite_lane_call(struct lite_lane *lane);
void lite_lane_post(struct lite_post *post);

/*
 * Reactor's thread: puts back what a lane of shared reads has taken, and not begun, while it is at work on that query, for others
 * to take. False: it is not at work on it any more, or there was nothing. (lanes.c)
 */
bool lite_lane_take_back(struct lite_lane *lane, struct query *at_work);

/* ---- What a lane tells the reactor (report.c) ---- */

/* Moves all that there is to say to the reactor onto a post. */
void lite_lane_load_news(struct lite_lane *lane, struct lite_post *post);

/* To be called before other queries are taken: counts how long those waited that were begun. */
void lite_lane_count_waits(struct lite_lane *lane);

/*
 * Keeps an event of its connection for the next report: one that has a reason always, others where there is a trace. No
 * memory: there is none.
 */
void lite_lane_tell(struct lite_lane *lane, quring_event_kind kind, const char *sqlstate, const char *message);

void lite_events_free(struct lite_event *events);

/* Sends it now, if there is anything to say and a report to carry it; else it is kept for the next. */
void lite_lane_report(struct lite_lane *lane);

/* ---- Checkpoints (checkpoint.c) ---- */

/* The writer's lane, outside of a transaction. */
void lite_lane_checkpoint(struct lite_lane *lane);

/* The same; tells if the log is long, whoever wrote it, and can't start over. */
void lite_lane_ask_log(struct lite_lane *lane);

/* No lane takes shared reads while they are barred. */
void lite_lane_bar_reads(struct lite_lane *lane, bool barred);

/* ---- Members of ATOMIC batches at hand: taken[first … first + count) (batch_end.c) ---- */

uint32_t lite_batch_count(const struct lite_lane *lane, uint32_t first);

/* The number of the first that was given up, from 0; or how many there are. */
uint32_t lite_batch_find_given_up(const struct lite_lane *lane, uint32_t first, uint32_t count);

/* Nothing of a batch that was undone is handed out, but the error of the member that failed. */
void lite_batch_forget(struct lite_lane *lane, struct query *query);

/* Ends all of them: one as it failed, or as it was given up, and the others with SKIPPED. They leave their places. */
void lite_batch_end_failed(struct lite_lane *lane, uint32_t first, uint32_t count, uint32_t failed);

/* ---- work.c for serve.c, write.c and others ---- */

/* All of lite_lane_init() but the posts: their jobs are serve.c's. */
bool lite_lane_set_up(struct lite_lane *lane, struct lite_db *db, enum lite_role role, bool apart);

/* Counts how long a query waited that was begun. */
void lite_lane_note_wait(struct lite_lane *lane, struct query *query);

/* Runs the next query at hand. Outside a transaction of our own, whose end its outcome would have to wait for. */
void lite_lane_run_next(struct lite_lane *lane);

/* Runs a query unless it was abandoned: its outcome is in query->status then. False: it has to move to the writer. */
bool lite_lane_run(struct lite_lane *lane, struct query *query);

/*
 * Takes out those at hand that nobody waits for any more. A batch that was not begun goes whole, and a transaction sees to its own
 * queries.
 */
void lite_lane_drop_abandoned(struct lite_lane *lane);

/*
 * The same, and gives what is finished to the reactor when that is due, and, to be called between transactions,
 * checkpoints.
 */
void lite_lane_tend(struct lite_lane *lane);

/*
 * Around waits for locks of what is next at hand, which is no one query's work: they end once it was handed back. BEGIN may have
 * been carried out all the same, whatever it returns.
 */
void lite_lane_watch_next(struct lite_lane *lane);
void lite_lane_unwatch_next(struct lite_lane *lane);

/* Gives back what was not begun, if it may go elsewhere. */
void lite_lane_give_back(struct lite_lane *lane, enum lane_phase to);

/* STUCK: after the query that others did not wait for. */
void lite_lane_unstick(struct lite_lane *lane);

/* Works off the queries at hand: a reader's. */
void lite_lane_read(struct lite_lane *lane);

/* The same for a writer's and an exclusive lane's. (write.c) */
void lite_lane_write(struct lite_lane *lane);

/* Runs the ATOMIC batch that is next at hand: a writer's. (batch.c) */
void lite_lane_run_batch(struct lite_lane *lane);

/* The same for queries of one transaction. (tx_run.c) */
void lite_lane_run_tx(struct lite_lane *lane);

/* Rolls back what a lease has left. (tx_run.c) */
void lite_lane_roll_back(struct lite_lane *lane);

#endif
