"""How long a job stands still when a node dies or sleeps, read from what the agents log.

    python tests/bench/agent/latency.py [scheduler-killed ...] [--rounds N]

Three runs with homes of their own share a job through a daemon, on loopback.  All clocks are the machine's
monotonic one.  From the fault on it is counted:

    scheduler-*   until another node grants tests (its first ASSIGN)
    vassal-*      until the scheduler has given the node up, and with that its tests to others

The environment is that of tests/e2e (DAGZ_WHEEL, DAGZ_AGENT, DAGZ_ZB).  Absolute times belong to the machine.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "tests/support")]

import leftovers  # noqa: E402
from daemon_place import DaemonPlace  # noqa: E402
from hosts import Hosts  # noqa: E402
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


def since(hosts: Hosts, watched: list[int], begin_us: int, fits: dict[str, str]) -> float | None:
    """Seconds from the fault to the first such event of one of these runs."""
    found = [
        event["t"]
        for number in watched
        for event in hosts.events(number)
        if event["t"] > begin_us and all(event.get(k) == v for k, v in fits.items())
    ]
    return (min(found) - begin_us) / 1e6 if found else None


def one(kind: str, folder: Path, url: str) -> float | None:
    role, how = kind.split("-")
    hosts = Hosts(folder, url, SUITE)
    hosts.go()
    runs = hosts.start(3, "--dagz-workers=1")
    for run in runs:
        hosts.wait_for(run, 5)
    victim = runs[0 if role == "scheduler" else 1]
    agent = hosts.agent(victim)
    begin_us = time.monotonic_ns() // 1000
    if how == "killed":
        kill_node(victim)
    else:
        os.kill(agent, signal.SIGSTOP)
    watched = [2, 3] if role == "scheduler" else [1]
    fits = (
        {"event": "coord.send", "msg": "mesh_assign"}
        if role == "scheduler"
        else {"event": "coord.node", "word": "lost"}
    )
    found = None
    while found is None and time.monotonic_ns() // 1000 < begin_us + PATIENCE_S * 1_000_000:
        hosts.pause(0.1)
        found = since(hosts, watched, begin_us, fits)
    for run in runs:
        leftovers.kill(run.env[leftovers.TOKEN])
        run.finish()
    os.close(hosts.gate)
    return found


def line(kind: str, taken: list[float | None]) -> str:
    good = sorted(value for value in taken if value is not None)
    if not good:
        return f"{kind:18} never, in {len(taken)} rounds"
    p50, p99 = statistics.median(good), good[min(len(good) - 1, int(len(good) * 0.99))]
    aims = ", ".join(
        f"{name} <= {aim}" for name, aim in zip(("p50", "p99"), AIMS[kind], strict=True) if aim is not None
    )
    never = f", never in {len(taken) - len(good)}" if len(good) < len(taken) else ""
    return (
        f"{kind:18} {len(taken)} rounds{never}: least {good[0]:.3f}  p50 {p50:.3f}  p99 {p99:.3f}  "
        f"greatest {good[-1]:.3f} s   (aim: {aims})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", choices=[*AIMS, []], default=[])
    parser.add_argument("--rounds", type=int, default=10)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dzl-") as folder:
        home = Path(folder) / "store"
        home.mkdir()
        place = DaemonPlace(home)
        url = place.up()
        try:
            for kind in asked.kinds or AIMS:
                taken = []
                for number in range(asked.rounds):
                    own = Path(folder) / f"{kind}-{number}"
                    own.mkdir()
                    taken.append(one(kind, own, url))
                print(line(kind, taken), flush=True)
        finally:
            place.down()


if __name__ == "__main__":
    main()
