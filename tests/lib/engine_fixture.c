/* SPDX-License-Identifier: MIT */
#include "lib/engine_fixture.h"

quring_engine *engine;
struct fake_db *a, *b;

void engine_setup(void) {
    engine = fake_engine_open(NULL);
    a = fake_open(engine, "fake:a", NULL);
    b = fake_open(engine, "fake:b", NULL);
}

void engine_teardown(void) {
    if (engine)
        fake_engine_close(engine);
}

void engine_again(void) {
    engine_teardown();
    engine_setup();
}

void engine_turn(void) {
    cr_assert_geq(engine_run(engine, 0, 0), 0);
}
