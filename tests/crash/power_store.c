/* power_store.c - a power cut at every write of a store's life.
 *
 *     power_store [IMAGES [SEED [folder]]]
 *
 * Each image must open at once, as the store that it was: with all that was acknowledged, and at most
 * the operation more that was under way.  Then the store must work on.  `folder`: the store is one of
 * a run's own folder, which promises nothing before the first results; until then it may be put aside. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/files.h"
#include "tests/crash/cut.h"
#include "tests/crash/script.h"

enum { GO_ON = 3 /* operations */ };

static struct script_state states[SCRIPT_OPS + 1]; /* [i]: after i operations */
static bool is_folder;
static uint32_t ops;

static enum dz_rc
open_store(const char *home, enum store_mode mode, struct store **out, char **warning,
           struct dz_err *err)
{
    return is_folder ? store_open_in(home, mode, out, err)
                     : store_open(home, mode, out, warning, err);
}

static void
live(const struct shares *shares, const char *home)
{
    struct script script = { .shares = shares };
    struct dz_err err = { "" };
    cut_record(home);
    enum store_mode mode = is_folder ? STORE_NEW : STORE_WRITE;
    if (open_store(home, mode, &script.store, NULL, &err) != DZ_OK) {
        (void) fprintf(stderr, "%s\n", err.text);
        abort();
    }
    for (uint32_t op = 0; op < ops; op++) {
        script_do(&script, op);
        cut_promise(op + 1);
        script_look(script.store, &states[op + 1]);
    }
    script_end(&script);
    store_close(&script.store);
    cut_record(NULL);
}

static bool
try_image(const struct shares *shares, const char *home, uint32_t promise)
{
    struct script script = { .shares = shares };
    struct script_state now;
    struct dz_err err = { "" };
    char *warning = NULL;
    if (open_store(home, STORE_WRITE, &script.store, &warning, &err) != DZ_OK) {
        (void) fprintf(stderr, "refused: %s\n", err.text);
        return false;
    }
    if (warning)
        (void) fprintf(stderr, "%s\n", warning);
    script_look(script.store, &now);
    uint32_t next = promise < ops ? promise + 1 : promise;
    bool is_promised = !is_folder || promise > SCRIPT_FIRST_RESULTS;
    bool is_ok = !warning && (!is_promised || script_fits(&now, &states[promise], &states[next]));
    uint32_t first = is_promised ? promise : 0; /* what may be there already is done again */
    uint32_t known = is_promised ? promise : SCRIPT_FIRST_RESULTS;
    for (uint32_t op = first; is_ok && op < ops && op < known + GO_ON; op++) {
        script_do(&script, op);
        script_look(script.store, &now);
        is_ok = op < known || script_fits(&now, &states[op + 1], &states[op + 1]);
    }
    script_end(&script);
    store_close(&script.store);
    free(warning);
    return is_ok;
}

int
main(int argc, char **argv)
{
    size_t images = argc > 1 ? strtoul(argv[1], NULL, 10) : 500;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    is_folder = argc > 3;
    ops = is_folder ? SCRIPT_SPOOL_OPS : SCRIPT_OPS;
    char home[] = "/dev/shm/dz-power-XXXXXX", image[64];
    size_t bad = 0;
    if (!mkdtemp(home))
        return 2;
    struct shares *shares = shares_new();
    live(shares, home);
    dz_remove_tree(home);
    (void) snprintf(image, sizeof(image), "%s", home);
    for (size_t i = 0; i < images; i++) {
        size_t event = i * cut_events() / images; /* spread over all, several times if need be */
        uint64_t mine = seed * UINT64_C(1000003) + i;
        uint32_t promise = 0;
        if (images > cut_events())
            event = i % cut_events();
        cut_image(event, mine, image, &promise);
        if (!try_image(shares, image, promise)) {
            (void) fprintf(stderr, "image %zu: event %zu, promise %u, seed %llu\n", i, event,
                           promise, (unsigned long long) mine);
            bad++;
        }
        dz_remove_tree(image);
    }
    shares_destroy(&shares);
    (void) printf("power_store%s: %zu images of cuts at %zu events: %zu bad\n",
                  is_folder ? " folder" : "", images, cut_events(), bad);
    return bad ? 1 : 0;
}
