"""What the store keeps of a job with several nodes, and what zb tells of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from test_nodes import SUITE, TESTS, WAIT_S, Party, check_account, kill_node, summary

ZB = os.environ.get("DAGZ_ZB", "zb")


def zb(party: Party, *args: str, code: int = 0) -> str:
    env = {**os.environ, "DAGZ_HOME": str(party.home), "COLUMNS": "160"}
    done = subprocess.run(
        [ZB, *args], cwd=party.project.path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def job(party: Party, name: str = "latest") -> dict[str, Any]:
    return json.loads(zb(party, "job", name, "--json"))


def words(told: dict[str, Any], node: str) -> list[str]:
    """What happened to a node, in order of time; what only --events shows is left out."""
    return [event["event"] for event in told["events"] if event["node"] == node and event["main"]]


def test_zb_job_tells_of_nodes_and_what_became_of_them(tmp_path: Path) -> None:
    party = Party(tmp_path)
    leader = party.join()
    party.wait_for(leader, 1)
    heir = party.join()
    party.wait_for(heir, 2)
    spot = party.join()
    party.wait_for(spot, 2)
    until = time.monotonic() + WAIT_S
    while "joined" not in words(job(party), "n1"):  # what is not written yet goes with the leader
        assert time.monotonic() < until
    kill_node(leader)
    before = len(party.ran_on(heir))
    spot.interrupt(signal.SIGTERM)
    results = party.finish()
    assert [result.code for result in results] == [-signal.SIGKILL, 0, 128 + signal.SIGTERM]
    assert before >= 2
    check_account(results[1:2])
    told = job(party)
    assert [node["state"] for node in told["members"]] == ["lost", "ended", "left"]
    assert [node["exit_code"] for node in told["members"]] == [None, 0, 143]
    assert told["members"][0]["led"] == 1 and told["members"][0]["epoch"] < told["members"][1]["epoch"]
    assert sum(node["runs"] for node in told["members"]) >= TESTS
    assert {node["workers"] for node in told["members"]} == {2}
    assert all(node["host"] and node["cpus"] > 0 and node["memory"] > 0 for node in told["members"])
    assert words(told, "n0")[:3] == ["arrived", "leads", "joined"]
    heard = words(told, "n1")
    assert heard.index("arrived") < heard.index("joined") < heard.index("leads") < heard.index("ended")
    times = [event["time"] for event in told["events"]]
    assert times == sorted(times)
    page = zb(party, "job")
    assert "n1 is scheduler, epoch " in page and "n0  " in page and "lost" in page
    assert "follows n" not in page
    assert "follows n" in zb(party, "job", "--events")


def test_zb_logs_merges_nodes(tmp_path: Path) -> None:
    party = Party(
        tmp_path, {name: text.replace("assert", "print('said'); assert") for name, text in SUITE.items()}
    )
    for run in [party.join(), party.join()]:
        party.wait_for(run, 1)
    party.finish()
    log = [json.loads(line) for line in zb(party, "logs", "--json").splitlines()]
    workers = {record["worker"] for record in log if record["worker"] != "agent"}
    assert {name.split(".")[0] for name in workers} == {"n0", "n1"}
    only = [json.loads(line) for line in zb(party, "logs", "--worker=n1.jw0", "--json").splitlines()]
    assert only and {record["worker"] for record in only} == {"n1.jw0"}


def test_a_run_that_is_alone_tells_of_its_machine(tmp_path: Path) -> None:
    party = Party(tmp_path, {"test_one.py": "def test_one(): pass\n"})
    party.go()
    party.join("--dagz-rendezvous=none")
    (result,) = party.finish()
    told = job(party)
    assert summary(result)["job"] == told["id"]
    (node,) = told["members"]
    assert (node["state"], node["exit_code"], node["runs"], node["led"]) == ("ended", 0, 1, 0)
    assert "Nodes" not in zb(party, "job")
    assert "n0 ended with exit code 0" in zb(party, "job", "--events")


OWN = """
    import os, pytest

    @pytest.mark.parametrize("n", range(5))
    def test_common(n): print("common", n)

    if os.environ.get("DZT_OWN"):
        @pytest.mark.parametrize("n", range(5))
        def test_own(n): print("own", n)
"""


def zb_tests(party: Party) -> dict[str, str]:
    """Outcome by node id, as the store has them."""
    return {row["id"]: row["outcome"] for row in map(json.loads, zb(party, "tests", "--json").splitlines())}


def test_tests_that_only_some_nodes_have_are_kept(tmp_path: Path) -> None:
    party = Party(tmp_path, {**SUITE, "test_own.py": OWN})
    leader = party.join()
    party.wait_for(leader, 1)
    party.wait_for(party.join(DZT_OWN="1"), 1)
    results = party.finish()
    assert [result.code for result in results] == [0, 0]
    check_account(results, TESTS + 10)
    assert "in memory" not in results[0].out
    told = job(party)
    assert (told["collected"], told["counted"], told["ledger_wrong"]) == (TESTS + 10, TESTS + 10, False)
    outcomes = zb_tests(party)
    assert len(outcomes) == TESTS + 10 and set(outcomes.values()) == {"OK"}
    said = [
        record
        for record in map(json.loads, zb(party, "logs", "--json").splitlines())
        if "own" in record["text"]
    ]
    named = {record["test"] for record in said if record.get("test", "").startswith("test_own.py::test_own")}
    assert len(named) == 5  # their output is theirs, whatever their node calls them
    assert "5 tests of its own" in zb(party, "job")
    checked = subprocess.run(
        [ZB, "doctor", "--store"],
        cwd=party.project.path,
        env={**os.environ, "DAGZ_HOME": str(party.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 job" in checked.stdout and "its account" not in checked.stdout, checked.stdout + checked.stderr


def test_a_scheduler_that_has_other_tests_takes_over(tmp_path: Path) -> None:
    party = Party(tmp_path, {**SUITE, "test_own.py": OWN})
    leader = party.join()
    party.wait_for(leader, 1)
    heir = party.join(DZT_OWN="1")
    party.wait_for(heir, 2)
    kill_node(leader)
    results = party.finish()
    assert [result.code for result in results] == [-signal.SIGKILL, 0]
    check_account(results[1:], TESTS + 10)
    assert (job(party)["counted"], job(party)["ledger_wrong"]) == (TESTS + 10, False)
    assert set(zb_tests(party).values()) == {"OK"}


def test_a_ci_job_that_runs_the_command_again_makes_another_job(tmp_path: Path) -> None:
    party = Party(tmp_path)
    gitlab = {"GITLAB_CI": "true", "CI_PIPELINE_ID": party.key[:8], "CI_JOB_NAME": "t"}
    other = party.join(CI_JOB_ID="2", **gitlab)
    party.wait_for(other, 1)
    first = party.join(CI_JOB_ID="1", **gitlab)
    party.wait_for(first, 2)
    first.interrupt(signal.SIGTERM)
    assert first.finish().code == 128 + signal.SIGTERM
    party.runs.remove(first)  # its part has ended, the job goes on
    again = party.join(CI_JOB_ID="1", **gitlab)
    party.wait_for(again, 1)
    results = party.finish()
    assert [result.code for result in results] == [0, 0]
    told = [summary(result) for result in results]
    assert told[0]["job"] != told[1]["job"]
    assert [one["counted"] for one in told] == [TESTS, TESTS]
    assert len(set(party.ran_on(again))) == TESTS
