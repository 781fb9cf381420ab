/* SPDX-License-Identifier: MIT */
/*
 * A gate within SQLite: a lane that comes there is in the middle of one step, deaf to interrupts, until the test opens it. Once
 * closed it stops one lane, and lets all others pass. It stands in every connection of the process as
 *
 *      gate(x)          a function, which returns x
 *      collate gate     of text, in a sorter
 *      gather(x)        an aggregate, whose end it is; it counts
 *      a write to a file, if the test wants that
 */
#ifndef QURING_TESTS_LITE_GATE_H
#define QURING_TESTS_LITE_GATE_H

#include <stdbool.h>

enum lite_gate_kind { GATE_SQL, GATE_WRITE };

/* Before the first connection is opened. */
void lite_gate_install(void);

void lite_gate_close(enum lite_gate_kind kind);
/* Whether a lane is there. */
bool lite_gate_is_reached(void);
void lite_gate_open(void);

#endif
