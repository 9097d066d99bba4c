"""xdist's fixtures, hook-less: registered as plugin ``xdist`` where pytest-xdist is not installed."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    line = "xdist_group(name): runs in the same worker as the other tests of the group"
    config.addinivalue_line("markers", line)


@pytest.fixture(scope="session")
def worker_id(request: pytest.FixtureRequest) -> str:
    """The id of the current worker ('gw0', 'gw1', ...) or 'master'."""
    worker_input = getattr(request.config, "workerinput", None)
    return worker_input["workerid"] if worker_input else "master"


@pytest.fixture(scope="session")
def testrun_uid(request: pytest.FixtureRequest) -> str:
    """A unique id of the current run, the same in all workers."""
    worker_input = getattr(request.config, "workerinput", None)
    return worker_input["testrunuid"] if worker_input else request.config.dagz_testrun_uid
