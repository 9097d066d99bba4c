"""Slots of a CI step that reached no store run a share each; the store that gets them makes one job of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faults
import leftovers
import pytest
from daemon_place import DaemonPlace, wait_for
from lab import Lab, Project, Result, Run
from test_deaths import HOLD

TESTS = 60
SLOTS = 4
NOWHERE = "http://127.0.0.1:9"
FILES = {
    "hold.py": HOLD,
    "test_work.py": f"""
        import os
        import pytest
        from hold import hold

        @pytest.mark.parametrize("n", range({TESTS}))
        def test_work(n):
            if "DZT_HELD" in os.environ:
                hold("held")
            assert str(n) not in os.environ.get("DZT_FAIL", "").split(",")
    """,
    "test_extra.py": """
        import os

        if "DZT_EXTRA" in os.environ:
            def test_extra(): pass
    """,
}


class Step:
    """A parallel step of GitLab, each slot with a home of its own, and a store that is not there yet."""

    def __init__(self, tmp: Path) -> None:
        self.tmp = tmp
        self.place = DaemonPlace(tmp)
        self.project: Project = Lab(tmp).project(FILES)
        shutil.copytree(self.place.dir / ".git", self.project.path / ".git")

    def start(self, slot: int, ci_job: str = "", **env: str) -> Run:
        home = self.tmp / f"host-{slot}-{ci_job}"
        return self.project.start(
            "dagz",
            env={
                "DAGZ_HOME": str(home),
                "DAGZ_URL": NOWHERE,
                "DAGZ_FLUSH_TIMEOUT": "0",
                "DAGZ_MEET_TIMEOUT": "0.2",
                "GITLAB_CI": "true",
                "CI_PIPELINE_ID": "77",
                "CI_JOB_NAME": f"test {slot}/{SLOTS}",
                "CI_JOB_ID": ci_job or str(700 + slot),
                "CI_NODE_INDEX": str(slot),
                "CI_NODE_TOTAL": str(SLOTS),
                **env,
            },
        )

    def start_at_home(self) -> list[Run]:
        """All slots, on one host whose daemon is not up; another one of this machine is not asked."""
        announced = self.place.home / "local.env/daemon.url"
        announced.parent.mkdir(parents=True, exist_ok=True)
        announced.write_text(NOWHERE + "\n")
        slots = range(1, SLOTS + 1)
        return [self.start(slot, DAGZ_URL="", DAGZ_HOME=str(self.place.home)) for slot in slots]

    def run(self, *slots: int, code: int = 0, **env: str) -> list[Path]:
        """The folders that are left to be pushed, one for each slot."""
        results = [run.finish() for run in [self.start(slot, **env) for slot in slots]]
        for result in results:
            assert (result.code, result.timed_out, result.left) == (code, False, []), result
        return [self.spool(result) for result in results]

    def spool(self, result: Result) -> Path:
        (spool,) = (Path(result.env["DAGZ_HOME"]) / "spool").iterdir()
        assert f"results pending in {spool} (" in result.out and f"; zb push {spool}" in result.out
        assert "completeness not verified" in result.out
        return spool

    def zb(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.place.zb(*args, cwd=self.project.path, **env)

    def push(self, *spools: Path) -> None:
        done = self.zb("push", *map(str, spools))
        assert (done.returncode, done.stderr) == (0, ""), done.stderr

    def jobs(self) -> list[dict[str, Any]]:
        return json.loads(self.zb("jobs", "--json").stdout)["jobs"]

    def job(self) -> dict[str, Any]:
        (job,) = self.jobs()
        return job

    def check_whole(self, verdict: str = "passed") -> None:
        job = self.job()
        assert (job["state"], job["verdict"]) == ("sealed", verdict)
        assert (job["shards"], job["shards_there"]) == (SLOTS, SLOTS)
        assert (job["collected"], job["counted"], job["duplicates"], job["lost"]) == (TESTS, TESTS, 0, 0)
        assert (job["not_run"], job["nodes"], job["ledger_wrong"]) == (0, SLOTS, False)


@pytest.fixture
def step(tmp_path):
    it = Step(tmp_path)
    yield it
    it.place.down()


def test_shares_are_one_job_that_is_incomplete_until_the_last_has_come(step):
    spools = step.run(1, 2, 3, 4)
    step.place.up()
    step.push(*spools[:3])
    job = step.job()
    assert (job["state"], job["verdict"], job["exit_code"]) == ("incomplete", "INCOMPLETE", None)
    assert (job["shards"], job["shards_there"]) == (4, 3)
    assert 0 < job["not_run"] < TESTS and job["not_run"] + job["counted"] == TESTS
    missing = f"3 of 4 shards, {job['not_run']} missing, {job['counted']} ok"

    waited = step.zb("wait", "latest", "--timeout=20")
    assert waited.returncode == 1 and f"INCOMPLETE  {missing}" in waited.stdout
    assert f"INCOMPLETE  {missing}" in step.zb("jobs").stdout
    shown = step.zb("job", "latest")
    whole = json.loads(step.zb("job", "latest", "--json").stdout)
    assert len(whole["missing"]) == job["not_run"] and whole["missing"][0] in shown.stdout
    assert "3 of 4 slots have told all of their own share" in shown.stdout
    assert step.zb("job", "latest", "--exit-status").returncode == 1

    step.push(spools[3])
    step.check_whole()
    assert step.zb("wait", "latest").returncode == 0
    assert step.zb("job", "latest").stdout.count("own share") >= SLOTS
    assert "(empty)" not in step.zb("logs", "latest").stdout


def test_from_two_pushers_at_once_twice_and_in_any_order_it_is_the_same_job(step):
    spools = step.run(1, 2, 3, 4)
    copies = [Path(shutil.copytree(spool, step.tmp / "copies" / spool.name)) for spool in spools]
    step.place.up()
    with ThreadPoolExecutor(2) as pool:
        done = pool.map(lambda some: step.zb("push", "--keep", *map(str, some)), (spools, copies[::-1]))
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 2
    step.check_whole()
    step.push(*spools[::-1])
    step.check_whole()


def test_a_daemon_that_is_killed_between_goes_on_with_the_same_job(step):
    spools = step.run(1, 2, 3, 4)
    for i, spool in enumerate(spools):
        step.place.up()
        step.push(spool)
        pid = step.place.pid()
        os.kill(pid, signal.SIGKILL)
        wait_for("the daemon is gone", lambda pid=pid: not Path(f"/proc/{pid}").exists(), 20)
        assert step.job()["shards_there"] == i + 1  # read from the files
    step.check_whole()


def test_an_archive_of_all_folders_is_pushed_into_the_store_of_a_home(step):
    spools = step.run(1, 2, 3, 4, code=1, DZT_FAIL=",".join(map(str, range(TESTS))))
    for spool in spools:
        shutil.move(spool, step.tmp / "artifact" / spool.name)
    archive = shutil.make_archive(str(step.tmp / "artifact"), "gztar", step.tmp / "artifact")
    step.push(Path(archive))
    step.check_whole("failed")


def test_a_retried_slot_is_the_next_generation_and_the_rest_counts_as_it_was(step):
    failing = step.run(1, 2, 3)
    results = [step.start(4, DZT_FAIL=",".join(map(str, range(TESTS)))).finish()]
    assert results[0].code == 1
    step.place.up()
    step.push(*failing, step.spool(results[0]))
    step.check_whole("failed")
    (again,) = step.run(4, ci_job="990")
    step.push(again)
    newest, first = step.jobs()
    assert (first["verdict"], newest["verdict"]) == ("failed", "passed")
    assert (newest["generation"], newest["previous"]) == (1, first["id"])
    assert newest["as_before"] + newest["counted"] == TESTS
    assert f"{newest['as_before']} as before" in step.zb("jobs").stdout
    assert step.zb("wait", "latest").returncode == 0


def test_a_test_that_only_a_slot_has_whose_share_it_is_not_is_missed(step):
    step.place.up()
    verdicts = []
    for having in (1, 2):  # whose share it is follows from its name: one slot's at most of these two
        pipeline = {"CI_PIPELINE_ID": f"8{having}"}
        step.push(*step.run(having, ci_job=f"8{having}{having}", DZT_EXTRA="1", **pipeline))
        for slot in {1, 2, 3, 4} - {having}:
            step.push(*step.run(slot, ci_job=f"8{having}{slot}", **pipeline))
        job = json.loads(step.zb("job", "latest", "--json").stdout)
        assert (job["collected"], job["shards_there"]) == (TESTS + 1, SLOTS)
        missing = ["test_extra.py::test_extra"] if job["verdict"] == "INCOMPLETE" else []
        assert (job["missing"], job["not_run"]) == (missing, len(missing))
        verdicts.append(job["verdict"])
    assert len(step.jobs()) == 2 and "INCOMPLETE" in verdicts


def test_an_agent_that_replaces_another_one_goes_on_with_its_share(step):
    state = step.project.path.parent / "state-1"
    state.mkdir()
    os.mkfifo(state / "go")
    gate = os.open(state / "go", os.O_RDWR)
    run = step.start(2, DZT_HELD="1")

    def agents() -> list[int]:
        return faults.roles(run.env[leftovers.TOKEN], run.process.pid)["agent"]

    wait_for("a test runs", (state / "held").exists)
    (agent,) = agents()
    os.kill(agent, signal.SIGKILL)
    wait_for("another agent", lambda: agents() not in ([], [agent]))
    os.write(gate, b"go")
    result = run.finish()
    os.close(gate)
    assert (result.code, result.timed_out, result.left) == (0, False, []), result
    assert "the agent died and was replaced" in result.out
    spools = [step.spool(result), *step.run(1, 3, 4)]
    step.place.up()
    step.push(*spools)
    step.check_whole()


def test_a_store_that_comes_up_while_slots_run_gets_one_job(step):
    runs = step.start_at_home()
    step.place.up()
    results = [run.finish() for run in runs]
    assert [result.code for result in results] == [0] * SLOTS
    wait_for("all shares are there", lambda: step.job()["state"] == "sealed", 30)


def test_slots_on_one_host_without_a_daemon_are_one_job_in_its_home(step):
    runs = step.start_at_home()
    results = [run.finish() for run in runs]
    for result in results:
        assert (result.code, result.left) == (0, []), result
        assert "runs its own share" in result.out and "pending" not in result.out
    step.check_whole()
    short = step.job()["short_id"]
    assert all(f"zb job {short}" in result.out or short in result.out for result in results)
    assert not list((step.place.home / "spool").iterdir())
