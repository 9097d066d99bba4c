"""zb span-logs: a span by its id, the beginning of it, or a test's id; what is below it; what it printed."""

from __future__ import annotations

import json
import re

import pytest

FOUND = "tests/test_api.py::TestGet::test_found"
CRASH = "tests/test_core.py::test_crash"


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def asked(place):
    """One test's lines of --json: the spans, then the log."""
    place.fill("mixed")
    found = lines(place.zb("span-logs", FOUND, "--json").stdout)
    return [line["span"] for line in found if "span" in line], [
        line["log"] for line in found if "log" in line
    ]


def test_what_was_recorded_hangs_below_the_part_that_it_began_in(asked):
    spans, log = asked
    told = [(span["depth"], span["type"], span["name"]) for span in spans]
    assert told == [
        (0, "test", FOUND), (1, "test.setup", ""), (2, "fixture", "client"), (3, "subproc", "café --version"),
        (1, "test.call", ""), (1, "test.teardown", ""),
    ]  # fmt: skip
    keys = {span["key"]: span for span in spans}
    assert len(keys) == len(spans)
    assert all(keys[span["parent"]]["depth"] == span["depth"] - 1 for span in spans if span["depth"])
    assert [record["text"] for record in log] == ["hello from stdout\nhello from stderr\n"]


def test_every_way_to_name_a_span_gives_the_same(place, asked):
    spans, _ = asked
    whole = place.zb("span-logs", FOUND).stdout
    assert "hello from stderr" in whole
    key = spans[0]["key"]
    shortest = next(key[:n] for n in range(1, 17) if place.zb("span-logs", key[:n]).returncode == 0)
    for name in (key, key[:8], key.upper(), shortest):
        assert place.zb("span-logs", "j1", name).stdout == whole
    assert [test["span"] for test in lines(place.zb("tests", "latest", "test_found", "--json").stdout)] == [
        key
    ]
    assert f"  {key[:8]}  {FOUND}\n" in place.zb("tests", "--spans").stdout
    record = next(
        record for record in lines(place.zb("logs", "--json").stdout) if record.get("test") == FOUND
    )
    assert record["span"] == key


def test_a_part_of_a_test_has_what_was_printed_meanwhile(place, asked):
    spans, _ = asked
    setup, client, child, call = spans[1], spans[2], spans[3], spans[4]
    assert "hello" in place.zb("span-logs", call["key"]).stdout
    for span, below in ((setup, 2), (client, 1), (child, 0)):
        rows = place.zb("span-logs", span["key"]).stdout.splitlines()
        assert len(rows) == 1 + below, rows
        assert "hello" not in "".join(rows)
    assert place.zb("span-logs", FOUND, "--raw").stdout == "hello from stdout\nhello from stderr\n"
    assert len(place.zb("span-logs", FOUND, "--depth=0", "--json").stdout.splitlines()) == 2


def test_a_job_tells_the_spans_of_its_failures(place):
    place.fill("mixed")
    text = place.zb("job").stdout
    shown = dict(re.findall(r"^  [A-Z]+ +(tests/\S+)\n.*\n.*, span ([0-9a-f]{8})$", text, re.M))
    assert len(shown) == 3
    assert place.zb("span-logs", shown[CRASH]).stdout == place.zb("span-logs", CRASH).stdout
    command = re.search(r"^(zb span-logs j1 \w+)  ", text, re.M)[1].split()[1:]
    assert "GET /x" in place.zb(*command).stdout


def test_mistakes_are_named(place):
    place.fill("mixed")
    assert (
        place.refused(2, "span-logs").splitlines()[0]
        == "zb span-logs: of which span? zb span-logs [JOB] SPAN"
    )
    assert place.refused(2, "span-logs", "a", "--depth=x").splitlines()[0] == (
        "zb span-logs: --depth is a whole number from 0 to 1000, not 'x'"
    )
    assert (
        place.refused(5, "span-logs", "f" * 16)
        == f"zb span-logs: the job has no span and no test '{'f' * 16}'"
    )
    assert place.refused(5, "span-logs", FOUND[:-1]).splitlines() == [
        f"zb span-logs: the job has no span and no test '{FOUND[:-1]}'", f"  did you mean {FOUND}",
    ]  # fmt: skip
    never = "tests/test_core.py::test_never_ran"
    assert (
        place.refused(5, "span-logs", never).splitlines()[0]
        == f"zb span-logs: the test '{never}' did not run"
    )
    several = [place.zb("span-logs", digit) for digit in "0123456789abcdef"]
    told = {done.stderr for done in several if done.returncode == 5 and "begins" in done.stderr}
    assert told
    assert all(
        re.fullmatch(r"zb span-logs: '.' begins the ids of \d+ spans: give more of it\n", t) for t in told
    )


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_rows_fit_the_terminal(place, columns):
    place.fill("mixed")
    text = place.on_terminal(columns, "span-logs", FOUND, "--color=never", "--no-pager")
    rows = text.split("\n\n")[0].splitlines()
    assert len(rows) == 6
    assert max(len(row) for row in rows) <= columns
    assert rows[0].endswith("test_found")


def test_a_job_in_place_of_a_span_is_noticed(place):
    place.fill("mixed")
    for job in ("j1", "latest", "@{-1}"):
        if job == "@{-1}":
            place.fill("mixed")
        assert place.refused(2, "span-logs", job) == (
            f"zb span-logs: '{job}' is a job; of which of its tests or spans? zb span-logs {job} SPAN"
        )
    assert re.fullmatch("zb span-logs: .*no job j9.*", place.refused(5, "span-logs", "j9"))
