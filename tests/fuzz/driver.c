/* driver.c - a main for the fuzz targets where there is no libFuzzer: every file of the folders
 * and every file named is one input, and then each of them cut short and with one byte changed,
 * so that the ordinary run looks a little beyond the corpus. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/base/buf.h"
#include "shared/base/fd.h"
#include "tests/fuzz/target.h"

enum { INPUT_MAX = 1 << 20, VARIED_MAX = 4096 };

static size_t runs;

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
    return true;
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
    for (int i = 1; i < argc; i++) {
        struct stat info;
        bool is_folder = stat(argv[i], &info) == 0 && S_ISDIR(info.st_mode);
        ok = (is_folder ? run_folder(argv[i]) : run_file(argv[i])) && ok;
    }
    (void) printf("%zu inputs\n", runs);
    return ok ? 0 : 1;
}
