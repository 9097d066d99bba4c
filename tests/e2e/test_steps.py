"""A scheduler dies between two steps of a job's end, each of them: the job ends, and its store knows it.

The agent's own log is the clock: it dies while it writes the line that tells of the step.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from hosts import Hosts
from test_nodes import TESTS

HERE = Path(__file__).parent
KILLED = -signal.SIGKILL
DRAIN = '"event":"coord.send","msg":"mesh_drain"'
SEAL = '"event":"coord.send","msg":"mesh_seal"'
# Each is said to the scheduler's own node first, then to two others.
STEPS = {
    "all_is_counted": (DRAIN, 1),
    "drain_was_said_to_itself": (DRAIN, 2),
    "drain_was_said_to_one": (DRAIN, 3),
    "all_are_drained": (SEAL, 1),
    "seal_was_said_to_itself": (SEAL, 2),
    "seal_was_said_to_one": (SEAL, 3),
    "all_have_left": ('"event":"coord.over"', 1),
}


@pytest.fixture(scope="session")
def deadly(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An agent that dies at a step that its environment names."""
    place = tmp_path_factory.mktemp("deadly")
    library = place / "deadly_step.so"
    source = HERE / "deadly_step.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", library, source, "-ldl"], check=True)
    script = place / "agent"
    agent = os.environ["DAGZ_AGENT"]
    script.write_text(f'#!/bin/sh\nexport LD_PRELOAD={library}\nexec {agent} "$@"\n')
    script.chmod(0o755)
    return str(script)


def dies_at(deadly: str, step: str, **more: str) -> dict[str, str]:
    line, nth = STEPS[step]
    asan = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    return {"DAGZ_AGENT": deadly, "ASAN_OPTIONS": asan, "DEADLY_STEP": line, "DEADLY_NTH": str(nth), **more}


@pytest.mark.parametrize("step", STEPS)
def test_a_machine_that_dies_when(hosts: Hosts, deadly: str, step: str) -> None:
    hosts.start(1, **dies_at(deadly, step))
    hosts.start(2)
    results = hosts.finish()
    assert [result.code for result in results] == [KILLED, 0, 0]
    (job,) = hosts.jobs()
    assert (job["state"], job["counted"], job["lost"], job["not_run"]) == ("sealed", TESTS, 0, 0), job
    assert job["verdict"] == "passed"
