"""What each process's death, and a stop that does not end, costs: docs/architecture.md, "What is promised".

`test_faults` strikes at random while tests run; here each process is struck at a moment of its own: while
tests are collected, while they run, or for ever.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import faults
import leftovers
import pytest
from lab import Lab, Project, Result, Run

LONG = pytest.mark.skipif(
    "DZT_FAULTS" not in os.environ, reason="waits for half a minute: make soak, or DZT_FAULTS=1"
)
WAIT_S = 20.0
POLL_S = 0.01

# Says that it is there and waits for `go`: in the process that collects, and in a test.
HOLD = """
    import os, select

    def hold(place):
        fd = os.open(os.environ["DZT_STATE"] + "/go", os.O_RDONLY | os.O_NONBLOCK)
        open(os.environ["DZT_STATE"] + "/" + place, "w").close()
        poll = select.poll()
        poll.register(fd, select.POLLHUP | select.POLLIN)
        while not poll.poll():
            pass
"""
COLLECTS = {
    "hold.py": HOLD,
    "test_a.py": """
        from hold import hold
        hold("held")

        def test_one(): pass
        def test_two(): pass
    """,
}
RUNS = {
    "hold.py": HOLD,
    "test_a.py": """
        from hold import hold

        def test_one(): hold("held")
        def test_two(): pass
    """,
}


class Held:
    """A run that stands still where its project says so."""

    def __init__(self, tmp_path: Path, files: dict[str, str]) -> None:
        self.project: Project = Lab(tmp_path).project(files)
        self.state = self.project.path.parent / "state-1"
        self.state.mkdir()
        os.mkfifo(self.state / "go")
        self.gate = os.open(self.state / "go", os.O_RDWR)
        self.run: Run = self.project.start("dagz")
        self.token = self.run.env[leftovers.TOKEN]
        self.wait_for("held")

    def wait_for(self, name: str) -> None:
        for _ in range(int(WAIT_S / POLL_S)):
            if (self.state / name).exists():
                return
            leftovers.ended(self.run.process.pid, POLL_S)
        raise AssertionError(f"no {name} in {WAIT_S} s: {self.run.finish(1)}")

    def pids(self, role: str) -> list[int]:
        return faults.roles(self.token, self.run.process.pid)[role]

    def signal(self, role: str, number: int) -> int:
        (pid, *_) = self.pids(role)
        os.kill(pid, number)
        return pid

    def go(self) -> None:
        os.write(self.gate, b"go")

    def finish(self) -> Result:
        result = self.run.finish()
        os.close(self.gate)
        print(result)
        assert not result.timed_out and result.left == []
        return result

    def passes(self) -> Result:
        result = self.finish()
        assert result.code == 0 and result.counts == {"passed": 2}
        return result


@pytest.fixture
def hold(tmp_path):
    """Makes a `Held`; none of its processes is left behind, however the test ends."""
    made: list[Held] = []

    def make(files: dict[str, str]) -> Held:
        made.append(Held(tmp_path, files))
        return made[-1]

    yield make
    for held in made:
        leftovers.kill(held.token)


# ---------------------------------------------------------------- killed


@pytest.mark.parametrize("role", ["zygote", "seed", "agent"])
def test_a_death_while_tests_are_collected_costs_nothing(hold, role):
    held = hold(COLLECTS)
    held.signal(role, signal.SIGKILL)
    held.go()
    held.passes()


@pytest.mark.parametrize("files", [COLLECTS, RUNS], ids=["collecting", "running"])
def test_nobody_outlives_the_controller(hold, files):
    held = hold(files)
    held.signal("controller", signal.SIGKILL)
    assert held.finish().code == -signal.SIGKILL


def test_a_second_agent_may_die_too(hold):
    held = hold(RUNS)
    first = held.signal("agent", signal.SIGKILL)
    while held.pids("agent") in ([], [first]):
        leftovers.ended(held.run.process.pid, POLL_S)
    held.signal("agent", signal.SIGKILL)
    held.go()
    held.passes()


def test_an_agent_that_dies_too_often_while_tests_are_collected_is_one_clear_line(hold):
    held, killed = hold(COLLECTS), []
    for _ in range(4):
        while set(held.pids("agent")) <= set(killed):
            leftovers.ended(held.run.process.pid, POLL_S)
        killed.append(held.signal("agent", signal.SIGKILL))
    held.go()
    result = held.finish()
    assert result.code == 3
    assert "the agent died too often; the run stops here" in result.out
    assert "Traceback" not in result.out + result.err


# ---------------------------------------------------------------- stopped for ever


def test_an_agent_that_stays_stopped_is_replaced(hold):
    held = hold(RUNS)
    held.signal("agent", signal.SIGSTOP)
    held.go()
    result = held.passes()
    assert "the agent died and was replaced" in result.out
    assert result.seconds > 10


def test_a_stopped_controller_is_waited_for(hold):
    held = hold(RUNS)
    agent = held.pids("agent")
    pid = held.signal("controller", signal.SIGSTOP)
    held.go()
    leftovers.ended(pid, 12.0)  # longer than an agent may be silent
    assert held.pids("agent") == agent
    held.signal("controller", signal.SIGCONT)
    result = held.passes()
    assert "replaced" not in result.out


def test_a_stopped_worker_hangs_until_the_limit_of_its_test(tmp_path):
    files = {
        "test_a.py": """
            import os, signal
            def test_one(): os.kill(os.getpid(), signal.SIGSTOP)
            def test_two(): pass
        """
    }
    result = Lab(tmp_path).project(files).run("dagz", "--dagz-test-timeout=1")
    print(result)
    assert result.code == 1 and result.counts == {"failed": 1, "passed": 1} and result.left == []
    assert "TIMEOUT" in result.out


def test_what_is_suspended_at_a_terminal_goes_on_as_if_no_time_had_passed(tmp_path):
    """Ctrl-Z reaches controller and agent; workers go on, and come to a test whose successor they must ask for."""
    files = {
        "test_a.py": """
            import os, pathlib, time, pytest

            @pytest.mark.parametrize("n", range(40))
            def test_short(n):
                (pathlib.Path(os.environ["DZT_STATE"]) / f"ran-{n}").touch()
                time.sleep(0.05)
        """
    }
    run = Lab(tmp_path).project(files).start("dagz", "--dagz-test-timeout=1")
    state = Path(run.env["DZT_STATE"])
    while len(list(state.glob("ran-*"))) < 5:
        assert not leftovers.ended(run.process.pid, POLL_S)
    os.killpg(run.process.pid, signal.SIGSTOP)
    leftovers.ended(run.process.pid, 3.0)
    os.killpg(run.process.pid, signal.SIGCONT)
    result = run.finish()
    print(result)
    assert result.code == 0 and result.counts == {"passed": 40} and result.left == []


@LONG
@pytest.mark.parametrize("files", [COLLECTS, RUNS], ids=["collecting", "running"])
def test_a_zygote_that_stays_stopped_is_replaced(hold, files):
    held = hold(files)
    first = held.signal("zygote", signal.SIGSTOP)
    while held.pids("zygote") in ([], [first]):
        assert not leftovers.ended(held.run.process.pid, POLL_S)
    held.go()
    result = held.passes()
    assert "the zygote was stopped for 30 s" in result.out


@LONG
def test_a_seed_that_stays_stopped_is_done_without(hold):
    held = hold(RUNS)
    held.signal("seed", signal.SIGSTOP)
    while held.pids("seed"):
        assert not leftovers.ended(held.run.process.pid, POLL_S)
    held.go()
    result = held.passes()
    assert "the seed was stopped for 30 s" in result.out
