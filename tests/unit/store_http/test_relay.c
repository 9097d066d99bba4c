/* test_relay.c - letters are given once each until they are acknowledged, within bounds. */
#include <string.h>

#include "shared/base/bytes.h"
#include "shared/wire/letter.h"
#include "store/http/relay.h"
#include "tests/unit/unit.h"

enum { A = 1, B = 2, C = 3, HEAD = 16, BIG = 256 << 10, LINE_A = 50, LINE_B, AGAIN = 60 };

/* A fetch and what came of it. */
struct asked {
    struct dz_buf out;
    unsigned woken;
};

static void
wake(void *owner)
{
    struct asked *self = owner;
    self->woken++;
}

static struct relay_who
who(const char *meeting, uint64_t node)
{
    return (struct relay_who){ dz_str(meeting), node };
}

static int
setup(void **state)
{
    struct relay *relay = relay_new(wake);
    for (uint64_t node = A; node <= B; node++) {
        const struct relay_who one = who("m", node);
        assert_ok(relay_admit(relay, &one, 0));
    }
    *state = relay;
    return 0;
}

static int
teardown(void **state)
{
    struct relay *relay = *state;
    relay_destroy(&relay);
    return 0;
}

static enum dz_rc
post(struct relay *relay, uint64_t to, uint64_t life, uint64_t number, struct dz_slice text,
     struct relay_receipt *out)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf letters = { 0 };
    dz_letter_add(&letters, to, text);
    const struct relay_batch batch = { who("m", A), life, number, dz_buf_slice(&letters) };
    return relay_post(relay, &batch, 0, out);
}

static void
send(struct relay *relay, uint64_t number, const char *text)
{
    struct relay_receipt receipt;
    assert_ok(post(relay, B, 7, number, dz_str(text), &receipt));
}

static bool
fetch(struct relay *relay, struct relay_fetch ask, struct asked *asked, dz_ms now)
{
    ask.out = &asked->out;
    ask.owner = asked;
    dz_buf_clear(&asked->out);
    return relay_take(relay, &ask, now);
}

static bool
take(struct relay *relay, struct asked *asked, uint64_t box, uint64_t after, dz_ms until, dz_ms now)
{
    struct relay_fetch ask = { .who = who("m", B), .box = box, .after = after, .until = until };
    return fetch(relay, ask, asked, now);
}

static bool
take_on(struct relay *relay, struct relay_who node, uint64_t line, struct asked *asked, dz_ms now)
{
    struct relay_fetch ask = { .who = node, .line = line, .until = now + 1000 };
    return fetch(relay, ask, asked, now);
}

static uint64_t
box_of(const struct asked *asked)
{
    assert_true(asked->out.len >= HEAD);
    return dz_uint_get(asked->out.data, 8);
}

static uint64_t
number_of(const struct asked *asked)
{
    return dz_uint_get(asked->out.data + 8, 8);
}

/* The texts of an answer, one behind the other; all from A. */
static const char *
texts_of(const struct asked *asked)
{
    static char texts[256];
    size_t len = 0;
    struct dz_slice rest = { asked->out.data + HEAD, asked->out.len - HEAD }, text;
    uint64_t from;
    while (dz_letter_next(&rest, &from, &text) == DZ_OK) {
        assert_int_equal(from, A);
        assert_true(len + text.len < sizeof(texts));
        memcpy(texts + len, text.ptr, text.len);
        len += text.len;
    }
    texts[len] = '\0';
    return texts;
}

