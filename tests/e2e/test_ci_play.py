"""As CI would do it: slots of a step, started in any order and at any moment, one lost, one late, one retried."""

from __future__ import annotations

import random
import signal
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hosts import Hosts
from lab import Result, Run
from test_nodes import SUITE, TESTS, check_account, kill_node, summary

KILLED = -signal.SIGKILL
MISTAKE = 4

# One test that fails until the world is put right.
WITH_ONE_BAD = {
    **SUITE,
    "test_bad.py": """
        import os

        def test_bad():
            assert os.environ.get("DZT_GOOD")
    """,
}
BAD = "test_bad.py::test_bad"


class Step(Hosts):
    """The slots of one step, in an order and with delays that are drawn."""

    def __init__(self, tmp_path: Path, url: str, seed: int, files: dict[str, str] | None = None) -> None:
        super().__init__(tmp_path, url, files)
        self.draw = random.Random(seed)
        self.pipeline = uuid.uuid4().hex[:8]
        self.jobs_made = 0

    def gitlab(self, index: int, total: int, *args: str, **env: str) -> Run:
        self.jobs_made += 1
        return self.join(
            *args,
            CI="true",
            GITLAB_CI="true",
            CI_PIPELINE_ID=self.pipeline,
            CI_JOB_NAME=f"tests {index}/{total}",
            CI_JOB_ID=f"{1000 + self.jobs_made}",
            CI_NODE_INDEX=str(index),
            CI_NODE_TOTAL=str(total),
            CI_COMMIT_SHA="0" * 40,
            **env,
        )

    def github(self, index: int, total: int, attempt: int = 1, **env: str) -> Run:
        return self.join(
            CI="true",
            GITHUB_ACTIONS="true",
            GITHUB_RUN_ID=self.pipeline,
            GITHUB_RUN_ATTEMPT=str(attempt),
            GITHUB_JOB="tests",
            GITHUB_SHA="0" * 40,
            RUNNER_TRACKING_ID=f"github_{uuid.uuid4()}",
            CI_NODE_INDEX=str(index),
            CI_NODE_TOTAL=str(total),
            **env,
        )

    def generations(self) -> list[dict[str, Any]]:
        """What the store has, the first one first; each is sealed and goes on from the one before."""
        jobs = self.jobs()[::-1]
        assert [job["generation"] for job in jobs] == list(range(len(jobs)))
        assert [job["state"] for job in jobs] == ["sealed"] * len(jobs)
        assert [job["previous"] for job in jobs] == [None, *(job["id"] for job in jobs[:-1])]
        return jobs

    def end_first(self, *runs: Run) -> list[Result]:
        """All of the first generation are there before it may end."""
        for run in runs:
            self.wait_for(run, 1)
        return self.finish_some()

    def soon(self, run: Run) -> None:
        """Wait for it to have begun a test; or do not, as it is drawn."""
        if self.draw.random() < 0.5:
            self.wait_for(run, 1)


def took_part(results: Iterable[Result]) -> list[Result]:
    """Without those that came when all had been counted: they say so, and have no account."""
    late = ("had ended before this node", "has ended as job")
    return [result for result in results if not any(words in result.out for words in late)]


@pytest.mark.parametrize("seed", range(2))
def test_a_parallel_step_of_gitlab(tmp_path, store, seed):
    """Four slots: one is lost and comes back as another CI job, one is late."""
    step = Step(tmp_path, store.url(), seed)
    order = step.draw.sample(range(1, 5), 4)
    late, lost = order[3], order[step.draw.randrange(3)]
    runs = {}
    for index in order[:3]:
        runs[index] = step.gitlab(index, 4)
        step.soon(runs[index])
    step.wait_for(runs[lost], 1)
    kill_node(runs[lost])
    again = step.gitlab(lost, 4)
    step.soon(again)
    runs[late] = step.gitlab(late, 4)
    step.wait_for(runs[late], 1)
    results = dict(zip(map(id, step.runs), step.finish(), strict=True))
    assert results.pop(id(runs[lost])).code == KILLED
    assert [result.code for result in results.values()] == [0] * 4
    assert id(again) in results
    step.check_store(check_account(took_part(results.values())))


