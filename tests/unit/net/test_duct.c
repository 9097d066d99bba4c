/* test_duct.c - frames through somebody who loses, repeats, reorders and invents letters. */
#include <stdlib.h>
#include <string.h>

#include "shared/net/duct.h"
#include "shared/wire/letter.h"
#include "tests/unit/unit.h"

enum { LETTERS_MAX = 256, BIG = 128 << 10 };

struct end {
    struct dz_duct *duct;
    struct dz_buf letters[LETTERS_MAX]; /* written, not carried */
    size_t written, carried;
    unsigned frames;
    char last[16];
};

struct fixture {
    struct dz_keys keys[2];
    struct end a, b;
};

static void
on_letter(void *arg, struct dz_slice letter)
{
    struct end *self = arg;
    assert_true(self->written < LETTERS_MAX);
    dz_buf_add(&self->letters[self->written++], letter.ptr, letter.len);
}

static void
on_frame(void *arg, struct dz_slice frame)
{
    struct end *self = arg;
    size_t len = frame.len < sizeof(self->last) ? frame.len : sizeof(self->last) - 1;
    self->frames++;
    memcpy(self->last, frame.ptr, len);
    self->last[len] = '\0';
}

static void
open_end(struct fixture *f, struct end *end, unsigned mine)
{
    struct dz_duct_ops ops = { .letter = on_letter, .frame = on_frame, .arg = end };
    assert_ok(dz_duct_new(&f->keys[mine], &f->keys[1 - mine].public, &ops, &end->duct));
}

static int
setup(void **state)
{
    struct fixture *f = dz_alloc0(1, sizeof(*f));
    for (unsigned i = 0; i < 2; i++)
        assert_ok(dz_keys_make(&f->keys[i], NULL));
    open_end(f, &f->a, 0);
    open_end(f, &f->b, 1);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;
    struct end *const ends[] = { &f->a, &f->b };
    for (unsigned i = 0; i < 2; i++) {
        dz_duct_destroy(&ends[i]->duct);
        for (size_t k = 0; k < LETTERS_MAX; k++)
            dz_buf_fini(&ends[i]->letters[k]);
    }
    free(f);
    return 0;
}

static enum dz_rc
give(struct end *to, const struct dz_buf *letter)
{
    return dz_duct_take(to->duct, dz_buf_slice(letter), 0);
}

static void
carry(struct end *from, struct end *to)
{
    while (from->carried < from->written)
        assert_ok(give(to, &from->letters[from->carried++]));
}

static void
carry_all(struct fixture *f)
{
    while (f->a.carried < f->a.written || f->b.carried < f->b.written) {
        carry(&f->a, &f->b);
        carry(&f->b, &f->a);
    }
}

static void
say(struct end *end, const char *text)
{
    assert_ok(dz_duct_send(end->duct, dz_str(text), 0));
}

static void
frames_come_out_as_they_went_in(void **state)
{
    struct fixture *f = *state;
    say(&f->a, "one");
    say(&f->a, "two");
    say(&f->b, "three");
    carry_all(f);
    assert_int_equal(f->b.frames, 2);
    assert_string_equal(f->b.last, "two");
    assert_int_equal(f->a.frames, 1);
    assert_string_equal(f->a.last, "three");
}

static void
no_letter_shows_what_it_carries(void **state)
{
    struct fixture *f = *state;
    say(&f->a, "a secret of ours");
    carry_all(f);
    for (size_t i = 0; i < f->a.written; i++)
        assert_null(memmem(f->a.letters[i].data, f->a.letters[i].len, "secret", 6));
    assert_string_equal(f->b.last, "a secret of our");
}

static void
a_letter_is_taken_once(void **state)
{
    struct fixture *f = *state;
    say(&f->a, "one");
    carry_all(f);
    say(&f->a, "two");
    carry_all(f);
    assert_int_equal(give(&f->b, &f->a.letters[f->a.written - 1]), DZ_CORRUPT);
    assert_int_equal(give(&f->b, &f->a.letters[f->a.written - 2]), DZ_CORRUPT);
    assert_int_equal(f->b.frames, 2);
}

