/* driver.c - a main for the fuzz targets where there is no libFuzzer: every file of the folders
 * and every file named is one input, and then each of them cut short and with one byte changed,
 * so that the ordinary run looks a little beyond the corpus.  --more=N: then N inputs that are made
 * of those by chance, the same N each time. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/base/buf.h"
#include "shared/base/fd.h"
#include "tests/fuzz/target.h"

enum { INPUT_MAX = 1 << 20, VARIED_MAX = 4096, SEEDS_MAX = 1024, CHANGES = 6 };

static size_t runs;
static struct dz_buf seeds[SEEDS_MAX]; /* what --more begins with */
static size_t seed_count;

/* An exact copy on the heap, so that the sanitizer sees one byte too many. */
static void
run(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    dz_assert(copy);
    if (len > 0)
        memcpy(copy, data, len);
    (void) LLVMFuzzerTestOneInput(copy, len);
    free(copy);
    runs++;
}

static void
run_varied(struct dz_buf *input)
{
    static const uint8_t masks[] = { 0xff, 0x80, 0x01 };
    run(input->data, input->len);
    size_t end = input->len < VARIED_MAX ? input->len : VARIED_MAX;
    for (size_t i = 0; i < end; i++) {
        run(input->data, i);
        for (size_t m = 0; m < DZ_LEN(masks); m++) {
            input->data[i] ^= masks[m];
            run(input->data, input->len);
            input->data[i] ^= masks[m];
        }
    }
}

static bool
run_file(const char *path)
{
    struct dz_err err;
    DZ_AUTO(dz_buf_fini) struct dz_buf input = { 0 };
    if (dz_fd_read_file(path, INPUT_MAX, &input, &err) != DZ_OK) {
        (void) fprintf(stderr, "%s\n", err.text);
        return false;
    }
    run_varied(&input);
    if (seed_count < SEEDS_MAX && input.len > 0 && input.len <= VARIED_MAX) {
        seeds[seed_count++] = input;
        input = (struct dz_buf){ 0 };
    }
    return true;
}

/* ---- by chance ---- */

static uint32_t
draw(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t) (*state >> 33) % (below ? below : 1);
}

/* One change: a byte, a piece less, a piece twice, or a piece of another seed. */
static void
change(struct dz_buf *input, uint64_t *state)
{
    struct dz_buf made = { 0 };
    uint32_t len = (uint32_t) input->len, at = draw(state, len + 1);
    uint32_t piece = draw(state, len - at < 64 ? len - at + 1 : 64);
    const struct dz_buf *other = &seeds[draw(state, (uint32_t) seed_count)];
    uint32_t from = draw(state, (uint32_t) other->len);
    uint32_t part =
        draw(state, (uint32_t) other->len - from < 256 ? (uint32_t) other->len - from : 256);
    switch (draw(state, 4)) {
    case 0:
        if (at < len)
            input->data[at] = (uint8_t) draw(state, 256);
        return;
    case 1:
        dz_buf_add(&made, input->data, at);
        dz_buf_add(&made, input->data + at + piece, len - at - piece);
        break;
    case 2:
        dz_buf_add(&made, input->data, at + piece);
        dz_buf_add(&made, input->data + at, len - at);
        break;
    default:
        dz_buf_add(&made, input->data, at);
        dz_buf_add(&made, other->data + from, part);
        dz_buf_add(&made, input->data + at, len - at);
    }
    dz_buf_fini(input);
    *input = made;
}

static void
run_more(unsigned long count)
{
    uint64_t state = 1;
    for (unsigned long i = 0; i < count && seed_count > 0; i++) {
        const struct dz_buf *seed = &seeds[draw(&state, (uint32_t) seed_count)];
        struct dz_buf input = { 0 };
        dz_buf_add(&input, seed->data, seed->len);
        for (uint32_t n = 1 + draw(&state, CHANGES); n > 0; n--)
            if (input.len > 0 && input.len < VARIED_MAX)
                change(&input, &state);
        run(input.data, input.len);
        dz_buf_fini(&input);
    }
    for (size_t i = 0; i < seed_count; i++)
        dz_buf_fini(&seeds[i]);
}

static bool
run_folder(const char *path)
{
    struct dirent **names = NULL;
    int count = scandir(path, &names, NULL, alphasort);
    bool ok = count > 0;
    for (int i = 0; i < count; i++) {
        char file[4096];
        (void) snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            ok = run_file(file) && ok;
        free(names[i]);
    }
    free(names);
    return ok;
}

int
main(int argc, char **argv)
{
    bool ok = argc > 1;
    run(NULL, 0);
    unsigned long more = 0;
    for (int i = 1; i < argc; i++) {
        struct stat info;
        if (strncmp(argv[i], "--more=", 7) == 0) {
            more = strtoul(argv[i] + 7, NULL, 10);
            continue;
        }
        bool is_folder = stat(argv[i], &info) == 0 && S_ISDIR(info.st_mode);
        ok = (is_folder ? run_folder(argv[i]) : run_file(argv[i])) && ok;
    }
    run_more(more);
    (void) printf("%zu inputs\n", runs);
    return ok ? 0 : 1;
}
