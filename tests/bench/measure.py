"""Run one command and measure the whole tree of processes that it makes.

CPU time: this process becomes the subreaper of all that descends from the command.  What a parent
has waited for is in the parent's own sum; what lost its parent comes to us.  So the sum of the
rusage of every process that *we* reap is that of the whole tree, without cgroups or root.

Memory, sampled while it runs: the summed proportional set size (PSS) of the tree, and what is kept by
the processes that know every test.  These are the one that was started and, of dagz, the zygote: its child's
child.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

PR_SET_CHILD_SUBREAPER = 36
SAMPLE_S = 0.2
KEEPERS = (0, 2)  # generations: the command itself; agent and seed are 1, the zygote is 2


@dataclass(frozen=True)
class Measure:
    """wall_s, cpu_s: seconds; pss_kb: median over time of the sum; kept_kb: the most that those had which
    know all tests; began, ended: CLOCK_MONOTONIC."""

    code: int
    wall_s: float
    cpu_s: float
    pss_kb: float
    kept_kb: float
    began: float
    ended: float


def become_subreaper() -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def children() -> dict[int, list[int]]:
    """ppid -> pids, of all processes now."""
    found: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path("/proc", entry, "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            found.setdefault(int(fields[1]), []).append(int(entry))
    return found


def descendants(pid: int) -> dict[int, int]:
    """Everything below a process: pid -> generations that are between."""
    tree, found = children(), {}
    todo = [(child, 0) for child in tree.get(pid, [])]
    while todo:
        one, depth = todo.pop()
        found[one] = depth
        todo += [(child, depth + 1) for child in tree.get(one, [])]
    return found


def memory_kb(pid: int) -> dict[str, int]:
    try:
        text = Path("/proc", str(pid), "smaps_rollup").read_text()
    except OSError:
        return {}
    lines = (line.split() for line in text.splitlines()[1:])
    return {words[0].rstrip(":"): int(words[1]) for words in lines}


class Sampler(threading.Thread):
    """Sums the memory of everything below this process at fixed moments."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.sums: list[int] = []
        self.kept = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(SAMPLE_S):
            total = kept = 0
            for pid, depth in descendants(os.getpid()).items():
                memory = memory_kb(pid)
                total += memory.get("Pss", 0)
                if depth in KEEPERS:
                    kept += memory.get("Anonymous", 0)
            if total:
                self.sums.append(total)
            self.kept = max(self.kept, kept)

    def stop(self) -> None:
        self.stopped.set()
        self.join()


def reap(pid: int) -> tuple[int, float, float]:
    """Wait for the command and then for all that it left: (status, CPU seconds, moment of its end)."""
    cpu, status, ended = 0.0, 0, 0.0
    while True:
        try:
            got, code, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return status, cpu, ended
        cpu += usage.ru_utime + usage.ru_stime
        if got == pid:
            status, ended = code, time.monotonic()


def measure(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str], output: Path, with_memory: bool = False
) -> Measure:
    """Run `argv` to its end.  `with_memory` costs CPU time of this process, so ask for it apart."""
    become_subreaper()
    sampler = Sampler() if with_memory else None
    with open(output, "wb") as out:
        began = time.monotonic()
        process = subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        if sampler:
            sampler.start()
        status, cpu, ended = reap(process.pid)
    process.returncode = os.waitstatus_to_exitcode(status)
    if sampler is None:
        return Measure(process.returncode, ended - began, cpu, 0, 0, began, ended)
    sampler.stop()
    pss = median(sampler.sums or [0])
    return Measure(process.returncode, ended - began, cpu, pss, sampler.kept, began, ended)
