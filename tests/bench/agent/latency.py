"""How long a job stands still when a node dies or sleeps, read from what the agents log.

    python tests/bench/agent/latency.py [scheduler-killed ...] [--rounds N]

Three runs with homes of their own share a job through a daemon, on loopback.  All clocks are the machine's
monotonic one.  From the fault on it is counted:

    scheduler-*   until another node grants tests (its first ASSIGN)
    vassal-*      until a test that the node held is granted to another one; a row "given up" tells from when on
                  it could be

With --through-store each is on a host of its own (network namespaces), from which only the store, behind TLS,
is reached.

The environment is that of tests/e2e (DAGZ_WHEEL, DAGZ_AGENT, DAGZ_ZB).  Absolute times belong to the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "tests/support")]

import leftovers  # noqa: E402
from daemon_place import daemon  # noqa: E402
from hosts import Far, Hosts, on_a_switch  # noqa: E402
from test_nodes import CONFTEST, kill_node  # noqa: E402

AIMS = {  # seconds: p50, p99
    "scheduler-killed": (0.5, 1.5),
    "scheduler-frozen": (None, 3.0),
    "vassal-killed": (None, 0.3),
    "vassal-frozen": (None, 1.5),
}
SUITE = {
    "conftest.py": CONFTEST,
    **{
        f"test_{name}.py": """
            import time, pytest

            @pytest.mark.parametrize("n", range(500))
            def test_work(n):
                time.sleep(0.02)
        """
        for name in "abcd"
    },
}
PATIENCE_S = 10


def granted(hosts: Hosts, number: int) -> list[tuple[int, str, set[str]]]:
    """When, to which node, which tests: by that run's scheduler."""
    return [
        (event["t"], str(event["node"]), set(str(event["tests"]).strip(",").split(",")))
        for event in hosts.events(number)
        if event.get("event") == "coord.assign"
    ]


def node_of(hosts: Hosts, number: int) -> str:
    return next(str(event["node"]) for event in hosts.events(number) if event.get("event") == "peers.open")


def succeeded_at(hosts: Hosts, victim: int, begin_us: int) -> int | None:
    """Another run grants tests."""
    others = [number for number in range(1, len(hosts.runs) + 1) if number != victim]
    return min((t for number in others for t, _, _ in granted(hosts, number) if t > begin_us), default=None)


def reassigned_at(hosts: Hosts, leader: int, victim: int, begin_us: int) -> int | None:
    """A test of the victim's goes to another node.  What it had finished is not granted again."""
    node, held = node_of(hosts, victim), set[str]()
    for t, to, tests in granted(hosts, leader):
        if to == node:  # also when it was dead already, and nobody knew
            held |= tests
        elif t > begin_us and tests & held:
            return t
    return None


def given_up_at(hosts: Hosts, leader: int, begin_us: int) -> int | None:
    for event in hosts.events(leader):
        if event.get("event") == "coord.node" and event["word"] == "lost" and event["t"] > begin_us:
            return event["t"]
    return None


@contextlib.contextmanager
def around(folder: Path, url: str | None) -> Iterator[Hosts]:
    """Hosts that reach each other and the store at `url`, or None: only a store of theirs."""
    if url:
        yield Hosts(folder, url, SUITE)
        return
    with on_a_switch(Far, folder, 3, files=SUITE) as far:
        far.net.isolate(*far.spaces)
        yield far


def one(kind: str, hosts: Hosts) -> tuple[float | None, float | None]:
    """Seconds until what is asked for, and until a node was given up."""
    role, how = kind.split("-")
    hosts.go()
    runs = hosts.start(3, "--dagz-workers=1")
    for run in runs:
        hosts.wait_for(run, 5)
    leader = next(number for number in (1, 2, 3) if granted(hosts, number))
    victim = leader if role == "scheduler" else leader % 3 + 1
    agent = hosts.agent(runs[victim - 1])
    begin_us = time.monotonic_ns() // 1000
    if how == "killed":
        kill_node(runs[victim - 1])
    else:
        os.kill(agent, signal.SIGSTOP)
    found = None
    while found is None and time.monotonic_ns() // 1000 < begin_us + PATIENCE_S * 1_000_000:
        hosts.pause(0.1)
        if role == "scheduler":
            found = succeeded_at(hosts, victim, begin_us)
        else:
            found = reassigned_at(hosts, leader, victim, begin_us)
    given_up = given_up_at(hosts, leader, begin_us)
    for run in runs:
        leftovers.kill(run.env[leftovers.TOKEN])
        run.finish()
    os.close(hosts.gate)
    first, second = (None if at is None else (at - begin_us) / 1e6 for at in (found, given_up))
    return first, second


def line(kind: str, taken: list[float | None], what: str = "") -> str:
    good = sorted(value for value in taken if value is not None)
    if not good:
        return f"{what or kind:18} never, in {len(taken)} rounds"
    p50, p99 = statistics.median(good), good[min(len(good) - 1, int(len(good) * 0.99))]
    aims = ", ".join(
        f"{name} <= {aim}" for name, aim in zip(("p50", "p99"), AIMS[kind], strict=True) if aim is not None
    )
    never = f", never in {len(taken) - len(good)}" if len(good) < len(taken) else ""
    return (
        f"{what or kind:18} {len(taken)} rounds{never}: least {good[0]:.3f}  p50 {p50:.3f}  p99 {p99:.3f}  "
        f"greatest {good[-1]:.3f} s   (aim: {aims})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", choices=[*AIMS, []], default=[])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--through-store", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dzl-") as folder, daemon(Path(folder) / "store") as place:
        for kind in asked.kinds or AIMS:
            taken = []
            for number in range(asked.rounds):
                own = Path(folder) / f"{kind}-{number}"
                own.mkdir()
                with around(own, None if asked.through_store else place.url()) as hosts:
                    taken.append(one(kind, hosts))
            print(line(kind, [first for first, _ in taken]), flush=True)
            if kind.startswith("vassal"):
                print(line(kind, [second for _, second in taken], "  given up"), flush=True)


if __name__ == "__main__":
    main()
