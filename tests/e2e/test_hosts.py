"""Several hosts, one job: runs with homes of their own, which meet through a store."""

from __future__ import annotations

import collections
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_place import DaemonPlace
from lab import Run
from test_nodes import TESTS, Party, check_account
from zb_place import ZB


class Hosts(Party):
    """Each run has a home and a runtime folder of its own, as on a host of its own."""

    def __init__(self, tmp_path: Path, url: str, files: dict[str, str] | None = None) -> None:
        super().__init__(tmp_path, files)
        self.url = url

    def join(self, *args: str, **env: str) -> Run:
        own = self.project.path.parent / f"host-{len(self.runs) + 1}"
        (own / "run").mkdir(parents=True, mode=0o700)
        mine = {
            "DAGZ_HOME": str(own / "home"),
            "XDG_RUNTIME_DIR": str(own / "run"),
            "DAGZ_URL": self.url,
            "DAGZ_AGENT_LOG": str(own / "agent.log"),
        }
        return super().join(*args, **{**mine, **env})

    def jobs(self) -> list[dict]:
        argv = [str(ZB), "jobs", "--json", "--url", self.url]
        env = {"PATH": os.defpath, "HOME": str(self.home), "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")}
        done = subprocess.run(
            argv, cwd=self.project.path, env=env, capture_output=True, text=True, timeout=20
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["jobs"]

    def check_store(self, told: dict, tests: int = TESTS) -> None:
        """The store has the job once, whole."""
        (job,) = self.jobs()
        print(job)
        assert job["id"] == told["job"]
        assert (job["state"], job["counted"], job["lost"]) == ("sealed", tests, 0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DaemonPlace]:
    (tmp_path / "store").mkdir()
    place = DaemonPlace(tmp_path / "store")
    place.up()
    yield place
    place.down()


def start(hosts: Hosts, count: int, *args: str, **env: str) -> list[Run]:
    """So many runs, each of which has begun a test; the first of them schedules."""
    runs = []
    for _ in range(count):
        runs.append(hosts.join(*args, **env))
        hosts.wait_for(runs[-1], 1)
    return runs


def test_runs_with_homes_of_their_own_are_one_job(tmp_path, store):
    hosts = Hosts(tmp_path, store.url())
    runs = start(hosts, 2)
    results = hosts.finish()
    assert [result.code for result in results] == [0, 0]
    told = check_account(results)
    assert (told["nodes"], told["workers"], told["duplicates"]) == (2, 4, 0)
    ran = collections.Counter(nodeid for run in runs for nodeid in hosts.ran_on(run))
    assert len(ran) == TESTS and set(ran.values()) == {1}
    assert f"through {hosts.url}" in results[0].out and f"through {hosts.url}" in results[1].out
    hosts.check_store(told)
