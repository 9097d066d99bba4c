"""An explanation says no more than it must.  (One that excuses too much hides a fault.)"""

from __future__ import annotations

import json
import unittest
from collections import Counter

from explain import (
    divided,
    fits,
    is_lettered,
    is_moved,
    kind_of,
    own_names,
    seen_of,
    steady,
    varies_as,
    with_numbers_anew,
)

KEY = ("test_a.py::test", "call")


def seen(outcome: str = "passed", last: str = "", **sections: str) -> Counter[str]:
    named = [[f"Captured {name} call", text] for name, text in sections.items()]
    return Counter([json.dumps(["TestReport", outcome, None, last, named])])


class Moved(unittest.TestCase):
    def test_lines_of_stderr_may_stand_between_those_of_stdout(self) -> None:
        plain = seen(stdout="one\ntwo\n", stderr="err\nmore\n")
        self.assertTrue(is_moved(KEY, plain, seen(stdout="one\nerr\ntwo\nmore\n")))
        self.assertTrue(is_moved(KEY, plain, seen(stdout="one\nerr\ntwo\n", stderr="more\n")))

    def test_not_the_other_way_nor_in_another_order_nor_with_more(self) -> None:
        plain = seen(stdout="one\ntwo\n", stderr="err\n")
        self.assertFalse(is_moved(KEY, plain, seen(stdout="one\n", stderr="two\nerr\n")))
        self.assertFalse(is_moved(KEY, plain, seen(stdout="two\none\nerr\n")))
        self.assertFalse(is_moved(KEY, plain, seen(stdout="one\ntwo\nerr\nerr\n")))
        self.assertFalse(is_moved(KEY, plain, seen(stdout="one\nerr\n")))
        self.assertFalse(is_moved(KEY, plain, seen("failed", stdout="one\ntwo\nerr\n")))


class Lettered(unittest.TestCase):
    def test_letters_of_subtests_stand_anywhere_in_plain_texts(self) -> None:
        plain = seen(stdout="uone ubutu,  [ 12%]\nend\n,")
        self.assertTrue(is_lettered(KEY, plain, seen(stdout="one butend\n")))
        self.assertEqual(is_lettered(KEY, plain, seen(stdout="one butend\nmore")), False)

    def test_no_other_letters_nor_another_outcome_nor_those_that_only_dagz_has(self) -> None:
        self.assertFalse(is_lettered(KEY, seen(stdout="oneF\n"), seen(stdout="one\n")))
        self.assertFalse(is_lettered(KEY, seen(stdout="one\n"), seen(stdout="oneu\n")))
        self.assertFalse(is_lettered(KEY, seen(stdout="oneu\n"), seen("failed", stdout="one\n")))

    def test_only_tests_with_subtests_have_them(self) -> None:
        part = Counter([json.dumps(["SubtestReport", "passed", None, "", []])])
        self.assertEqual(divided({KEY: seen() + part, ("test_b.py::test", "call"): seen()}), {KEY[0]})


class Named(unittest.TestCase):
    PATTERNS = ((r"dir_\w+", "dir"),)

    def line(self, worker: str | None, text: str) -> dict:
        what = {"nodeid": KEY[0], "when": KEY[1], "type": "TestReport", "outcome": "passed"}
        return {
            "kind": "test", **what, "wasxfail": None, "last": "", "sections": [["out", text]], "worker": worker
        }  # fmt: skip

    def test_a_name_that_one_worker_alone_has_is_its_own(self) -> None:
        lines = [self.line("gw0", "in dir_a"), self.line("gw0", "dir_a/x"), self.line("gw1", "in dir_b")]
        self.assertEqual(
            own_names(lines, self.PATTERNS), {"gw0": [("dir_a", "dir")], "gw1": [("dir_b", "dir")]}
        )
        self.assertEqual(
            seen_of(lines[:1], self.PATTERNS), seen_of([self.line(None, "in dir")], self.PATTERNS)
        )

    def test_a_name_of_two_workers_and_the_second_name_of_one_stay(self) -> None:
        two = [self.line("gw0", "in dir_a"), self.line("gw1", "in dir_a")]
        self.assertEqual(own_names(two, self.PATTERNS), {})
        self.assertEqual(own_names([two[0], self.line("gw0", "in dir_b")], self.PATTERNS), {})


