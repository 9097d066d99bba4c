"""zb as a person uses it: what it prints of jobs, tests and logs."""

from __future__ import annotations

import json
import re
import select
import subprocess
import time

import pytest
from zb_place import FILL, TIMEOUT_S, ZB

# ---- the first minutes


def test_zb_alone_says_what_there_is(place):
    text = place.out()
    for command in ("init", "jobs", "job", "tests", "logs", "help", "version"):
        assert re.search(rf"^  {command} +\w", text, re.M)
    assert place.out("--help") == text


def test_before_the_first_job_the_next_steps_are_told(place):
    assert place.out("jobs").splitlines() == [
        "No job has run here yet.",
        "",
        "  zb init           name the project in .dagz/config.yaml (once, and commit it)",
        "  pytest --dagz     run the tests",
        "  zb job            then look at what happened",
    ]
    none = "no job has run yet: there is no store in HOME; 'pytest --dagz' makes the first"
    for command in ("job", "tests", "logs"):
        assert place.refused(5, command) == f"zb {command}: {none}"


def test_jobs_of_other_projects_are_mentioned(place):
    place.fill("passed")
    place.git("remote", "set-url", "origin", "other")
    assert place.out("jobs").splitlines()[-1] == (
        "This project is other; the store has jobs of others:  zb jobs --all"
    )
    assert "git@example.org:acme/shop.git" in place.out("jobs", "--all")
    assert place.refused(5, "job") == ("zb job: there is no job latest: this project (other) has none yet")


def test_init_writes_what_it_derived_and_nothing_twice(place):
    assert place.out("init").splitlines() == [
        "wrote     DIR/.dagz/config.yaml",
        "uri       git@example.org:acme/shop.git",
        "          from git's origin and the path in the worktree",
        "timezone  UTC",
        "          of this machine; it says when a day's first job is j1",
        "",
        "Commit the file, then:  pytest --dagz",
    ]
    config = place.dir / ".dagz/config.yaml"
    settings = [line.strip() for line in config.read_text().splitlines() if "#" not in line]
    assert settings == ["project:", "uri: git@example.org:acme/shop.git", "timezone: UTC"]
    config.write_text("project: {uri: mine}\n")
    assert place.refused(1, "init") == (
        "zb init: DIR/.dagz/config.yaml is there already; --force writes it anew"
    )
    assert config.read_text() == "project: {uri: mine}\n"
    place.out("init", "--force", "--uri=a name", "--timezone=Europe/Berlin")
    assert 'uri: "a name"' in config.read_text()
    assert "timezone: Europe/Berlin" in config.read_text()


def test_init_below_the_top_names_the_folder(place):
    below = place.dir / "services/api"
    below.mkdir(parents=True)
    assert "uri       git@example.org:acme/shop.git//services/api" in place.out("init", "-C", str(below))


def test_init_within_a_project_says_that_there_are_two_now(place):
    below = place.dir / "services"
    below.mkdir()
    place.out("init")
    assert place.out("init", "-C", str(below)).splitlines()[-2:] == [
        "Note: DIR/.dagz/config.yaml names the project around this folder, git@example.org:acme/shop.git.",
        "From now on this folder is a project of its own, with jobs of its own.",
    ]


def test_init_refuses_what_makes_no_sense(place):
    assert place.refused(2, "init", "--timezone=Mars") == (
        "zb init: there is no time zone 'Mars' (try Europe/Berlin or UTC)"
    )
    assert place.refused(2, "init", "--uri=") == "zb init: a project's name is one line of text"


# ---- what is printed


def test_jobs_are_lines_with_what_to_type_next(place):
    place.fill("passed", "mixed", "empty", "broken")
    assert place.out("jobs").splitlines() == [
        "job  when         verdict     tests                                     "
        "                                          time  commit    next",
        "j4   today HH:MM  broken off  2 not run                                 "
        "                                                HEX  zb job j4",
        "j3   today HH:MM  no tests    nothing collected                         "
        "                                        300 ms  HEX  zb job j3",
        "j2   today HH:MM  failed      1 failed, 1 crashed, 1 timed out, 3 ok, 1 flaky, "
        "1 skipped, 1 xfailed, 1 not run  6.20 s  HEX  zb tests j2 outcome:failed",
        "j1   today HH:MM  passed      3 ok                                      "
        "                                        1.50 s  HEX  zb job j1",
    ]
    assert len(place.out("jobs", "-n", "2").splitlines()) == 3


