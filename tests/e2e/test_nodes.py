"""Several runs that share one job on one host: who runs what, what is counted, and what a death costs."""

from __future__ import annotations

import collections
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import faults
import leftovers
import pytest
from lab import Lab, Project, Result, Run

TESTS = 120
WAIT_S = 30.0
POLL_S = 0.01

# Each test says that it has begun, and waits for the gate to be open.
CONFTEST = """
    import os, pytest, select

    @pytest.fixture(autouse=True)
    def begun(request):
        with open(os.environ["DZT_STATE"] + "/begun", "a") as file:
            file.write(request.node.nodeid + "\\n")
        gate = os.open(os.environ["DZT_GATE"], os.O_RDONLY | os.O_NONBLOCK)
        poll = select.poll()
        poll.register(gate, select.POLLIN)
        while not poll.poll():
            pass
        os.close(gate)
"""
SUITE = {
    "conftest.py": CONFTEST,
    **{
        f"test_{name}.py": f"""
            import pytest

            @pytest.mark.parametrize("n", range({TESTS // 4}))
            def test_work(n):
                assert sum(i * i for i in range(60_000)) > n
        """
        for name in "abcd"
    },
}


class Party:
    """Runs of one project under one key, with a store that they share."""

    def __init__(self, tmp_path: Path, files: dict[str, str] | None = None) -> None:
        self.project: Project = Lab(tmp_path).project(files or SUITE)
        self.home = tmp_path / "home"
        self.key = uuid.uuid4().hex
        self.runs: list[Run] = []
        self.done: list[Result] = []
        os.mkfifo(tmp_path / "gate")
        self.gate = os.open(tmp_path / "gate", os.O_RDWR)
        self.gate_path = tmp_path / "gate"
        self.is_open = False

    def go(self) -> None:
        """Open the gate: tests that wait, and all that follow, go on."""
        self.is_open = True
        os.write(self.gate, b"go")

    def join(self, *args: str, where: Mapping[str, Any] = {}, **env: str) -> Run:
        """Start a run; `where` goes to Popen."""
        env = {
            "DAGZ_HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.home.parent),
            "DZT_GATE": str(self.gate_path),
            **env,
        }
        is_named = {"DAGZ_JOB_KEY", "GITLAB_CI", "GITHUB_ACTIONS"} & env.keys()
        job = () if is_named else (f"--dagz-job={self.key}",)
        state = self.project.path.parent / f"state-{self.project.runs + 1}"
        summary = f"--dagz-summary={state}/summary.json"
        run = self.project.start("dagz", *job, summary, *args, env=env, **where)
        self.runs.append(run)
        return run

    def finish_some(self) -> list[Result]:
        """Those that were started so far; others may come."""
        if not self.is_open:
            self.go()
        self.done += [run.finish() for run in self.runs[len(self.done) :]]
        return self.done

    def finish(self) -> list[Result]:
        results = self.finish_some()
        os.close(self.gate)
        for result in results:
            print(result)
            assert not result.timed_out and result.left == []
        return results

    def ran_on(self, run: Run) -> list[str]:
        """Node ids of the tests that began there, in their order."""
        path = Path(run.env["DZT_STATE"]) / "begun"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for(self, run: Run, tests: int) -> None:
        for _ in range(int(WAIT_S / POLL_S)):
            if len(self.ran_on(run)) >= tests:
                return
            leftovers.ended(run.process.pid, POLL_S)
        raise AssertionError(f"fewer than {tests} tests in {WAIT_S} s: {run.finish(1)}")


def summary(result: Result) -> dict:
    return json.loads((Path(result.env["DZT_STATE"]) / "summary.json").read_text())


def kill_node(run: Run) -> None:
    """As when the machine dies: everybody at once."""
    for pids in faults.roles(run.env[leftovers.TOKEN], run.process.pid).values():
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def check_account(results: list[Result], tests: int = TESTS) -> dict:
    """All that ended themselves tell the same account, and it adds up."""
    told = [summary(result) for result in results]
    first = told[0]
    for other in told:
        for name in ("job", "collected", "counted", "lost", "digest", "not_run"):
            assert other[name] == first[name], name
    assert (first["collected"], first["counted"], first["lost"], first["not_run"]) == (tests, tests, 0, 0)
    return first


