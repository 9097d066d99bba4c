"""One run, one fault drawn by seed, and what must be true afterwards.

The fault hits a real process of a real run at a random moment: it is killed, or stopped for a while.  The moment
is a number of tests that have begun (they leave a mark each), so it does not depend on the machine's speed.
"""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import leftovers
from lab import Project, Result

TESTS = 240
MODULES = 8
ROLES = ("worker", "zygote", "seed", "agent", "controller")
LONGEST_STOP_S = 5.0
POLL_S = 0.004

CONFTEST = """
    import os, pytest

    @pytest.fixture(autouse=True)
    def begun():
        fd = os.open(os.environ["DZT_STATE"] + "/begun", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(fd, b".")
        os.close(fd)
"""

MODULE = """
    import pytest

    @pytest.fixture(scope="module")
    def shared():
        yield sum(range(1000))

    @pytest.mark.parametrize("n", range(%d))
    def test_work(n, shared):
        assert sum(i * i for i in range(40_000)) > n
"""


@dataclass(frozen=True)
class Fault:
    role: str
    stop_s: float  # 0: killed
    after: int  # tests that have begun
    pick: int  # which of several workers

    def __str__(self) -> str:
        action = f"stopped for {self.stop_s:.1f} s" if self.stop_s else "killed"
        return f"{self.role} {action} after {self.after} tests"


def draw(seed: int, longest_stop_s: float = LONGEST_STOP_S) -> Fault:
    rng = random.Random(seed)
    return Fault(
        role=ROLES[seed % len(ROLES)],
        stop_s=rng.choice((0.0, rng.uniform(0.2, longest_stop_s))),
        after=rng.randrange(0, TESTS * 9 // 10),
        pick=rng.randrange(8),
    )


def files() -> dict[str, str]:
    found = {f"test_m{i}.py": MODULE % (TESTS // MODULES) for i in range(MODULES)}
    return {"conftest.py": CONFTEST, **found}


# ---------------------------------------------------------------- the run's processes


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def roles(token: str, controller: int) -> dict[str, list[int]]:
    """The run's processes by what they are: told by who forked whom."""
    alive = leftovers.having(token)
    parents = {p.pid: parent_of(p.pid) for p in alive}
    agents = [p.pid for p in alive if "dagz-agent" in p.command]
    seeds = [p for p, up in parents.items() if up == controller and p not in agents]
    zygotes = [p for p, up in parents.items() if up in seeds]
    workers = [p for p, up in parents.items() if up in zygotes]
    return {
        "controller": [controller],
        "agent": agents,
        "seed": seeds,
        "zygote": zygotes,
        "worker": sorted(workers),
    }


def begun(state: Path) -> int:
    try:
        return (state / "begun").stat().st_size
    except FileNotFoundError:
        return 0


def strike(fault: Fault, token: str, controller: int) -> bool:
    """Do it; False when that process is not there (any more)."""
    pids = roles(token, controller)[fault.role]
    if not pids:
        return False
    pid = pids[fault.pick % len(pids)]
    try:
        if not fault.stop_s:
            os.kill(pid, signal.SIGKILL)
            return True
        os.kill(pid, signal.SIGSTOP)
        leftovers.ended(controller if pid != controller else pid, fault.stop_s)
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return False
    return True


def run(project: Project, fault: Fault, env: Mapping[str, str] = {}) -> tuple[Result, bool]:
    """(what came of the run, whether the fault happened before its end)."""
    summary = project.path.parent / "summary.json"
    going = project.start("dagz", f"--dagz-summary={summary}", workers=3, env=env)
    token, pid = going.env[leftovers.TOKEN], going.process.pid
    state = Path(going.env["DZT_STATE"])
    while going.process.poll() is None and begun(state) < fault.after:
        leftovers.ended(pid, POLL_S)
    did = going.process.poll() is None and strike(fault, token, pid)
    return going.finish(), did


def check(project: Project, fault: Fault, result: Result, did: bool) -> None:
    """Every test is counted once, nothing is left, and the exit code is honest."""
    assert not result.timed_out, f"hung: {fault}"
    assert result.left == [], f"left processes: {fault}"
    if did and fault.role == "controller" and not fault.stop_s:
        assert result.code == -signal.SIGKILL
        return
    assert result.code == 0, f"exit {result.code}: {fault}"
    assert len(result.outcomes) == TESTS, f"{len(result.outcomes)} reported: {fault}"
    assert set(result.outcomes.values()) == {"passed"}, f"reported twice: {fault}"
    told = json.loads((project.path.parent / "summary.json").read_text())
    numbers = (told["collected"], told["counted"], told["lost"], told["not_run"])
    assert numbers == (TESTS, TESTS, 0, 0), f"{numbers}: {fault}"
