"""A real run that is looked at while it goes on: its tests wait until zb has shown them."""

from __future__ import annotations

import json
import os
import subprocess
import time

from lab import Lab
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
        deadline = time.monotonic() + TIMEOUT_S
        while "running" not in subprocess.run([ZB, "jobs"], **zb).stdout:
            assert time.monotonic() < deadline
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
