"""What a crowd at the door of a real job's agent costs the job: connections that hold a place each.

DZT_HOSTILE=N: N times as long, and with the full number from 2 on.
"""

from __future__ import annotations

import bisect
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_place import DaemonPlace, daemon
from hosts import Hosts
from people import Crowd, memory
from test_nodes import CONFTEST, check_account

MORE = int(os.environ.get("DZT_HOSTILE", "1"))
CROWD = 5000 if MORE > 1 else 1000
PER_FILE = 400 * MORE
WINDOW = 150 * MORE  # tests that begin on the other node while something is measured
P99_MS = 50.0
GROWTH = 128 << 20
LISTENS = "0A"
SUITE = {
    "conftest.py": CONFTEST,
    **{
        f"test_{name}.py": f"""
            import time, pytest

            @pytest.mark.parametrize("n", range({PER_FILE}))
            def test_work(n):
                time.sleep(0.01)
        """
        for name in "abcd"
    },
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DaemonPlace]:
    with daemon(tmp_path / "store") as place:
        yield place


def door(pid: int) -> int:
    """The port at which a process waits for others."""
    sockets = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets.add(os.readlink(file))
        except FileNotFoundError:
            continue
    found = []
    lines = [Path("/proc/net", table).read_text().splitlines()[1:] for table in ("tcp", "tcp6")]
    for line in itertools.chain(*lines):
        _, local, _, state, *_, inode = line.split()[:10]
        if state == LISTENS and f"socket:[{inode}]" in sockets:
            found.append(int(local.rpartition(":")[2], 16))
    (port,) = found
    return port


def now_us() -> int:
    return time.monotonic_ns() // 1000


def waits_ms(hosts: Hosts, begin_us: int, end_us: int) -> list[float]:
    """From each result that the second node told until the scheduler's word on it was heard there."""
    theirs = hosts.events(2)
    (node,) = [event["node"] for event in theirs if event["event"] == "peers.open"]
    words = [
        event["t"]
        for event in hosts.events(1)
        if event["event"] == "coord.send" and event["msg"] == "mesh_rack" and event["node"] == node
    ]
    heard = [e["t"] for e in theirs if e["event"] == "vassal.event" and e["kind"] == "message"]
    told = [e["t"] for e in theirs if e["event"] == "vassal.send" and e["msg"] == "mesh_result"]
    waits = []
    for at in told:
        if begin_us <= at <= end_us:
            word = words[bisect.bisect_left(words, at)]
            waits.append((heard[bisect.bisect_left(heard, word)] - at) / 1000)
    return sorted(waits)


def p99(waits: list[float]) -> float:
    return waits[int(len(waits) * 0.99)]


def shown(waits: list[float]) -> dict[str, float]:
    return {"of": len(waits), "p50": waits[len(waits) // 2], "p99": p99(waits)}


def test_a_crowd_at_the_schedulers_door_costs_its_job_little(tmp_path: Path, store: DaemonPlace) -> None:
    """Silent and dribbling ones, while results come, and a node that joins in the middle of them."""
    hosts = Hosts(tmp_path, store.url(), SUITE)
    hosts.env["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"
    first, second = hosts.start(2)
    hosts.go()
    hosts.wait_for(second, WINDOW)
    agent = hosts.agent(first)
    port, before, calm_us = door(agent), memory(agent), now_us()
    crowd = Crowd("zmtp", port, CROWD)
    begin_us, begun = now_us(), len(hosts.ran_on(second))
    late = hosts.join()
    hosts.wait_for(late, 1)
    hosts.wait_for(second, begun + WINDOW)
    end_us, most = now_us(), memory(agent)
    told = crowd.end()
    results = hosts.finish()
    calm, crowded = waits_ms(hosts, 0, calm_us), waits_ms(hosts, begin_us, end_us)
    grown = most - before
    print({"calm_ms": shown(calm), "crowded_ms": shown(crowded), "grown_mib": grown >> 20, **told})
    assert [result.code for result in results] == [0, 0, 0]
    account = check_account(results, 4 * PER_FILE)
    assert (account["nodes"], account["duplicates"]) == (3, 0)
    assert told["opened"] >= CROWD
    assert p99(crowded) < max(P99_MS, 4 * p99(calm))
    assert grown < GROWTH, f"{grown >> 20} MiB"
