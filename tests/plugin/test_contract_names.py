"""Odd node ids and equal ones reach reporters and the cache unchanged."""

from __future__ import annotations

import pytest

PLAIN = pytest.mark.ways("plain", "dagz")


@PLAIN
def test_odd_parameter_ids(suite, way):
    s = suite(
        {
            "pytest.ini": """
                [pytest]
                disable_test_id_escaping_and_forfeit_all_rights_to_community_support = true
            """,
            "test_odd.py": r"""
                import pytest
                ODD = ["grün", "漢字", "a b", "a::b", "a/b", "a\nb", "a\tb", "tab\\t", "[x]", "", "%s", "'\"", "-x",
                       "y" * 3000, "\x1b[31mred", "z\u0301", "\U0001f600"]
                # A long text is only an id if it is one by itself.
                @pytest.mark.parametrize("text", [pytest.param(text, id=text) for text in ODD])
                def test_odd(text): pass
            """,
        }
    )
    result = s.run()
    odd = ["grün", "漢字", "a b", "a::b", "a/b", "a\nb", "a\tb", "tab\\t", "[x]", "%s", "'\"", "-x"]
    odd += ["y" * 3000, "\x1b[31mred", "z\u0301", "\U0001f600"]
    assert result.code == 0 and result.counts == {"passed": 17}
    for text in odd:
        assert f"test_odd.py::test_odd[{text}]" in result.outcomes


@PLAIN
def test_escaped_ids_of_bytes_and_surrogates(suite, way):
    s = suite(
        {
            "test_odd.py": r"""
                import pytest
                @pytest.mark.parametrize("value", [b"\xff\x00", "\ud800", "\n", "\x00"])
                def test_odd(value): pass
            """
        }
    )
    result = s.run()
    assert result.code == 0
    assert set(result.outcomes) == {
        rf"test_odd.py::test_odd[{text}]" for text in (r"\xff\x00", r"\ud800", r"\n", r"\x00")
    }


@PLAIN
def test_an_id_with_an_unescaped_surrogate(suite, way):
    s = suite(
        {
            "conftest.py": r"""
                def pytest_itemcollected(item):
                    if item.name == "test_a": item._nodeid = item.nodeid + "-\udcff-end"
            """,
            "test_a.py": "def test_a(): pass\ndef test_b(): pass",
        }
    )
    result = s.run("-q", "-o", "junit_family=xunit2", env={"PYTHONIOENCODING": "utf-8:backslashreplace"})
    assert result.counts == {"passed": 2}
    assert "test_a.py::test_b" in result.outcomes and len(result.outcomes) == 2


@PLAIN
def test_a_file_name_with_blanks_and_letters(suite, way):
    s = suite({"dir with blank/test_größe.py": "def test_a(): pass", "pytest.ini": "[pytest]"})
    result = s.run()
    assert result.outcomes == {"dir with blank/test_größe.py::test_a": "passed"}


@PLAIN
@pytest.mark.smoke
def test_equal_node_ids_are_tests_of_their_own(suite, way):
    s = suite({"test_a.py": "def test_a(): pass\ndef test_b(): pass"})
    result = s.run("--keep-duplicates", "test_a.py", "test_a.py")
    assert result.code == 0 and result.counts == {"passed": 4}
    assert result.phases[("test_a.py::test_a", "call")] == "passed,passed"


@PLAIN
def test_equal_ids_of_a_custom_collector_keep_their_outcomes(suite, way):
    s = suite(
        {
            "conftest.py": """
                import pytest
                class Line(pytest.Item):
                    def __init__(self, *, ok, **kw):
                        super().__init__(**kw)
                        self.ok = ok
                    def runtest(self): assert self.ok
                    def repr_failure(self, info): return "the line is bad"
                class Lines(pytest.File):
                    def collect(self):
                        for line in self.path.read_text().split():
                            yield Line.from_parent(self, name="line", ok=line == "good")
                def pytest_collect_file(parent, file_path):
                    if file_path.suffix == ".lines":
                        return Lines.from_parent(parent, path=file_path)
            """,
            "some.lines": "good bad good good bad",
        }
    )
    result = s.run()
    assert result.code == 1 and result.counts == {"passed": 3, "failed": 2}
    assert result.phases[("some.lines::line", "call")] == "failed,failed,passed,passed,passed"
    assert "the line is bad" in result.out


@PLAIN
def test_the_cache_holds_node_ids(suite, way):
    s = suite({"test_a.py": "def test_a(): pass\ndef test_b(): assert 0"})
    s.run()
    ids = (s.path / ".pytest_cache/v/cache/nodeids").read_text()
    failed = (s.path / ".pytest_cache/v/cache/lastfailed").read_text()
    assert '"test_a.py::test_a"' in ids and '"test_a.py::test_b"' in ids
    assert '"test_a.py::test_b": true' in failed and "test_a.py::test_a" not in failed