static void
a_letter_is_given_until_a_later_fetch_names_it(void **state)
{
    struct relay *relay = *state;
    struct asked asked = { .woken = 0 };
    send(relay, 1, "a");
    send(relay, 2, "b");
    assert_true(take(relay, &asked, 0, 0, 0, 0));
    assert_string_equal(texts_of(&asked), "ab");
    assert_true(take(relay, &asked, 0, 0, 0, 0)); /* the answer was lost */
    assert_string_equal(texts_of(&asked), "ab");
    uint64_t box = box_of(&asked);
    assert_true(take(relay, &asked, box, number_of(&asked) - 1, 0, 0));
    assert_string_equal(texts_of(&asked), "b");
    assert_true(take(relay, &asked, box, number_of(&asked), 0, 0));
    assert_string_equal(texts_of(&asked), "");
    send(relay, 3, "c");
    assert_true(take(relay, &asked, box, number_of(&asked), 0, 0));
    assert_string_equal(texts_of(&asked), "c");
    assert_int_equal(number_of(&asked), 3);
    dz_buf_fini(&asked.out);
}

static void
a_number_of_another_box_takes_nothing_away(void **state)
{
    struct relay *relay = *state;
    struct asked asked = { .woken = 0 };
    send(relay, 1, "a");
    assert_true(take(relay, &asked, 0, 0, 0, 0));
    assert_true(take(relay, &asked, box_of(&asked) + 1, 1000, 0, 0));
    assert_string_equal(texts_of(&asked), "a");
    dz_buf_fini(&asked.out);
}

static void
a_batch_that_is_sent_again_is_delivered_once(void **state)
{
    struct relay *relay = *state;
    struct asked asked = { .woken = 0 };
    struct relay_receipt receipt;
    assert_ok(post(relay, B, 7, 1, dz_str("a"), &receipt));
    assert_false(receipt.was_there);
    assert_ok(post(relay, B, 7, 1, dz_str("a"), &receipt));
    assert_true(receipt.was_there);
    assert_int_equal(receipt.taken, 0);
    assert_ok(post(relay, B, 8, 1, dz_str("b"), &receipt)); /* its next life begins anew */
    assert_false(receipt.was_there);
    assert_true(take(relay, &asked, 0, 0, 0, 0));
    assert_string_equal(texts_of(&asked), "ab");
    dz_buf_fini(&asked.out);
}

static void
a_fetch_waits_for_a_letter_for_time_or_for_the_next_fetch(void **state)
{
    struct relay *relay = *state;
    struct asked first = { .woken = 0 }, second = { .woken = 0 };
    assert_false(take(relay, &first, 0, 0, 100, 0));
    send(relay, 1, "a");
    assert_int_equal(first.woken, 1);
    assert_string_equal(texts_of(&first), "a");
    uint64_t box = box_of(&first);
    assert_false(take(relay, &first, box, 1, 100, 0));
    relay_sweep(relay, 99);
    assert_int_equal(first.woken, 1);
    relay_sweep(relay, 100);
    assert_int_equal(first.woken, 2);
    assert_string_equal(texts_of(&first), "");
    assert_false(take(relay, &first, box, 1, 200, 100));
    assert_false(take(relay, &second, box, 1, 200, 100));
    assert_int_equal(first.woken, 3);
    send(relay, 2, "b");
    assert_int_equal(first.woken, 3);
    assert_string_equal(texts_of(&second), "b");
    dz_buf_fini(&first.out);
    dz_buf_fini(&second.out);
}

static void
who_waits_is_answered_when_the_daemon_ends(void **state)
{
    struct relay *relay = *state;
    struct asked asked = { .woken = 0 };
    assert_false(take(relay, &asked, 0, 0, 100, 0));
    relay_stop(relay);
    assert_int_equal(asked.woken, 1);
    assert_true(take(relay, &asked, 0, 0, 100, 0));
    dz_buf_fini(&asked.out);
}

static void
letters_to_nobody_and_beyond_a_box_are_dropped_and_counted(void **state)
{
    struct relay *relay = *state;
    struct relay_receipt receipt;
    struct relay_counts counts;
    static const uint8_t big[BIG];
    assert_ok(post(relay, C, 7, 1, dz_str("x"), &receipt));
    assert_int_equal(receipt.dropped, 1);
    uint64_t number = 1;
    do
        assert_ok(post(relay, B, 7, ++number, (struct dz_slice){ big, BIG }, &receipt));
    while (receipt.dropped == 0);
    relay_count(relay, &counts);
    assert_int_equal(counts.letters, RELAY_BOX_MAX / BIG - 1); /* each costs more than its bytes */
    assert_int_equal(counts.dropped, 2);
    assert_true(counts.bytes <= RELAY_BOX_MAX);
}

