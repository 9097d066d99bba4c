/* test_residence.c - pages of the file that were looked at are given back, wherever it is mapped. */
#include "shared/base/clock.h"
#include "tests/unit/kv/kv_fixture.h"

enum {
    VALUE = 64 << 10,
    MIB = 1 << 20,
    PER_MIB = MIB / VALUE,
    LITTLE = MIB / 2,
    PATIENCE_MS = 20 * 1000
};

static void
put_mib(struct fixture *f, struct dz_kv *kv, unsigned from, unsigned mib)
{
    static char value[VALUE];
    memset(value, 'x', sizeof(value) - 1);
    for (unsigned i = 0; i < mib * PER_MIB; i++) {
        char key[16];
        (void) snprintf(key, sizeof(key), "%u", from * PER_MIB + i);
        put(f, kv, key, value);
    }
}

struct look {
    unsigned count; /* of values */
    unsigned long sum;
};

/* One by one: a walk gives back by itself what it has seen. */
static enum dz_rc
look_at_all(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct look *look = arg;
    for (unsigned n = 0; n < look->count; n++) {
        char key[16];
        struct dz_slice value = { 0 };
        (void) snprintf(key, sizeof(key), "%u", n);
        enum dz_rc rc = dz_kv_get(txn, TABLE_A, dz_str(key), &value, err);
        if (rc != DZ_OK)
            return rc;
        for (size_t i = 0; i < value.len; i += 4096)
            look->sum += value.ptr[i];
    }
    return DZ_OK;
}

/* Bytes of the file that are in this process's account. */
static size_t
resident(const struct fixture *f)
{
    FILE *maps = fopen("/proc/self/smaps", "re");
    char line[512];
    size_t sum = 0, kib = 0;
    bool is_ours = false;
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps)) {
        if (line[0] >= 'A' && line[0] <= 'Z')
            sum += is_ours && sscanf(line, "Rss: %zu", &kib) == 1 ? kib << 10 : 0;
        else
            is_ours = strstr(line, f->dir) && strstr(line, "data.mdb");
    }
    assert_int_equal(fclose(maps), 0);
    return sum;
}

/* By writes, of which one a second gives pages back. */
static void
wait_until_little_is_held(struct fixture *f, struct dz_kv *kv)
{
    dz_ms until = dz_clock_ms() + PATIENCE_MS;
    while (resident(f) > LITTLE) {
        assert_true(dz_clock_ms() < until);
        put(f, kv, "again", "1");
    }
}

static void
what_was_looked_at_is_given_back_also_when_the_map_has_moved(void **state)
{
    struct fixture *f = *state;
    DZ_AUTO(dz_kv_close) struct dz_kv *kv = open_kv(f);
    struct look look = { 0 };
    for (unsigned have = 0, more = 6; have < 24; have += more, more *= 2) {
        put_mib(f, kv, have, more); /* it begins with room for one, and grows each time */
        look.count = (have + more) * PER_MIB;
        assert_ok(dz_kv_read(kv, look_at_all, &look, &f->err));
        assert_true(resident(f) >= (size_t) (have + more) * MIB);
        wait_until_little_is_held(f, kv);
    }
    assert_true(look.sum > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            what_was_looked_at_is_given_back_also_when_the_map_has_moved, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
