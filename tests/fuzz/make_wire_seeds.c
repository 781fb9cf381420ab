/* SPDX-License-Identifier: MIT */
/*
 * Writes the seed corpora of fuzz_frame and fuzz_session from tests/lib/transcripts.c:
 *
 *      make_wire_seeds tests/fuzz/corpus
 */
#include "base/assert.h"
#include "lib/replies.h"
#include "lib/transcripts.h"

static void write_file(const char *corpus, const char *target, const char *name, const struct buf *bytes) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s/%s", corpus, target, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(buf_head(bytes), 1, buf_size(bytes), file) != buf_size(bytes) || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

/* All that was asked in turns of up to three requests, then all that came. */
static void session_seed(const char *corpus, const struct transcript *t) {
    struct buf seed, bytes;
    buf_init(&seed, 1 << 16);
    buf_init(&bytes, 1 << 16);
    t->build(&bytes);
    size_t told = 0;
    do {
        size_t requests = t->request_count - told < 3 ? t->request_count - told : 3;
        buf_put_u8(&seed, (uint8_t)requests);
        for (; requests > 0; requests--, told++) {
            buf_put_u8(&seed, t->requests[told].steps);
            buf_put_u8(&seed, (uint8_t)(t->requests[told].column_count + 1));
        }
        size_t size = told == t->request_count ? buf_size(&bytes) : 0;
        buf_put_u8(&seed, (uint8_t)size);
        buf_put_u8(&seed, (uint8_t)(size >> 8));
    } while (told < t->request_count);
    buf_put(&seed, buf_head(&bytes), buf_size(&bytes));
    write_file(corpus, "session", t->name, &seed);
    buf_free(&seed);
    buf_free(&bytes);
}

static void frame_seed(const char *corpus, char letter) {
    struct buf seed;
    char name[8];
    buf_init(&seed, 1 << 16);
    buf_put_u8(&seed, 0xff);
    reply_script(&seed, (const char[]){letter, 0});
    snprintf(name, sizeof name, "0x%02x", letter);
    write_file(corpus, "frame", name, &seed);
    buf_free(&seed);
}

int main(int argc, char **argv) {
    PRE(argc == 2);
    for (size_t i = 0; i < transcript_count; i++)
        session_seed(argv[1], &transcripts[i]);
    for (const char *letter = "RK23CdcGHWDIEVvnNAtS1sZTF"; *letter; letter++)
        frame_seed(argv[1], *letter);
    return 0;
}
