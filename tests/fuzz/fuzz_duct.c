/* Letters as anybody may put them into a node's box.  The input is letters behind each other; each is
 * taken as it is, and in its place the next true one with a byte changed. */
#include "shared/net/duct.h"
#include "shared/wire/letter.h"
#include "tests/fuzz/target.h"

struct end {
    struct dz_duct *duct;
    struct dz_buf out; /* letters that it has written */
    unsigned frames;
};

static void
on_letter(void *arg, struct dz_slice letter)
{
    struct end *self = arg;
    dz_letter_add(&self->out, 1, letter);
}

static void
on_frame(void *arg, struct dz_slice frame)
{
    struct end *self = arg;
    dz_assert(frame.len == 5); /* nothing but what the other end has said */
    self->frames++;
}

/* All that one end has written reaches the other one, the first letter changed by `mask`. */
static void
carry(struct end *from, struct end *to, uint8_t mask, size_t place)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf letters = from->out;
    struct dz_slice rest = dz_buf_slice(&letters), letter;
    uint64_t node;
    from->out = (struct dz_buf){ 0 };
    if (letters.len > DZ_LETTER_HEAD)
        letters.data[DZ_LETTER_HEAD + place % (letters.len - DZ_LETTER_HEAD)] ^= mask;
    while (dz_letter_next(&rest, &node, &letter) == DZ_OK)
        dz_ignore(dz_duct_take(to->duct, letter, 1));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dz_keys keys[2];
    struct end ends[2] = { 0 };
    const uint8_t secrets[2][DZ_KEY_LEN] = { { 1 }, { 2 } };
    for (unsigned i = 0; i < 2; i++)
        dz_keys_of(secrets[i], &keys[i]);
    for (unsigned i = 0; i < 2; i++) {
        struct dz_duct_ops ops = { .letter = on_letter, .frame = on_frame, .arg = &ends[i] };
        dz_assert(dz_duct_new(&keys[i], &keys[1 - i].public, &ops, &ends[i].duct) == DZ_OK);
    }
    struct dz_slice rest = { data, size }, letter;
    uint64_t node;
    for (unsigned said = 0; dz_letter_next(&rest, &node, &letter) == DZ_OK && said < 64; said++) {
        (void) dz_duct_send(ends[0].duct, dz_str("hello"), said);
        dz_assert(dz_duct_take(ends[1].duct, letter, said) != DZ_OK); /* nobody can make one */
        carry(&ends[0], &ends[1], letter.ptr[0], (size_t) node);
        carry(&ends[1], &ends[0], 0, 0);
        carry(&ends[0], &ends[1], 0, 0);
        dz_assert(ends[1].frames <= said + 1);
    }
    for (unsigned i = 0; i < 2; i++) {
        dz_duct_destroy(&ends[i].duct);
        dz_buf_fini(&ends[i].out);
    }
    return 0;
}
