/* SPDX-License-Identifier: MIT */
/* The kind of a statement, told from its text alone. */
#ifndef QURING_CORE_STATEMENT_CLASS_H
#define QURING_CORE_STATEMENT_CLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum statement_class {
    STATEMENT_PLAIN,
    STATEMENT_TRANSACTION, /* BEGIN, COMMIT, SAVEPOINT, …: refused outside an exclusive handle */
    /* SET, CREATE TEMP TABLE, SELECT INTO TEMP, pg_temp, CREATE and SELECT INTO with a name U&"…", which may spell that, and
       SQLite's ATTACH: likewise */
    STATEMENT_SESSION,
    STATEMENT_COPY,     /* COPY … FROM STDIN / TO STDOUT: refused */
    STATEMENT_LISTEN,   /* refused */
    STATEMENT_ENCODING, /* SET client_encoding to anything but UTF8: refused */
    STATEMENT_EMPTY     /* nothing but white space, comments and semicolons */
};

/*
 * The effect of a statement on plans that were made earlier on the same connection. Only an exclusive handle, where
 * settings and open transactions are the caller's, has to know.
 */
enum statement_effect {
    EFFECT_NONE,      /* SELECT, INSERT, BEGIN, SAVEPOINT, … */
    EFFECT_CHANGES,   /* SET, ALTER, DO, … */
    EFFECT_FORGETS,   /* DISCARD ALL, DEALLOCATE ALL: what was prepared is gone */
    EFFECT_COMMITS,   /* COMMIT, END, PREPARE TRANSACTION: SET LOCAL ends */
    EFFECT_ENDS,      /* ROLLBACK, ABORT: takes back what CHANGES in its transaction did */
    EFFECT_GOES_BACK, /* ROLLBACK TO: likewise, and the transaction goes on */
};

/* The part of a statement in a transaction of quring_tx_open(). */
enum statement_verb {
    VERB_NONE,       /* it controls no transaction */
    VERB_COMMITS,    /* COMMIT, END */
    VERB_ROLLS_BACK, /* ROLLBACK, ABORT */
    VERB_GOES_BACK,  /* ROLLBACK TO */
    VERB_SAVES,      /* SAVEPOINT */
    VERB_RELEASES,   /* RELEASE */
    VERB_AND_MORE,   /* COMMIT, END, ROLLBACK or ABORT with more behind it than its own words: refused there */
    VERB_FOREIGN     /* BEGIN, AND CHAIN, PREPARE TRANSACTION, COMMIT PREPARED: refused there */
};

/* The properties of a statement that its text tells. */
struct statement_traits {
    uint8_t class;  /* enum statement_class */
    uint8_t effect; /* enum statement_effect */
    /* It may share a transaction: it can't end one, and its neighbours see nothing of it but its rows. */
    bool groupable;
    /* Its plan and description hold for later uses. False for utility statements with rows, whose description PostgreSQL
       does not check again, and for literals such as 'now', which it turns into constants when it parses. */
    bool reusable;
    uint8_t verb; /* enum statement_verb */
    /* Once its transaction has ended, nothing of it is left on the connection: no setting, lock, cursor or temporary table. */
    bool leaves_nothing;
};

/* Reads the whole text, so it is called once per statement of a table. */
struct statement_traits statement_traits(const char *sql, size_t length);

/* The reason for which a handle refuses statements of this class, and what to do; NULL: it takes them. Static. */
const char *statement_refusal(enum statement_class class, bool bound);

/* The same for a transaction of quring_tx_open(). */
const char *statement_tx_refusal(const struct statement_traits *traits);

#endif