@pytest.mark.parametrize("seed", range(2))
def test_a_matrix_of_github(tmp_path, store, seed):
    """Three cells: one is lost, one comes when all is over."""
    step = Step(tmp_path, store.url(), seed)
    first, lost, late = step.draw.sample(range(3), 3)
    runs = {}
    for index in step.draw.sample([first, lost], 2):
        runs[index] = step.github(index, 3)
        step.soon(runs[index])
    step.wait_for(runs[lost], 1)
    kill_node(runs[lost])
    step.wait_for(runs[first], 1)
    step.finish_some()
    step.github(late, 3)
    results = step.finish()
    codes = {index: result.code for result in results for index in runs if runs[index].env is result.env}
    assert codes == {first: 0, lost: KILLED}
    assert results[2].code == 0 and "has ended" in results[2].out
    step.check_store(check_account([result for result in results[:2] if result.code == 0]), TESTS)


def one_failed(results: list[Result]) -> None:
    """The slot where it failed is red, and the one that scheduled, which may be the same."""
    assert {result.code for result in results} <= {0, 1}
    assert sum(result.counts.get("failed", 0) for result in results) == 1


def test_a_second_attempt_of_github_runs_what_failed(tmp_path, store):
    step = Step(tmp_path, store.url(), 0, WITH_ONE_BAD)
    one_failed(step.end_first(step.github(0, 2), step.github(1, 2)))
    again = step.github(1, 2, attempt=2, DZT_GOOD="1")
    *_, result = step.finish()
    told = check_account([result], TESTS + 1)
    assert (result.code, step.ran_on(again)) == (0, [BAD])
    assert f"generation 1: reruns 1 that failed and 0 missing of job {step.jobs()[1]['id']}" in result.out
    first, second = step.generations()
    assert (first["verdict"], second["verdict"]) == ("failed", "passed")
    assert (second["id"], second["counted"], second["tests"]["OK"]) == (told["job"], TESTS + 1, TESTS + 1)
    shown = step.zb("job", "latest").stdout
    assert f"{TESTS + 1} collected = 1 run + {TESTS} as before + 0 redundant" in shown
    assert (told["run"], told["carried"]) == (1, TESTS)
    assert f"{TESTS} results count as they were" in shown and first["id"] in shown
    assert "(generation 1)" in step.zb("jobs").stdout


def test_attempts_go_on_from_each_other(tmp_path, store):
    """What a generation took over goes on to the next one."""
    step = Step(tmp_path, store.url(), 0, WITH_ONE_BAD)
    step.end_first(step.github(0, 1))
    step.github(0, 1, attempt=2)
    step.finish_some()
    last = step.github(0, 1, attempt=3, DZT_GOOD="1")
    results = step.finish()
    assert [result.code for result in results] == [1, 1, 0]
    assert step.ran_on(step.runs[1]) == step.ran_on(last) == [BAD]
    check_account(results[2:], TESTS + 1)
    assert len(step.generations()) == 3


def test_a_second_attempt_of_github_after_all_passed_runs_everything(tmp_path, store):
    step = Step(tmp_path, store.url(), 0)
    step.end_first(step.github(0, 2), step.github(1, 2))
    again = step.github(0, 2, attempt=2)
    *_, result = step.finish()
    assert result.code == 0 and "generation 1: everything runs again" in result.out
    assert len(step.ran_on(again)) == TESTS
    check_account([result])
    step.generations()


def test_the_mode_may_be_said(tmp_path, store):
    step = Step(tmp_path, store.url(), 0, WITH_ONE_BAD)
    step.end_first(step.github(0, 1, DAGZ_MODE="failed"))
    full = step.github(0, 1, attempt=2, DAGZ_MODE="full", DZT_GOOD="1")
    step.finish_some()
    none = step.github(0, 1, attempt=3, DAGZ_MODE="failed")
    results = step.finish()
    assert [result.code for result in results] == [1, 0, 0]
    assert "there is no earlier generation" in results[0].out
    assert len(step.ran_on(full)) == TESTS + 1
    assert step.ran_on(none) == [] and "nothing failed and nothing is missing" in results[2].out
    check_account(results[2:], TESTS + 1)
    step.generations()