JOB = """\
j1  failed  in 6.20 s
  tests     1 failed, 1 crashed, 1 timed out, 3 ok, 1 flaky, 1 skipped, 1 xfailed, 1 not run
  started   today HH:MM (UTC)
  command   pytest --dagz --dagz-workers=2 tests
  commit    HEX
  versions  CPython 3.11.2, pytest 9.0.0, dagz 0.1.0
  where     DIR on HOST
  project   git@example.org:acme/shop.git
  id        ULID
  account   10 collected = 9 run + 0 redundant + 0 deselected + 1 not run; counted 10, duplicates 0, lost 0

Failures
  FAILED  tests/test_api.py::TestGet::test_missing
          tests/test_api.py:12: AssertionError: assert 404 == 200
          5.5 ms on jw0, span HEX
  CRASHED tests/test_core.py::test_crash
          killed by a signal: SIGSEGV
          12 ms on jw1, span HEX
  TIMEOUT tests/test_core.py::test_hang
          above its time limit of 5 s
          5.00 s on jw0, span HEX

Slowest
  5.00 s  jw0  tests/test_core.py::test_hang
   22 ms  jw0  tests/test_core.py::test_skipped
   18 ms  jw1  tests/test_core.py::test_known_bug
   14 ms  jw1  tests/test_core.py::test_flaky
   12 ms  jw1  tests/test_core.py::test_crash

Workers
  jw0  5 runs  busy 5.05 s  81 % of the job
  jw1  5 runs   busy 54 ms   1 % of the job

zb tests j1 outcome:failed --text   tracebacks
zb logs j1 --failed                 what those tests printed
zb span-logs j1 HEX            what the first was made of
"""


def test_a_job_is_told_on_one_screen(place):
    place.fill("mixed")
    assert place.out("job") == JOB
    assert place.out("job", "j1") == JOB


def test_exit_status_is_only_told_when_asked_for(place):
    place.fill("passed", "mixed")
    assert place.zb("job", "j2").returncode == 0
    assert place.zb("job", "j2", "--exit-status").returncode == 1
    assert place.zb("job", "j1", "--exit-status").returncode == 0


TESTS = """\
OK           3.5 ms  jw1   tests/test_api.py::TestGet::test_found
FAILED       5.5 ms  jw0   tests/test_api.py::TestGet::test_missing
         tests/test_api.py:12: AssertionError: assert 404 == 200
OK           7.5 ms  jw1   tests/test_api.py::test_status[200-ok]
OK           9.5 ms  jw0   tests/test_api.py::test_status[404-café]
CRASHED       12 ms  jw1   tests/test_core.py::test_crash
         killed by a signal: SIGSEGV
OK_FLAKY      14 ms  jw1   tests/test_core.py::test_flaky
TIMEOUT      5.00 s  jw0   tests/test_core.py::test_hang
         above its time limit of 5 s
XFAIL         18 ms  jw1   tests/test_core.py::test_known_bug
not run                    tests/test_core.py::test_never_ran
SKIPPED       22 ms  jw0   tests/test_core.py::test_skipped
"""


def test_tests_are_listed_with_the_first_line_of_failures(place):
    place.fill("mixed")
    assert place.out("tests") == TESTS


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (["outcome:failed"], ["TestGet::test_missing", "test_crash", "test_hang"]),
        (["outcome:crashed,timeout"], ["test_crash", "test_hang"]),
        (["outcome:flaky"], ["test_flaky"]),
        (["outcome:notrun"], ["test_never_ran"]),
        (["duration:>=1s"], ["test_hang"]),
        (["duration:<5ms"], ["TestGet::test_found"]),
        (["runs:>1"], ["test_flaky"]),
        (["module:api", "outcome:failed"], ["TestGet::test_missing"]),
        (["worker:jw0", "outcome:ok"], ["test_status[404-café]"]),
        (["worker:gw0", "outcome:ok"], ["test_status[404-café]"]),
        (["STATUS"], ["test_status[200-ok]", "test_status[404-café]"]),
        (["test_api", "not:TestGet", "not:outcome:failed"], ["test_status[200-ok]", "test_status[404-café]"]),
    ],
)
def test_queries_choose_tests(place, query, found):
    place.fill("mixed")
    lines = [json.loads(line) for line in place.out("tests", "latest", "--json", *query).splitlines()]
    assert [line["id"].split("::", 1)[1] for line in lines] == found


def test_queries_work_without_naming_a_job(place):
    place.fill("mixed")
    assert len(place.out("tests", "outcome:ok").splitlines()) == 4


def test_a_job_without_tests_is_said(place):
    place.fill("empty")
    assert place.refused(0, "tests") == "job j1 collected no tests"


def test_tests_can_be_sorted_and_limited(place):
    place.fill("mixed")
    assert "test_hang" in place.out("tests", "--sort=duration", "-n", "1").splitlines()[0]


def test_text_shows_the_whole_of_a_failure(place):
    place.fill("mixed")
    assert place.out("tests", "latest", "test_missing", "--text").splitlines() == [
        "FAILED       5.5 ms  jw0   tests/test_api.py::TestGet::test_missing",
        "         tests/test_api.py:12: AssertionError: assert 404 == 200",
        "         ",
        "             def test_missing(self):",
        "         >       assert get('/x') == 200",
        "         E       assert 404 == 200",
    ]


