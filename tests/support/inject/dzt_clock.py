"""``-p dzt_clock``: when the first test began and the last one ended, in each process that ran tests.

One line of JSON per process in the file named by ``DZT_CLOCK``; times are CLOCK_MONOTONIC, which all
processes of a machine share.  Costs two function calls a test.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest


class Clock:
    def __init__(self) -> None:
        self.first = self.last = 0.0
        self.tests = 0

    def pytest_runtest_logstart(self) -> None:
        if not self.first:
            self.first = time.monotonic()

    def pytest_runtest_logfinish(self) -> None:
        self.last = time.monotonic()
        self.tests += 1

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: Any) -> None:
        if not self.tests:
            return
        worker = hasattr(session.config, "workerinput")
        line = {"first": self.first, "last": self.last, "tests": self.tests, "worker": worker}
        with open(os.environ["DZT_CLOCK"], "a") as file:
            file.write(json.dumps(line) + "\n")


def pytest_configure(config: Any) -> None:
    if "DZT_CLOCK" in os.environ:
        config.pluginmanager.register(Clock(), "dzt_clock_obj")