def test_runs_that_start_together_are_one_job_and_run_each_test_once(tmp_path):
    party = Party(tmp_path)
    runs = [party.join() for _ in range(3)]
    for run in runs:
        party.wait_for(run, 1)
    results = party.finish()
    assert [result.code for result in results] == [0, 0, 0]
    told = check_account(results)
    assert (told["nodes"], told["workers"], told["duplicates"]) == (3, 6, 0)
    ran = collections.Counter(nodeid for run in runs for nodeid in party.ran_on(run))
    assert len(ran) == TESTS and set(ran.values()) == {1}
    assert sum(sum(result.counts.values()) for result in results) == TESTS
    here = sum(summary(result)["here"]["run"] for result in results)
    assert here == TESTS


def test_another_key_is_another_job(tmp_path):
    party = Party(tmp_path)
    party.go()
    party.join()
    party.key = uuid.uuid4().hex
    party.join()
    results = party.finish()
    assert [result.counts for result in results] == [{"passed": TESTS}] * 2
    assert summary(results[0])["job"] != summary(results[1])["job"]


def test_runs_that_choose_other_tests_are_jobs_of_their_own(tmp_path):
    party = Party(tmp_path)
    party.go()
    party.join("test_a.py")
    party.join("test_b.py")
    results = party.finish()
    assert [result.counts for result in results] == [{"passed": TESTS // 4}] * 2


def test_slots_of_a_ci_step_whose_total_is_not_known_meet_on_the_host(tmp_path):
    party = Party(tmp_path)
    gitlab = {"GITLAB_CI": "true", "CI_PIPELINE_ID": party.key[:8], "CI_JOB_NAME": "t"}
    for run in [party.join(CI_JOB_ID="1", **gitlab), party.join(CI_JOB_ID="2", **gitlab)]:
        party.wait_for(run, 1)
    results = party.finish()
    assert check_account(results)["nodes"] == 2


def test_without_a_store_each_slot_of_a_step_runs_its_share(tmp_path):
    party = Party(tmp_path)
    party.go()
    gitlab = {
        "GITLAB_CI": "true",
        "CI_PIPELINE_ID": party.key[:8],
        "CI_JOB_NAME": "t",
        "CI_NODE_TOTAL": "2",
    }
    runs = [party.join(CI_JOB_ID=str(i), CI_NODE_INDEX=str(i), **gitlab) for i in (1, 2)]
    results = party.finish()
    assert [result.code for result in results] == [0, 0]
    ran = [set(party.ran_on(run)) for run in runs]
    assert ran[0] and ran[1] and not ran[0] & ran[1] and len(ran[0] | ran[1]) == TESTS
    for result in results:
        assert "runs its own share" in result.out
        assert "completeness not verified" in result.out


def test_the_scheduler_s_slot_is_red_when_a_test_fails_elsewhere(tmp_path):
    files = {**SUITE, "test_bad.py": "def test_bad(): assert 0\n"}
    party = Party(tmp_path, files)
    for run in [party.join() for _ in range(3)]:
        party.wait_for(run, 1)
    results = party.finish()
    failed_on = [result.counts.get("failed", 0) for result in results]
    assert sum(failed_on) == 1
    red = [result.code for result in results]
    assert set(red) <= {0, 1} and all(code == 1 for code, bad in zip(red, failed_on, strict=True) if bad)
    led = [result for result in results if "first of" in result.out]
    assert led and led[0].code == 1  # nobody died, so it is the one that scheduled to the end


def test_a_vassal_that_dies_loses_nothing(tmp_path):
    party = Party(tmp_path)
    leader = party.join()
    party.wait_for(leader, 1)
    vassal = party.join()
    party.wait_for(vassal, 2)
    kill_node(vassal)
    results = party.finish()
    assert [results[0].code, results[1].code] == [0, -signal.SIGKILL]
    check_account(results[:1])


def test_a_scheduler_that_dies_is_succeeded(tmp_path):
    party = Party(tmp_path)
    leader = party.join()
    party.wait_for(leader, 1)
    others = [party.join(), party.join()]
    for run in others:
        party.wait_for(run, 2)
    kill_node(leader)
    results = party.finish()
    assert [result.code for result in results] == [-signal.SIGKILL, 0, 0]
    check_account(results[1:])


def test_a_scheduler_that_is_frozen_is_succeeded_and_comes_back_as_a_vassal(tmp_path):
    party = Party(tmp_path)
    leader = party.join()
    party.wait_for(leader, 1)
    other = party.join()
    party.wait_for(other, 2)
    (agent, *_) = faults.roles(leader.env[leftovers.TOKEN], leader.process.pid)["agent"]
    os.kill(agent, signal.SIGSTOP)
    began = time.monotonic()
    while time.monotonic() < began + 2.5:  # longer than the lease, shorter than the agent's own life
        leftovers.ended(other.process.pid, POLL_S)
    os.kill(agent, signal.SIGCONT)
    results = party.finish()
    assert [result.code for result in results] == [0, 0]
    check_account(results)


def test_a_node_that_is_told_to_leave_gives_its_tests_back(tmp_path):
    party = Party(tmp_path)
    leader = party.join()
    party.wait_for(leader, 1)
    spot = party.join()
    party.wait_for(spot, 2)
    spot.interrupt(signal.SIGTERM)
    results = party.finish()
    assert [result.code for result in results] == [0, 128 + signal.SIGTERM]
    check_account(results[:1])
    assert results[1].seconds < WAIT_S


def test_zb_knows_one_job(tmp_path):
    party = Party(tmp_path)
    for run in [party.join(), party.join()]:
        party.wait_for(run, 1)
    results = party.finish()
    told = check_account(results)
    zb = os.environ.get("DAGZ_ZB", "zb")
    env = {**os.environ, "DAGZ_HOME": str(party.home)}
    out = subprocess.run(
        [zb, "jobs", "--json"], cwd=party.project.path, env=env, capture_output=True, text=True, check=True
    ).stdout
    (job,) = json.loads(out)["jobs"]
    assert (job["id"], job["verdict"], job["counted"]) == (told["job"], "passed", TESTS)


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--dagz-job="], "--dagz-job='': a key of 1 to 1024 printable bytes is expected"),
        (["--dagz-rendezvous=store", "--dagz-job=k"], "--dagz-rendezvous=store: no store answers"),
    ],
)
def test_a_rendezvous_that_cannot_be_is_one_clear_line(tmp_path, args, complaint):
    result = Lab(tmp_path).project(SUITE).run("dagz", *args)
    assert result.code == 4
    assert complaint in result.err + result.out


