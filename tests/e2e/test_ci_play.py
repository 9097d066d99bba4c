"""As CI would do it: slots of a step, started in any order and at any moment, one lost, one late, one retried."""

from __future__ import annotations

import random
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_place import DaemonPlace
from hosts import Hosts
from lab import Run
from test_nodes import TESTS, check_account, kill_node

KILLED = -signal.SIGKILL


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DaemonPlace]:
    (tmp_path / "store").mkdir()
    place = DaemonPlace(tmp_path / "store")
    place.up()
    yield place
    place.zb("daemon", "down")


class Step(Hosts):
    """The slots of one step, in an order and with delays that are drawn."""

    def __init__(self, tmp_path: Path, url: str, seed: int) -> None:
        super().__init__(tmp_path, url)
        self.draw = random.Random(seed)
        self.pipeline = uuid.uuid4().hex[:8]
        self.jobs_made = 0

    def gitlab(self, index: int, total: int) -> Run:
        self.jobs_made += 1
        return self.join(
            CI="true",
            GITLAB_CI="true",
            CI_PIPELINE_ID=self.pipeline,
            CI_JOB_NAME=f"tests {index}/{total}",
            CI_JOB_ID=f"{1000 + self.jobs_made}",
            CI_NODE_INDEX=str(index),
            CI_NODE_TOTAL=str(total),
            CI_COMMIT_SHA="0" * 40,
        )

    def github(self, index: int, total: int) -> Run:
        return self.join(
            CI="true",
            GITHUB_ACTIONS="true",
            GITHUB_RUN_ID=self.pipeline,
            GITHUB_RUN_ATTEMPT="1",
            GITHUB_JOB="tests",
            GITHUB_SHA="0" * 40,
            RUNNER_TRACKING_ID=f"github_{uuid.uuid4()}",
            CI_NODE_INDEX=str(index),
            CI_NODE_TOTAL=str(total),
        )

    def soon(self, run: Run) -> None:
        """Wait for it to have begun a test; or do not, as it is drawn."""
        if self.draw.random() < 0.5:
            self.wait_for(run, 1)


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
    step.check_store(check_account(list(results.values())))


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
