/* SPDX-License-Identifier: MIT */
/*
 * Names that are looked up in a program with names.c, whose getaddrinfo() stands before the C library's:
 *
 *      gone.test   does not exist
 *      held.test   is looked up until names_let_go(); then it is 127.0.0.1
 *      slow.test   127.0.0.1, after 300 ms
 *      two.test    127.0.0.2, and then 127.0.0.1
 */
#ifndef QURING_TESTS_LIB_NAMES_H
#define QURING_TESTS_LIB_NAMES_H

#include <stdint.h>

void names_hold(void);
void names_let_go(void);
/* Look-ups of held.test that are under way. */
uint32_t names_held_count(void);

#endif