static void
all_boxes_together_have_a_bound(void **state)
{
    struct relay *relay = *state;
    struct relay_receipt receipt;
    struct relay_counts counts;
    static const uint8_t big[BIG];
    uint64_t number = 0, node = C, dropped = 0;
    for (; node < C + 2 * (RELAY_ALL_MAX / RELAY_BOX_MAX); node++) {
        const struct relay_who one = who("m", node);
        assert_ok(relay_admit(relay, &one, 0));
        for (int i = 0; i < RELAY_BOX_MAX / BIG; i++) {
            assert_ok(post(relay, node, 7, ++number, (struct dz_slice){ big, BIG }, &receipt));
            dropped += receipt.dropped;
        }
    }
    relay_count(relay, &counts);
    assert_true(counts.bytes <= RELAY_ALL_MAX && counts.bytes > RELAY_ALL_MAX - RELAY_BOX_MAX);
    assert_int_equal(counts.dropped, dropped);
    while (counts.boxes < RELAY_BOXES_MAX) {
        const struct relay_who one = who("m", node++);
        assert_ok(relay_admit(relay, &one, 0));
        relay_count(relay, &counts);
    }
    const struct relay_who one_more = who("m", node);
    assert_int_equal(relay_admit(relay, &one_more, 0), DZ_FULL);
    relay_sweep(relay, RELAY_IDLE_MS);
    relay_count(relay, &counts);
    assert_int_equal(counts.boxes, 0);
    assert_int_equal(counts.bytes, 0);
}

static void
an_answer_ends_behind_its_bound_and_the_rest_follows(void **state)
{
    struct relay *relay = *state;
    struct relay_receipt receipt;
    struct asked asked = { .woken = 0 };
    static const uint8_t big[BIG];
    for (uint64_t i = 1; i <= 6; i++)
        assert_ok(post(relay, B, 7, i, (struct dz_slice){ big, BIG }, &receipt));
    assert_true(take(relay, &asked, 0, 0, 0, 0));
    assert_int_equal(number_of(&asked), 4);
    assert_true(take(relay, &asked, box_of(&asked), 4, 0, 0));
    assert_int_equal(number_of(&asked), 6);
    dz_buf_fini(&asked.out);
}

static void
what_is_no_list_of_letters_is_refused_whole(void **state)
{
    struct relay *relay = *state;
    struct relay_receipt receipt;
    struct relay_counts counts;
    DZ_AUTO(dz_buf_fini) struct dz_buf letters = { 0 };
    dz_letter_add(&letters, B, dz_str("a"));
    dz_buf_add(&letters, "x", 1);
    const struct relay_batch batch = { who("m", A), 7, 1, dz_buf_slice(&letters) };
    assert_int_equal(relay_post(relay, &batch, 0, &receipt), DZ_CORRUPT);
    relay_count(relay, &counts);
    assert_int_equal(counts.letters, 0);
}

static void
another_meeting_s_node_of_the_same_number_has_a_box_of_its_own(void **state)
{
    struct relay *relay = *state;
    struct asked asked = { .woken = 0 };
    const struct relay_who other = who("n", B);
    assert_ok(relay_admit(relay, &other, 0));
    send(relay, 1, "a");
    assert_true(fetch(relay, (struct relay_fetch){ .who = other }, &asked, 0));
    assert_string_equal(texts_of(&asked), "");
    dz_buf_fini(&asked.out);
}

