/* power_spool.c - a power cut at every write of an agent's spool.
 *
 *     power_spool [IMAGES [SEED]]
 *
 * What was committed must be inherited, in order; nothing of it may be damaged, and nothing else be
 * there but what the commit under way would have added. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/files.h"
#include "tests/crash/cut.h"
#include "vassal/io/spool.h"

enum { COMMITS = 60, PER_COMMIT = 7, INC = 1 };

static const char JOB[] = "01KAJC00000000000000000000";

static void
live(const char *home)
{
    struct spool *spool = NULL;
    struct dz_err err = { "" };
    char *note = NULL, text[64];
    cut_record(home);
    dz_assert(spool_open(home, JOB, INC, &spool, &note, &err) == DZ_OK && !note);
    for (uint32_t commit = 0; commit < COMMITS; commit++) {
        for (uint32_t i = 0; i < PER_COMMIT; i++) {
            uint32_t n = commit * PER_COMMIT + i + 1;
            (void) snprintf(text, sizeof(text), "this is record number %u", n);
            struct cargo_item item = { .record = n,
                                       .bytes = (uint8_t *) text,
                                       .text_len = (uint32_t) strlen(text) };
            item.outcome.exec = n;
            spool_put_record(spool, &item);
        }
        spool_put_epoch(spool, commit + 1);
        dz_assert(spool_commit(spool, &err) == SPOOL_SOUND);
        cut_promise(commit + 1);
    }
    spool_close(&spool);
    cut_record(NULL);
}

struct heir {
    uint32_t records;
    uint64_t epoch;
    bool is_wrong;
};

static void
on_record(void *arg, const struct cargo_item *item, struct dz_slice blob, struct dz_slice text)
{
    struct heir *self = arg;
    char expected[64];
    (void) snprintf(expected, sizeof(expected), "this is record number %u", ++self->records);
    self->is_wrong |= item->outcome.exec != self->records || blob.len != 0 ||
                      !dz_slice_eq(text, dz_str(expected));
}

static void
on_epoch(void *arg, uint64_t n)
{
    ((struct heir *) arg)->epoch = n;
}

static void
on_partial(void *arg, uint64_t life, uint32_t part, uint64_t pos, struct dz_slice bytes)
{
    (void) life, (void) part, (void) pos, (void) bytes;
    ((struct heir *) arg)->is_wrong = true;
}

static void
on_roll(void *arg, uint64_t life, const struct dz_msg_manifest *part)
{
    (void) life, (void) part;
    ((struct heir *) arg)->is_wrong = true;
}

static void
on_ready(void *arg, uint64_t life, const struct dz_msg_ready *ready)
{
    (void) life, (void) ready;
    ((struct heir *) arg)->is_wrong = true;
}

static bool
try_image(const char *home, uint32_t promise)
{
    struct heir got = { .records = 0 };
    struct spool_heir heir = { &got, on_record, on_partial, on_roll, on_ready, on_epoch };
    unsigned damaged = spool_inherit(home, JOB, INC + 1, &heir);
    uint32_t least = promise * PER_COMMIT;
    bool is_ok = damaged == 0 && !got.is_wrong && got.epoch * PER_COMMIT == got.records &&
                 (got.records == least || got.records == least + PER_COMMIT);
    if (!is_ok)
        (void) fprintf(stderr, "%u damaged, %u records, epoch %llu, promised %u\n", damaged,
                       got.records, (unsigned long long) got.epoch, least);
    return is_ok;
}

int
main(int argc, char **argv)
{
    size_t images = argc > 1 ? strtoul(argv[1], NULL, 10) : 100, bad = 0;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    char home[] = "/dev/shm/dz-spool-XXXXXX";
    if (!mkdtemp(home))
        return 2;
    live(home);
    for (size_t i = 0; i < images; i++) {
        size_t events = cut_events();
        size_t event = images > events ? i % events : i * events / images;
        uint32_t promise = 0;
        dz_remove_tree(home);
        cut_image(event, seed * UINT64_C(1000003) + i, home, &promise);
        if (!try_image(home, promise)) {
            (void) fprintf(stderr, "image %zu: event %zu\n", i, event);
            bad++;
        }
    }
    dz_remove_tree(home);
    (void) printf("power_spool: %zu images of cuts at %zu events: %zu bad\n", images, cut_events(),
                  bad);
    return bad ? 1 : 0;
}
