"""As CI would do it, on suites that are not ours: a parallel step and a matrix, with what goes wrong in them.

The script plays the CI: order, and how far the others are when a slot comes, are drawn by seed.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from daemon_place import DaemonPlace
from lab import Project, Result, Run, way_args
from test_ci_play import KILLED, Step, took_part
from test_nodes import check_account, kill_node
from zb_place import ROOT

SEEDS = range(int(os.environ.get("DZT_CI_SEEDS", "1")))
SUITES = ("attrs",)
LIMIT_S = 240.0  # for a slot
SOME = 100  # tests that may be over when a slot comes late


def load_suites() -> ModuleType:
    """tests/suites/run.py: its name is that of another module here."""
    folder = ROOT / "tests/suites"
    sys.path.append(str(folder))
    spec = importlib.util.spec_from_file_location("suites_run", folder / "run.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["suites_run"] = module
    spec.loader.exec_module(module)
    return module


class RealProject(Project):
    """A copy of a suite, run in the suite's own environment."""

    def __init__(self, bench: Any, path: Path) -> None:
        super().__init__(path)
        self.bench = bench
        shutil.copytree(bench.start, path, symlinks=True)

    def environment(self, venv: Path, extra: Mapping[str, str]) -> dict[str, str]:
        return {**super().environment(venv, extra), **self.bench.suite.env}

    def command(self, way: str, args: Sequence[str], *, workers: int = 2) -> tuple[list[str], Path]:
        python = self.bench.venv / "bin/python"
        argv = [str(python), "-m", "pytest", "-p", "dzt_recorder", *self.bench.suite.args, *args]
        own = ["-p", "no:dagz"] if way == "plain" else ["-p", "dzt_begun", *way_args(way, workers)]
        return [*argv, *own], self.bench.venv


class RealStep(Step):
    """The slots of a step that runs a real suite."""

    def __init__(self, tmp_path: Path, url: str, seed: int, name: str) -> None:
        super().__init__(tmp_path, url, seed)
        self.project = RealProject(load_suites().Bench.ready(name), tmp_path / "real" / "suite")
        outcomes = self.project.start("plain").finish(LIMIT_S).outcomes
        self.ids = sorted(outcomes)
        self.failing = {nodeid for nodeid, what in outcomes.items() if what in ("failed", "error")}

    def finish_some(self) -> list[Result]:
        if not self.is_open:
            self.go()
        self.done += [run.finish(LIMIT_S) for run in self.runs[len(self.done) :]]
        assert not any(result.timed_out for result in self.done)
        return self.done

    def bad(self) -> str:
        """One more that fails."""
        return self.draw.choice([nodeid for nodeid in self.ids if nodeid not in self.failing])

    def some_done(self, run: Run) -> None:
        """As many tests of it have begun as is drawn, or it has ended."""
        wanted = self.draw.randrange(1, SOME)
        self.wait_until(
            "tests begin", lambda: len(self.ran_on(run)) > wanted or run.process.poll() is not None
        )

    def results_of(self, *runs: Run) -> list[Result]:
        return [result for result in self.done for run in runs if result.env is run.env]


@pytest.fixture(params=SUITES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("seed", SEEDS)
def test_a_parallel_step_of_four(tmp_path: Path, store: DaemonPlace, name: str, seed: int) -> None:
    """One slot is lost and retried before the seal, one is late; a test fails, and a slot is retried after that."""
    step = RealStep(tmp_path, store.url(), seed, name)
    bad = step.bad()
    order = step.draw.sample(range(1, 5), 4)
    late, lost = order[3], order[step.draw.randrange(3)]
    runs = {}
    for index in order[:3]:
        runs[index] = step.gitlab(index, 4, DZT_FAIL=bad)
        step.soon(runs[index])
    step.wait_for(runs[lost], 1)
    kill_node(runs[lost])
    again = step.gitlab(lost, 4, DZT_FAIL=bad)
    other = next(run for index, run in runs.items() if index != lost)
    step.wait_for(other, 1)
    step.wait_for(again, 1)
    step.go()
    step.some_done(other)
    runs[late] = step.gitlab(late, 4, DZT_FAIL=bad)
    step.finish_some()
    (dead,) = step.results_of(runs[lost])
    ended = [result for result in step.done if result is not dead]
    assert dead.code == KILLED
    check_failed(step, ended)
    told = check_account(took_part(ended), len(step.ids))
    step.check_store(told, len(step.ids))
    retried = step.gitlab(order[0], 4)
    *_, result = step.finish()
    check_second(step, result, told, bad, retried)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_matrix_of_three(tmp_path: Path, store: DaemonPlace, name: str, seed: int) -> None:
    """One cell is lost, one comes when all is over; a test fails, and the second attempt runs it."""
    step = RealStep(tmp_path, store.url(), seed, name)
    bad = step.bad()
    first, lost, late = step.draw.sample(range(3), 3)
    runs = {}
    for index in step.draw.sample([first, lost], 2):
        runs[index] = step.github(index, 3, DZT_FAIL=bad)
        step.soon(runs[index])
    step.wait_for(runs[lost], 1)
    kill_node(runs[lost])
    step.finish_some()
    step.github(late, 3, DZT_FAIL=bad)
    step.finish_some()
    by_index = {index: step.results_of(run)[0] for index, run in runs.items()}
    assert (by_index[first].code, by_index[lost].code) == (1, KILLED)
    assert step.done[2].code == 0 and "has ended" in step.done[2].out
    told = check_account([by_index[first]], len(step.ids))
    step.check_store(told, len(step.ids))
    order = step.draw.sample(range(3), 2)
    second = [step.github(index, 3, attempt=2) for index in order]
    results = step.finish()[3:]
    assert sum(result.counts.get("failed", 0) for result in results) == len(step.failing)
    ran = [nodeid for run in second for nodeid in step.ran_on(run)]
    assert sorted(ran) == sorted([bad, *step.failing])
    check_next(step, took_part(results), told)


def check_failed(step: RealStep, results: Sequence[Result]) -> None:
    """Slots where one failed are red, and the one that scheduled, which may be one of them."""
    assert {result.code for result in results} <= {0, 1}
    red = [result for result in results if result.counts.get("failed", 0)]
    assert sum(result.counts["failed"] for result in red) == len(step.failing) + 1
    assert [result.code for result in red] == [1] * len(red)


def check_second(step: RealStep, result: Result, told: dict[str, Any], bad: str, run: Run) -> None:
    assert result.code == (1 if step.failing else 0)
    assert sorted(step.ran_on(run)) == sorted([bad, *step.failing])
    check_next(step, [result], told)


def check_next(step: RealStep, results: Sequence[Result], told: dict[str, Any]) -> None:
    """A generation that ran what had failed; all others count as they were."""
    second = check_account(list(results), len(step.ids))
    jobs = step.generations()
    assert [job["id"] for job in jobs] == [told["job"], second["job"]]
    assert [job["verdict"] for job in jobs] == ["failed", "failed" if step.failing else "passed"]
    again = len(step.failing) + 1
    assert (second["run"], second["carried"]) == (again, len(step.ids) - again)