static void
a_member_is_asked_for_again_and_who_has_left_is_known_a_little_longer(void **state)
{
    struct relay *relay = *state;
    struct relay_counts counts;
    const struct relay_who a = who("m", A), b = who("m", B), all = who("m", 0);
    assert_true(relay_knows(relay, &a, RELAY_KNOWN_MS - 1));
    assert_false(relay_knows(relay, &a, RELAY_KNOWN_MS));
    relay_end(relay, &a, 0);
    assert_true(relay_knows(relay, &a, RELAY_LINGER_MS - 1)); /* its last words may be on the way */
    assert_false(relay_knows(relay, &b, RELAY_LINGER_MS - 1));
    relay_sweep(relay, RELAY_LINGER_MS);
    assert_false(relay_has_box(relay, &a));
    assert_true(relay_has_box(relay, &b));
    relay_end(relay, &all, 0);
    relay_sweep(relay, RELAY_LINGER_MS);
    relay_count(relay, &counts);
    assert_int_equal(counts.boxes, 0);
}

/* ---- hanging up: A waits, and its connection ends; B waits and hears of it, or does not ---- */

struct pair {
    struct asked a, b;
};

static void
open_pair(struct relay *relay, struct pair *out)
{
    *out = (struct pair){ .a.woken = 0 };
    assert_false(take_on(relay, who("m", A), LINE_A, &out->a, 0));
    assert_false(take_on(relay, who("m", B), LINE_B, &out->b, 0));
}

static void
close_pair(struct relay *relay, struct pair *pair)
{
    relay_stop(relay); /* who still waits is answered */
    dz_buf_fini(&pair->a.out);
    dz_buf_fini(&pair->b.out);
}

static void
the_others_hear_of_who_hung_up_and_does_not_come_again(void **state)
{
    struct relay *relay = *state;
    struct pair pair;
    struct asked elsewhere = { .woken = 0 };
    const struct relay_who other = who("n", B);
    open_pair(relay, &pair);
    assert_ok(relay_admit(relay, &other, 0));
    assert_false(take_on(relay, other, LINE_B + 1, &elsewhere, 0));
    relay_hang_up(relay, LINE_A, 10);
    assert_int_equal(pair.a.woken, 1); /* it holds no place any more */
    relay_sweep(relay, 10 + RELAY_LEFT_MS - 1);
    assert_int_equal(pair.b.woken, 0);
    relay_sweep(relay, 10 + RELAY_LEFT_MS);
    assert_int_equal(pair.b.woken, 1);
    assert_string_equal(texts_of(&pair.b), (const char *) DZ_LETTER_LEFT.ptr);
    assert_int_equal(elsewhere.woken, 0);
    relay_sweep(relay, 10 + 3 * RELAY_LEFT_MS); /* once */
    assert_int_equal(number_of(&pair.b), 1);
    close_pair(relay, &pair);
    dz_buf_fini(&elsewhere.out);
}

static void
who_comes_again_has_not_left(void **state)
{
    struct relay *relay = *state;
    struct pair pair;
    struct asked again = { .woken = 0 };
    struct relay_receipt receipt;
    open_pair(relay, &pair);
    relay_hang_up(relay, LINE_A, 10);
    assert_false(take_on(relay, who("m", A), AGAIN, &again, 60));
    relay_hang_up(relay, LINE_A, 70); /* an older one of its connections */
    relay_sweep(relay, 10 + RELAY_LEFT_MS);
    relay_hang_up(relay, AGAIN, 200);
    assert_ok(post(relay, C, 7, 1, dz_str("a"), &receipt)); /* it speaks, so it lives */
    relay_sweep(relay, 200 + RELAY_LEFT_MS);
    assert_int_equal(pair.b.woken, 0);
    close_pair(relay, &pair);
    dz_buf_fini(&again.out);
}

static void
who_does_not_wait_just_then_can_hang_up(void **state)
{
    struct relay *relay = *state;
    struct pair pair;
    open_pair(relay, &pair);
    relay_sweep(relay, 1000); /* both are answered */
    assert_int_equal(pair.a.woken, 1);
    assert_false(take_on(relay, who("m", A), LINE_A, &pair.a, 1000));
    relay_sweep(relay, 2000);
    relay_hang_up(relay, LINE_A, 2010);
    relay_sweep(relay, 2010 + RELAY_LEFT_MS);
    assert_true(take_on(relay, who("m", B), LINE_B, &pair.b, 2200));
    assert_string_equal(texts_of(&pair.b), (const char *) DZ_LETTER_LEFT.ptr);
    close_pair(relay, &pair);
}

