"""zb with names, words, stores and terminals that are not as it would like them."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import time

import pytest
from zb_place import TIMEOUT_S, ZB

# ---- names of jobs


def test_a_job_answers_to_all_its_names(place):
    place.fill("passed", "mixed")
    place.git("commit", "-q", "--allow-empty", "-m", "two")
    place.fill("passed")
    today = time.strftime("%Y-%m%d", time.gmtime())
    jobs = json.loads(place.zb("jobs", "--json").stdout)["jobs"]
    ids = [job["id"] for job in reversed(jobs)]
    names = {
        "j1": 0, "j2": 1, "J3": 2, "latest": 2, "@{-1}": 1, "@{-2}": 0, "HEAD": 2, "HEAD~1": 1,
        f"j{today}.2": 1, f"j{today[5:]}.3": 2, ids[0]: 0, ids[1].lower(): 1, ids[2][:24]: 2,
    }  # fmt: skip
    for name, index in names.items():
        assert json.loads(place.zb("job", name, "--json").stdout)["id"] == ids[index], name


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("j9", "there is no job j9: the last one today was number 1"),
        ("j1345.1", "there is no job j1345.1: no such date"),
        ("@{-4}", "there is no job @{-4}: this project has 1"),
        ("lates", "'lates' is not the name of a job; did you mean 'latest'?"),
        (
            "feature",
            "'feature' is not the name of a job and git knows no such revision (see 'zb help names')",
        ),
        (
            "01ZZZZ",
            "no job's long id begins with '01ZZZZ' and git knows no such revision (see 'zb help names')",
        ),
    ],
)
def test_a_wrong_job_is_one_clear_line(place, name, complaint):
    place.fill("passed")
    assert place.refused(5, "job", name) == f"zb job: {complaint}"


def test_a_commit_without_a_job_is_said(place):
    place.fill("passed")
    place.git("commit", "-q", "--allow-empty", "-m", "two")
    assert place.refused(5, "job", "HEAD") == "zb job: no job ran at commit HEX"


def test_a_folder_below_the_project_finds_its_jobs(place):
    place.fill("passed")
    below = place.dir / "tests/unit"
    below.mkdir(parents=True)
    done = place.zb("job", cwd=below)
    assert done.stdout.startswith("j1  passed")
    assert place.out("job", "-C", str(below)).startswith("j1  passed")
    assert place.out("-C", str(below), "job").startswith("j1  passed")


# ---- mistakes


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["jbos"], "zb: there is no command 'jbos'; did you mean 'jobs'?"),
        (["coverage"], "zb: there is no command 'coverage'; 'zb help' lists them"),
        (["help", "quary"], "zb help: there is no help on 'quary'; did you mean 'query'?"),
        (["help", "weather"], "zb help: there is no help on 'weather'; 'zb help' lists what there is"),
        (["daemon", "start"], "zb daemon: knows up, down, status and logs, not 'start'"),
        (
            ["completion", "bash", "--json"],
            "zb completion: there is no option --json; see 'zb help completion'",
        ),
        (["-x"], "zb: there is no option '-x'; see 'zb help'"),
        (["-C"], "zb: which command? 'zb help' lists them"),
        (["--json"], "zb: which command? 'zb help' lists them"),
        (["--url=http://localhost:29111"], "zb: which command? 'zb help' lists them"),
        (["--urls=x"], "zb: there is no option '--urls=x'; see 'zb help'"),
        (["jobs", "extra"], "zb jobs: takes no 'extra'; see 'zb help jobs'"),
        (["jobs", "-n", "none"], "zb jobs: --number is a whole number from 1, not 'none'"),
        (["jobs", "-an"], "zb jobs: --number wants a value: --number=N"),
        (["jobs", "--number"], "zb jobs: --number wants a value: --number=N"),
        (["jobs", "--colour"], "zb jobs: there is no option --colour; did you mean --color?"),
        (["--jsno", "jobs"], "zb jobs: there is no option --jsno; did you mean --json?"),
        (["jobs", "--zzzzzz"], "zb jobs: there is no option --zzzzzz; see 'zb help jobs'"),
        (["jobs", "-aZ"], "zb jobs: there is no option -Z; see 'zb help jobs'"),
        (["jobs", "--n=3"], "zb jobs: --n is short for --number and for --no-pager"),
        (["jobs", "--json=yes"], "zb jobs: --json takes no value, such as 'yes'"),
        (["jobs", "--color=red"], "zb jobs: --color is auto, always or never, not 'red'"),
        (["jobs", "--url=shop"], "zb jobs: --url: 'shop' does not begin with http:// or https://"),
        (["ci", "env", "x"], "zb ci: takes no 'x'; see 'zb help ci'"),
        (["daemon", "down", "--bg"], "zb daemon: --bg and --restart are for 'up', not for 'down'"),
        (["tests", "latest", "outcom:ok"], "zb tests: queries know no 'outcom:'; did you mean 'outcome:'?"),
        (["tests", "not:module:"], "zb tests: nothing stands behind 'not:module:' (see 'zb help query')"),
        (["tests", "outcome:fialed"], "zb tests: no outcome is called 'fialed'; did you mean 'failed'?"),
        (
            ["tests", "duration:long"],
            "zb tests: 'long' is not a comparison such as >1s, <=20ms or 3",
        ),
        (["tests", "duration:>3x"], "zb tests: '>3x' has an unknown unit: us, ms, s, m, h"),
        (["tests", "latest", "worker:w0"], "zb tests: 'w0' is not a worker such as jw0, gw0 or n2.jw0"),
        (["logs", "--worker=w0"], "zb logs: 'w0' is not a worker such as jw0 (or 'agent')"),
        (["logs", "--thread=jw0"], "zb logs: 'jw0' is not a thread such as jw0.t12"),
        (["logs", "--since=noon"], "zb logs: 'noon' is not a time such as 10m, 14:03 or 2026-11-21T14:03"),
        (
            ["logs", "--tail=0"],
            "zb logs: --tail is a whole number from 1 to 1000000, not '0'",
        ),
    ],
)
def test_usage_errors_name_what_is_wrong(place, args, complaint):
    place.fill("mixed")
    assert place.refused(2, *args) == complaint


def test_a_mistyped_test_is_answered_with_near_ones(place):
    place.fill("mixed")
    assert place.refused(5, "logs", "--test=test_status").splitlines() == [
        "zb logs: the job has no test 'test_status'",
        "  did you mean tests/test_api.py::test_status[200-ok]",
        "  did you mean tests/test_api.py::test_status[404-café]",
    ]
    slip = "tests/test_api.py::TestGte::test_found"
    assert place.refused(5, "logs", f"--test={slip}").splitlines()[1] == (
        "  did you mean tests/test_api.py::TestGet::test_found"
    )
    assert place.zb("tests", "latest", slip).stderr.splitlines()[1] == (
        "  did you mean tests/test_api.py::TestGet::test_found"
    )
    assert place.refused(5, "logs", "--test=nowhere") == "zb logs: the job has no test 'nowhere'"
    assert (
        place.refused(5, "tests", "test_api").splitlines()[1] == "  did you mean zb tests latest 'test_api'?"
    )
    assert place.refused(5, "tests", "outcme:failed").splitlines()[1] == (
        "  and queries know no 'outcme:'; did you mean 'outcome:'?"
    )


def test_a_broken_config_file_is_named_with_its_line(place):
    place.fill("passed")
    (place.dir / ".dagz").mkdir()
    (place.dir / ".dagz/config.yaml").write_text("project:\n  ulr: x\n")
    assert place.refused(2, "jobs") == (
        "zb jobs: DIR/.dagz/config.yaml:2:3: unknown key 'project.ulr'; did you mean 'project.uri'?"
    )


def test_a_folder_that_is_not_there_is_named(place):
    assert place.refused(5, "jobs", "-C", "/no/such") == "zb jobs: there is no folder '/no/such'"


def test_a_damaged_store_is_one_line_and_left_alone(place):
    place.fill("passed")
    data = place.home / "local.env/store/data.mdb"
    size = data.stat().st_size
    with data.open("r+b") as file:
        file.write(b"#" * 8192)
    assert "is damaged" in place.refused(3, "jobs")
    assert data.stat().st_size == size
    with data.open("r+b") as file:
        file.truncate(5000)
    assert place.zb("jobs").returncode == 3


def test_a_store_of_a_newer_version_is_named(place):
    place.fill("passed")
    place.fill("newer")
    assert place.refused(6, "jobs") == (
        "zb jobs: 'HOME/local.env/store' was written by a newer dagz (its format is 99, ours 3)"
    )


def test_damage_where_no_check_looks_is_no_crash(place):
    """Any bytes of the file may be wrong: one line and a code, never a signal."""
    place.fill("mixed")
    data = place.home / "local.env/store/data.mdb"
    good = data.read_bytes()
    codes = set()
    for at in range(0, len(good), 4096 * 3 + 17):
        bad = bytearray(good)
        bad[at : at + 24] = bytes((at * 7 + i * 31) % 256 for i in range(24))
        data.write_bytes(bad)
        for command in ("jobs", "job", "tests", "logs"):
            code = place.zb(command).returncode
            assert code >= 0, (command, at)
            codes.add(code)
    assert codes <= {0, 3, 5, 6}


def test_a_store_with_a_page_of_something_else_is_not_called_sound(place):
    """LMDB walks through such a page as if it were one of its own."""
    place.fill("mixed")
    data = place.home / "local.env/store/data.mdb"
    good = data.read_bytes()
    missed, seen = [], 0
    for page in (3, 5, 8):
        for seed in (8, 9, 11):
            other = random.Random(page * 1000 + seed).randbytes(4096)
            data.write_bytes(good[: page * 4096] + other + good[(page + 1) * 4096 :])
            if "does not match its checksum" in place.zb("jobs").stderr:
                seen += 1
                missed += [(page, seed)] if place.zb("doctor", "--store").returncode != 1 else []
    assert seen > 0 and missed == []


def test_a_store_whose_tables_have_lost_their_names_is_not_called_absent(place):
    """The page that names them holds something else: there seem to be no tables, as in a new store."""
    place.fill("mixed")
    data = place.home / "local.env/store/data.mdb"
    good = data.read_bytes()
    for page, seed in itertools.product(range(2, len(good) // 4096), (0, 2)):
        other = random.Random(page * 1000 + seed).randbytes(4096)
        data.write_bytes(good[: page * 4096] + other + good[(page + 1) * 4096 :])
        assert "none yet" not in place.zb("doctor", "--store").stdout, (page, seed)
        assert "No job has run here" not in place.zb("jobs").stdout, (page, seed)


def test_a_home_that_is_a_file_is_named(place):
    place.home.write_text("")
    for home in ("HOME", "HOME/below"):
        path = home.replace("HOME", str(place.home))
        assert place.refused(3, "jobs", DAGZ_HOME=path) == f"zb jobs: DAGZ_HOME: '{home}' is not a folder"


def test_a_data_dir_that_is_a_file_is_not_an_empty_store(place):
    settings = place.home / "local.env/daemon.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text("data_dir: data\n")
    (settings.parent / "data").write_text("")
    said = place.refused(3, "jobs")
    assert said == "zb jobs: HOME/local.env/daemon.yaml:1:11: open 'HOME/local.env/data': Not a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_store_is_not_allowed(place):
    place.fill("passed")
    store = place.home / "local.env/store"
    store.chmod(0)
    try:
        assert "Permission denied" in place.refused(4, "jobs")
    finally:
        store.chmod(0o700)


# ---- terminals


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("command", ["jobs", "job", "tests"])
def test_nothing_is_wider_than_the_terminal(place, columns, command):
    place.fill("passed", "mixed", "empty", "broken")
    text = place.on_terminal(columns, command, *(["j2"] if command != "jobs" else []), NO_COLOR="1")
    commands_to_copy = [line for line in text.splitlines() if line.startswith("zb ")]
    for line in text.splitlines():
        if line not in commands_to_copy:
            assert len(line) <= columns, line


def test_a_verdict_is_folded_on_a_narrow_terminal(place):
    place.fill("mixed", "broken")
    assert place.on_terminal(40, "watch", "j1", NO_COLOR="1").splitlines()[-4:] == [
        "j1  failed  1 failed, 1 crashed, 1 timed",
        "            out, 3 ok, 1 flaky, 1",
        "            skipped, 1 xfailed, 1 not",
        "            run in 6.20 s",
    ]
    assert place.zb("wait", "j2").stdout == "j2  broken off  2 not run\n"


def test_a_spool_that_is_not_there_makes_no_store(place):
    assert place.refused(5, "push", "/no/spool") == "zb push: '/no/spool' is not there"
    assert not place.home.exists()


def test_a_narrow_terminal_keeps_what_matters(place):
    place.fill("passed", "mixed")
    assert place.on_terminal(40, "jobs", NO_COLOR="1").splitlines() == [
        "job  verdict  tests",
        "j2   failed   1 failed, 1 crashed, 1 ...",
        "j1   passed   3 ok",
    ]
    assert place.on_terminal(40, "tests", "j2", "outcome:failed", NO_COLOR="1").splitlines() == [
        "FAILED   ...pi.py::TestGet::test_missing",
        "         tests/test_api.py:12: Assert...",
        "CRASHED  tests/test_core.py::test_crash",
        "         killed by a signal: SIGSEGV",
        "TIMEOUT  tests/test_core.py::test_hang",
        "         above its time limit of 5 s",
        "3 of 10 tests",
    ]


def test_colour_follows_option_environment_and_terminal(place):
    place.fill("mixed")
    assert "\x1b[31mfailed\x1b[0m" in place.on_terminal(80, "jobs")
    assert "\x1b" not in place.on_terminal(80, "jobs", NO_COLOR="1")
    assert "\x1b" not in place.on_terminal(80, "jobs", TERM="dumb")
    assert "\x1b" not in place.on_terminal(80, "jobs", "--color=never")
    assert "\x1b" in place.on_terminal(80, "jobs", "--color=always", NO_COLOR="1")
    assert "\x1b" in place.zb("jobs", "--color=always").stdout
    assert "\x1b" in place.zb("jobs", FORCE_COLOR="1").stdout
    assert "\x1b" not in place.zb("jobs").stdout


def test_a_reader_that_leaves_early_is_no_error(place):
    place.fill("big 20000 4096")
    shell = f"'{ZB}' tests | head -n 1; echo \"${{PIPESTATUS[0]}}\""
    done = subprocess.run(
        ["bash", "-c", shell], cwd=place.dir, env=place.env, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[1] in ("0", "141")


def test_what_is_no_archive_of_spools_is_one_line(place):
    (place.dir / "spool.tar").write_text("no archive\n" * 100)
    assert (
        place.refused(5, "push", "spool.tar") == "zb push: 'spool.tar' is no spool, and tar cannot unpack it"
    )


TOLD = [
    ["help"],
    *(
        ["help", topic]
        for topic in ("names", "query", "environment", "exit-codes", "logs", "daemon", "export")
    ),
]


@pytest.mark.parametrize("columns", [40, 80])
def test_help_is_no_wider_than_the_terminal(place, columns):
    """And says there what it says where there is room, word for word."""
    for command in [*TOLD, ["init", "--force"]]:
        text = place.on_terminal(columns, *command, NO_COLOR="1")
        wide = place.on_terminal(300, *command, NO_COLOR="1")
        assert text.split() == wide.split()
        for line in text.splitlines():
            assert len(line) <= columns or line.startswith(("wrote ", "uri ")), line  # a name is not cut
    assert place.on_terminal(40, "help", "query", NO_COLOR="1").splitlines()[:5] == [
        "All terms must hold; not: in front turns",
        "one round.",
        "",
        "  text              the node id has this",
        "                    text, in either case",
    ]
    assert "  -F, --failed\n      only of tests that failed\n" in place.on_terminal(
        40, "help", "logs", NO_COLOR="1"
    )
