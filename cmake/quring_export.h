/* SPDX-License-Identifier: MIT */
/*
 * Included before every source of libquring.so by the compiler's option -include: what the public header declares is
 * exported. All else is compiled with -fvisibility=hidden. In the archive these functions are hidden, too, so that a
 * shared object with the archive inside does not export them.
 */
#pragma GCC visibility push(default)
#include "quring/quring.h"
#pragma GCC visibility pop