def test_a_slot_that_makes_no_sense_ends_the_run(tmp_path):
    env = {"GITLAB_CI": "true", "CI_NODE_INDEX": "x", "CI_NODE_TOTAL": "2"}
    result = Lab(tmp_path).project(SUITE).run("dagz", env=env)
    assert result.code == 4
    assert "CI_NODE_INDEX=x is not a number ('zb ci env' tells more)" in result.err + result.out
    assert "dagz:" not in result.out  # there is nothing to account for


def test_nodes_that_collect_different_tests_run_all_of_them(tmp_path):
    """Unordered parametrisation, or a test that exists on one of them only."""
    own = """
        import os, pytest

        @pytest.mark.parametrize("n", range(5))
        def test_common(n): pass

        if os.environ.get("DZT_OWN"):
            @pytest.mark.parametrize("n", range(5))
            def test_own(n): pass
    """
    party = Party(tmp_path, {**SUITE, "test_own.py": own})
    leader = party.join()
    party.wait_for(leader, 1)
    other = party.join(DZT_OWN="1")
    party.wait_for(other, 1)
    results = party.finish()
    assert [result.code for result in results] == [0, 0]
    told = check_account(results, TESTS + 10)
    assert told["duplicates"] == 0
    ran = {nodeid for run in party.runs for nodeid in party.ran_on(run)}
    assert len(ran) == TESTS + 10
    assert "nodes collected different tests" in results[0].out