def test_a_mode_that_is_none_is_named(tmp_path, store):
    step = Step(tmp_path, store.url(), 0)
    step.github(0, 1, DAGZ_MODE="fialed")
    (result,) = step.finish()
    assert result.code == MISTAKE
    assert "DAGZ_MODE=fialed is none of auto, failed and full" in result.out + result.err


def test_what_was_not_run_is_missing(tmp_path, store):
    """After -x, the next generation runs what failed and what nobody got to."""
    step = Step(tmp_path, store.url(), 0, WITH_ONE_BAD)
    step.go()
    step.gitlab(1, 1, "-x", "test_bad.py", "test_a.py")
    (first,) = step.finish_some()
    again = step.gitlab(1, 1, "-x", "test_bad.py", "test_a.py", DZT_GOOD="1")
    *_, result = step.finish()
    tests = TESTS // 4 + 1
    told = check_account([result], tests)
    assert (first.code, result.code) == (1, 0)
    left = tests - summary(first)["counted"]
    assert len(step.ran_on(again)) == left + 1 and told["counted"] == tests
    assert f"reruns 1 that failed and {left} missing" in result.out
    step.generations()


def test_a_slot_of_gitlab_is_retried_after_a_failure(tmp_path, store):
    """Retried by its button: the next generation, of what failed."""
    step = Step(tmp_path, store.url(), 0, WITH_ONE_BAD)
    one_failed(step.end_first(step.gitlab(1, 2), step.gitlab(2, 2)))
    again = step.gitlab(2, 2, DZT_GOOD="1")
    *_, result = step.finish()
    check_account([result], TESTS + 1)
    assert (result.code, step.ran_on(again)) == (0, [BAD])
    assert len(step.generations()) == 2


def test_a_slot_of_gitlab_is_retried_after_all_passed(tmp_path, store):
    step = Step(tmp_path, store.url(), 0)
    step.end_first(step.gitlab(1, 2), step.gitlab(2, 2))
    again = step.gitlab(1, 2)
    *_, result = step.finish()
    check_account([result])
    assert (result.code, len(step.ran_on(again))) == (0, TESTS)
    assert len(step.generations()) == 2


@pytest.mark.parametrize("is_good", [True, False])
def test_a_slot_that_was_not_in_the_second_generation_is_retried_after_it(tmp_path, store, is_good):
    """What it is retried for has been put right meanwhile; or it has not, and it opens the third."""
    step = Step(tmp_path, store.url(), 0, WITH_ONE_BAD)
    one_failed(step.end_first(step.gitlab(1, 2), step.gitlab(2, 2)))
    step.gitlab(1, 2, **({"DZT_GOOD": "1"} if is_good else {}))
    step.finish_some()
    again = step.gitlab(2, 2, DZT_GOOD="1")
    *_, second, third = step.finish()
    assert (second.code, third.code) == (0 if is_good else 1, 0)
    assert step.ran_on(again) == ([] if is_good else [BAD])
    assert ("has ended" in third.out) == is_good
    assert len(step.generations()) == (2 if is_good else 3)


@pytest.mark.parametrize("is_good", [True, False])
def test_a_lost_slot_of_gitlab_comes_back_when_all_is_over(tmp_path, store, is_good):
    """All passed without it: it is late.  Else it opens the next generation."""
    step = Step(tmp_path, store.url(), 0, WITH_ONE_BAD)
    env = {"DZT_GOOD": "1"} if is_good else {}
    first, lost = step.gitlab(1, 2, **env), step.gitlab(2, 2, **env)
    step.wait_for(first, 1)
    step.wait_for(lost, 1)
    kill_node(lost)
    step.finish_some()
    again = step.gitlab(2, 2, DZT_GOOD="1")
    *_, result = step.finish()
    assert result.code == 0
    assert step.ran_on(again) == ([] if is_good else [BAD])
    assert ("has ended" in result.out) == is_good
    assert len(step.generations()) == (1 if is_good else 2)