static void
a_session_that_is_opened_again_takes_nothing_of_the_old_one(void **state)
{
    struct fixture *f = *state;
    say(&f->a, "one");
    carry_all(f);
    size_t answers = f->b.written;
    assert_ok(give(&f->b, &f->a.letters[0])); /* OPEN, said again by who carries */
    assert_int_equal(give(&f->b, &f->a.letters[1]), DZ_CORRUPT);
    assert_int_equal(f->b.frames, 1);
    assert_int_equal(give(&f->a, &f->b.letters[answers]), DZ_CORRUPT); /* nobody asked for it */
    f->b.carried = f->b.written;
    say(&f->a, "two"); /* and the standing one still stands */
    carry_all(f);
    assert_string_equal(f->b.last, "two");
}

static void
a_changed_bit_is_seen(void **state)
{
    struct fixture *f = *state;
    say(&f->a, "one");
    carry_all(f);
    say(&f->a, "two");
    struct dz_buf *letter = &f->a.letters[f->a.written - 1];
    for (size_t i = 0; i < letter->len; i++) {
        letter->data[i] ^= 1;
        assert_int_equal(give(&f->b, letter), DZ_CORRUPT);
        letter->data[i] ^= 1;
    }
    assert_int_equal(f->b.frames, 1);
    f->b.carried = f->b.written; /* that it lost a session is not carried */
    carry(&f->a, &f->b);
    assert_string_equal(f->b.last, "two");
}

static void
what_one_said_is_not_taken_from_the_other(void **state)
{
    struct fixture *f = *state;
    say(&f->a, "one");
    assert_int_equal(give(&f->a, &f->a.letters[0]), DZ_CORRUPT);
    carry_all(f);
    assert_int_equal(give(&f->a, &f->b.letters[0]), DZ_CORRUPT); /* an ACCEPT, twice */
}

static void
a_stranger_cannot_open(void **state)
{
    struct fixture *f = *state;
    struct end c = { 0 };
    struct dz_keys keys;
    assert_ok(dz_keys_make(&keys, NULL));
    struct dz_duct_ops ops = { .letter = on_letter, .frame = on_frame, .arg = &c };
    assert_ok(dz_duct_new(&keys, &f->keys[1].public, &ops, &c.duct));
    say(&c, "let me in");
    assert_int_equal(give(&f->b, &c.letters[0]), DZ_CORRUPT);
    assert_int_equal(f->b.written, 0);
    dz_duct_destroy(&c.duct);
    dz_buf_fini(&c.letters[0]);
}

/* Frames of 128 KiB, of which four fill the window and eight what may wait. */
static void
what_is_on_its_way_and_waits_is_bounded(void **state)
{
    struct fixture *f = *state;
    static const uint8_t bytes[BIG] = { 'x' };
    struct dz_slice big = { bytes, sizeof(bytes) };
    say(&f->a, "one");
    carry_all(f);
    size_t before = f->a.written;
    unsigned taken = 0;
    while (dz_duct_send(f->a.duct, big, 0) == DZ_OK)
        taken++;
    assert_int_equal(f->a.written - before, 3); /* with the bytes of "one", which no GRANT covers */
    assert_int_equal(taken, 3 + 8);
    assert_int_equal(dz_duct_send(f->a.duct, big, 0), DZ_FULL);
    assert_in_range(dz_duct_held(f->a.duct), 0, DZ_DUCT_WINDOW + DZ_DUCT_WAITING);
    carry_all(f);
    assert_int_equal(f->b.frames, 1 + taken);
    assert_in_range(dz_duct_held(f->a.duct), 0, BIG);
}

