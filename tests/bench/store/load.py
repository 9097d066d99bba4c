"""Load on a real daemon: ingest, many event streams, hostile clients.

    python tests/bench/store/load.py [ingest|events|hostile]... [--build build/release] [--seconds 20] [--first]

Each starts a daemon of its own on a free port and a home of its own, and prints one line of JSON with
what was measured and whether the aim was met; the exit code is 1 if one was not.  Everything is on
loopback and ends by itself.  --first, for root: ahead of whatever else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
SLOW_HEADS, SLOW_BODIES = 1500, 1500
PROBE_S = 0.01
FRESH_EVERY = 4  # probes; one of so many comes over a new connection


@dataclass
class Daemon:
    home: Path
    bin: Path
    port: int
    pid: int

    def memory(self) -> int:
        """Bytes that are resident."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def run(self, program: str, *args: object) -> dict[str, Any]:
        argv = [str(self.bin / program), *map(str, args)]
        done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, timeout=600, check=False)
        if not done.stdout:
            sys.exit(f"{program} failed with {done.returncode}")
        return dict(json.loads(done.stdout))


def put_first(pid: int) -> None:
    """Groups of processes share the machine evenly; within one, single ones by their own number."""
    Path(f"/proc/{pid}/autogroup").write_text("-20")
    os.setpriority(os.PRIO_PROCESS, pid, -19)


@contextlib.contextmanager
def daemon(build: Path, fill: str = "") -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="dagz-load-") as folder:
        home, project = Path(folder) / "home", Path(folder) / "project"
        (home / "local.env").mkdir(parents=True)
        project.mkdir()
        (home / "local.env/daemon.yaml").write_text("port: 0\nlimits: {connections: 8192}\n")
        env = {**os.environ, "DAGZ_HOME": str(home)}
        if fill:
            argv = [str(build / "bin/fill_store"), str(home), str(project), *fill.split()]
            subprocess.run(argv, env=env, check=True, stdout=subprocess.DEVNULL)
        zb = str(build / "bin/zb")
        subprocess.run([zb, "daemon", "up", "--bg"], env=env, check=True, stdout=subprocess.DEVNULL)
        pid, url = (home / "local.env/daemon.pid").read_text().split()
        if os.getpriority(os.PRIO_PROCESS, 0) < 0:
            put_first(int(pid))
        try:
            yield Daemon(home, build / "bin", int(url.rpartition(":")[2]), int(pid))
        finally:
            subprocess.run([zb, "daemon", "down"], env=env, check=False, stdout=subprocess.DEVNULL)


def ingest(build: Path, seconds: float) -> dict[str, Any]:
    """100,000 results a second, and again as duplicates no slower."""
    with daemon(build) as store, tempfile.TemporaryDirectory(prefix="dagz-load-") as folder:
        found = store.run("bench_ingest", folder, store.port, 8, 100_000, 4)
        met = found["fresh_per_s"] >= 100_000 and found["again_per_s"] >= found["fresh_per_s"]
        return {**found, "daemon_cpu_s": store.cpu_s(), "daemon_mib": store.peak() >> 20, "met": met}


def events(build: Path, seconds: float) -> dict[str, Any]:
    """1,000 clients at 1,000 events a second: no gap, no duplicate, p99 below 250 ms."""
    with daemon(build) as store:
        found = store.run("bench_events", store.home, store.port, 1000, 1000, int(seconds), 20)
        met = not (found["missing"] or found["gaps"] or found["duplicates"]) and found["p99_ms"] < 250
        return {**found, "daemon_cpu_s": store.cpu_s(), "daemon_mib": store.peak() >> 20, "met": met}


# ---------------------------------------------------------------- hostile clients


async def dribble(port: int, head: bytes, rest: bytes, until: float) -> int:
    """Send a byte a second of what comes after the head; again when it was cut off.  How often it was."""
    cut = 0
    while time.monotonic() < until:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head)
            for byte in rest:
                writer.write(bytes([byte]))
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    if not await asyncio.wait_for(reader.read(4096), 1):
                        raise ConnectionError
                if time.monotonic() >= until:
                    break
            writer.close()
        except OSError:
            cut += 1
            await asyncio.sleep(0.05)
    return cut


async def probe(port: int, until: float) -> list[float]:
    """What somebody who asks for the jobs has to wait, in milliseconds."""
    waits: list[float] = []
    ask = b"GET /api/v1/jobs?limit=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    streams: Any = None
    while time.monotonic() < until:
        begun = time.perf_counter()
        if streams is None or len(waits) % FRESH_EVERY == 0:
            if streams:
                streams[1].close()
            streams = await asyncio.open_connection("127.0.0.1", port)
        streams[1].write(ask)
        head = await streams[0].readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        await streams[0].readexactly(length)
        waits.append((time.perf_counter() - begun) * 1000)
        await asyncio.sleep(PROBE_S)
    return waits


def attack(port: int, seconds: float, heads: int, bodies: int) -> None:
    """In a process of its own, so that its work is not in the way of the probe's."""
    head = b"GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
    post = (
        b"POST /api/v1/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV/records HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/vnd.dagz.parcel\r\nContent-Length: 1000000\r\n\r\n"
    )

    async def everybody() -> int:
        until = time.monotonic() + seconds
        slow = [dribble(port, head, b"a" * 1000, until) for _ in range(heads)]
        slow += [dribble(port, post, b"a" * 1000, until) for _ in range(bodies)]
        return sum(await asyncio.gather(*slow))

    print(asyncio.run(everybody()), flush=True)


def percentile(values: list[float], share: float) -> float:
    return round(sorted(values)[min(len(values) - 1, int(len(values) * share))], 2)


def hostile(build: Path, seconds: float) -> dict[str, Any]:
    """3,000 slow heads and bodies: others wait less than 50 ms (p99), memory grows by less than 128 MiB."""
    with daemon(build, "mixed") as store:
        calm = asyncio.run(probe(store.port, time.monotonic() + 3))
        before = store.memory()
        argv = [sys.executable, __file__, "--attack", str(store.port), "--seconds", str(seconds)]
        attackers = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        time.sleep(3)  # they are all there
        waits = asyncio.run(probe(store.port, time.monotonic() + seconds - 4))
        cut = int(attackers.communicate(timeout=seconds + 60)[0])
        grown = store.peak() - before
        found = {
            "attackers": SLOW_HEADS + SLOW_BODIES,
            "cut_off": cut,
            "calm_p99_ms": percentile(calm, 0.99),
            "probes": len(waits),
            "p50_ms": percentile(waits, 0.5),
            "p99_ms": percentile(waits, 0.99),
            "max_ms": percentile(waits, 1),
            "grown_mib": round(grown / (1 << 20), 1),
        }
        return {**found, "met": found["p99_ms"] < 50 and grown < 128 << 20 and cut > 0}


FIGURES = {"ingest": ingest, "events": events, "hostile": hostile}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[*FIGURES, []])
    parser.add_argument("--build", type=Path, default=ROOT / "build/release")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--first", action="store_true", help="ahead of other processes (root)")
    parser.add_argument("--attack", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else soft, hard))
    if args.attack:
        attack(args.attack, args.seconds, SLOW_HEADS, SLOW_BODIES)
        return 0
    if args.first:
        put_first(os.getpid())
    failed = False
    for name in args.what or FIGURES:
        found = FIGURES[name](args.build, args.seconds)
        print(json.dumps({"figure": name, **found}), flush=True)
        failed |= not found["met"]
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