static void
a_connection_for_each_fetch_tells_nothing_by_its_end(void **state)
{
    struct relay *relay = *state;
    struct pair pair;
    open_pair(relay, &pair);
    for (unsigned i = 0; i < 3; i++) {
        dz_ms end = 1000 * (i + 1);
        relay_sweep(relay, end); /* it is answered */
        relay_hang_up(relay, i == 0 ? LINE_A : AGAIN + i, end);
        relay_sweep(relay, end + RELAY_LEFT_MS);
        assert_false(take_on(relay, who("m", A), AGAIN + i + 1, &pair.a, end));
    }
    assert_false(take_on(relay, who("m", B), LINE_B, &pair.b, 4000));
    close_pair(relay, &pair);
}

static void
who_has_ended_its_part_may_hang_up(void **state)
{
    struct relay *relay = *state;
    struct pair pair;
    open_pair(relay, &pair);
    relay_end(relay, &(struct relay_who){ dz_str("m"), A }, 5);
    relay_hang_up(relay, LINE_A, 10);
    relay_sweep(relay, 10 + RELAY_LEFT_MS);
    assert_int_equal(pair.b.woken, 0);
    close_pair(relay, &pair);
}

static void
who_hung_up_too_hears_nothing(void **state)
{
    struct relay *relay = *state;
    struct pair pair;
    open_pair(relay, &pair);
    relay_hang_up(relay, LINE_A, 10);
    relay_hang_up(relay, LINE_B, 20);
    relay_sweep(relay, 20 + RELAY_LEFT_MS);
    assert_false(take_on(relay, who("m", B), AGAIN, &pair.b, 500));
    assert_false(take_on(relay, who("m", A), AGAIN + 1, &pair.a, 500));
    close_pair(relay, &pair);
}

static void
another_connection_s_end_is_nothing(void **state)
{
    struct relay *relay = *state;
    struct pair pair;
    open_pair(relay, &pair);
    relay_hang_up(relay, LINE_B + 1, 10);
    relay_sweep(relay, 10 + RELAY_LEFT_MS);
    assert_int_equal(pair.a.woken + pair.b.woken, 0);
    close_pair(relay, &pair);
}

static void
a_node_cannot_say_that_another_has_left(void **state)
{
    struct relay *relay = *state;
    struct relay_receipt receipt;
    assert_int_equal(post(relay, B, 7, 1, DZ_LETTER_LEFT, &receipt), DZ_CORRUPT);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_letter_is_given_until_a_later_fetch_names_it),
        TEST(a_number_of_another_box_takes_nothing_away),
        TEST(a_batch_that_is_sent_again_is_delivered_once),
        TEST(a_fetch_waits_for_a_letter_for_time_or_for_the_next_fetch),
        TEST(who_waits_is_answered_when_the_daemon_ends),
        TEST(letters_to_nobody_and_beyond_a_box_are_dropped_and_counted),
        TEST(all_boxes_together_have_a_bound),
        TEST(an_answer_ends_behind_its_bound_and_the_rest_follows),
        TEST(what_is_no_list_of_letters_is_refused_whole),
        TEST(another_meeting_s_node_of_the_same_number_has_a_box_of_its_own),
        TEST(the_others_hear_of_who_hung_up_and_does_not_come_again),
        TEST(who_comes_again_has_not_left),
        TEST(who_does_not_wait_just_then_can_hang_up),
        TEST(a_connection_for_each_fetch_tells_nothing_by_its_end),
        TEST(who_has_ended_its_part_may_hang_up),
        TEST(who_hung_up_too_hears_nothing),
        TEST(another_connection_s_end_is_nothing),
        TEST(a_node_cannot_say_that_another_has_left),
        TEST(a_member_is_asked_for_again_and_who_has_left_is_known_a_little_longer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
