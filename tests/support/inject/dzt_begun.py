"""``-p dzt_begun``: each test says that it begins, waits for a gate, and may be told to fail.

Its node id is a line of ``$DZT_STATE/begun``; ``DZT_GATE`` is a FIFO that everybody can read from once it is open;
``DZT_FAIL`` is the node id of a test that fails.  So a script knows what runs where in a suite that is not its own.
"""

from __future__ import annotations

import os
import select
from typing import Any

import pytest


def await_gate(path: str) -> None:
    gate = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    poller = select.poll()
    poller.register(gate, select.POLLIN)
    while not poller.poll():
        pass
    os.close(gate)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: Any) -> None:
    with open(os.environ["DZT_STATE"] + "/begun", "a") as file:
        file.write(item.nodeid + "\n")
    await_gate(os.environ["DZT_GATE"])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: Any) -> None:
    if item.nodeid == os.environ.get("DZT_FAIL"):
        pytest.fail("as it was told to")
