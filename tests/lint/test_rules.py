"""The rules refuse what they are there to refuse.  (A rule that sees nothing is quiet too.)"""

from __future__ import annotations

import re
import tempfile
import unittest
from pathlib import Path

import layers
import length
import links
import schema
import words

OLD = schema.Entry(5, "x", (schema.Field("u64", "a", 10), schema.Field("str", "b", 5)))


class Layers(unittest.TestCase):
    def refused(self, here: str, quote: str, header: str) -> bool:
        return layers.problem_with(here, quote, header) is not None

    def test_cores_know_neither_each_other_nor_the_world(self) -> None:
        self.assertTrue(self.refused("coord/core", '"', "vassal/core/vassal.h"))
        self.assertTrue(self.refused("coord/core", '"', "shared/base/clock.h"))
        self.assertTrue(self.refused("vassal/core", "<", "sys/socket.h"))
        self.assertFalse(self.refused("coord/core", '"', "shared/wire/wire.h"))

    def test_a_foreign_library_has_one_door(self) -> None:
        self.assertTrue(self.refused("vassal/io", "<", "lmdb.h"))
        self.assertFalse(self.refused("shared/kv", "<", "lmdb.h"))

    def test_a_role_is_hosted_by_its_public_header_alone(self) -> None:
        self.assertFalse(self.refused("zb", '"', "store/store.h"))
        self.assertTrue(self.refused("zb", '"', "store/ledger.h"))


class Schema(unittest.TestCase):
    def broken(self, *fields: schema.Field) -> list[str]:
        return list(schema.broken(OLD, schema.Entry(5, "x", fields)))

    def test_fields_are_only_appended(self) -> None:
        added = schema.Field("u64", "c", 1)
        self.assertEqual(self.broken(*OLD.fields, added), [])
        self.assertIn("moved", self.broken(added, *OLD.fields)[0])
        self.assertIn("moved", self.broken(OLD.fields[0])[0])

    def test_limits_are_not_lowered(self) -> None:
        self.assertIn("lowered", self.broken(schema.Field("u64", "a", 9), OLD.fields[1])[0])

    def test_ids_are_unique_and_stay(self) -> None:
        self.assertEqual(len(list(schema.doubled([OLD, schema.Entry(5, "y", ())]))), 1)
        self.assertEqual(len(list(schema.broken(OLD, None))), 1)


class Others(unittest.TestCase):
    def test_long_functions_are_measured(self) -> None:
        c = ["int", "f(void)", "{", *["    ;"] * 59, "}"]
        self.assertEqual(list(length.c_functions(c)), [(3, 61)])
        self.assertEqual(list(length.python_functions("def f():\n" + "    f()\n" * 60)), [(1, 61)])

    def test_a_path_that_is_not_there_is_named(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            document = Path(folder, "README.md")
            document.write_text("see `docs/{here,gone}.md`, [that](there.md), [it](https://x.org)\n")
            Path(folder, "docs").mkdir()
            Path(folder, "docs/here.md").touch()
            found = " ".join(links.missing_paths(Path(folder), document))
        self.assertEqual(re.findall(r"[\w/]+\.md(?= does)", found), ["docs/gone.md", "there.md"])

    def test_paths_of_a_machine_and_notes_to_oneself_are_found(self) -> None:
        for text in ("cd /" + "work/x", "# TO" + "DO later"):
            self.assertTrue(any(re.search(word, text) for word in words.WORDS), text)
        self.assertFalse(any(re.search(word, "a/" + "work/b") for word in words.WORDS))


if __name__ == "__main__":
    unittest.main()
