"""A real run, and what zb then says of it: from the test's own words to the line on the terminal."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from lab import Lab
from zb_place import TIMEOUT_S, ZB, on_terminal

FILES = {
    "tests/test_shop.py": """
        import ctypes, os, sys
        import pytest

        def test_sells():
            print("to stdout")
            print("to stderr", file=sys.stderr)
            os.write(1, b"from below\\n")

        def test_refuses():
            print("just before")
            assert {"price": 1} == {"price": 2}

        @pytest.fixture
        def till():
            raise RuntimeError("the till is empty\\nand a second line")

        def test_counts(till):
            pass

        @pytest.mark.skip(reason="closed on Sundays")
        def test_sunday():
            pass

        @pytest.mark.parametrize("name", ["a b", "\\u00fc"])
        def test_names(name):
            pass

        def test_burns():
            ctypes.string_at(0)
    """,
}


class Shop:
    def __init__(self, tmp_path, *args: str, more: dict[str, str] | None = None) -> None:
        self.project = Lab(tmp_path).project(FILES | (more or {}))
        self.result = self.project.run("dagz", *args)

    def zb(self, *args: str) -> str:
        done = subprocess.run(
            [ZB, *args],
            cwd=self.project.path,
            env=self.result.env,
            check=True,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        return done.stdout

    def tests(self, *query: str) -> dict[str, dict]:
        rows = [json.loads(line) for line in self.zb("tests", "latest", "--json", *query).splitlines()]
        return {row["id"].removeprefix("tests/test_shop.py::"): row for row in rows}


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


def test_the_run_names_the_job_that_zb_shows(shop):
    assert shop.result.code == 1, shop.result
    job = json.loads(shop.zb("job", "--json"))
    assert (job["short_id"], job["state"], job["verdict"], job["exit_code"]) == ("j1", "sealed", "failed", 1)
    assert (job["collected"], job["counted"], job["not_run"], job["ledger_wrong"]) == (7, 7, 0, False)
    assert "job j1" in shop.result.out


def check_never_begun(shop: Shop, said: str) -> None:
    assert (shop.result.code, said in shop.result.err) == (4, True), shop.result
    job = json.loads(shop.zb("job", "--json"))
    assert (job["state"], job["verdict"], job["exit_code"]) == ("sealed", "failed", 4)


def test_a_wrong_argument_ends_its_job(tmp_path):
    check_never_begun(Shop(tmp_path, "--nope"), "unrecognized arguments: --nope")


@pytest.mark.parametrize("fork", ["auto", "before-conftests"])
def test_a_broken_conftest_ends_its_job(tmp_path, fork):
    broken = {"conftest.py": "raise ValueError('conftest broke')"}
    check_never_begun(Shop(tmp_path, f"--override-ini=dagz_fork={fork}", more=broken), "conftest broke")


def test_every_test_has_its_verdict(shop):
    assert {name: row["outcome"] for name, row in shop.tests().items()} == {
        "test_sells": "OK",
        "test_refuses": "FAILED",
        "test_counts": "FAILED",
        "test_sunday": "SKIPPED",
        "test_names[a b]": "OK",
        "test_names[\\xfc]": "OK",
        "test_burns": "CRASHED",
    }


def test_failures_say_where_and_why_in_one_line(shop):
    said = {name: row["message"] for name, row in shop.tests("outcome:failed").items()}
    assert said["test_refuses"].startswith("tests/test_shop.py:11: AssertionError: assert {'price': 1} ==")
    assert said["test_counts"] == "tests/test_shop.py:15: RuntimeError: the till is empty (setup)"
    assert "SIGSEGV" in said["test_burns"]


def test_the_whole_of_a_failure_is_kept(shop):
    texts = {name: row.get("text", "") for name, row in shop.tests("--text").items()}
    assert "E       AssertionError: assert {'price': 1} == {'price': 2}" in texts["test_refuses"]
    assert "and a second line" in texts["test_counts"]
    assert "test_burns" in texts["test_burns"]
    assert texts["test_sunday"] == "tests/test_shop.py:20: closed on Sundays"
    assert texts["test_sells"] == ""


def test_a_crash_shows_its_signal_and_its_strikes(shop):
    row = shop.tests()["test_burns"]
    assert (row["signal"], row["runs"], row["attempts"]) == (11, 3, 1)


def test_output_is_in_the_log_in_the_order_in_which_it_was_written(shop):
    text = shop.zb("logs", "--test=tests/test_shop.py::test_sells", "--raw")
    assert text == "to stdout\nto stderr\nfrom below\n"
    assert "just before" in shop.zb("logs", "--failed")


def test_the_agent_tells_what_it_did(shop):
    notes = shop.zb("logs", "--worker=agent")
    assert "fork" in notes
    assert "SIGSEGV" in notes


def test_the_agent_names_workers_as_zb_does(shop):
    notes = shop.zb("logs", "--worker=agent").splitlines()
    own = [note for note in notes if re.search("agent (plan|steal|worker|fork|progress)", note)]
    assert own and all(re.search(r"\bjw\d", note) for note in own if "zygote" not in note)
    assert not any(re.search(r"\bgw\d", note) for note in own)


def test_the_next_run_is_the_next_job(shop):
    before = json.loads(shop.zb("jobs", "--json"))["jobs"]
    again = shop.project.run("dagz", "-k", "names", env={"DAGZ_HOME": shop.result.env["DAGZ_HOME"]})
    assert again.code == 0, again
    jobs = json.loads(shop.zb("jobs", "--json"))["jobs"]
    assert [job["short_id"] for job in jobs] == ["j2", "j1"]
    assert jobs[1:] == before
    assert (jobs[0]["verdict"], jobs[0]["deselected"]) == ("passed", 5)


def test_the_plan_is_held_against_what_became_of_it(tmp_path):
    """The first run knows nothing, the next one what the first one took."""
    slow = (
        "import time, pytest\n@pytest.mark.parametrize('n', range(12))\ndef test_slow(n): time.sleep(0.05)\n"
    )
    project = Lab(tmp_path).project({"test_slow.py": slow})
    jobs = []
    for _ in range(2):
        result = project.run("dagz", "--dagz-workers=2", env={"DAGZ_HOME": str(tmp_path / "home")})
        asked = [ZB, "job", "latest"]
        place = {"cwd": project.path, "env": result.env, "check": True, "text": True, "timeout": TIMEOUT_S}
        text = subprocess.run(asked, capture_output=True, **place).stdout
        document = subprocess.run([*asked, "--json"], capture_output=True, **place).stdout
        jobs.append((text, json.loads(document)))
    (first, first_doc), (second, second_doc) = jobs
    assert "expected  no earlier run tells" in first and first_doc["plan"]["known"] == 0
    plan = second_doc["plan"]
    assert (plan["tests"], plan["known"]) == (12, 12)
    assert plan["work_us"] >= 12 * 50_000 and 50_000 <= plan["longest_us"] < plan["work_us"]
    assert "on 2 workers; 12 of 12 known" in second
    assert all(lane["first"] < lane["last"] for lane in second_doc["by_worker"])
    assert "workers busy" in second
    narrow = on_terminal(40, ["job", "latest"], project.path, result.env | {"ZB_PAGER": "cat"})
    assert "12 of 12 known" in " ".join(narrow.split())
    assert max(map(len, narrow.partition("Plan")[2].partition("zb tests")[0].splitlines())) <= 40
