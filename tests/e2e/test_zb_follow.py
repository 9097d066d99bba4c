"""A real run that is looked at while it goes on: its tests wait until zb has shown them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import leftovers
import pytest
from lab import Lab, Run
from zb_place import TIMEOUT_S, ZB

FILES = {
    "test_slow.py": """
        import pathlib

        def wait(name):
            with open(pathlib.Path(__file__).parent / name) as pipe:
                pipe.read()

        def test_talks():
            print("before the wait")
            wait("talks")

        def test_is_silent():
            wait("is_silent")
    """,
}


def test_what_runs_is_seen_before_it_ends(tmp_path):
    project = Lab(tmp_path).project(FILES)
    pipes = [project.path / "talks", project.path / "is_silent"]
    for pipe in pipes:
        os.mkfifo(pipe)
    held = [os.open(pipe, os.O_RDWR) for pipe in pipes]  # a test reads until we close
    run = project.start("dagz")
    zb = {"cwd": project.path, "env": run.env, "stdout": subprocess.PIPE, "text": True}
    try:
        await_word(run, "jobs", "running", **zb)
        follower = subprocess.Popen([ZB, "logs", "-f"], **zb)
        seen = ""
        while "before the wait" not in seen or "> test_slow.py::test_is_silent" not in seen:
            line = follower.stdout.readline()
            assert line, seen
            seen += line
        watcher = subprocess.Popen([ZB, "watch", "--json"], **zb)
        first = json.loads(watcher.stdout.readline())
        assert {lane["test"] for lane in first["running"]} == {
            "test_slow.py::test_talks",
            "test_slow.py::test_is_silent",
        }
    finally:
        for pipe in held:
            os.close(pipe)
        run.finish(TIMEOUT_S)
    assert follower.wait(TIMEOUT_S) == 0
    assert json.loads(watcher.communicate(timeout=TIMEOUT_S)[0].splitlines()[-1])["verdict"] == "passed"


def await_word(run: Run, command: str, word: str, **zb) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while word not in subprocess.run([ZB, command], **zb).stdout:
        assert time.monotonic() < deadline and run.process.poll() is None


@pytest.mark.parametrize("server", [False, True], ids=["local", "remote"])
def test_a_test_is_waited_for_while_its_job_is_collected(tmp_path, store, server):
    project = Lab(tmp_path).project(
        {
            "conftest.py": """
                import pathlib

                def pytest_collection(session):
                    with open(pathlib.Path(__file__).parent / "collects") as pipe:
                        pipe.read()
            """,
            "test_it.py": """
                def test_talks():
                    print("here it is")
            """,
        }
    )
    os.mkfifo(project.path / "collects")
    held = os.open(project.path / "collects", os.O_RDWR)
    run = project.start("dagz", env={"DAGZ_URL": store.url() if server else "none"})
    zb = {"cwd": project.path, "env": run.env, "stdout": subprocess.PIPE, "text": True}
    try:
        await_word(run, "jobs", "running", **zb)
        right, wrong = (
            subprocess.Popen(
                [ZB, "logs", "-f", "--raw", f"--test=test_it.py::{name}"], stderr=subprocess.PIPE, **zb
            )
            for name in ("test_talks", "test_walks")
        )
        assert not leftovers.ended(right.pid, 0.5)
    finally:
        os.close(held)
        run.finish(TIMEOUT_S)
    assert right.communicate(timeout=TIMEOUT_S) == ("here it is\n", "") and right.returncode == 0
    assert "did you mean" in wrong.communicate(timeout=TIMEOUT_S)[1] and wrong.returncode == 5


def test_a_run_that_sigterm_ended_is_stopped(tmp_path):
    project = Lab(tmp_path).project(FILES)
    pipes = [project.path / "talks", project.path / "is_silent"]
    for pipe in pipes:
        os.mkfifo(pipe)
    held = [os.open(pipe, os.O_RDWR) for pipe in pipes]
    run = project.start("dagz")
    zb = {"cwd": project.path, "env": run.env, "stdout": subprocess.PIPE, "text": True}
    try:
        await_word(run, "logs", "before the wait", **zb)  # while tests are collected it is as in plain pytest
        run.process.send_signal(signal.SIGTERM)
        result = run.finish(TIMEOUT_S)
    finally:
        for pipe in held:
            os.close(pipe)
    assert result.code == 128 + signal.SIGTERM and not result.timed_out, result
    job = json.loads(subprocess.run([ZB, "job", "--json"], **zb).stdout)
    assert (job["state"], job["verdict"], job["exit_code"]) == ("sealed", "stopped", 143)
    assert "stopped" in subprocess.run([ZB, "jobs"], **zb).stdout
    assert subprocess.run([ZB, "job", "--exit-status"], **zb).returncode == 1
