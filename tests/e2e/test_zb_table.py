"""What comes from zb's table of commands: help, schemas, manual pages, completion, documentation."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
from zb_place import FILL, ROOT, TIMEOUT_S, ZB

COMMANDS = json.loads(subprocess.run([ZB, "help", "--json"], capture_output=True, check=True).stdout)[
    "commands"
]
NAMES = [command["name"] for command in COMMANDS]
WITH_SCHEMA = [command["name"] for command in COMMANDS if "json_schema" in command]
# arguments that make a command print its JSON, in a home with the jobs of `filled`
ASKED = {
    "init": [],
    "jobs": [],
    "job": ["j1"],
    "tests": ["j1", "--text"],
    "logs": ["j1"],
    "span-logs": ["j1", "tests/test_api.py::TestGet::test_missing"],
    "watch": ["j1"],
    "wait": ["j2"],
    "export": ["j1"],
    "doctor": [],
    "ci": ["env"],
    "daemon": ["status"],
    "help": [],
    "version": [],
}


def closed(schema: object) -> object:
    """The schema, but refusing fields that it does not name: files are open, what we write is not."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if "properties" in schema and isinstance(schema["properties"], dict) and schema.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made


# zb push wants a spool, which takes a server: test_sync.py
@pytest.mark.parametrize("name", [name for name in WITH_SCHEMA if name != "push"])
def test_what_json_writes_is_what_its_schema_says(place, name):
    assert name in ASKED, "say in ASKED how this command is made to print"
    place.fill("mixed", "passed")
    schema = json.loads(place.zb("help", "--schema", name).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    command = next(c for c in COMMANDS if c["name"] == name)
    done = place.zb(name, *ASKED[name], "--json")
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert documents, done.stderr
    assert command["json_stream"] or len(documents) == 1
    for document in documents:
        assert document["schema"] == command["json_schema"]
        jsonschema.validate(document, closed(schema))


def test_all_commands_but_completion_have_json_and_some_stream_it():
    assert set(NAMES) - set(WITH_SCHEMA) == {"completion"}
    assert all(f"zb.{c['name']}/1" == c["json_schema"] for c in COMMANDS if "json_schema" in c)
    assert {c["name"] for c in COMMANDS if c["json_stream"]} == {
        "tests",
        "logs",
        "span-logs",
        "watch",
        "push",
    }


def test_a_schema_is_refused_where_there_is_none(place):
    assert place.refused(5, "help", "--schema", "completion") == "zb help: 'zb completion' writes no JSON"
    assert place.refused(2, "help", "--schema") == "zb help: of which command? zb help --schema COMMAND"


@pytest.mark.parametrize("name", NAMES)
def test_help_and_manual_tell_every_option(place, name):
    text, page = place.out("help", name), place.out("help", "--man", name)
    assert text == place.out(name, "--help")
    assert page.startswith(f".TH ZB-{name.upper()} 1 ")
    for option in next(c for c in COMMANDS if c["name"] == name)["options"]:
        assert f"--{option['name']}" in text
        assert "\\-\\-" + option["name"].replace("-", "\\-") in page
    assert not [line for line in text.splitlines() if len(line) > 100]


def test_manual_pages_are_good_roff(place, tmp_path):
    groff = shutil.which("groff")
    for name in [None, *NAMES]:
        page = place.out("help", "--man", *([name] if name else []))
        assert re.findall(r"^\.SH (.*)$", page, re.M)[:2] == ["NAME", "SYNOPSIS"]
        if groff:
            done = subprocess.run(
                [groff, "-man", "-Tutf8", "-ww"],
                input=page,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
            )
            assert done.stderr == "", name


def test_the_documentation_has_the_table(place):
    table = place.zb("help", "--markdown").stdout
    assert table in (ROOT / "docs/user/zb.md").read_text(), "run: zb help --markdown, and put it there"


# ---- completion


def complete(place, words: list[str]) -> list[str]:
    script = place.zb("completion", "bash").stdout + (
        f"\nCOMP_WORDS=({' '.join(words) or ''})\nCOMP_CWORD={len(words) - 1}\n_zb\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    )
    env = place.env | {"PATH": f"{ZB.parent}:{place.env['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=env,
        cwd=place.dir,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_options_and_jobs(place):
    place.fill("passed", "mixed")
    assert complete(place, ["zb", "jo"]) == ["jobs", "job"]
    assert complete(place, ["zb", "logs", "--fo"]) == ["--follow"]
    assert complete(place, ["zb", "logs", "--no"]) == ["--no-pager"]
    assert complete(place, ["zb", "job", "j"]) == ["j2", "j1"]
    assert complete(place, ["zb", "job", "la"]) == ["latest"]
    assert complete(place, ["zb", "completion", "f"]) == ["fish"]
    assert "exit-codes" in complete(place, ["zb", "help", "ex"])
    assert complete(place, ["zb", "daemon", "st"]) == ["status"]
    assert complete(place, ["zb", "export", "-f", "j"]) == ["junit", "json"]
    assert complete(place, ["zb", "export", "--format", "=", "j"]) == ["junit", "json"]
    assert complete(place, ["zb", "tests", "--sort", "="]) == ["id", "duration", "start"]
    assert complete(place, ["zb", "tests", "j1", "outc"]) == ["outcome:"]
    assert complete(place, ["zb", "logs", "-w", "j"]) == []


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")
@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("zb jo", ["job", "jobs"]),
        ("zb job ", ["j1", "j2", "latest"]),
        ("zb daemon s", ["status"]),
        ("zb export -f j", ["json", "junit"]),
        ("zb tests j1 outc", ["outcome:"]),
        ("zb help ex", ["exit-codes", "export"]),
    ],
)
def test_fish_completes_the_same(place, line, wanted):
    place.fill("passed", "mixed")
    (place.dir / "zb.fish").write_text(place.zb("completion", "fish").stdout)
    env = place.env | {"PATH": f"{ZB.parent}:{place.env['PATH']}"}
    argv = ["fish", "--no-config", "-c", f"source zb.fish; complete -C '{line}'"]
    done = subprocess.run(argv, env=env, cwd=place.dir, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert (done.stderr, sorted(row.split("\t")[0] for row in done.stdout.splitlines())) == ("", wanted)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_read_by_their_shell(place, shell):
    script = place.out("completion", shell)
    assert all(name in script for name in NAMES)
    program = shutil.which(shell)
    if not program:
        pytest.skip(f"no {shell} here")
    done = subprocess.run([program, "-n"], input=script, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_shell_is_refused(place):
    assert place.refused(2, "completion", "tcsh").splitlines()[0] == (
        "zb completion: a script for bash, zsh or fish, not for 'tcsh'"
    )
    assert place.refused(2, "completion").splitlines()[0] == (
        "zb completion: of which shell? bash, zsh or fish"
    )


# ---- pager and colours


def test_long_output_goes_through_the_pager_on_a_terminal_only(place):
    place.fill("mixed")
    paged = {"ZB_PAGER": "sed s/^/P:/"}
    assert place.on_terminal(80, "job", **paged).startswith("P:\x1b[1mj1")
    assert "P:10 of 10 tests" in place.on_terminal(80, "tests", **paged)  # messages come last, too
    assert place.on_terminal(80, "job", "--no-pager", **paged).startswith("\x1b[1mj1")
    assert place.on_terminal(80, "job", **paged, TERM="dumb").startswith("j1")
    assert place.on_terminal(80, "version", **paged).startswith("zb ")
    assert place.on_terminal(80, "job", "--json", **paged).startswith('{"schema"')
    assert place.zb("job", **paged).stdout.startswith("j1")
    assert place.on_terminal(80, "logs", **paged).startswith("P:")
    assert "P:" not in place.on_terminal(80, "logs", "-f", **paged)
    assert "P:usage: zb job" in place.on_terminal(80, "job", "--help", **paged)


def test_pager_variables_are_looked_at_in_order(place):
    place.fill("passed")
    unset = {"ZB_PAGER": ""}
    del place.env["ZB_PAGER"]
    assert place.on_terminal(80, "jobs", PAGER="sed s/^/Q:/").startswith("Q:")
    assert place.on_terminal(80, "jobs", PAGER="sed s/^/Q:/", **unset).startswith("\x1b[2mjob")
    assert place.on_terminal(80, "jobs", PAGER="echo $LESS $LV;:").startswith("FRX -c")


@pytest.mark.parametrize("pager", ["no-such-pager -x", "/nowhere/less", "/tmp"])
def test_a_pager_that_is_not_there_hides_nothing(place, pager):
    place.fill("passed")
    assert place.on_terminal(80, "jobs", ZB_PAGER=pager).startswith("\x1b[2mjob")


def test_color_may_stand_alone(place):
    place.fill("passed")
    assert "\x1b[" in place.zb("jobs", "--color").stdout
    assert "\x1b[" not in place.on_terminal(80, "jobs", "--color=never")
    assert "\x1b[" not in place.on_terminal(80, "jobs", NO_COLOR="1")


def test_a_reader_that_leaves_is_no_error(place):
    place.fill("big 3000")
    done = subprocess.run(
        ["bash", "-c", f"{ZB} tests | head -1; echo ${{PIPESTATUS[0]}}"],
        cwd=place.dir, env=place.env, capture_output=True, text=True, timeout=TIMEOUT_S,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.splitlines()[1] == "0"


# ---- waiting and watching


def start_job(place) -> subprocess.Popen[str]:
    job = subprocess.Popen(
        [FILL, place.home, place.dir, "running"],
        env=place.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    job.stdin.write("hello\n")
    job.stdin.flush()
    while not place.zb("logs").stdout:
        pass
    return job


def test_wait_ends_with_the_job_or_in_time(place):
    job = start_job(place)
    assert place.refused(7, "wait", "--timeout=200ms") == "zb wait: the job still runs"
    assert json.loads(place.zb("wait", "--timeout=0", "--json").stdout)["ended"] is False
    waiting = subprocess.Popen([ZB, "wait"], cwd=place.dir, env=place.env, stdout=subprocess.PIPE, text=True)
    watching = subprocess.Popen(
        [ZB, "watch", "-e"], cwd=place.dir, env=place.env, stdout=subprocess.PIPE, text=True
    )
    assert watching.stdout.readline().startswith("j1  after ")
    job.stdin.close()
    assert job.wait(TIMEOUT_S) == 0
    assert waiting.communicate(timeout=TIMEOUT_S)[0].startswith("j1  passed  ")
    assert waiting.returncode == 0
    assert watching.communicate(timeout=TIMEOUT_S)[0].splitlines()[-1].startswith("j1  passed  ")
    assert watching.returncode == 0


def test_watch_tells_by_earlier_runs_how_long_it_takes(place):
    job = start_job(place)
    for line in ("!plan\n", "!fail\n"):
        job.stdin.write(line)
        job.stdin.flush()
        while job.stdout.readline() != "stored\n":
            pass
    watching = subprocess.Popen(
        [ZB, "watch", "--json"], cwd=place.dir, env=place.env, stdout=subprocess.PIPE, text=True
    )
    state = json.loads(watching.stdout.readline())
    assert (state["done"], state["to_do"]) == (1, 1)
    assert 119e6 < state["eta_us"] < 120e6  # two of a minute, and one took some milliseconds
    job.stdin.close()
    assert watching.wait(TIMEOUT_S) == 0 and job.wait(TIMEOUT_S) == 0


def test_wait_and_watch_of_a_job_that_failed(place):
    place.fill("mixed")
    assert place.zb("wait").returncode == 1
    done = place.zb("watch", "--exit-status")
    assert done.returncode == 1
    assert done.stdout.splitlines()[:3] == [
        "FAILED tests/test_api.py::TestGet::test_missing",
        "CRASHED tests/test_core.py::test_crash",
        "TIMEOUT tests/test_core.py::test_hang",
    ]
    assert place.refused(2, "wait", "--timeout=soon").splitlines()[0] == (
        "zb wait: --timeout is a time such as 90, 10m or 2h, not 'soon'"
    )


# ---- export


def test_junit_has_every_test_once_with_its_file(place, tmp_path):
    from xml.etree import ElementTree

    place.fill("mixed")
    file = tmp_path / "junit.xml"
    assert place.out("export", "--output", str(file)) == ""
    suite = ElementTree.parse(file).getroot().find("testsuite")
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "10", "failures": "3", "errors": "0", "skipped": "3",
    }  # fmt: skip
    cases = {(case.get("classname"), case.get("name")): case for case in suite}
    assert len(cases) == 10
    missing = cases["tests.test_api.TestGet", "test_missing"]
    assert (missing.get("file"), missing.get("line")) == ("tests/test_api.py", "11")
    assert missing.find("failure").get("message") == "tests/test_api.py:12: AssertionError: assert 404 == 200"
    assert "GET #x1B[31m/x#x1B[0m" in missing.find("system-out").text
    assert all(case.get("file") for case in suite)
    assert [case.get("name") for case in suite if not case.get("line")] == ["test_never_ran"]
    assert cases["tests.test_core", "test_crash"].find("failure").get("type") == "CRASHED"
    flaky = cases["tests.test_core", "test_flaky"]
    assert flaky.find("failure") is None
    assert flaky.find("properties/property[@name='dagz.runs']").get("value") == "2"
    assert cases["tests.test_api", "test_status[404-café]"] is not None


def test_csv_and_ndjson_agree_with_zb_tests(place):
    import csv
    import io

    place.fill("mixed")
    tests = [json.loads(line) for line in place.zb("tests", "--json", "--text").stdout.splitlines()]
    rows = list(csv.DictReader(io.StringIO(place.zb("export", "--format=csv").stdout, newline="")))
    assert [(row["id"], row["outcome"]) for row in rows] == [(t["id"], t["outcome"]) for t in tests]
    first, *rest = place.zb("export", "-f", "ndjson").stdout.splitlines()
    schema = json.loads((ROOT / "store/schemas/zb.jobs.1.json").read_text())
    jsonschema.validate(json.loads(first), closed(schema))
    assert len(json.loads(first)["jobs"]) == 1
    assert [json.loads(line) for line in rest] == tests


def test_export_refuses_what_it_cannot_do(place):
    place.fill("passed")
    assert place.refused(2, "export", "--format=junti").splitlines()[0] == (
        "zb export: there is no format 'junti'; did you mean 'junit'?"
    )
    assert place.zb("export", "-o", "/no/such/file").returncode == 1


# ---- doctor


def test_doctor_finds_what_is_wrong(place, tmp_path):
    assert place.out("doctor").splitlines()[-1] == "Nothing is wrong."
    packages = Path(place.env["HOME"]) / "venv/lib/python3.11/site-packages"
    for name in ("dagz_mesh-0.0.1", "dagz-9.9", "pytest-6.2.5", "pytest_rerunfailures-16.0"):
        (packages / f"{name}.dist-info").mkdir(parents=True)
    done = place.zb("doctor", "--json", VIRTUAL_ENV=str(packages.parents[2]), DAGZ_URL="http://localhost:1")
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 1
    assert {name for name, check in found.items() if check["status"] == "wrong"} == {
        "dagz-mesh", "clash", "pytest", "daemon",
    }  # fmt: skip
    assert found["plugins"]["text"] == "pytest-rerunfailures 16.0"


def test_doctor_names_a_store_that_was_put_aside(place):
    place.fill("passed")
    assert "put aside" not in place.zb("doctor").stdout
    os.truncate(place.home / "local.env/store/data.mdb", 20000)
    place.fill("passed")
    done = place.zb("doctor", "--json")
    aside = [check for check in json.loads(done.stdout)["checks"] if "put aside" in check["text"]]
    assert [(check["status"], place.mask(check["text"])) for check in aside] == [
        ("warning", "a damaged one was put aside: HOME/local.env/store.bad-1")
    ]
    assert done.returncode == 0


def test_doctor_looks_for_what_was_put_aside_where_the_settings_put_the_store(place, tmp_path):
    (place.home / "local.env").mkdir(parents=True)
    (place.home / "local.env/daemon.yaml").write_text(f"data_dir: '{tmp_path}/jobs [1]/data'\n")
    (tmp_path / "jobs [1]").mkdir()
    place.fill("passed")
    os.truncate(tmp_path / "jobs [1]/data/data.mdb", 20000)
    place.fill("passed")
    (place.home / "spool/x.bad-1").mkdir(parents=True)
    checks = json.loads(place.zb("doctor", "--json").stdout)["checks"]
    assert [place.mask(check["text"]) for check in checks if "put aside" in check["text"]] == [
        "a damaged one was put aside: HOME/spool/x.bad-1",
        f"a damaged one was put aside: {tmp_path}/jobs [1]/data.bad-1",
    ]
    assert sum(check["name"] == "disk" for check in checks) == 2


def test_doctor_names_the_addresses_that_nodes_are_offered_at(place):
    unshare = ["unshare", "--map-root-user", "--net"]
    env = place.env | {"PATH": os.defpath + ":/usr/sbin:/sbin", "ZB": str(ZB)}
    if not shutil.which("ip", path=env["PATH"]) or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("no network namespaces for this user")
    for addresses, status, said in (
        ("", "note", "there is no address but loopback"),
        ("ip addr add 10.9.8.7/24 dev lo;", "ok", "offered to other machines at 10.9.8.7, any free port;"),
    ):
        script = f'ip link set lo up; {addresses} exec "$ZB" doctor --json'
        argv = [*unshare, "sh", "-c", script]
        done = subprocess.run(argv, cwd=place.dir, env=env, capture_output=True, text=True, timeout=TIMEOUT_S)
        (found,) = [check for check in json.loads(done.stdout)["checks"] if check["name"] == "network"]
        assert (found["status"], said in found["text"]) == (status, True), found


def test_doctor_names_a_home_that_cannot_be_used(place):
    text = place.zb("doctor", DAGZ_HOME="/proc/none").stdout
    assert "!!  home         /proc cannot be written to" in text
    place.fill("newer")
    assert re.search(r"^!!  store .*written by a newer dagz", place.zb("doctor").stdout, re.M)