class Numbered(unittest.TestCase):
    def test_the_base_directory_is_the_same_from_wherever_it_is_named(self) -> None:
        for text in ("<a /tmp/x/pytest-of-me/pytest-1/popen-gw3/t0>", "<a below/pytest-of-me/pytest-0/t0>"):
            self.assertEqual(steady(text), "<a BASETEMP/t0>")
        self.assertEqual(steady("pytest-of-me/pytest-0/t0"), "BASETEMP/t0")
        self.assertEqual(steady("/tmp/x/pytest-of-me/t0"), "/tmp/x/pytest-of-me/t0")

    def test_a_worker_counts_folders_of_its_own_base_directory(self) -> None:
        plain = with_numbers_anew(seen(stdout="BASETEMP/test_a3/x1 BASETEMP/test_a4"))
        self.assertEqual(plain, with_numbers_anew(seen(stdout="BASETEMP/test_a0/x1 BASETEMP/test_a2")))
        self.assertEqual(plain, with_numbers_anew(seen(stdout="BASETEMP/test_a9/x1 BASETEMP/test_a10")))

    def test_one_folder_is_not_two_and_no_other_number_is_excused(self) -> None:
        plain = with_numbers_anew(seen(stdout="BASETEMP/test_a3/x1 BASETEMP/test_a4"))
        for text in ("BASETEMP/test_a0/x1 BASETEMP/test_a0", "BASETEMP/test_a0/x2 BASETEMP/test_a1"):
            self.assertNotEqual(plain, with_numbers_anew(seen(stdout=text)))
        self.assertNotEqual(with_numbers_anew(seen(stdout="a 3")), with_numbers_anew(seen(stdout="a 4")))
        self.assertNotEqual(
            with_numbers_anew(seen(stdout="BASETEMP/a3")),
            with_numbers_anew(seen("failed", stdout="BASETEMP/a3")),
        )


class Varies(unittest.TestCase):
    def test_another_plain_run_that_saw_the_same_explains_anything(self) -> None:
        self.assertEqual(kind_of(KEY, seen(), seen("failed"), seen("failed")), "plain")

    def test_another_outcome_is_explained_by_nothing_else(self) -> None:
        plain, other = seen(stdout="1"), seen(stdout="2")
        self.assertIsNone(kind_of(KEY, plain, other, seen("failed", stdout="3")))
        self.assertIsNone(kind_of(KEY, plain, seen("skipped"), seen("failed")))
        self.assertEqual(kind_of(KEY, plain, other, seen(stdout="3")), "varies")

    def test_only_that_section_varies_which_varies_between_plain_runs(self) -> None:
        plain, other = seen(stdout="1", stderr="same"), seen(stdout="2", stderr="same")
        self.assertIsNone(kind_of(KEY, plain, other, seen(stdout="3", stderr="not the same")))
        self.assertIsNone(kind_of(KEY, plain, other, seen("passed", "a line", stdout="3", stderr="same")))

    def test_a_text_may_differ_in_the_places_in_which_plain_ones_do(self) -> None:
        self.assertTrue(varies_as("port 8001 is open", "port 8002 is open", "port 9317 is open"))
        self.assertFalse(varies_as("port 8001 is open", "port 8002 is open", "port 9317 is shut"))
        self.assertFalse(varies_as("port 8001 is open", "port 8001 is open", "port 9317 is open"))

    def test_parts_stand_in_their_order_with_anything_only_where_it_may_be(self) -> None:
        parts = ("a", None, "b", None, "b")
        for text in ("abb", "axbxb", "abbb", "axxb  xb"):
            self.assertTrue(fits(text, parts), text)
        for text in ("ab", "xabb", "abbx", "a", ""):
            self.assertFalse(fits(text, parts), text)
        self.assertTrue(fits("xxa", (None, "a")))
        self.assertTrue(fits("axx", ("a", None)))
        self.assertFalse(fits("axx", ("a",)))

    def test_random_letters_vary_as_a_whole(self) -> None:
        plain, other = "in ('9;A<QR:B') done", "in ('7:A<T5;CC') done"
        self.assertTrue(varies_as(plain, other, "in ('4R=UQ@8') done"))
        self.assertFalse(varies_as(plain, other, "in ('4R=UQ@8') lost"))
        self.assertFalse(varies_as("1 and 2", "3 and 4", "5 or 6"))

    def test_words_may_come_in_another_order_if_they_do_in_plain_runs(self) -> None:
        self.assertTrue(varies_as("{a, b, c}", "{b, a, c}", "{c, b, a}"))
        self.assertFalse(varies_as("{a, b, c}", "{a, b, c}", "{c, b, a}"))
        self.assertFalse(varies_as("{a, b, c}", "{b, a, c}", "{c, b, d}"))


if __name__ == "__main__":
    unittest.main()
