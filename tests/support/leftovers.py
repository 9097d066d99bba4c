"""Find what a run left behind: each run puts a token of its own into its environment.

A process keeps the environment that it was started with in ``/proc/PID/environ``, and forked
children keep their parent's, so every descendant is found whatever its parent is now.
"""

from __future__ import annotations

import os
import select
import signal
import time
from dataclasses import dataclass
from pathlib import Path

TOKEN = "DZT_RUN"


@dataclass(frozen=True)
class Process:
    pid: int
    command: str


def having(token: str) -> list[Process]:
    """Processes that live and carry the token.  A zombie has no environment and is not listed."""
    wanted = f"{TOKEN}={token}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append(Process(int(entry.name), command.strip()))
        except OSError:
            continue
    return found


def ended(pid: int, seconds: float) -> bool:
    """Wait until a process that is not our child has ended, at most so long."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        return bool(poller.poll(seconds * 1000))
    finally:
        os.close(fd)


def after(token: str, seconds: float = 20.0) -> list[Process]:
    """What is left when everything had so long to end by itself."""
    deadline = time.monotonic() + seconds
    for process in having(token):
        ended(process.pid, max(0.0, deadline - time.monotonic()))
    return having(token)


def kill(token: str) -> None:
    """End everything that carries the token, also what is born meanwhile."""
    for _ in range(20):
        alive = having(token)
        if not alive:
            return
        for process in alive:
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for process in alive:
            ended(process.pid, 2.0)