LOGS = """\
HH:MM:SS.mmm agent worker jw0 forked, pid 4242
HH:MM:SS.mmm jw1   > tests/test_api.py::TestGet::test_found
HH:MM:SS.mmm jw1   hello from stdout
HH:MM:SS.mmm jw1   hello from stderr
HH:MM:SS.mmm jw0   > tests/test_api.py::TestGet::test_missing
HH:MM:SS.mmm jw0   GET /x
HH:MM:SS.mmm jw0   half a line
HH:MM:SS.mmm jw0   progress 100%
HH:MM:SS.mmm jw1   > tests/test_core.py::test_crash
HH:MM:SS.mmm jw1   about to crash
HH:MM:SS.mmm agent worker jw1 killed by SIGSEGV
"""


def without_clock(text: str) -> list[str]:
    return [line.split(" ", 1)[1] for line in text.splitlines()]


def test_logs_are_merged_in_time_order(place):
    place.fill("mixed")
    assert place.out("logs") == LOGS


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        (["--worker=agent"], ["agent worker jw0 forked, pid 4242", "agent worker jw1 killed by SIGSEGV"]),
        (["--tail=2"], ["jw1   about to crash", "agent worker jw1 killed by SIGSEGV"]),
        (["--failed", "--worker=jw1"], ["jw1   > tests/test_core.py::test_crash", "jw1   about to crash"]),
        (
            ["--test=tests/test_api.py::TestGet", "--worker=jw1"],
            [
                "jw1   > tests/test_api.py::TestGet::test_found",
                "jw1   hello from stdout",
                "jw1   hello from stderr",
            ],
        ),
    ],
)
def test_logs_can_be_narrowed(place, options, lines):
    place.fill("mixed")
    assert without_clock(place.out("logs", *options)) == lines


def test_raw_logs_are_the_bytes_that_were_written(place):
    place.fill("mixed")
    argv = [ZB, "logs", "--raw", "--test=tests/test_api.py::TestGet::test_missing"]
    raw = subprocess.run(argv, cwd=place.dir, env=place.env, check=True, stdout=subprocess.PIPE).stdout
    assert raw == b"GET \x1b[31m/x\x1b[0m\nhalf a line\nprogress 1%\rprogress 100%\n"


def test_colours_of_tests_are_kept_where_colour_is_wanted(place):
    place.fill("mixed")
    assert "GET \x1b[31m/x\x1b[0m" in place.zb("logs", "--color=always").stdout
    assert "\x1b" not in place.zb("logs").stdout


def test_a_log_without_lines_says_so(place):
    place.fill("passed")
    assert place.refused(0, "logs") == "job j1 has no log"
    assert place.refused(0, "logs", "--worker=jw1") == "job j1 has no log that fits"


def test_a_worker_that_never_was_has_no_log_and_that_is_said(place):
    place.fill("mixed", "passed")
    for args in (["--worker=jw7"], ["--worker=n1.jw0"], ["--thread=jw7.t1"], ["--worker=jw7", "--json"]):
        name = args[0].partition("=")[2]
        assert place.refused(5, "logs", *args).startswith(
            f"zb logs: job j2 has no worker '{name}'; tests ran on jw0"
        )
    assert place.zb("logs", "j1", "--worker=n0.jw0").returncode == 0


def test_following_shows_new_lines_and_ends_with_the_job(place):
    writer = subprocess.Popen(
        [FILL, place.home, place.dir, "running"],
        env=place.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    assert len(writer.stdout.readline().strip()) == 26
    writer.stdin.write("first\n")
    assert writer.stdout.readline() == "stored\n"
    assert "running" in place.out("jobs")
    reader = subprocess.Popen(
        [ZB, "logs", "-f"], cwd=place.dir, env=place.env, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout.readline().endswith("> t.py::test_a\n")
    assert reader.stdout.readline().endswith("first\n")
    started = time.monotonic()
    writer.stdin.write("second\n")
    ready, _, _ = select.select([reader.stdout], [], [], TIMEOUT_S)
    assert ready and reader.stdout.readline().endswith("second\n")
    assert time.monotonic() - started < 5
    writer.stdin.close()
    assert writer.wait(TIMEOUT_S) == 0
    assert reader.wait(TIMEOUT_S) == 0
    assert reader.stdout.read() == ""


# ---- JSON


def test_json_of_a_job_holds_what_the_text_says(place):
    place.fill("mixed")
    job = json.loads(place.zb("job", "--json").stdout)
    assert (job["short_id"], job["verdict"], job["exit_code"]) == ("j1", "failed", 1)
    assert job["tests"] == {
        "OK": 3, "OK_FLAKY": 1, "FAILED": 1, "CRASHED": 1, "TIMEOUT": 1, "SKIPPED": 1, "XFAIL": 1,
        "XPASS": 0, "REDUNDANT": 0,
    }  # fmt: skip
    assert job["duration_us"] == 6200000
    assert [f["message"] for f in job["failures"]] == [
        "tests/test_api.py:12: AssertionError: assert 404 == 200",
        "killed by a signal: SIGSEGV",
        "above its time limit of 5 s",
    ]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", job["start"])


def test_json_of_nothing_is_an_empty_list(place):
    assert json.loads(place.zb("jobs", "--json").stdout) == {"schema": "zb.jobs/1", "jobs": []}
