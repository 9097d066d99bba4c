"""--dagz-follow: what tests print, on the terminal, with the worker in front of each line."""

from __future__ import annotations

import re
import time

import pytest
from conftest import check

pytestmark = pytest.mark.ways("dagz")

TALKERS = {
    "sub/test_a.py": """
        import pytest
        class TestTalk:
            def test_one(self): print("of one")
            @pytest.mark.parametrize("n", [1, 2])
            def test_many(self, n): print("of many", n)
        class TestTalkative:
            def test_other(self): print("of another")
        def test_bad():
            print("of a bad one")
            assert 0
    """
}


def followed(text: str) -> list[str]:
    """What was streamed, without its workers."""
    return [
        line.partition("] ")[2] for line in text.splitlines() if re.match(r"\[gw\d+\] (?!linux --)", line)
    ]


def test_a_line_is_seen_while_its_test_runs(suite, way):
    s = suite({
        "test_a.py": """
            import os, pathlib, time
            def test_waits():
                print("said before the end")
                end = time.monotonic() + 40
                while not pathlib.Path(os.environ["DZT_STATE"], "seen").exists():
                    assert time.monotonic() < end, "the line was not shown in time"
                    time.sleep(0.02)
        """
    })  # fmt: skip
    run = s.start("--dagz-follow=all")
    heard = []
    for line in iter(run.process.stdout.readline, b""):
        heard.append(line.decode())
        if "said before the end" in heard[-1]:
            (s.state / "seen").touch()
            break
    result = check(run.finish())
    assert result.code == 0 and followed("".join(heard)) == ["> test_a.py::test_waits", "said before the end"]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("all", {"of one", "of many 1", "of many 2", "of another", "of a bad one"}),
        ("sub/test_a.py::TestTalk::test_many[1]", {"of many 1"}),
        ("sub/test_a.py::TestTalk::test_many", {"of many 1", "of many 2"}),
        ("sub/test_a.py::TestTalk", {"of one", "of many 1", "of many 2"}),
        ("sub", {"of one", "of many 1", "of many 2", "of another", "of a bad one"}),
        ("failed", {"of a bad one"}),
    ],
)
def test_only_what_was_asked_for_is_followed(suite, way, what, said):
    result = check(suite(TALKERS).run(f"--dagz-follow={what}"))
    assert result.code == 1
    lines = followed(result.out)
    assert sorted(line for line in lines if line.startswith("of ")) == sorted(said)
    assert len([line for line in lines if line.startswith("> ")]) >= 1


def test_a_node_id_may_be_given_as_seen_from_below_the_root(suite, way):
    s = suite(TALKERS)
    result = check(s.run("test_a.py", "--dagz-follow=test_a.py::TestTalk::test_one", cwd=s.path / "sub"))
    assert followed(result.out) == ["> sub/test_a.py::TestTalk::test_one", "of one"]


def test_what_is_followed_is_shown_once_under_s(suite, way):
    result = check(suite(TALKERS).run("-s", "--dagz-follow=sub/test_a.py::TestTalk::test_one"))
    assert result.out.count("of one") == 1 and "] of one" in result.out
    assert result.out.count("of another") == 1 and "] of another" not in result.out


def test_lines_of_parallel_tests_stay_whole_and_move_no_cursor(suite, way):
    s = suite({
        "test_a.py": r"""
            import sys, pytest
            @pytest.mark.parametrize("n", range(8))
            def test_n(n):
                for part in ("\x1b[2K\x1b[31m", "10%\r", "100", "%", "\x1b[0m of ", str(n), "\n", "no end"):
                    sys.stdout.write(part)
                    sys.stdout.flush()
        """
    })  # fmt: skip
    result = check(s.run("--dagz-follow=all"))
    lines = [line for line in followed(result.out) if not line.startswith("> ")]
    assert sorted(lines) == sorted([*(f"100% of {n}" for n in range(8)), *["no end"] * 8])


def test_a_reader_who_is_too_slow_is_told_what_is_missing(suite, way):
    s = suite({
        "test_a.py": """
            import os, pathlib
            def test_much():
                for _ in range(120_000):
                    print("x" * 100)
                pathlib.Path(os.environ["DZT_STATE"], "said").touch()
            def test_next(): print("of the next")
        """
    })  # fmt: skip
    run = s.start("--dagz-follow=all", workers=1)
    end = time.monotonic() + 40
    while not (s.state / "said").exists() and time.monotonic() < end:
        time.sleep(0.02)
    result = check(run.finish())
    lines = followed(result.out)
    gaps = [i for i, x in enumerate(lines) if re.fullmatch(r"\[dagz: \d+ bytes are in 'zb logs' only\]", x)]
    assert result.code == 0 and gaps
    assert gaps[0] < lines.index("> test_a.py::test_next")
    assert len(lines) < 120_000


def test_a_name_that_no_test_has_is_told(suite, way):
    result = check(suite(TALKERS).run("--dagz-follow=test_nothing.py"))
    assert "dagz: --dagz-follow=test_nothing.py: no test of this run has that name" in result.out
    assert not followed(result.out)


@pytest.mark.parametrize("value", ["", " ", "a\nb"])
def test_a_value_that_names_nothing_is_refused(suite, way, value):
    result = check(suite(TALKERS).run(f"--dagz-follow={value}"))
    assert result.code == 4 and "dagz: --dagz-follow=" in result.err and len(result.outcomes) == 0


def test_what_an_agent_that_took_over_says_again_is_shown_once():
    from dagz.follow import Follower

    class Screen:
        markup = False

        def __init__(self):
            self.lines = []

        def line(self, text):
            self.lines.append(text)

    screen = Screen()
    follower = Follower(screen, "all")
    follower.heard(0, 7, 4, "a::t", b"one\n")
    follower.heard(0, 7, 9, "a::t", "h\u00e4l".encode()[:2])
    follower.heard(0, 7, 4, "a::t", b"one\n")
    follower.heard(0, 8, 4, "a::t", "h\u00e4lf\n".encode()[2:])
    assert screen.lines == ["[gw0] > a::t", "[gw0] one", "[gw0] h\u00e4lf"]