static void
a_grant_covers_what_was_lost_before_it(void **state)
{
    struct fixture *f = *state;
    static const uint8_t bytes[BIG] = { 'x' };
    struct dz_slice big = { bytes, sizeof(bytes) };
    say(&f->a, "one");
    carry_all(f);
    assert_ok(dz_duct_send(f->a.duct, big, 0));
    f->a.carried = f->a.written; /* lost */
    assert_ok(dz_duct_send(f->a.duct, big, 0));
    carry_all(f);
    assert_int_equal(f->b.frames, 2);
    assert_int_equal(dz_duct_held(f->a.duct), 0);
}

static void
letters_that_come_late_are_not_taken(void **state)
{
    struct fixture *f = *state;
    say(&f->a, "one");
    carry_all(f);
    say(&f->a, "two");
    say(&f->a, "three");
    assert_ok(give(&f->b, &f->a.letters[f->a.written - 1]));
    assert_int_equal(give(&f->b, &f->a.letters[f->a.written - 2]), DZ_CORRUPT);
    assert_int_equal(f->b.frames, 2);
    assert_string_equal(f->b.last, "three");
}

static void
an_end_that_begins_anew_is_opened_to_again(void **state)
{
    struct fixture *f = *state;
    say(&f->a, "one");
    carry_all(f);
    dz_duct_destroy(&f->b.duct);
    open_end(f, &f->b, 1);
    say(&f->a, "two"); /* is lost: nobody knows its session */
    assert_int_equal(give(&f->b, &f->a.letters[f->a.carried++]), DZ_CORRUPT);
    carry(&f->b, &f->a); /* LOST */
    say(&f->a, "three");
    carry_all(f);
    assert_string_equal(f->b.last, "three");
    assert_int_equal(f->b.frames, 2);
}

static void
an_open_without_an_answer_is_said_again(void **state)
{
    struct fixture *f = *state;
    say(&f->a, "one");
    f->a.carried = f->a.written; /* lost */
    assert_ok(dz_duct_send(f->a.duct, dz_str("two"), DZ_DUCT_AGAIN_US - 1));
    assert_int_equal(f->a.written, 1);
    assert_ok(dz_duct_send(f->a.duct, dz_str("three"), DZ_DUCT_AGAIN_US));
    assert_int_equal(f->a.written, 2);
    carry_all(f);
    assert_int_equal(f->b.frames, 3);
}

static void
letters_are_read_as_they_were_written(void **state)
{
    (void) state;
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    dz_letter_add(&bytes, 0x0123456789abcdefU, dz_str("one"));
    static const uint8_t wanted[] = { 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01,
                                      3,    0,    0,    0,    'o',  'n',  'e' };
    assert_int_equal(bytes.len, sizeof(wanted));
    assert_memory_equal(bytes.data, wanted, sizeof(wanted));
    struct dz_slice rest = dz_buf_slice(&bytes), text;
    uint64_t node = 0;
    assert_ok(dz_letter_next(&rest, &node, &text));
    assert_true(node == 0x0123456789abcdefU && text.len == 3);
    assert_int_equal(dz_letter_next(&rest, &node, &text), DZ_ABSENT);
    for (size_t len = 1; len < bytes.len; len++) {
        rest = (struct dz_slice){ bytes.data, len };
        assert_int_equal(dz_letter_next(&rest, &node, &text), DZ_CORRUPT);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(frames_come_out_as_they_went_in, setup, teardown),
        cmocka_unit_test_setup_teardown(no_letter_shows_what_it_carries, setup, teardown),
        cmocka_unit_test_setup_teardown(a_letter_is_taken_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_session_that_is_opened_again_takes_nothing_of_the_old_one,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_changed_bit_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(what_one_said_is_not_taken_from_the_other, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stranger_cannot_open, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_on_its_way_and_waits_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(a_grant_covers_what_was_lost_before_it, setup, teardown),
        cmocka_unit_test_setup_teardown(letters_that_come_late_are_not_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(an_end_that_begins_anew_is_opened_to_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_open_without_an_answer_is_said_again, setup, teardown),
        cmocka_unit_test(letters_are_read_as_they_were_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
